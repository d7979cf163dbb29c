"""A shortage is called by its name, wherever it was met; anything else is none."""

import errno
import sqlite3

import pytest

from common.resources import raise_if_exhausted, resource_error
from migration.errors import (
    ExitCode,
    OutOfMemory,
    OutOfResources,
    OutOfThreads,
    RecursionTooDeep,
    ServerUnreachable,
    TooManyOpenFiles,
)


def of_sqlite(code: int, text: str) -> sqlite3.OperationalError:
    """An error as the library raises it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def behind(cause: BaseException) -> ServerUnreachable:
    """An error of ours that was raised because of another."""
    error = ServerUnreachable("GET /api: host name not found")
    error.__cause__ = RuntimeError("between")
    error.__cause__.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            OSError(errno.EMFILE, "Too many open files"),
            TooManyOpenFiles,
            "in this process",
        ),
        (
            OSError(errno.ENFILE, "Too many open files in system"),
            TooManyOpenFiles,
            "on this machine",
        ),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            OutOfMemory,
            "Cannot allocate memory",
        ),
        (
            OSError(errno.ENOBUFS, "No buffer space available"),
            OutOfMemory,
            "No buffer space",
        ),
        (MemoryError(), OutOfMemory, "out of memory: give"),
        (
            of_sqlite(sqlite3.SQLITE_NOMEM, "out of memory"),
            OutOfMemory,
            "out of memory",
        ),
        (
            of_sqlite(sqlite3.SQLITE_IOERR_NOMEM, "disk I/O error"),
            OutOfMemory,
            "out of memory",
        ),
        (
            RecursionError("maximum recursion depth exceeded"),
            RecursionTooDeep,
            "calls itself",
        ),
        (RuntimeError("can't start new thread"), OutOfThreads, "no further thread"),
        (
            behind(OSError(errno.EMFILE, "Too many open files")),
            TooManyOpenFiles,
            "ulimit -n",
        ),
        (behind(MemoryError()), OutOfMemory, "fewer workers"),
    ],
)
def test_a_shortage_is_named(
    error: BaseException, kind: type[OutOfResources], says: str
) -> None:
    """By class and sentence, with a way out; the monitor starts such a worker again."""
    found = resource_error(error)
    assert type(found) is kind
    assert says in str(found)
    assert found.exit_code is ExitCode.INTERNAL
    with pytest.raises(kind):
        raise_if_exhausted(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        of_sqlite(sqlite3.SQLITE_CANTOPEN, "unable to open database file"),
        of_sqlite(sqlite3.SQLITE_IOERR, "disk I/O error"),
        of_sqlite(sqlite3.SQLITE_CORRUPT, "database disk image is malformed"),
        RuntimeError("something else"),
        ServerUnreachable("GET /api: connection refused"),
    ],
)
def test_anything_else_is_no_shortage(error: BaseException) -> None:
    """Its own name stays."""
    assert resource_error(error) is None
    raise_if_exhausted(error)


def test_causes_in_a_circle_are_no_trap() -> None:
    """An error that is behind itself."""
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__context__, second.__context__ = second, first
    assert resource_error(first) is None
