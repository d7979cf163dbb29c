"""A ledger that is damaged or gone is set aside with a timestamp, never deleted and
never silently started anew.

In its place comes the backup of the last closed pass, or an empty ledger. What the
server got since is found again by hash, and its ebooks by their titles
(`Ledger.rebuilt`)."""

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

#: Written by a worker that met damage while it ran: the file may well open again and
#: fail later. It holds the number of the file (its inode), so that the one that was put
#: in its place since is not taken for it.
_MARK = "migration_ledger.damaged"
_LOCK = "migration_ledger.rescue.lock"
#: The number of the file that was put in a lost ledger's place.
_REBUILT = "migration_ledger.rebuilt"
#: What workers leave beside a ledger: without one, it was lost.
_TRACES = ("migration_progress_worker*.json", BACKUP_NAME)


def mark_damaged(state_dir: Path, inode: int) -> None:
    """Remembers for the next start that the ledger opened as file `inode` came to harm.
    Raises StateUnwritable.

    Another file in its place is either the one it was rebuilt as, or one that nobody
    knows."""
    path, present = state_dir / _MARK, _inode(state_dir)
    if present is None or (
        present != inode and _number(state_dir / _REBUILT) == str(present)
    ):
        return
    try:
        path.write_text(str(present), "ascii")
    except OSError as error:
        raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error


def open_ledger(
    state_dir: Path, make: Callable[[], Ledger], log: logging.Logger
) -> Ledger:
    """The ledger, or what can be put in its place. Raises StateUnwritable and what
    `make` raises but LedgerCorrupt."""
    if not trouble(state_dir):
        try:
            return make()
        except LedgerCorrupt as error:
            log.error("%s", error)
    with _alone(state_dir):
        found = trouble(state_dir)
        if not found:
            try:
                # Another worker may have been faster.
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
    """Why the ledger cannot be used as it lies there, in words that follow "The
    ledger"; "" when it may be."""
    try:
        return _trouble(state_dir, state_dir / LEDGER_NAME)
    except OSError:
        # Whoever opens it says why that cannot be.
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
    """Did a worker find the present file damaged? A mark for another file is out of
    date."""
    return _number(state_dir / _MARK) in ("", str(_inode(state_dir)))


def _inode(state_dir: Path) -> int | None:
    try:
        return (state_dir / LEDGER_NAME).stat().st_ino
    except OSError:
        return None


def _number(path: Path) -> str | None:
    """What such a file says; None when it is not there."""
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
    """Renames the ledger with its WAL; the timestamp is UTC. None when there is
    nothing."""
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
    """One worker at a time."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.waiting(state_dir / _LOCK, mode=0o644))
        except OSError as error:
            raise StateUnwritable(
                f"cannot write {state_dir / _LOCK}: {reason_of(error)}"
            ) from error
        yield
