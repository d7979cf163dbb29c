"""The meaning of an SQLite error on the ledger: busy, damaged, or something else.

Only SQLite's own report that the file is malformed is damage. That a file cannot be
opened, read or written says nothing about its content.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.files.system_errors import refusal, space_left
from common.resources import resource_error
from migration.errors import LedgerBusy, LedgerCorrupt, MigrationError, StateUnwritable

#: The primary part of SQLite's result codes; the higher bits add detail.
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
#: With fewer bytes than this left, a failure is for lack of space, whatever SQLite
#: calls it.
_NO_SPACE = 256 * 1024


def is_busy(error: BaseException) -> bool:
    """Whether another process has the file locked."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY in _BUSY


@contextmanager
def translated(path: Path, busy: str, *, writing: bool) -> Iterator[None]:
    """Translates SQLite's errors into ours.

    Raises LedgerBusy with the message `busy`, LedgerCorrupt, StateUnwritable or
    OutOfResources.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise meaning(error, path, busy, writing=writing) from error


def meaning(
    error: sqlite3.DatabaseError, path: Path, busy: str, *, writing: bool
) -> MigrationError | sqlite3.DatabaseError:
    """Returns our error for SQLite's error on `path`; a bug's error as it is."""
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
    """Returns why a file cannot be opened, read or written, and what to do."""
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
