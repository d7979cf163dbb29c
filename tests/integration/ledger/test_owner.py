"""Who is alive: real processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from migration.errors import WorkerIdTaken
from migration.state_files.owner import Owner, WorkerLock, is_alive, this_process
from tests.support.environment import PROJECT

pytestmark = pytest.mark.integration

CHILD = """
import sys, time
from pathlib import Path
from migration.state_files.owner import WorkerLock, this_process
owner = this_process(7)
lock = WorkerLock(Path(sys.argv[1]), owner)
print(owner, flush=True)
time.sleep(120)
"""


def start(state_dir: Path) -> tuple["subprocess.Popen[str]", Owner]:
    """A process that holds worker 7's lock."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(state_dir)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    owner = Owner.parse(child.stdout.readline().strip())
    child.stdout.close()
    return child, owner


def test_a_process_is_alive_until_it_dies_frozen_or_not(tmp_path: Path) -> None:
    """SIGSTOP is not death; SIGKILL is, even before anybody has waited for it."""
    child, owner = start(tmp_path)
    assert is_alive(owner, tmp_path)
    os.kill(child.pid, signal.SIGSTOP)
    assert is_alive(owner, tmp_path)
    child.kill()
    deadline = time.monotonic() + 20
    while is_alive(owner, tmp_path):
        assert time.monotonic() < deadline
    child.wait(10)
    assert not is_alive(owner, tmp_path)


def test_a_recycled_pid_is_somebody_else(tmp_path: Path) -> None:
    """Another start time, another boot: dead."""
    mine = this_process(1)
    assert is_alive(mine, tmp_path)
    assert not is_alive(replace(mine, started="1"), tmp_path)
    assert not is_alive(replace(mine, boot_id="another"), tmp_path)


def test_across_containers_the_lock_tells(tmp_path: Path) -> None:
    """A pid of another namespace means nothing here; whoever holds its lock lives."""
    child, owner = start(tmp_path)
    elsewhere = replace(owner, pid_namespace="pid:[1]")
    assert not is_alive(elsewhere, tmp_path), "the lock is held by another owner"
    lock = tmp_path / "migration_worker7.lock"
    lock.write_text(str(elsewhere))
    assert is_alive(elsewhere, tmp_path)
    child.kill()
    child.wait(10)
    assert not is_alive(elsewhere, tmp_path)


def test_a_worker_id_runs_once(tmp_path: Path) -> None:
    """The second one is told the pid of the first."""
    child, _owner = start(tmp_path)
    with pytest.raises(
        WorkerIdTaken, match=f"worker 7 is already running .pid {child.pid}."
    ):
        WorkerLock(tmp_path, this_process(7))
    child.kill()
    child.wait(10)
    WorkerLock(tmp_path, this_process(7)).release()


def test_an_owner_is_written_and_read_again() -> None:
    """As one string."""
    mine = this_process(3)
    assert Owner.parse(str(mine)) == mine
