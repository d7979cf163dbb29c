"""Starting the dashboard, or finding the running one.

A dashboard that cannot be started never stops a migration.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from common.errors import CodedError
from deploy import PROJECT
from deploy.host import processes
from deploy.host.children import begun, comes_up, end_child, last_words

#: Seconds within which it must listen.
START_SECONDS = 20.0
_COMMAND = (sys.executable, "-m", "dashboard")


class NoDashboard(CodedError):
    """The dashboard could not be started; the message says why."""

    code = "no-dashboard"


def link(state_dir: Path, environment: Mapping[str, str], *, any_port: bool) -> str:
    """Returns a single-use link to the dashboard, starting it if necessary.

    Raises NoDashboard.
    """
    if not runs(state_dir):
        _start(state_dir, environment, any_port=any_port)
    command = [*_COMMAND, "--state-dir", str(state_dir), "--link"]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NoDashboard(done.stderr.strip() or "it gave no link")
    return done.stdout.strip()


def runs(state_dir: Path) -> bool:
    """Whether a dashboard is already running."""
    known = processes.dashboard(state_dir)
    return known is not None and known.process.running() is not None


def _start(state_dir: Path, environment: Mapping[str, str], *, any_port: bool) -> None:
    """Starts it on its port, or on any free one if that is taken.

    Another migration may be running on this machine.
    """
    wrong = _try(state_dir, environment)
    if wrong is not None and "cannot listen" in wrong and any_port:
        wrong = _try(state_dir, environment, "--port", "0")
    if wrong is not None:
        raise NoDashboard(wrong)


def _try(state_dir: Path, environment: Mapping[str, str], *options: str) -> str | None:
    """Starts it; returns None once it listens, or else its last output."""
    log = state_dir / "dashboard" / "dashboard.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*_COMMAND, "--state-dir", str(state_dir), *options]
    with log.open("wb") as output, begun(command, environment, output) as child:
        if comes_up(child, START_SECONDS, lambda: _listens(state_dir, child.pid)):
            return None
        late = child.poll() is None
        if late:
            end_child(child)
    if late:
        return f"it did not listen within {START_SECONDS:g} s"
    return last_words(log.read_bytes()) or f"it ended with status {child.returncode}"


def _listens(state_dir: Path, pid: int) -> bool:
    known = processes.dashboard(state_dir)
    return known is not None and known.process.pid == pid
