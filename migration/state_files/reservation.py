"""`STATE_DIR/reserved/migration_reserved.json`: books reserved for a worker on trial.

The monitor writes it; the ledger respects it when a dead worker's ranges are taken
over. It expires by itself, so that a monitor that never comes back blocks no pass. It
has a folder of its own: a confined worker may read what is in a folder, but no file
that takes another's place.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.clock import SteadyClock
from common.files.json_files import read_json, write_json
from common.json_value import Json
from migration.model import BookId

#: The folder, and the file in it.
FOLDER = "reserved"
_NAME = f"{FOLDER}/migration_reserved.json"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Reserves the ranges of a pass that contain these books for one worker.

    `until` is by the steady clock.
    """

    pass_id: int
    books: frozenset[BookId]
    worker_id: int
    until: datetime


def write(state_dir: Path, reservation: Reservation, clock: SteadyClock) -> None:
    """Writes the reservation. Raises StateUnwritable."""
    value: Json = {
        "pass_id": reservation.pass_id,
        "books": [*sorted(reservation.books)],
        "worker_id": reservation.worker_id,
        "until": clock.stamp(reservation.until),
    }
    write_json(state_dir / _NAME, value)


def clear(state_dir: Path) -> None:
    """Removes the reservation."""
    (state_dir / _NAME).unlink(missing_ok=True)


def read(state_dir: Path, clock: SteadyClock) -> Reservation | None:
    """Returns the current reservation.

    Returns None if there is none, or it is expired or unreadable. One from before the
    machine's last boot has expired: the worker it was for is dead.
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
