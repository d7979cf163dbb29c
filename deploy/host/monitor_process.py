"""Starts the monitor, as a daemon or in place of this process."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from common import sd_notify
from common.errors import StateUnwritable
from common.files.system_errors import reason_of
from deploy import PROJECT
from deploy.host import processes
from deploy.host.children import (
    CannotStart,
    begun,
    comes_up,
    end_child,
    last_words,
)
from deploy.host.job import Job, environment_of

#: Seconds the monitor is given to come up.
START_SECONDS = 30.0
#: What it cannot do without.
_LOGS = ("monitor.log", "auto_restart.log")


def _monitor_command(job: Job, *options: str) -> list[str]:
    llm = ["--llm-enabled"] if job.llm_enabled else []
    # A number given now takes precedence over the one an earlier monitor remembers.
    workers = ["--workers", str(job.workers)] if job.workers_given else []
    # So that a list of processes shows it, and the next start by hand knows it.
    watch = ["--watch"] if job.watch and "--dry-run" not in options else []
    return [
        sys.executable,
        str(PROJECT / "auto_monitor" / "monitor.py"),
        *options,
        *watch,
        *workers,
        *llm,
    ]


def become_monitor(job: Job, *options: str) -> int:
    """Replaces this process by the monitor.

    Raises StateUnwritable if that could not log: then nobody would be left to end what
    was started for it.
    """
    for path in (job.state_dir / name for name in _LOGS):
        try:
            path.open("ab").close()
        except OSError as error:
            raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error
    sys.stdout.flush()
    # The process stays the same: under systemd it is the service, and reports for it.
    service = {
        name: os.environ[name] for name in sd_notify.VARIABLES if name in os.environ
    }
    os.execve(  # noqa: S606
        sys.executable,
        _monitor_command(job, *options),
        {**environment_of(job), **service},
    )


def start_monitor(
    job: Job, undo: ExitStack, *options: str
) -> "subprocess.Popen[bytes]":
    """Starts the monitor in its own session.

    Raises CannotStart, with its output, when it does not come up.
    """
    output = job.state_dir / "monitor.out"
    undo.callback(
        _stop_migration,
        job.state_dir,
        [worker.pid for worker in running_workers(job.state_dir)],
    )
    command = _monitor_command(job, "--quiet", *options)
    with (
        output.open("wb") as said,
        begun(command, environment_of(job), said) as child,
    ):
        up = comes_up(child, START_SECONDS, lambda: _watches(job.state_dir, child.pid))
        # 0: it has found nothing to watch.
        if up or child.poll() == 0:
            return child
    end_child(child)
    last = last_words(output.read_bytes()) or "it said nothing"
    raise CannotStart(f"the monitor did not start: {last}")


def _watches(state_dir: Path, pid: int) -> bool:
    watching = processes.monitor(state_dir)
    return watching is not None and watching.pid == pid


def running_workers(state_dir: Path) -> list[processes.Recorded]:
    """Returns the running workers of a state directory."""
    return processes.alive(processes.workers(state_dir))


def _stop_migration(state_dir: Path, others: Sequence[int]) -> None:
    """Ends the monitor, then its workers, but not those that ran before."""
    processes.stop([processes.monitor(state_dir)])
    processes.stop(
        [worker for worker in running_workers(state_dir) if worker.pid not in others]
    )
