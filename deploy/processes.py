"""Processes of ours on this machine: proved by pid, start time and command line, never by a pid or a name alone."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

#: Recorded and measured start times may differ by rounding and by a clock that was set, seconds.
START_TOLERANCE = 2.0
#: Written by ./start.sh, read by ./stop.sh: which process runs the workers.
LAUNCHER = "start.json"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process as a file of ours names it."""

    what: str
    pid: int
    started: datetime
    sign: str

    def running(self) -> psutil.Process | None:
        """The process, when it is still this one."""
        try:
            process = psutil.Process(self.pid)
            started = datetime.fromtimestamp(process.create_time(), tz=UTC)
            command = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        same = abs((started - self.started).total_seconds()) <= START_TOLERANCE and self.sign in command
        return process if same and alive else None


def server(data_dir: Path) -> tuple[Recorded, str] | None:
    """The embedded server of a data directory and its URL, as it wrote them down; None when it never ran."""
    record = _read(data_dir / "server.json")
    recorded = _recorded("embedded server", record, "bookshelf")
    return (recorded, str(record.get("url"))) if recorded else None


def launcher(state_dir: Path) -> Recorded | None:
    """The `./start.sh` that runs workers on a state directory; None when none ever did."""
    return _recorded("./start.sh", _read(state_dir / LAUNCHER), "deploy.launch")


def workers(state_dir: Path) -> list[Recorded]:
    """The workers of a state directory, as their progress files name them."""
    found = []
    for path in sorted(state_dir.glob("migration_progress_worker*.json")):
        record = _read(path)
        recorded = _recorded(f"worker {record.get('worker_id')}", record, "bulk_migrate_calibre.py")
        if recorded:
            found.append(recorded)
    return found


def _recorded(what: str, record: dict[str, object], sign: str) -> Recorded | None:
    try:
        return Recorded(what, int(str(record["pid"])), datetime.fromisoformat(str(record["pid_started_at"])), sign)
    except (KeyError, ValueError):
        return None


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
