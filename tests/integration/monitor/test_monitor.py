"""The monitor over real workers that are frozen, loop, hang and die; thresholds are
seconds here."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from auto_monitor.model import ProcessIdentity
from auto_monitor.observe.disk import devices_behind
from auto_monitor.processes import WorkerCommand, Workers
from auto_monitor.record.history import history_path, standings_in
from migration.model import Phase
from migration.state_files import progress
from tests.support.environment import PROJECT, end
from tests.support.libraries.librarykit import epubs
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import BOOKS, IOSTAT, Watch
from tests.support.network.proxy import Do, Proxy, Script, Wait
from tests.support.servers.shelf import Shelf, start_shelf

pytestmark = pytest.mark.integration


def only_attempt(watch: Watch, trigger: str) -> dict[str, object]:
    """The one attempt of the history: applied and verified."""
    (entry,) = watch.history()
    assert (
        entry["trigger"],
        entry["applied"],
        entry["verified"],
        entry["fix_type"],
    ) == (
        trigger,
        True,
        True,
        "restart",
    )
    return entry


def test_a_frozen_worker_is_found_and_restarted(
    watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGSTOP: no stack can be had; it is killed, never woken."""
    monitor = watch.start("--workers", "2")
    frozen = watch.worker(1)
    frozen.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: bool(watch.history()))
    with capsys.disabled():
        sys.stdout.write(
            f"\nfrozen: found after {time.monotonic() - began:.1f} s (threshold 5 s)\n"
        )
    _out, said = monitor.communicate(timeout=120)
    assert monitor.returncode == 0, said
    assert only_attempt(watch, "stuck")["status_before"] == "migrating"
    assert not frozen.is_running()
    watch.all_arrived_once()


def test_a_killed_worker_is_started_again(watch: Watch) -> None:
    """By whatever signal."""
    monitor = watch.start("--workers", "2")
    watch.worker(2).kill()
    _out, said = monitor.communicate(timeout=120)
    assert monitor.returncode == 0, said
    assert "ended by signal 9" in str(only_attempt(watch, "stopped")["root_cause"])
    watch.all_arrived_once()


FAULTS = [
    ("next_range", "__import__('time').sleep(10**6)", "next_range"),
    ("send_with_retries", "__import__('time').sleep(10**6)", "send_with_retries"),
    (
        "refresh_existing_hashes",
        "__import__('time').sleep(10**6)",
        "refresh_existing_hashes",
    ),
    ("process_file", "exec('while True: pass')", "process_file"),
    ("next_range", "exec('while True: pass')", "next_range"),
]


@pytest.mark.parametrize(
    ("function", "fault", "place"), FAULTS, ids=lambda value: str(value)[:24]
)
def test_a_function_that_hangs_is_caught_with_its_stack(
    watch: Watch, function: str, fault: str, place: str
) -> None:
    """Asleep or in a busy loop, in the main thread or in another: the evidence names
    the function."""
    watch.patched(function, fault)
    watch.run("--workers", "1")
    entry = only_attempt(watch, "stuck")
    evidence = json.loads(
        (
            watch.state / "auto_monitor" / "evidence" / str(entry["evidence"])
        ).read_bytes()
    )
    assert f"in {place}" in evidence["stack"]
    watch.all_arrived_once()


def test_a_range_that_is_read_for_ever_is_a_loop(watch: Watch) -> None:
    """It logs, it beats, it reads; it does not get on."""
    again = (
        "self.log.info(logs.querying(owned.first, owned.last)); "
        "self.library.read_books(owned.first, owned.last)"
    )
    fault = (
        f"while True: {again}; self.log.info(logs.found(5)); self.publish(); "
        "__import__('time').sleep(0.02)"
    )
    watch.patched("read_range", fault)
    said = watch.run("--workers", "2")
    assert "again and again" in said
    only_attempt(watch, "stuck")
    watch.all_arrived_once()


def test_a_connection_that_is_never_answered_while_others_are(watch: Watch) -> None:
    """The server takes the upload of one worker and says nothing for ever."""
    script = Script("POST", "/api/upload", Wait(10**6), 1)
    proxy = Proxy(
        watch.shelf.url,
        lambda method, path: (
            Do.PASS if path.endswith("/check") else script(method, path)
        ),
    )
    try:
        watch.more["MBS2_WS_URL"] = proxy.url.replace("http", "ws") + "/ws"
        real, watch.shelf = (
            watch.shelf,
            Shelf(watch.shelf.url, watch.shelf.data_dir, None),
        )
        # The ledger is bound to the URL: this is a pass of its own.
        (watch.state / "migration_ledger.db").unlink()
        watch.shelf = Shelf(proxy.url, real.data_dir, None)
        watch.open_pass()
        watch.run("--workers", "2")
        only_attempt(watch, "stuck")
        watch.all_arrived_once()
    finally:
        proxy.stop()


def idle(path: Path) -> timedelta:
    """How long there has been no progress, by a worker's own words."""
    seen = progress.read(path)
    if seen is None or seen.last_progress_at is None:
        return timedelta()
    return seen.updated_at - seen.last_progress_at


@pytest.mark.slow
def test_a_dead_server_is_nobodys_fault(watch: Watch, tmp_path: Path) -> None:
    """Four workers wait for it, nobody is restarted, all go on when it is back."""
    watch.more["STUCK_THRESHOLD_SECONDS"] = "9"
    monitor = watch.start("--workers", "4")
    watch.worker(1)
    port = int(watch.shelf.url.rpartition(":")[2])
    end(watch.shelf.process)
    paths = [progress.progress_path(watch.state, number) for number in range(1, 5)]
    wait_for(
        lambda: any(
            s is not None and s.status is Phase.WAITING
            for s in map(progress.read, paths)
        )
    )
    # Longer than the threshold: the outage itself is what is tested.
    wait_for(lambda: all(idle(path) > timedelta(seconds=11) for path in paths))
    assert watch.history() == []
    back = start_shelf(watch.shelf.data_dir, port=port)
    try:
        _out, said = monitor.communicate(timeout=120)
        assert monitor.returncode == 0, said
        assert watch.history() == []
        watch.all_arrived_once()
    finally:
        end(back.process)


def test_a_server_that_is_away_at_the_start(watch: Watch) -> None:
    """Said every minute, no attempt, and the workers run within one interval of its
    return."""
    watch.more |= {
        "START_SECONDS": "1",
        "CHECK_INTERVAL_SECONDS": "2",
        "STUCK_THRESHOLD_SECONDS": "300",
        "DISCOVERY_THRESHOLD_SECONDS": "300",
        "COOLDOWN_SECONDS": "600",
        "MAX_FIX_ATTEMPTS": "1",
    }
    port = int(watch.shelf.url.rpartition(":")[2])
    end(watch.shelf.process)
    monitor = watch.start("--workers", "2")
    log, done = watch.state / "monitor.log", watch.state / "auto_restart.log"
    why = (
        f"Waiting for {watch.shelf.url} (connection refused); worker 1, 2 starts "
        "as soon as it answers"
    )
    wait_for(lambda: log.exists() and why in log.read_text())
    assert done.read_text().count(" runs as pid ") == 2
    back = start_shelf(watch.shelf.data_dir, port=port)
    began = time.monotonic()
    try:
        wait_for(lambda: done.read_text().count(" runs as pid ") == 4)
        assert time.monotonic() - began < 2 + 2
        _out, said = monitor.communicate(timeout=120)
        assert monitor.returncode == 0, said
        assert "Starting worker 1: the server answers again" in done.read_text()
        assert watch.history() == []
        watch.all_arrived_once()
    finally:
        end(back.process)


def test_a_monitor_that_is_killed_takes_its_case_up_again(watch: Watch) -> None:
    """Attempts survive; workers go on without it; the next one verifies."""
    watch.more["SUCCESS_VERIFICATION_SECONDS"] = "4"
    monitor = watch.start("--workers", "2")
    watch.worker(1).send_signal(signal.SIGSTOP)
    wait_for(lambda: any(entry["applied"] for entry in watch.history()))
    monitor.kill()
    monitor.wait(10)
    assert standings_in(history_path(watch.state))[1].attempts == 1
    watch.run("--workers", "2")
    only_attempt(watch, "stuck")
    watch.all_arrived_once()


@pytest.mark.slow
def test_three_attempts_then_paused_then_resumed(watch: Watch) -> None:
    """A worker that hangs for ever, until a person has mended it."""
    watch.patched("refresh_existing_hashes", "__import__('time').sleep(10**6)")
    flag = watch.state / "broken"
    flag.touch()
    script = Path(watch.more["WORKER_SCRIPT"])
    script.write_text(
        script.read_text("utf-8").replace(
            "if _first():", f"if os.path.exists({str(flag)!r}):"
        ),
        "utf-8",
    )
    watch.more |= {"DISCOVERY_THRESHOLD_SECONDS": "3", "COOLDOWN_SECONDS": "1"}
    monitor = watch.start("--workers", "1")
    log = watch.state / "monitor.log"
    wait_for(lambda: log.exists() and "PAUSED" in log.read_text(), 90)
    assert [entry["verified"] for entry in watch.history()] == [False, False, False]
    assert [entry["attempt"] for entry in watch.history()] == [1, 2, 3]
    assert [entry["occurrences"] for entry in watch.history()] == [1, 2, 3]
    status = json.loads(watch.command("--status", "--json").stdout)
    assert [
        (worker["worker_id"], worker["paused"]) for worker in status["workers"]
    ] == [(1, True)]
    flag.unlink()
    assert watch.command("--resume", "1").returncode == 0
    _out, said = monitor.communicate(timeout=120)
    assert monitor.returncode == 0, said
    watch.all_arrived_once()


def test_two_monitors_at_once(watch: Watch) -> None:
    """One wins, the other says so and ends with 2; a stale pid file is no monitor."""
    (watch.state / "monitor.pid").write_text(
        json.dumps({"pid": os.getpid(), "pid_started_at": "2020-01-01T00:00:00+00:00"})
    )
    both = [watch.start("--workers", "1") for _ in range(2)]
    ends = [
        (process.communicate(timeout=120)[1], process.returncode) for process in both
    ]
    assert sorted(code for _said, code in ends) == [0, 2], ends
    assert any(
        "a monitor is already running" in said for said, code in ends if code == 2
    )
    assert not (watch.state / "monitor.pid").exists()


def test_a_dry_run_touches_nothing(watch: Watch) -> None:
    """It says what it would do."""
    before = {path.name for path in watch.state.iterdir()}
    done = watch.command("--dry-run", "--once")
    assert done.returncode == 0, done.stderr
    assert "Would do: Starting worker 1" in done.stderr
    made = {path.name for path in watch.state.iterdir()} - before
    # SQLite makes the last two when anybody reads.
    assert made <= {"monitor.log", "migration_ledger.db-shm", "migration_ledger.db-wal"}


def test_status_says_when_the_monitor_does_not_live(watch: Watch) -> None:
    """Exit 2; 0 once the pass is closed."""
    assert watch.command("--status").returncode == 2
    watch.run("--workers", "2")
    done = watch.command("--status", "--json")
    value = json.loads(done.stdout)
    assert (
        done.returncode,
        value["monitor"]["ended"],
        value["totals"]["counts"]["uploaded"],
    ) == (
        0,
        "completed",
        BOOKS,
    )


def test_every_worker_ended_for_good(watch: Watch) -> None:
    """The library cannot be read any more: no restart, a loud line, and the workers'
    own status."""
    (watch.library.root / "metadata.db").write_bytes(b"this is no database" * 100)
    process = watch.start("--workers", "2")
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 4, said
    assert "a restart cannot mend" in said
    assert watch.history() == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STUCK_THRESHOLD_SECONDS", "soon"),
        ("MAX_WORKER_COUNT", "9"),
        ("MIN_WORKER_COUNT", "1.5"),
    ],
)
def test_a_setting_that_makes_no_sense(watch: Watch, variable: str, value: str) -> None:
    """Named, with what would do; nothing is started."""
    watch.more[variable] = value
    done = watch.command("--once")
    assert (done.returncode, variable in done.stderr) == (2, True)
    assert watch.history() == []


# -- identity --------------------------------------------------------------------------

SLEEPER = "import time; time.sleep(60)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """A foreign process with the worker's name and the given arguments."""
    script = tmp_path / "bulk_migrate_calibre.py"
    script.write_text(SLEEPER)
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen([sys.executable, str(script), *arguments]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def test_only_what_is_provably_ours_is_ever_signalled(
    tmp_path: Path, sleeper: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    """A recycled pid, another state directory, another worker's id, another program:
    none is found or ended."""
    command = WorkerCommand(
        tmp_path / "bulk_migrate_calibre.py", tmp_path, "http://s", tmp_path, PROJECT
    )
    workers = Workers(command, grace_seconds=1)
    ours = sleeper("--state-dir", str(tmp_path), "--worker-id", "3")
    elsewhere = sleeper("--state-dir", str(tmp_path / "other"), "--worker-id=3")
    foreign = subprocess.Popen(["sleep", "60"])

    def identity(
        process: "subprocess.Popen[bytes]", shift: float = 0
    ) -> ProcessIdentity:
        return ProcessIdentity(
            process.pid,
            datetime.fromtimestamp(
                psutil.Process(process.pid).create_time() + shift, tz=UTC
            ),
        )

    assert not workers.stop(identity(ours, shift=5), 3)
    assert not workers.stop(identity(ours), 2)
    assert not workers.stop(identity(elsewhere), 3)
    assert not workers.stop(identity(foreign), 3)
    assert not workers.stop(None, 3)
    assert [process.poll() for process in (ours, elsewhere, foreign)] == [
        None,
        None,
        None,
    ]
    assert workers.take_stack(identity(ours), 3, 1) == ""
    assert workers.stop(identity(ours), 3)
    assert ours.poll() is not None
    foreign.kill()
    foreign.wait(10)


# -- scaling, alerts -------------------------------------------------------------------


def test_a_saturated_disk_takes_a_worker_away_and_an_idle_one_gives_it_back(
    watch: Watch, tmp_path: Path
) -> None:
    """A stuck worker on a disk that is 97 % busy: the highest id goes, the others take
    its range over."""
    if not devices_behind(tmp_path):
        pytest.skip("no disk can be found behind the folder for temporary files")
    programs, busy = tmp_path / "bin", tmp_path / "util"
    programs.mkdir()
    (programs / "iostat").write_text(IOSTAT)
    (programs / "iostat").chmod(0o755)
    busy.write_text("97")
    watch.library.add(*epubs(range(BOOKS, 400)))
    watch.more |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "UTIL_FILE": str(busy),
        "SCALE_CHECK_SECONDS": "0.5",
        "DISK_IO_SCALE_DOWN_COOLDOWN": "600",
        "DISK_IO_SCALE_UP_COOLDOWN": "1",
        "COOLDOWN_SECONDS": "600",
        # Else a quick machine is through before the frozen worker counts as stuck.
        "MAX_FILES_PER_MIN": "90",
    }
    watch.start("--workers", "3")
    highest = watch.worker(3)
    watch.worker(1).send_signal(signal.SIGSTOP)
    log = watch.state / "auto_restart.log"
    wait_for(
        lambda: "Stopping worker 3: disk at 97 %, worker 1 stuck" in log.read_text()
    )
    wait_for(lambda: not highest.is_running())
    status = json.loads(watch.command("--status", "--json").stdout)
    assert (status["desired_workers"], status["disk_utilization_percent"]) == (2, 97.0)
    busy.write_text("5")
    wait_for(
        lambda: "Starting worker 3: disk at 5 %, 2 workers desired" in log.read_text()
    )


def test_a_number_that_is_named_counts_more_than_what_is_remembered(
    watch: Watch,
) -> None:
    """Four, then two, then six, then what is remembered."""
    watch.more |= {"MAX_FILES_PER_MIN": "6", "CHECK_INTERVAL_SECONDS": "0.3"}
    log = watch.state / "auto_restart.log"

    def started(*options: str, expected: int) -> None:
        """Ids that one monitor starts; all are ended with it."""
        before = len(log.read_text()) if log.exists() else 0
        monitor = watch.start(*options)
        wait_for(
            lambda: (
                log.exists()
                and log.read_text()[before:].count(" runs as pid ") >= expected
            )
        )
        end(monitor)
        found = re.findall(
            r"Starting worker (\d+): (\d+) are desired", log.read_text()[before:]
        )
        assert found == [
            (str(number), str(expected)) for number in range(1, expected + 1)
        ]

    started("--workers", "4", expected=4)
    started("--workers", "2", expected=2)
    started("--workers=6", expected=6)
    state = json.loads((watch.state / "monitor_state.json").read_bytes())
    state["desired"] = 3
    (watch.state / "monitor_state.json").write_text(json.dumps(state))
    watch.more["TARGET_WORKER_COUNT"] = "6"
    started(expected=3)


class Hook(BaseHTTPRequestHandler):
    """Remembers what is posted; fails the first time."""

    got: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        """One alert."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append(json.loads(body))
        self.send_response(500 if len(self.got) == 1 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def test_a_person_is_told_when_the_pass_ends(watch: Watch) -> None:
    """ALERT_WEBHOOK_URL, tried again after a failure; the URL is a secret."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        watch.more["ALERT_WEBHOOK_URL"] = (
            f"http://127.0.0.1:{server.server_port}/hooks/very-secret-path"
        )
        said = watch.run("--workers", "2")
    finally:
        server.shutdown()
        server.server_close()
    assert len(Hook.got) == 2
    assert (
        f"Pass 1 closed: discovered {BOOKS} = uploaded {BOOKS}" in Hook.got[1]["text"]
    )
    assert "very-secret-path" not in said + (watch.state / "monitor.log").read_text()
