"""What an error of the data directory is about: one book, or the directory itself."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from common.resources import raise_if_exhausted
from migration.errors import DataDirUnwritable

#: Errors about the name or the folder of one book; the server may fare better.
_ABOUT_A_BOOK = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EFBIG,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
    }
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def about_book(error: OSError) -> str:
    """Returns why one book cannot be placed, as a clause.

    Raises DataDirUnwritable, or OutOfResources, for what every book would meet.
    """
    raise_if_exhausted(error)
    if error.errno not in _ABOUT_A_BOOK:
        raise _unwritable(error) from error
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "its folder on the server is or lies behind a symbolic link or a file"
    return f"its place on the server cannot be used: {error.strerror}"


@contextmanager
def translated() -> Iterator[None]:
    """Raises DataDirUnwritable, or OutOfResources, for any OSError."""
    try:
        yield
    except OSError as error:
        raise_if_exhausted(error)
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> DataDirUnwritable:
    what = "free some space there" if error.errno in _FULL else "look at its disk"
    return DataDirUnwritable(
        f"the server's data directory takes nothing now: {error.strerror}; {what}"
    )
