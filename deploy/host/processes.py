"""Our processes on this machine, as our files name them: monitor, workers, servers."""

import json
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from auto_monitor.cli import daemon
from auto_monitor.model import ProcessIdentity
from auto_monitor.processes import end, running
from auto_monitor.record.state_file import MonitorStateFile, state_path
from migration.state_files import progress

#: Seconds to end after SIGTERM. A worker saves within 10; a monitor may be in the
#: middle of ending one that hangs.
GRACE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process named by a file of ours; its command line must contain `sign`."""

    what: str
    identity: ProcessIdentity
    sign: str

    @property
    def pid(self) -> int:
        """The process id."""
        return self.identity.pid

    def running(self) -> psutil.Process | None:
        """Returns the process if it is still the same one."""
        return running(
            self.identity,
            lambda arguments: any(self.sign in text for text in arguments),
        )


def monitor(state_dir: Path) -> Recorded | None:
    """Returns the running monitor of a state directory, or None."""
    identity = daemon.alive(state_dir)
    return Recorded("monitor", identity, "monitor.py") if identity else None


class Served(NamedTuple):
    """A server of ours, as it has recorded itself, and its URL."""

    process: Recorded
    url: str


def server(data_dir: Path) -> Served | None:
    """Returns the embedded server of a data directory; None if it never ran."""
    return _served("embedded server", data_dir / "server.json", "bookshelf")


def dashboard(state_dir: Path) -> Served | None:
    """Returns the dashboard of a state directory; None if it never ran."""
    return _served("dashboard", state_dir / "dashboard" / "server.json", "dashboard")


def _served(what: str, path: Path, sign: str) -> Served | None:
    record = _read(path)
    recorded = _recorded(what, record, sign)
    return Served(recorded, str(record.get("url"))) if recorded else None


def workers(state_dir: Path) -> list[Recorded]:
    """Returns the workers named by progress files and by the monitor's state."""
    found: dict[int, Recorded] = {}
    for path in progress.progress_paths(state_dir):
        record = _read(path)
        seen = progress.read(path)
        if seen is not None:
            record["birth"] = progress.birth_of_writer(state_dir, seen)
        recorded = _recorded(
            f"worker {record.get('worker_id')}", record, "bulk_migrate_calibre"
        )
        if recorded:
            found[recorded.pid] = recorded
    # A worker that has just been started has no progress file yet.
    state = MonitorStateFile(state_path(state_dir)).read()
    for number, known in (state.workers if state else {}).items():
        if known.identity is not None and known.identity.pid not in found:
            found[known.identity.pid] = Recorded(
                f"worker {number}", known.identity, "bulk_migrate_calibre"
            )
    return list(found.values())


def everything(state_dir: Path) -> list[Recorded]:
    """Returns all that was started on a state directory, running or not."""
    single = (dashboard(state_dir), server(state_dir / "bookshelf"))
    watching = monitor(state_dir)
    return [
        *([watching] if watching else []),
        *workers(state_dir),
        *(found.process for found in single if found is not None),
    ]


def alive(found: list[Recorded]) -> list[Recorded]:
    """Returns those that are running."""
    return [recorded for recorded in found if recorded.running() is not None]


def stop(recorded: Iterable[Recorded | None]) -> int:
    """Ends those of these processes that run, in parallel; returns how many."""
    threads = [
        threading.Thread(target=_stop, args=(one,))
        for one in recorded
        if one is not None and one.running() is not None
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(threads)


def _stop(recorded: Recorded) -> None:
    process = recorded.running()
    killed = process is not None and end(process, GRACE_SECONDS)
    how = "did not end and was killed" if killed else "stopped"
    sys.stdout.write(f"{recorded.what} (pid {recorded.pid}) {how}\n")


def _recorded(what: str, record: dict[str, object], sign: str) -> Recorded | None:
    try:
        started = datetime.fromisoformat(str(record["pid_started_at"]))
        birth = str(record.get("birth") or "")
        return Recorded(
            what, ProcessIdentity(int(str(record["pid"])), started, birth), sign
        )
    except (KeyError, ValueError):
        return None


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
