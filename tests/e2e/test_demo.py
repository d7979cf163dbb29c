"""The two buttons, as somebody presses them who has just cloned the repository."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest

from deploy.host import processes
from migration.ledger import totals
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look
from tests.support.machine.checkoutkit import press
from tests.support.migration.workerkit import wait_for

pytestmark = pytest.mark.e2e
#: Enough that a migration is still under way when the next button is pressed, one file
#: at a time.
BOOKS = 800
#: A .env as it stands in the checkout of somebody who has a server.
OF_ANOTHER_SERVER = """
MBS2_SERVER=http://127.0.0.1:9
MBS2_WS_URL=ws://127.0.0.1:9/ws
MBS2_USERNAME=me
MBS2_PASSWORD=of another server
MBS2_DB_URI=postgresql://me:secret@127.0.0.1:9/ebooks
BOOKSHELF_PORT=9
"""


def test_the_demo_runs_twice_and_stops(clone: Path) -> None:
    """First everything arrives, then everything is a duplicate; the server stays until
    ./stop.sh. What .env says of another server reaches nobody."""
    (clone / ".env").write_text(OF_ANOTHER_SERVER, "utf-8")
    expected = json.loads((clone / "demo" / "expected.json").read_text("utf-8"))
    ledger = clone / "demo" / "state" / "migration_ledger.db"
    for number, run in ((1, "first_run"), (2, "second_run")):
        done = press(clone, "./start.sh", "--demo")
        assert done.returncode == 0, done.stdout + done.stderr
        found = totals.read(ledger)
        assert found is not None
        assert found.pass_id == number
        counts = {
            name: getattr(found.counts, name)
            for name in ("discovered", "uploaded", "duplicate")
        }
        assert {**counts, "failed": dict(found.failed)} == expected[run]
        assert totals.proved(ledger, number)
        assert "Your shelf: http://127.0.0.1:" in done.stdout
        assert "\n61 files = " in done.stdout
        assert "1 unsupported (meant to be refused: " in done.stdout
        assert (ledger.parent / "report" / f"pass-{number}" / "report.html").is_file()
    server = processes.server(clone / "demo" / "state" / "bookshelf")
    assert server is not None
    assert server[0].running() is not None
    login = (clone / "demo" / "state" / "bookshelf" / "credentials").read_text("utf-8")
    assert "username=admin\n" in login
    assert "of another server" not in login
    with urllib.request.urlopen(server[1] + "/login", timeout=30) as page:
        assert b"Log in" in page.read()
    stopped = press(clone, "./stop.sh")
    assert (stopped.returncode, "embedded server" in stopped.stdout) == (0, True)
    assert server[0].running() is None
    assert press(clone, "./stop.sh").stdout.strip() == "Nothing was running."


def test_wrong_usage_says_what_to_do(clone: Path) -> None:
    """Without a library, with a folder that is none, with too many workers: status 2
    and a sentence."""
    for arguments, sentence in (
        ([], "name your library"),
        (["--library", "/nonexistent"], "/nonexistent has no metadata.db"),
        (
            ["--library", str(clone / "demo" / "library"), "--workers", "9"],
            "TARGET_WORKER_COUNT='9' is not a whole number from 1 to 8; it comes "
            "from option --workers",
        ),
    ):
        done = press(clone, "./start.sh", *arguments)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_a_foreign_process_is_never_stopped(clone: Path) -> None:
    """A recycled pid in server.json: another start time, so not ours."""
    sleeper = subprocess.Popen(["sleep", "60"])
    data_dir = clone / "demo" / "state" / "bookshelf"
    data_dir.mkdir(parents=True)
    record = {
        "url": "http://127.0.0.1:1",
        "pid": sleeper.pid,
        "pid_started_at": "2020-01-01T00:00:00+00:00",
    }
    (data_dir / "server.json").write_text(json.dumps(record))
    assert press(clone, "./stop.sh").stdout.strip() == "Nothing was running."
    assert sleeper.poll() is None
    sleeper.terminate()
    sleeper.wait(10)


def test_your_own_library_is_stopped_in_the_middle_and_goes_on(
    clone: Path, tmp_path: Path
) -> None:
    """`./start.sh --library DIR`, `./stop.sh`, `./start.sh` again: nothing left
    running, everything there once."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(BOOKS)))
    state = tmp_path / "state of mine"
    ledger = state / "migration_ledger.db"
    more = {
        "STATE_DIR": str(state),
        "CHECK_INTERVAL_SECONDS": "1",
        "IOSTAT_SECONDS": "1",
        "PARALLEL_UPLOADS": "1",
    }
    start = ("./start.sh", "--library", str(library.root), "--workers", "2")
    first = press(clone, *start, **more)
    assert first.returncode == 0, first.stderr
    assert "The monitor runs" in first.stdout
    wait_for(
        lambda: (
            (found := totals.read(ledger)) is not None and found.counts.uploaded >= 20
        )
    )
    second = press(clone, *start, **more)
    assert (second.returncode, "a monitor is already running" in second.stderr) == (
        2,
        True,
    )
    groups = {
        os.getpgid(recorded.pid)
        for recorded in processes.alive(processes.workers(state))
    }
    watching = processes.monitor(state)
    assert watching is not None
    groups.add(os.getpgid(watching.pid))
    link = next(
        line.strip() for line in first.stdout.splitlines() if "/enter?link=" in line
    )
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(
        link, timeout=30
    ) as page:
        assert b"<title>Migration</title>" in page.read()
    stopped = press(clone, "./stop.sh", **more)
    assert stopped.returncode == 0
    order = [
        stopped.stdout.find(f"{what} (pid")
        for what in ("monitor", "worker 1", "dashboard", "embedded server")
    ]
    assert -1 not in order
    assert order == sorted(order)
    assert not {group_of(pid) for pid in psutil.pids()} & groups
    assert not (state / "monitor.pid").exists()
    shown = processes.dashboard(state)
    assert shown is not None
    assert shown[0].running() is None
    again = press(clone, *start, "--foreground", **more)
    assert again.returncode == 0, again.stderr
    assert f"{BOOKS} = uploaded {BOOKS}" in again.stderr
    found = totals.read(ledger)
    assert found is not None
    assert (found.pass_id, found.counts.discovered, found.counts.uploaded) == (
        1,
        BOOKS,
        BOOKS,
    )
    press(clone, "./stop.sh", **more)
    truth = look(state / "bookshelf")
    assert (truth.ebooks, truth.working_titles, truth.ebooks_without_source) == (
        BOOKS,
        0,
        0,
    )


def group_of(pid: int) -> int | None:
    """The process group of a process that lives; None when it is gone or a zombie."""
    try:
        return (
            os.getpgid(pid)
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            else None
        )
    except (psutil.Error, ProcessLookupError):
        return None


def test_the_monitor_alone_is_stopped_and_the_workers_go_on(
    clone: Path, tmp_path: Path
) -> None:
    """`./stop.sh --monitor-only`; the next `./start.sh` watches the same workers."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(BOOKS)))
    state = tmp_path / "state"
    more = {
        "STATE_DIR": str(state),
        "CHECK_INTERVAL_SECONDS": "1",
        "IOSTAT_SECONDS": "1",
        "PARALLEL_UPLOADS": "1",
    }
    start = ("./start.sh", "--library", str(library.root), "--workers", "2")
    assert press(clone, *start, **more).returncode == 0
    wait_for(lambda: len(processes.alive(processes.workers(state))) == 2)
    before = {recorded.pid for recorded in processes.alive(processes.workers(state))}
    stopped = press(clone, "./stop.sh", "--monitor-only", **more)
    assert ("monitor" in stopped.stdout, "worker" in stopped.stdout) == (True, False)
    assert {
        recorded.pid for recorded in processes.alive(processes.workers(state))
    } == before
    assert press(clone, *start, **more).returncode == 0
    assert {recorded.pid for recorded in processes.workers(state)} == before
    press(clone, "./stop.sh", **more)


def test_what_is_wrong_is_said_before_anything_starts(
    clone: Path, tmp_path: Path
) -> None:
    """A server that is not there, a login that is refused, a missing key: a sentence, a
    status, no monitor."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(2)))
    state = tmp_path / "state"
    more = {"STATE_DIR": str(state), "MBS2_PASSWORD": "wrong", "START_SECONDS": "0.5"}
    mine = ("--library", str(library.root))
    for arguments, status, sentence in (
        ((*mine, "--server", "http://127.0.0.1:9"), 3, "did not answer"),
        ((*mine, "--llm-enabled"), 2, "OPENAI_API_KEY"),
    ):
        done = press(clone, "./start.sh", *arguments, **more)
        assert (done.returncode, sentence in done.stderr) == (status, True), done.stderr
    assert processes.monitor(state) is None


def test_workers_without_a_monitor(clone: Path, tmp_path: Path) -> None:
    """`--no-monitor`: they finish by themselves."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(20)))
    state = tmp_path / "state"
    done = press(
        clone,
        "./start.sh",
        "--library",
        str(library.root),
        "--workers",
        "2",
        "--no-monitor",
        "--no-dashboard",
        STATE_DIR=str(state),
    )
    assert (done.returncode, "Without a monitor: 2 workers" in done.stdout) == (
        0,
        True,
    ), done.stderr
    wait_for(
        lambda: (
            (found := totals.read(state / "migration_ledger.db")) is not None
            and found.closed_at is not None
        )
    )
    assert processes.monitor(state) is None
    assert processes.dashboard(state) is None
    press(clone, "./stop.sh", STATE_DIR=str(state))
