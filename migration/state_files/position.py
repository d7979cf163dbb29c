"""`migration_verify_worker{N}.json`: how far a comparison with the server got.

The same command continues there. It is valid only for the same comparison: library,
server, user, formats, mode, and what the ledger had sent by then, for a later run may
have sent what was missing. It is removed when the last file is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from common.files.json_files import read_json, write_json
from common.json_value import Json
from migration.errors import StateUnwritable
from migration.model import FileId

SCHEMA = 1
#: An older position is ignored.
KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a comparison got.

    `formats` are those of book `book_id` that have been printed; `counts` are files by
    mark, `back` is how many were made pending again, and `at` is when it was written
    (timezone-aware, UTC).
    """

    what: Mapping[str, str]
    at: datetime
    book_id: int = 0
    formats: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None
    back: int = 0

    def after(self, file: FileId) -> "Position":
        """Returns the position after the next file."""
        earlier = self.formats if file.book_id == self.book_id else ()
        return replace(self, book_id=file.book_id, formats=(*earlier, file.format))

    def has(self, file: FileId) -> bool:
        """Whether this file has been printed."""
        return file.book_id < self.book_id or (
            file.book_id == self.book_id and file.format in self.formats
        )


def path(state_dir: Path, worker_id: int) -> Path:
    """Returns the path of worker N's position."""
    return state_dir / f"migration_verify_worker{worker_id}.json"


def write(target: Path, position: Position) -> None:
    """Replaces the file. Raises StateUnwritable."""
    value: dict[str, Json] = {
        "schema": SCHEMA,
        "what": {**position.what},
        "at": position.at.isoformat(),
        "book_id": position.book_id,
        "formats": [*position.formats],
        "counts": {**(position.counts or {})},
        "pending_again": position.back,
    }
    write_json(target, value)


def read(target: Path, what: Mapping[str, str], now: datetime) -> Position | None:
    """Returns where this same comparison stopped.

    Returns None if there is no valid position.
    """
    found = _parsed(read_json(target))
    if (
        found is None
        or dict(found.what) != dict(what)
        or not now - KEPT <= found.at <= now + KEPT
    ):
        return None
    return found


def forget(target: Path) -> None:
    """Removes the position of a finished comparison. Raises StateUnwritable."""
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise StateUnwritable(f"cannot remove {target}: {error.strerror}") from error


def _parsed(value: Json) -> Position | None:
    """Parses a position; None for anything else."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return None
    what, counts, formats = value.get("what"), value.get("counts"), value.get("formats")
    book_id, back = value.get("book_id"), value.get("pending_again")
    if not (
        isinstance(what, dict)
        and isinstance(counts, dict)
        and isinstance(formats, list)
    ):
        return None
    numbers = [book_id, back, *counts.values()]
    if not all(
        isinstance(number, int) and not isinstance(number, bool) and number >= 0
        for number in numbers
    ):
        return None
    try:
        at = datetime.fromisoformat(str(value.get("at")))
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return Position(
        {str(key): str(text) for key, text in what.items()},
        at,
        int(str(book_id)),
        tuple(str(name) for name in formats),
        {name: int(str(number)) for name, number in counts.items()},
        int(str(back)),
    )
