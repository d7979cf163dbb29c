"""Worker processes: how they are started, by what they are known, how they end."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from auto_monitor.processes import (
    WorkerCommand,
    Workers,
    argument,
    handles,
    identity_of,
    running,
)

LINE = ["python", "x.py", "--worker-id", "3", "--state-dir=/s", "--last"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--worker-id", "3"),
        ("--state-dir", "/s"),
        ("--last", None),
        ("--state", None),
        ("--other", None),
    ],
)
def test_an_option_of_a_command_line(option: str, value: str | None) -> None:
    """In both spellings."""
    assert argument(LINE, option) == value


def command(folder: Path, **environment: str) -> WorkerCommand:
    """Workers of a script that sleeps."""
    script = folder / "worker.py"
    script.write_text("import time\ntime.sleep(60)\n")
    return WorkerCommand(
        script, folder / "library", "http://s", folder, folder, environment
    )


def test_the_arguments_of_a_worker(tmp_path: Path) -> None:
    """They only join; what was decided for this one comes last."""
    made = command(tmp_path)
    plain = [
        sys.executable,
        "c.py",
        str(tmp_path / "library"),
        "--server",
        "http://s",
        "--worker-id",
        "3",
        "--state-dir",
        str(tmp_path),
        "--join-only",
    ]
    assert made.line(3, Path("c.py"), None, None, retry_failed=False) == plain
    assert made.line(3, Path("c.py"), 2, 50, retry_failed=True) == [
        *plain,
        "--parallel-uploads",
        "2",
        "--batch-size",
        "50",
        "--retry-failed",
    ]


def test_the_environment_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings, and nothing that is the monitor's own."""
    for name in ("OPENAI_API_KEY", "ALERT_WEBHOOK_URL", "NOTIFY_SOCKET", "WORKER_ID"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HARMLESS", "y")
    made = command(tmp_path, MBS2_PASSWORD="p", OPENAI_MODEL="m", STATE_DIR="/z")
    told = made.surroundings()
    assert (told["HARMLESS"], told["MBS2_PASSWORD"]) == ("y", "p")
    assert told["PYTHONPATH"] == str(tmp_path)
    assert not [name for name in told if name.startswith(("OPENAI", "ALERT", "NOTIFY"))]
    assert not {"STATE_DIR", "WORKER_ID", "MIGRATE_MAX_DURATION"} & set(told)


def test_nothing_is_deleted_under_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever option, environment and files say."""
    monkeypatch.setenv("MIGRATE_DELETE_REMOVED", "1")
    made = command(tmp_path, MIGRATE_DELETE_REMOVED="1")
    assert made.surroundings()["MIGRATE_DELETE_REMOVED"] == "1"
    watching = replace(made, watching=True)
    assert watching.surroundings()["MIGRATE_DELETE_REMOVED"] == "0"


def test_what_is_left_of_the_time(tmp_path: Path) -> None:
    """A worker gets the rest, rounded up, and never nothing."""
    now = time.monotonic()
    late, early = (
        replace(command(tmp_path), until=now - 5),
        replace(command(tmp_path), until=now + 100),
    )
    assert (late.time_is_up(), early.time_is_up()) == (True, False)
    assert not command(tmp_path).time_is_up()
    assert late.surroundings()["MIGRATE_MAX_DURATION"] == "1"
    assert 90 <= int(early.surroundings()["MIGRATE_MAX_DURATION"]) <= 100


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """All are ended after the test."""
    made = Workers(command(tmp_path), grace_seconds=5)
    yield made
    for child in list(made._children.values()):
        child.kill()
        child.wait()


def test_a_worker_is_known_by_pid_start_and_command_line(workers: Workers) -> None:
    """To this monitor, and to another one that only has the record."""
    identity = workers.start(1)
    assert workers.lives(identity, 1)
    assert identity == identity_of(identity.pid)
    other = Workers(workers.command, grace_seconds=5)
    process = psutil.Process(identity.pid)
    while "--worker-id" not in process.cmdline():
        os.sched_yield()
    assert other.lives(identity, 1)
    assert other.runs(identity, 1, "worker.py")
    assert not other.runs(identity, 1, "another.py")
    assert not other.lives(identity, 2)
    assert not other.lives(None, 1)
    started = identity.started - timedelta(hours=1)
    assert not other.lives(replace(identity, started=started, birth=""), 1)
    elsewhere = replace(workers.command, state_dir=Path("/elsewhere"))
    assert not Workers(elsewhere, grace_seconds=5).lives(identity, 1)
    assert running(identity, lambda _arguments: False) is None
    assert other.take_stack(identity, 2, 1.0) == ""
    assert workers.stop(identity, 1)
    assert not workers.lives(identity, 1)
    assert workers.exit_code(identity) == -signal.SIGTERM
    assert not workers.stop(identity, 1)
    assert identity_of(identity.pid) is None


def test_workers_end_side_by_side(workers: Workers) -> None:
    """And how each has ended is known; one that ends by itself is noticed."""
    first, second = workers.start(1), workers.start(2, parallel_uploads=2)
    workers.stop_all({1: first, 2: second, 3: None})
    codes = [workers.exit_code(one) for one in (first, second, None)]
    assert codes == [-signal.SIGTERM, -signal.SIGTERM, None]
    assert not workers.reap()
    workers.command.script.write_text("raise SystemExit(6)\n")
    third = workers.start(3)
    workers._children[third].wait(20)
    assert workers.reap()
    assert workers.exit_code(third) == 6


def test_a_signal_is_sent_only_to_who_has_a_handler() -> None:
    """Without one it would end the process."""
    before = signal.signal(signal.SIGUSR2, lambda _number, _frame: None)
    try:
        assert handles(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not handles(os.getpid(), signal.SIGRTMIN)
    assert not handles(2**22 + 1, signal.SIGUSR2)
