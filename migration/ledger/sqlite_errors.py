"""What a failure of SQLite on the ledger means: busy, damaged, or something else with
its real cause.

Only SQLite's own word that the file is malformed is damage. That a file cannot be
opened, read or written says nothing about what is in it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.files.system_errors import refusal, space_left
from common.resources import resource_error
from migration.errors import LedgerBusy, LedgerCorrupt, MigrationError, StateUnwritable

#: The primary part of SQLite's result codes; the higher bits tell more.
_PRIMARY = 0xFF
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOT_USABLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
#: With less than this left, bytes, a failure is for want of space, whatever SQLite
#: calls it.
_NO_SPACE = 256 * 1024


def is_busy(error: BaseException) -> bool:
    """Does another process keep the file for itself?"""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY in _BUSY


@contextmanager
def translated(path: Path, busy: str, *, writing: bool) -> Iterator[None]:
    """Failures of SQLite as ours.

    Raises LedgerBusy with the words `busy`, LedgerCorrupt, StateUnwritable,
    OutOfResources."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise meaning(error, path, busy, writing=writing) from error


def meaning(
    error: sqlite3.DatabaseError, path: Path, busy: str, *, writing: bool
) -> MigrationError | sqlite3.DatabaseError:
    """What SQLite's error on the ledger at `path` is; itself when it is a fault of the
    program."""
    code = getattr(error, "sqlite_errorcode", 0)
    if is_busy(error):
        return LedgerBusy(busy)
    if code & _PRIMARY in _DAMAGED:
        return LedgerCorrupt(
            f"{path} is damaged ({error}); at the next start it is set aside and "
            "rebuilt from its backup and the server"
        )
    lacks = resource_error(error)
    if lacks is not None:
        return lacks
    if code & _PRIMARY in _NOT_USABLE:
        return StateUnwritable(
            f"cannot use {path}: {_cause(error, path, writing=writing)}"
        )
    return error


def _cause(error: sqlite3.DatabaseError, path: Path, *, writing: bool) -> str:
    """Why a file cannot be opened, read or written, with the way out."""
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}; give another --state-dir, or start again"
    for side in ("", "-wal", "-shm"):
        found = refusal(path.with_name(path.name + side), writing=writing)
        if found:
            return f"{path.name}{side}: {found}"
    if writing and not os.access(path.parent, os.W_OK | os.X_OK):
        return (
            f"this user may not write into {path.parent}; give it the right to, "
            "or another --state-dir"
        )
    left = space_left(path.parent)
    full = getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_FULL
    if full or (left is not None and left < _NO_SPACE):
        return f"no space is left on its disk ({error}); free some space"
    name = getattr(error, "sqlite_errorname", "")
    return (
        f"the system reports an error of its disk ({error}, {name}); look into "
        "the system's log, then start again"
    )
