"""`STATE_DIR/migration_reserved.json`: a range of books that is kept for one worker while a code fix is tried on it.

Written by the monitor, heeded by the ledger when a dead worker's range is taken over. It runs out by itself, so that a
monitor that never comes back holds up no pass.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from migration.atomic import read_json, write_json
from migration.model import Json

_NAME = "migration_reserved.json"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The range that begins at book `first_id` of a pass is worker `worker_id`'s until then (aware UTC)."""

    pass_id: int
    first_id: int
    worker_id: int
    until: datetime


def write(state_dir: Path, reservation: Reservation) -> None:
    """Keeps the range. Raises StateUnwritable."""
    value: Json = {
        "pass_id": reservation.pass_id, "first_id": reservation.first_id, "worker_id": reservation.worker_id,
        "until": reservation.until.isoformat(),
    }  # fmt: skip
    write_json(state_dir / _NAME, value)


def clear(state_dir: Path) -> None:
    """Nothing is kept for anybody any more."""
    (state_dir / _NAME).unlink(missing_ok=True)


def read(state_dir: Path, now: datetime) -> Reservation | None:
    """The range that is kept now; None when there is none, it has run out, or the file cannot be read."""
    value = read_json(state_dir / _NAME)
    if not isinstance(value, dict):
        return None
    try:
        until = datetime.fromisoformat(str(value["until"])).astimezone(UTC)
        found = Reservation(
            int(str(value["pass_id"])), int(str(value["first_id"])), int(str(value["worker_id"])), until
        )
    except (KeyError, ValueError):
        return None
    return found if now < until else None
