"""`known.json`: the state directories used on this machine, wherever they are.

A directory that was once named with --state-dir is found again without it. This is only
an index: what a directory holds is determined from its files, and a damaged index is
started again.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.files import lock
from common.files.json_files import read_json, write_json
from common.json_value import Json

NAME = "known.json"
SCHEMA = 1
#: At most this many are kept, the most recently used ones.
NEWEST = 200

_TEXTS = ("state_dir", "library", "library_id", "server")


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a state directory: for which library and server, and when.

    `library` is the folder; `server` is as in `state_dir.Place`.
    """

    state_dir: Path
    library: str
    library_id: str
    server: str
    used_at: datetime


def read(root: Path) -> list[Use]:
    """Returns the uses, oldest first; entries that are not ours are left out."""
    value = read_json(root / NAME)
    items = value.get("used") if isinstance(value, dict) else None
    if not isinstance(items, list):
        return []
    return [use for item in items if (use := _parsed(item)) is not None]


def note(root: Path, use: Use) -> None:
    """Records a use, replacing an older one of the same directory.

    Raises StateUnwritable or OSError.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.waiting(root / f".{NAME}.lock"):
        kept = [known for known in read(root) if known.state_dir != use.state_dir]
        used: list[Json] = [_json(known) for known in [*kept, use][-NEWEST:]]
        write_json(root / NAME, {"schema": SCHEMA, "used": used})


def _json(use: Use) -> dict[str, Json]:
    return {
        "state_dir": str(use.state_dir),
        "library": use.library,
        "library_id": use.library_id,
        "server": use.server,
        "used_at": use.used_at.isoformat(),
    }


def _parsed(item: Json) -> Use | None:
    if not isinstance(item, dict):
        return None
    state_dir, *known = (item.get(name) for name in _TEXTS)
    library, library_id, server = (
        text if isinstance(text, str) else "" for text in known
    )
    if not isinstance(state_dir, str):
        return None
    try:
        used_at = datetime.fromisoformat(str(item.get("used_at")))
    except ValueError:
        return None
    if used_at.tzinfo is None or not Path(state_dir).is_absolute():
        return None
    return Use(Path(state_dir), library, library_id, server, used_at)
