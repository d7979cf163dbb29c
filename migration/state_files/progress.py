"""`migration_progress_worker{N}.json`: one worker's progress, written by it, read by
monitor, dashboard and people."""

from datetime import UTC, datetime
from pathlib import Path

from common.files.json_files import read_json, write_json
from common.json_value import Json
from migration.model import BookId, Counts, Current, FileId, LastError, Phase, Progress
from migration.state_files.owner import birth_of_worker

SCHEMA = 1
_TIMES = (
    "pid_started_at",
    "started_at",
    "updated_at",
    "last_upload_at",
    "last_progress_at",
)


def progress_path(state_dir: Path, worker_id: int) -> Path:
    """Where worker N's progress is."""
    return state_dir / f"migration_progress_worker{worker_id}.json"


def progress_paths(state_dir: Path) -> list[Path]:
    """The progress files that are there, in the order of their names."""
    return sorted(state_dir.glob("migration_progress_worker*.json"))


def write(path: Path, progress: Progress) -> None:
    """Replaces the file atomically. Raises StateUnwritable."""
    write_json(path, to_json(progress))


def read(path: Path) -> Progress | None:
    """The progress; None when the file is missing, cannot be parsed or has another
    schema."""
    try:
        return from_json(read_json(path))
    except (KeyError, TypeError, ValueError):
        return None


def birth_of_writer(state_dir: Path, seen: Progress) -> str:
    """Which process wrote this (`clock.birth_of`), as the lock beside it says; "" when
    it does not say."""
    return birth_of_worker(state_dir, seen.worker_id, seen.pid)


def to_json(progress: Progress) -> dict[str, Json]:
    """The fields of DESIGN section 7: times ISO 8601 UTC, sizes bytes."""
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
        },
        "library": progress.library,
        "server": progress.server,
    }


def from_json(value: Json) -> Progress | None:
    """The inverse of `to_json`; unknown keys are ignored. Raises KeyError, TypeError or
    ValueError for nonsense."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return None
    data: dict[str, object] = {name: value[name] for name in _PLAIN}
    data |= {name: _time(value[name]) for name in _TIMES}
    data["status"] = Phase(str(value["status"]))
    data["counts"] = Counts(**_mapping(value["counts"], Counts.__dataclass_fields__))
    data["current"] = tuple(_current(item) for item in _list(value["current"]))
    data["range"] = None if value["range"] is None else tuple(_list(value["range"]))
    data["last_error"] = (
        None if value["last_error"] is None else _error(value["last_error"])
    )
    return Progress(**data)  # type: ignore[arg-type]  # every field is converted above


_PLAIN = tuple(
    name
    for name in Progress.__dataclass_fields__
    if name not in (*_TIMES, "status", "counts", "current", "range", "last_error")
)


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _time(value: Json) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return moment


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _mapping(value: Json, names: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    # A dict's keys.
    return {str(name): int(str(value[str(name)])) for name in names}  # type: ignore[attr-defined]


def _current(value: Json) -> Current:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    since = _time(value["since"])
    if since is None:
        raise ValueError("a current file without a time")
    identity = FileId(BookId(int(str(value["book_id"]))), str(value["format"]))
    return Current(
        str(value["file"]),
        int(str(value["bytes_sent"])),
        int(str(value["size"])),
        since,
        identity,
    )


def _error(value: Json) -> LastError:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    at = _time(value["at"])
    if at is None:
        raise ValueError("an error without a time")
    return LastError(str(value["class"]), str(value["message"]), at)
