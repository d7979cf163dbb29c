"""The stack of a worker that hangs can be had, and taking it never ends the worker."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from auto_monitor.model import Identity
from auto_monitor.processes import WorkerCommand, Workers
from tests.support.environment import PROJECT, clean_environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
#: A process the monitor knows as worker 1, which hangs in one way or another.
WORKER = """
import os, re, threading
from pathlib import Path
from migration.worker.process import stacks
stacks.write_on_signal(Path({state!r}), 1)
{hang}
"""
#: Short calls again and again: with faulthandler instead of the interpreter's lock this
#: dies at the third stack.
SPINNING = """
resting = threading.Event()
class Uploader:
    def heed_stop(self):
        return resting.is_set()
    def spin(self):
        while not os.environ.get("nothing of the kind"): self.heed_stop()
for number in range(7):
    threading.Thread(target=Uploader().spin, name=f"upload-{number}").start()
print("ready", flush=True)
Uploader().spin()
"""
WAITING = """
held = threading.Lock()
held.acquire()
def wait_for_lock():
    held.acquire()
threading.Thread(target=wait_for_lock, name="upload-0").start()
print("ready", flush=True)
os.read(os.pipe()[0], 1)
"""
IN_C = """
def backtrack():
    print("ready", flush=True)
    re.match("(a+)+b", "a" * 60)
threading.Thread(target=backtrack, name="upload-0").start()
threading.Event().wait()
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Callable[[str], tuple[Workers, Identity]]]:
    """Starts such a process."""
    started: list[subprocess.Popen[str]] = []

    def start(hang: str) -> tuple[Workers, Identity]:
        script = tmp_path / "bulk_migrate_calibre.py"
        script.write_text(WORKER.format(state=str(tmp_path), hang=hang), "utf-8")
        process = subprocess.Popen(
            [
                sys.executable,
                str(script),
                "--state-dir",
                str(tmp_path),
                "--worker-id",
                "1",
            ],
            text=True,
            env=clean_environment(PYTHONPATH=str(PROJECT)),
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        born = datetime.fromtimestamp(psutil.Process(process.pid).create_time(), tz=UTC)
        return Workers(
            WorkerCommand(script, tmp_path, "http://s", tmp_path, PROJECT),
            grace_seconds=1,
        ), Identity(process.pid, born)

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def test_a_worker_survives_that_its_stack_is_taken(
    hanging: Callable[[str], tuple[Workers, Identity]],
) -> None:
    """Eight threads that never rest, forty stacks: each is whole, and the process goes
    on."""
    workers, identity = hanging(SPINNING)
    for _ in range(40):
        lines = workers.take_stack(identity, 1, 30).splitlines()
        heads = [line for line in lines if line.startswith("Thread ")]
        assert len(heads) == 8, lines
        assert heads[-1] == "Thread MainThread (most recent call first):"
        # The main thread may not have come so far yet.
        assert sum(" in spin" in line for line in lines) >= 7
    assert workers.find(identity, 1) is not None


HANGS = [
    (
        WAITING,
        [
            "Thread upload-0 (most recent call first):",
            " in wait_for_lock",
            " in <module>",
        ],
    ),
    # The thread keeps the interpreter's lock: faulthandler, which knows no names, has
    # to answer.
    (IN_C, ["most recent call first", " in backtrack"]),
]


@pytest.mark.parametrize(("hang", "words"), HANGS, ids=["everybody waits", "in C"])
def test_whatever_it_hangs_on(
    hanging: Callable[[str], tuple[Workers, Identity]], hang: str, words: list[str]
) -> None:
    """In a system call, for a lock, in C code: where it is can be read."""
    workers, identity = hanging(hang)
    text = workers.take_stack(identity, 1, 6)
    assert [word for word in words if word not in text] == []
    assert workers.find(identity, 1) is not None
