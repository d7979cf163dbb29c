"""What a worker did, and waiting until it has done it."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from migration.model import Counts
from migration.state_files import logs, progress
from migration.state_files.owner import Owner, this_process

#: Short waits, for a worker whose server answers after all.
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1.5",
    "TASK_SECONDS": "4",
}


class HasState(Protocol):
    """Whoever runs workers on a state directory."""

    state_dir: Path


def lines_of(workers: HasState, worker_id: int = 1) -> list[str]:
    """The messages in a worker's log."""
    text = logs.log_path(workers.state_dir, worker_id).read_text("utf-8")
    return [
        parsed.message
        for line in text.splitlines()
        if (parsed := logs.parse(line)) is not None
    ]


def counts_of(workers: HasState, worker_id: int = 1) -> Counts:
    """The counts of a worker's last run."""
    found = progress.read(progress.progress_path(workers.state_dir, worker_id))
    assert found is not None
    return found.counts


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Polls until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def dead_owner(worker_id: int) -> Owner:
    """A worker whose process has died."""
    child = subprocess.Popen(["sleep", "60"])
    stat = Path(f"/proc/{child.pid}/stat").read_text()
    child.kill()
    child.wait(10)
    started = stat.rpartition(")")[2].split()[19]
    return replace(this_process(worker_id), pid=child.pid, started=started)
