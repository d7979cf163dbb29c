"""The systemd units, and what the real programs tell a service manager over a real socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PASSWORD, PROJECT, Shelf, Workers, clean_environment, end, needs
from tests.librarykit import Library, epubs

pytestmark = pytest.mark.integration
UNITS = sorted((PROJECT / "deploy" / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_are_valid(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify`, with the programs they name where they are here."""
    needs("systemd-analyze")
    text = unit.read_text("utf-8").replace("/opt/calibre-migration/.venv/bin/python", sys.executable)
    copy = tmp_path / unit.name
    copy.write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


class Manager:
    """A service manager: a socket, and what was said on it."""

    def __init__(self, path: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(path))
        self.line.settimeout(1.0)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self.said: list[str] = []

    def hear(self, wanted: str, seconds: float = 60) -> None:
        """Listens until a message begins so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.said.append(self.line.recv(4096).decode())
            except TimeoutError:
                continue
            if self.said[-1].startswith(wanted):
                return
        raise AssertionError(f"{wanted} was never said, only {self.said}")

    def silent_for(self, seconds: float) -> bool:
        """Is nothing said for so long, once what was under way has been heard?"""
        self.line.settimeout(seconds)
        for _ in range(20):
            try:
                self.said.append(self.line.recv(4096).decode())
            except TimeoutError:
                return True
        return False


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """One for a test."""
    made = Manager(tmp_path / "notify")
    yield made
    made.line.close()


def test_the_embedded_server_speaks_and_falls_silent_when_it_is_frozen(manager: Manager, tmp_path: Path) -> None:
    """Ready when it listens, alive as long as its loop turns, stopping on TERM."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bookshelf", "--data-dir", str(tmp_path / "shelf"), "--port", "0"], cwd=PROJECT,
        text=True, env=clean_environment(MBS2_PASSWORD=PASSWORD, **manager.environment), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for wanted in ("READY=1", "STATUS=listening on http://127.0.0.1:", "WATCHDOG=1", "WATCHDOG=1"):
            manager.hear(wanted)
        server.send_signal(signal.SIGSTOP)
        assert manager.silent_for(2.0)
        server.send_signal(signal.SIGCONT)
        manager.line.settimeout(1.0)
        manager.hear("WATCHDOG=1")
        server.terminate()
        manager.hear("STOPPING=1")
    finally:
        end(server)


def test_the_monitor_speaks_and_its_workers_do_not(
    manager: Manager, tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """Ready once it watches, alive while it looks, its totals as status; a worker's environment has no socket."""
    shelf = shelves(tmp_path / "shelf", "--delay-ms", "200")
    library = Library(tmp_path / "library")
    library.add(*epubs(range(60)))
    workers = Workers(tmp_path / "state")
    assert workers.run(library.root, shelf, "--open-pass")[0] == 0
    own = {"MBS2_PASSWORD": PASSWORD, "CHECK_INTERVAL_SECONDS": "0.5", "IOSTAT_SECONDS": "1", "PARALLEL_UPLOADS": "1"}
    monitor = subprocess.Popen(
        [sys.executable, str(PROJECT / "auto_monitor" / "monitor.py"), "--library", str(library.root),
         "--server", shelf.url, "--state-dir", str(workers.state_dir), "--workers", "1", "--stop-workers", "--quiet"],
        text=True, env=clean_environment(**own, **manager.environment),
    )  # fmt: skip
    try:
        for wanted in ("READY=1", "WATCHDOG=1", "STATUS=1 workers; pass 1:", "WATCHDOG=1"):
            manager.hear(wanted)
        worker = next(path for path in Path("/proc").glob("[0-9]*") if _is_worker(path, workers.state_dir))
        environment = (worker / "environ").read_bytes()
        assert b"NOTIFY_SOCKET" not in environment
        assert b"WATCHDOG_USEC" not in environment
        monitor.send_signal(signal.SIGSTOP)
        assert manager.silent_for(2.0)
        monitor.send_signal(signal.SIGCONT)
        manager.line.settimeout(1.0)
        monitor.terminate()
        manager.hear("STOPPING=1")
    finally:
        end(monitor)


def _is_worker(process: Path, state_dir: Path) -> bool:
    try:
        line = (process / "cmdline").read_bytes()
    except OSError:
        return False
    return b"bulk_migrate_calibre.py" in line and os.fsencode(state_dir) in line
