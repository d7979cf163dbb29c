"""Folders and files below an open directory, never through a symbolic link.

Every component is opened from the one above it: whoever may write in the data directory
cannot lead us out of it. All functions raise OSError.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from migration.server.data_dir.owner import Owning

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: How often a folder is made again that somebody removes as an empty one.
_TRIES = 10

#: There is nothing of ours at a path: nothing at all, or a link, or another kind.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@contextmanager
def opened(root: int, folder: str, made: Owning | None = None) -> Iterator[int]:
    """Opens a folder below `root`; "" is `root` itself.

    With `made`, the folders that are missing are made so.
    """
    descriptor = _descend(root, folder, made)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _descend(root: int, folder: str, made: Owning | None) -> int:
    current = os.dup(root)
    try:
        for part in folder.split("/") if folder else ():
            try:
                below = os.open(part, _FOLDER, dir_fd=current)
            except FileNotFoundError:
                if made is None:
                    raise
                _make(current, part, made)
                below = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
    except OSError:
        os.close(current)
        raise
    return current


def open_file(root: int, path: str) -> int | None:
    """Opens a file for reading; None when there is none, or it lies behind a link."""
    folder, _, name = path.rpartition("/")
    try:
        with opened(root, folder) as holding:
            return os.open(name, _OLD_FILE, dir_fd=holding)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def exists(root: int, path: str) -> bool:
    """Whether there is anything at this path, be it a broken link."""
    above, _, name = path.rpartition("/")
    try:
        with opened(root, above) as parent:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def make_own(root: int, folder: str, how: Owning) -> bool:
    """Makes a folder that is nobody else's, and those above it if need be.

    Returns False when it is there already.
    """
    above, _, name = folder.rpartition("/")
    for _ in range(_TRIES):
        with suppress(FileNotFoundError), opened(root, above, how) as parent:
            return _make(parent, name, how)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), above)


def _make(parent: int, name: str, how: Owning) -> bool:
    try:
        os.mkdir(name, how.folder_mode & 0o777, dir_fd=parent)
    except FileExistsError:
        return False
    with opened(parent, name) as made:
        _give(made, how.folder_mode, how)
    return True


def new_file(folder: int, name: str, how: Owning) -> int:
    """Makes a file that was not there; returns its descriptor, for the caller to close."""
    descriptor = os.open(name, _NEW_FILE, how.file_mode, dir_fd=folder)
    try:
        _give(descriptor, how.file_mode, how)
    except OSError:
        os.close(descriptor)
        os.unlink(name, dir_fd=folder)
        raise
    return descriptor


def _give(descriptor: int, mode: int, how: Owning) -> None:
    """Sets owner and mode where the system has not set them already."""
    status = os.fstat(descriptor)
    if how.uid is not None and (how.uid, how.gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, how.uid, -1 if how.gid is None else how.gid)
    wanted = mode | (status.st_mode & stat.S_ISGID)
    if stat.S_IMODE(status.st_mode) != wanted:
        os.fchmod(descriptor, wanted)


def remove_file(folder: int, name: str) -> None:
    """Removes a file, if it is there. A folder of this name stays."""
    with suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=folder)


def remove_below(root: int, path: str) -> None:
    """Removes a file below `root`, if it is there and not behind a link."""
    folder, _, name = path.rpartition("/")
    try:
        with opened(root, folder) as holding:
            remove_file(holding, name)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def remove_if_alone(root: int, path: str) -> None:
    """Removes a file below `root` if its folder holds nothing else."""
    folder, _, name = path.rpartition("/")
    try:
        with opened(root, folder) as holding:
            if os.listdir(holding) == [name]:  # noqa: PTH208 - of a descriptor
                remove_file(holding, name)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def remove_if_empty(root: int, folder: str) -> None:
    """Removes a folder that holds nothing; those above it stay."""
    above, _, name = folder.rpartition("/")
    try:
        with opened(root, above) as parent:
            os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (*_GONE, errno.ENOTEMPTY, errno.EEXIST):
            raise
