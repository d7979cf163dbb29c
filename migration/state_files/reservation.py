"""`STATE_DIR/migration_reserved.json`: the books kept for one worker while a code fix
is tried on it.

Written by the monitor, heeded by the ledger when a dead worker's ranges are taken over.
It runs out by itself, so that a monitor that never comes back holds up no pass."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.clock import SteadyClock
from common.files.json_files import read_json, write_json
from common.json_value import Json
from migration.model import BookId

_NAME = "migration_reserved.json"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The ranges of a pass with these books are worker `worker_id`'s until then, by the
    steady clock."""

    pass_id: int
    books: frozenset[BookId]
    worker_id: int
    until: datetime


def write(state_dir: Path, reservation: Reservation, clock: SteadyClock) -> None:
    """Keeps the books. Raises StateUnwritable."""
    value: Json = {
        "pass_id": reservation.pass_id,
        "books": [*sorted(reservation.books)],
        "worker_id": reservation.worker_id,
        "until": clock.stamp(reservation.until),
    }
    write_json(state_dir / _NAME, value)


def clear(state_dir: Path) -> None:
    """Nothing is kept for anybody any more."""
    (state_dir / _NAME).unlink(missing_ok=True)


def read(state_dir: Path, clock: SteadyClock) -> Reservation | None:
    """The books that are kept now; None when there is none, it has run out, or the file
    cannot be read.

    One of before the machine was started has run out: the worker it was for is dead.
    """
    value = read_json(state_dir / _NAME)
    if not isinstance(value, dict):
        return None
    try:
        until, books = clock.moment(str(value["until"])), value["books"]
        if not isinstance(books, list) or until is None:
            return None
        kept = frozenset(BookId(int(str(book))) for book in books)
        found = Reservation(
            int(str(value["pass_id"])), kept, int(str(value["worker_id"])), until
        )
    except (KeyError, ValueError):
        return None
    return found if clock() < until else None
