"""`./start.sh` that fails, in whatever way, leaves nothing running that it has
started."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from deploy.host.children import CannotStart, ServerNotStarted
from deploy.host.embedded import Port, embedded_server
from migration.state_files import embedded
from tests.support.environment import PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.workerkit import wait_for

pytestmark = pytest.mark.integration


class Start:
    """One start on a state directory of its own, with the embedded server."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.library = Library(folder / "library")
        self.library.add(*epubs(range(4)))
        self.environment = clean_environment(
            STATE_DIR=str(self.state), DASHBOARD_PORT="0", START_SECONDS="5"
        )
        # The daemons are to outlive whoever starts them.
        self.environment["PYTHONWARNINGS"] = "ignore::ResourceWarning"

    def begin(self, *options: str) -> "subprocess.Popen[str]":
        """Begins it."""
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "deploy.launch",
                "--library",
                str(self.library.root),
                *options,
            ],
            cwd=PROJECT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def waits_for_the_library(self) -> bool:
        """Does its worker say so?"""
        said = "waiting for it (Ctrl-C ends this)"
        return any(said in log.read_text("utf-8") for log in self.state.glob("*.log"))

    def ours(self) -> list[str]:
        """Command lines of every process that names the state directory."""
        found = []
        for process in psutil.process_iter(["cmdline", "pid"]):
            line = process.info["cmdline"] or []
            place = _environment(process).get("STATE_DIR")
            if str(self.state) in " ".join(line) or (
                place == str(self.state) and "monitor.py" in " ".join(line)
            ):
                found.append(" ".join(line))
        return found


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Whatever it leaves is ended after all."""
    made = Start(tmp_path)
    yield made
    subprocess.run(
        [sys.executable, "-m", "deploy.stop", "--state-dir", str(made.state)],
        cwd=PROJECT,
        env=made.environment,
        capture_output=True,
        timeout=120,
        check=True,
    )


def no_database(start: Start) -> None:
    """What the library's folder holds is something else."""
    (start.library.root / "metadata.db").write_text("not a database")


def no_place_for_the_ledger(start: Start) -> None:
    """A directory stands where a file beside it belongs; one in the place of a log is
    moved away."""
    (start.state / "migration_ledger.db-wal" / "of somebody").mkdir(parents=True)
    (start.state / "migration_worker1.log").mkdir(parents=True)


def no_place_for_the_log(start: Start) -> None:
    """The monitor cannot begin."""
    (start.state / "monitor.log").mkdir(parents=True)


def nonsense(start: Start) -> None:
    """A setting that the monitor refuses."""
    start.environment["CHECK_INTERVAL_SECONDS"] = "often"


FAILURES = [
    (no_database, 4),
    (no_place_for_the_ledger, 5),
    (no_place_for_the_log, 2),
    (nonsense, 2),
]


@pytest.mark.parametrize(
    ("spoil", "code"),
    FAILURES,
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_start_that_fails_leaves_nothing(
    start: Start, spoil: Callable[[Start], None], code: int
) -> None:
    """Server, dashboard and monitor, as far as it had got with them."""
    spoil(start)
    process = start.begin()
    out, said = process.communicate(timeout=120)
    assert process.returncode == code, out + said
    assert said.strip()
    assert "Traceback" not in said
    assert start.ours() == []


def test_a_monitor_that_cannot_begin_leaves_nothing(start: Start) -> None:
    """Not in the foreground either, where it takes the place of who started it."""
    no_place_for_the_log(start)
    process = start.begin("--foreground", "--no-dashboard")
    out, said = process.communicate(timeout=120)
    assert process.returncode == 5, out + said
    assert "monitor.log: it is a directory, not a file; move it away" in said
    assert start.ours() == []


def test_ctrl_c_leaves_nothing(start: Start) -> None:
    """While it waits for a library that Calibre has locked."""
    with closing(
        sqlite3.connect(start.library.root / "metadata.db", isolation_level=None)
    ) as db:
        db.execute("BEGIN EXCLUSIVE")
        process = start.begin("--no-dashboard")
        try:
            wait_for(start.waits_for_the_library)
            os.killpg(process.pid, signal.SIGINT)
            out, said = process.communicate(timeout=60)
        finally:
            end(process)
    assert process.returncode == 130, out + said
    wait_for(lambda: start.ours() == [])


# The server is to outlive whoever starts it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_embedded_server_and_its_port(tmp_path: Path) -> None:
    """It keeps the port it has; where another program has it, it takes another, tells
    and is known by both. Who asks for a port gets it or a sentence."""
    said: list[str] = []
    data_dir, around = tmp_path / "bookshelf", clean_environment()
    with ExitStack() as undo:
        url = embedded_server(data_dir, around, undo, Port(0, said.append))[0]
        again = embedded_server(data_dir, around, undo, Port(None, said.append))[0]
        with pytest.raises(CannotStart, match="then start it with --embedded-port 1"):
            embedded_server(data_dir, around, undo, Port(1, said.append))
    assert (again, said) == (url, [])
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))) as taken:
        asked = taken.getsockname()[1]
        for port in (Port(asked, said.append), None):
            with (
                pytest.raises(ServerNotStarted, match=f"port {asked} is taken"),
                ExitStack() as undo,
            ):
                embedded_server(data_dir, around, undo, port)
        with ExitStack() as undo:
            moved = embedded_server(data_dir, around, undo, Port(0, said.append))[0]
    assert said == [
        f"Port {asked} is taken by another program: the embedded server listens on "
        f"{moved}."
    ]
    assert embedded.urls(data_dir) == (url, moved)
    assert embedded.moved(data_dir, url)
    assert not embedded.moved(data_dir, moved)
    assert not embedded.moved(data_dir, "http://127.0.0.1:1")


def test_what_ran_before_goes_on(start: Start) -> None:
    """A server of an earlier start is not this start's to stop."""
    command = (
        "import os, sys; from deploy.host import embedded as e; from pathlib import "
        "Path; from contextlib import ExitStack"
    )
    command += "; e.embedded_server(Path(sys.argv[1]), os.environ, ExitStack())"
    subprocess.run(
        [sys.executable, "-c", command, str(start.state / "bookshelf")],
        cwd=PROJECT,
        env=start.environment,
        check=True,
        timeout=60,
    )
    before = start.ours()
    assert len(before) == 1
    no_database(start)
    process = start.begin("--no-dashboard")
    out, said = process.communicate(timeout=120)
    assert process.returncode == 4, out + said
    assert start.ours() == before
