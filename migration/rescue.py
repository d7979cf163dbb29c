"""A damaged ledger is set aside with a timestamp, never deleted and never silently started anew.

In its place comes the backup of the last closed pass, or an empty ledger. What the server got since is found again by
hash, and its ebooks by their titles (`Ledger.rebuilt`).
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from migration.errors import LedgerCorrupt, MigrationError, StateUnwritable
from migration.ledger import BACKUP_NAME, LEDGER_NAME, Ledger

#: Written by a worker that met damage while it ran: the file may well open again and fail later.
_MARK = "migration_ledger.damaged"
_LOCK = "migration_ledger.rescue.lock"


def mark_damaged(state_dir: Path) -> None:
    """Remembers for the next start that the ledger is damaged somewhere."""
    (state_dir / _MARK).touch()


def open_ledger(state_dir: Path, make: Callable[[], Ledger], log: logging.Logger) -> Ledger:
    """The ledger; when it is damaged, what can be put in its place. Raises StateUnwritable and what `make` raises."""
    if not (state_dir / _MARK).exists():
        try:
            return make()
        except LedgerCorrupt as error:
            log.error("%s", error)
    with _alone(state_dir):
        try:
            if not (state_dir / _MARK).exists():
                return make()
        except LedgerCorrupt:
            pass
        aside = _set_aside(state_dir)
        (state_dir / _MARK).unlink(missing_ok=True)
        log.error("The ledger is damaged and was set aside as %s", aside)
        ledger, source = _replacement(state_dir, make)
    ledger.note("rebuilt", "1")
    log.error("It is rebuilt from %s; what the server has since is found again by hash", source)
    return ledger


def _replacement(state_dir: Path, make: Callable[[], Ledger]) -> tuple[Ledger, str]:
    backup = state_dir / BACKUP_NAME
    if backup.exists():
        shutil.copyfile(backup, state_dir / LEDGER_NAME)
        try:
            return make(), "the backup of the last closed pass"
        except MigrationError:
            _set_aside(state_dir)
    return make(), "nothing but the server, for there is no backup"


def _set_aside(state_dir: Path) -> Path:
    """Renames the ledger with its WAL; the timestamp is UTC."""
    stamp = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = state_dir / f"migration_ledger.{stamp}.db"
    try:
        for side in ("-wal", "-shm", ""):
            part = state_dir / f"{LEDGER_NAME}{side}"
            if part.exists():
                part.rename(f"{aside}{side}")
    except OSError as error:
        raise StateUnwritable(f"cannot set {state_dir / LEDGER_NAME} aside: {error.strerror}") from error
    return aside


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """One worker at a time."""
    try:
        lock = os.open(state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateUnwritable(f"cannot write {state_dir / _LOCK}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
