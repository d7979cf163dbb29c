"""A damaged or missing ledger is set aside with a timestamp and rebuilt.

It is never deleted and never silently replaced by an empty one. The backup of the last
closed pass takes its place, or an empty ledger. What the server got since is found
again by hash, and its ebooks by their titles (`Ledger.rebuilt`).
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common.clock import utc_now
from common.files import lock
from common.files.system_errors import reason_of
from common.resources import raise_if_exhausted
from migration.errors import LedgerCorrupt, StateUnwritable, WrongLedger
from migration.ledger.ledger import Ledger
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME

#: Written by a worker that met damage while it ran: the file may open again and fail
#: later. It contains the inode of the damaged file, so that its replacement is not
#: taken for it.
_MARK = "migration_ledger.damaged"
_LOCK = "migration_ledger.rescue.lock"
#: Contains the inode of the file that replaced a lost ledger.
_REBUILT = "migration_ledger.rebuilt"
#: Files that workers leave beside a ledger: when they are there without a ledger, it
#: was lost.
_TRACES = ("migration_progress_worker*.json", BACKUP_NAME)


def mark_damaged(state_dir: Path, inode: int) -> None:
    """Marks the ledger opened as file `inode` as damaged, for the next start.

    If another file is in its place, that is marked unless the ledger was rebuilt as it.
    Raises StateUnwritable.
    """
    try:
        marker(state_dir, inode)
    except OSError as error:
        raise StateUnwritable(
            f"cannot write {state_dir / _MARK}: {reason_of(error)}"
        ) from error


def mark(state_dir: Path, inode: int) -> None:
    """Does what `mark_damaged` promises. Raises OSError."""
    present = _inode(state_dir)
    if present is None or (
        present != inode and _number(state_dir / _REBUILT) == str(present)
    ):
        return
    (state_dir / _MARK).write_text(str(present), "ascii")


#: How the mark is made. A confined worker may make no file beside the ledger, and asks
#: another process to (`migration/confinement/inside.py`).
marker: Callable[[Path, int], None] = mark


def open_ledger(
    state_dir: Path, make: Callable[[], Ledger], log: logging.Logger
) -> Ledger:
    """Opens the ledger, or rebuilds it.

    Raises StateUnwritable and what `make` raises, except LedgerCorrupt.
    """
    if not trouble(state_dir):
        try:
            return make()
        except LedgerCorrupt as error:
            log.error("%s", error)
    with _alone(state_dir):
        found = trouble(state_dir)
        if not found:
            try:
                # Another worker may have rebuilt it already.
                return make()
            except LedgerCorrupt:
                found = "is damaged"
        aside = _set_aside(state_dir)
        (state_dir / _MARK).unlink(missing_ok=True)
        log.error(
            "The ledger %s%s", found, f" and was set aside as {aside}" if aside else ""
        )
        ledger, source = _replacement(state_dir, make, log)
        ledger.begin_rebuilt()
        _note_rebuilt(state_dir, ledger)
    log.error(
        "It is rebuilt from %s; what the server has since is found again by hash",
        source,
    )
    return ledger


def trouble(state_dir: Path) -> str:
    """Says why the ledger cannot be used, in words that follow "The ledger".

    Returns "" if it can.
    """
    try:
        return _trouble(state_dir, state_dir / LEDGER_NAME)
    except OSError:
        # Opening it will report the reason.
        return ""


def _trouble(state_dir: Path, path: Path) -> str:
    if path.is_dir():
        return "is a directory, not a file"
    if _is_marked(state_dir):
        return "is damaged"
    if path.exists() and path.stat().st_size:
        return ""
    if any(next(state_dir.glob(name), None) for name in _TRACES):
        return (
            "is empty, cut short"
            if path.exists()
            else "is gone, although there was one here"
        )
    return ""


def _note_rebuilt(state_dir: Path, ledger: Ledger) -> None:
    try:
        (state_dir / _REBUILT).write_text(str(ledger.inode), "ascii")
    except OSError as error:
        raise StateUnwritable(
            f"cannot write {state_dir / _REBUILT}: {reason_of(error)}"
        ) from error


def _is_marked(state_dir: Path) -> bool:
    """Whether a worker found the present file damaged.

    A mark for another file is stale.
    """
    return _number(state_dir / _MARK) in ("", str(_inode(state_dir)))


def _inode(state_dir: Path) -> int | None:
    try:
        return (state_dir / LEDGER_NAME).stat().st_ino
    except OSError:
        return None


def _number(path: Path) -> str | None:
    """Returns the content of a mark; None when it is missing."""
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return None


def _replacement(
    state_dir: Path, make: Callable[[], Ledger], log: logging.Logger
) -> tuple[Ledger, str]:
    backup = state_dir / BACKUP_NAME
    if backup.exists():
        try:
            shutil.copyfile(backup, state_dir / LEDGER_NAME)
            return make(), "the backup of the last closed pass"
        except OSError as error:
            raise_if_exhausted(error)
            log.error("Its backup %s cannot be used: %s", backup, reason_of(error))
            (state_dir / LEDGER_NAME).unlink(missing_ok=True)
        except (LedgerCorrupt, WrongLedger) as error:
            log.error("Its backup cannot be used either: %s", error)
            _set_aside(state_dir)
    return make(), "nothing but the server, for there is no backup that can be used"


def _set_aside(state_dir: Path) -> Path | None:
    """Renames the ledger with its WAL (timestamp in UTC); None when there is none."""
    stamp = utc_now().strftime("%Y%m%dT%H%M%S%fZ")
    aside = state_dir / f"migration_ledger.{stamp}.db"
    moved = None
    try:
        for side in ("-wal", "-shm", ""):
            part = state_dir / f"{LEDGER_NAME}{side}"
            if part.exists():
                moved = part.rename(f"{aside}{side}")
    except OSError as error:
        raise StateUnwritable(
            f"cannot set {state_dir / LEDGER_NAME} aside: {reason_of(error)}"
        ) from error
    return moved


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Holds a lock, so that one worker at a time rebuilds the ledger."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.waiting(state_dir / _LOCK, mode=0o644))
        except OSError as error:
            raise StateUnwritable(
                f"cannot write {state_dir / _LOCK}: {reason_of(error)}"
            ) from error
        yield
