"""Shortages of the machine: too many open files, no memory, too deep a recursion.

Such an error says nothing about the book, the library or the state directory where it
occurred. Code that translates errors of the system or of SQLite checks for it first.
"""

import errno
import os
import socket
from collections.abc import Iterator

from common.errors import (
    OutOfMemory,
    OutOfResources,
    OutOfThreads,
    RecursionTooDeep,
    TooManyOpenFiles,
)

#: Descriptors kept in reserve: a worker needs a few to report its end (progress file,
#: ledger).
RESERVED_DESCRIPTORS = 6

#: Result codes of SQLite: no memory, and two that hide why a file could not be opened.
_SQLITE_NOMEM, _SQLITE_IOERR, _SQLITE_CANTOPEN = 7, 10, 14
_SQLITE_IOERR_NOMEM = _SQLITE_IOERR | (12 << 8)
_OF_MEMORY = frozenset({errno.ENOMEM, errno.ENOBUFS})
#: Descriptors that SQLite opens one after the other: file, WAL, shared memory, folder.
#: By the time it reports that it could not open one, it has closed them again.
_SQLITE_OPENS = 4
#: At most this many causes of an error are examined.
_DEEPEST = 16


def resource_error(error: BaseException) -> OutOfResources | None:
    """Returns the shortage that `error`, or one of its causes, comes from; else None.

    SQLite and the resolver do not say why they could not open something: then a test
    shows whether anything can be opened.
    """
    for cause in _causes(error):
        found = _named(cause)
        if found is not None:
            return found
    return None


def raise_if_exhausted(error: BaseException) -> None:
    """Raises OutOfResources when `error` comes from a shortage.

    Call it before translating an error.
    """
    found = resource_error(error)
    if found is not None:
        raise found from error


class Reserve:
    """A few spare descriptors, so that a process without any can say why it ends."""

    def __init__(self, count: int = RESERVED_DESCRIPTORS) -> None:
        """Raises OutOfResources when there are no descriptors even now."""
        self._held: list[int] = []
        try:
            for _ in range(count):
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            self.release()
            raise_if_exhausted(error)
            raise

    def release(self) -> None:
        """Frees the descriptors. May be called more than once."""
        while self._held:
            os.close(self._held.pop())


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields the error and its causes, nearest first."""
    current: BaseException | None = error
    for _ in range(_DEEPEST):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _named(error: BaseException) -> OutOfResources | None:
    if isinstance(error, OutOfResources):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory(_memory(str(error)))
    if isinstance(error, RecursionError):
        return RecursionTooDeep(
            f"a function calls itself without end ({error}): a fault of the program; "
            "the log says where"
        )
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return OutOfThreads(
            "the system starts no further thread: raise the limit of processes "
            "(ulimit -u, TasksMax) or of memory, "
            "or run fewer workers"
        )
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _of_sqlite(error, code)
    return _of_system(error) if isinstance(error, OSError) else None


def _of_system(error: OSError) -> OutOfResources | None:
    if error.errno == errno.EMFILE:
        return TooManyOpenFiles(
            f"too many open files in this process ({_where(error)}): raise its limit "
            "(ulimit -n, LimitNOFILE) "
            "or lower --parallel-uploads"
        )
    if error.errno == errno.ENFILE:
        return TooManyOpenFiles(
            f"too many open files on this machine ({_where(error)}): raise "
            "fs.file-max or end what holds them"
        )
    if error.errno in _OF_MEMORY:
        return OutOfMemory(_memory(_where(error)))
    return _no_descriptor() if isinstance(error, socket.gaierror) else None


def _of_sqlite(error: BaseException, code: int) -> OutOfResources | None:
    if code & 0xFF == _SQLITE_NOMEM or code == _SQLITE_IOERR_NOMEM:
        return OutOfMemory(_memory(str(error)))
    return (
        _no_descriptor(_SQLITE_OPENS)
        if code & 0xFF in (_SQLITE_CANTOPEN, _SQLITE_IOERR)
        else None
    )


def _no_descriptor(count: int = 1) -> OutOfResources | None:
    """Returns the shortage that prevents opening `count` files now, if any."""
    opened: list[int] = []
    try:
        while len(opened) < count:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return _of_system(error)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def _where(error: OSError) -> str:
    """Returns the system's message.

    The file's name is left out, for it is not to blame.
    """
    return error.strerror or f"error {error.errno}"


def _memory(detail: str) -> str:
    hint = f" ({detail})" if detail else ""
    return (
        f"out of memory{hint}: give the worker more, run fewer workers or lower "
        "--parallel-uploads"
    )
