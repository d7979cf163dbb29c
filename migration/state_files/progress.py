"""`migration_progress_worker{N}.json`: one worker's progress.

The worker writes it; monitor, dashboard and people read it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from common.files.json_files import read_json, write_json
from common.json_value import Json
from migration.model import BookId, Counts, Current, FileId, LastError, Progress
from migration.state_files.owner import birth_of_worker

SCHEMA = 1


def progress_path(state_dir: Path, worker_id: int) -> Path:
    """Returns the path of worker N's progress."""
    return state_dir / f"migration_progress_worker{worker_id}.json"


def progress_paths(state_dir: Path) -> list[Path]:
    """Returns the existing progress files, sorted by name."""
    return sorted(state_dir.glob("migration_progress_worker*.json"))


def write(path: Path, progress: Progress) -> None:
    """Replaces the file atomically. Raises StateUnwritable."""
    write_json(path, to_json(progress))


def read(path: Path) -> Progress | None:
    """Returns the progress.

    Returns None when the file is missing, unparsable or of another schema.
    """
    return from_json(read_json(path))


def birth_of_writer(state_dir: Path, seen: Progress) -> str:
    """Returns which process wrote this (`clock.birth_of`), by its lock.

    Returns "" when unknown.
    """
    return birth_of_worker(state_dir, seen.worker_id, seen.pid)


def to_json(progress: Progress) -> dict[str, Json]:
    """Converts to JSON: times in ISO 8601 UTC, sizes in bytes."""
    error = progress.last_error
    return {
        "schema": progress.schema,
        "worker_id": progress.worker_id,
        "pid": progress.pid,
        "pid_started_at": _stamp(progress.pid_started_at),
        "run_id": progress.run_id,
        "status": progress.status.value,
        "started_at": _stamp(progress.started_at),
        "updated_at": _stamp(progress.updated_at),
        "last_upload_at": _stamp(progress.last_upload_at),
        "last_progress_at": _stamp(progress.last_progress_at),
        "last_processed_book_id": progress.last_processed_book_id,
        "range": None if progress.range is None else list(progress.range),
        "counts": {
            name: getattr(progress.counts, name) for name in Counts.__dataclass_fields__
        },
        "bytes_uploaded": progress.bytes_uploaded,
        "rate_files_per_min": progress.rate_files_per_min,
        "slow_uploads": progress.slow_uploads,
        "parallel_uploads": progress.parallel_uploads,
        "batch_size": progress.batch_size,
        "current": [
            {
                "file": file.file,
                "book_id": file.id.book_id,
                "format": file.id.format,
                "bytes_sent": file.bytes_sent,
                "size": file.size,
                "since": _stamp(file.since),
            }
            for file in progress.current
        ],
        "last_error": None
        if error is None
        else {
            "class": error.error_class,
            "message": error.message,
            "at": _stamp(error.at),
            "retry_after": error.retry_after,
            **({"places": list(error.places)} if error.places else {}),
        },
        "library": progress.library,
        "server": progress.server,
        "steps": progress.steps,
        "fruitless": progress.fruitless,
    }


def from_json(value: Json) -> Progress | None:
    """The inverse of `to_json`.

    Unknown keys are ignored; anything that is not a progress is None.
    """
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return None
    counts = value.get("counts")
    whole = isinstance(counts, dict) and counts.keys() >= _COUNTS
    return _reader()(value) if whole and value.keys() >= _KEYS else None


#: What files of older versions lack.
_NEWER = {"steps", "fruitless"}
_KEYS = set(Progress.__dataclass_fields__) - _NEWER
_COUNTS = set(Counts.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A file being sent, as the progress file has it."""

    file: str
    book_id: int
    format: str
    bytes_sent: int
    size: int
    since: datetime


@cache
def _reader() -> Callable[[Json], Progress | None]:
    """Returns a converter from a JSON object to a progress.

    Only readers use it: a worker's start does not pay for cattrs, since `to_json` does
    without it.
    """
    from common import codec

    made = codec.converter()

    def current(value: Json, _kind: object) -> Current:
        sent: _Sent = made.structure(value, _Sent)
        identity = FileId(BookId(sent.book_id), sent.format)
        return Current(sent.file, sent.bytes_sent, sent.size, sent.since, identity)

    made.register_structure_hook(Current, current)
    codec.rename(made, LastError, {"error_class": "class"})
    return lambda value: codec.read_as(Progress, value, made)


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
