"""The process that opens a pass: a worker's, with a limit, and always with an end."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from auto_monitor.act.opening import TOOK_TOO_LONG, OpeningProcess
from auto_monitor.ports import Opened
from auto_monitor.processes import OPEN_PASS, WorkerCommand, Workers, identity_of
from tests.support.migration.workerkit import wait_for

SCRIPT = """
import os, sys
assert sys.argv[-1] == "--open-pass"
sys.stderr.write(f"one line\\nwaited {os.environ['START_SECONDS']} s\\n")
raise SystemExit(CODE)
"""


def command(folder: Path, text: str) -> WorkerCommand:
    """A script in place of the worker's."""
    script = folder / "worker.py"
    script.write_text(text)
    return WorkerCommand(script, folder / "library", "http://s", folder, folder)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[OpeningProcess]:
    """One that never ends by itself."""
    made = OpeningProcess(
        command(tmp_path, "import time\ntime.sleep(600)\n"), lock_seconds=600
    )
    yield made
    made.close()


def started(opening: OpeningProcess) -> psutil.Process:
    """Starts it; other children are servers that tests of this process share."""
    before = set(psutil.Process().children())
    opening.start()
    (child,) = set(psutil.Process().children()) - before
    return child


@pytest.mark.parametrize("code", [0, 3])
def test_how_it_ends_is_known_with_its_last_words(tmp_path: Path, code: int) -> None:
    """It waits 15 s for a server, unless the environment says something else."""
    text = SCRIPT.replace("CODE", str(code))
    opening = OpeningProcess(command(tmp_path, text), lock_seconds=60)
    assert (opening.runs, opening.result()) == (False, None)
    opening.start()
    assert opening.runs
    wait_for(lambda: opening.over)
    assert opening.result() == Opened(code, "waited 15 s")
    assert (opening.runs, opening.result()) == (False, None)


def test_it_is_ended_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That counts as a server that does not answer."""
    text = "import time\ntime.sleep(600)\n"
    opening = OpeningProcess(command(tmp_path, text), lock_seconds=60)
    child = started(opening)
    assert opening.result() is None
    later = time.monotonic() + 91
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert opening.over
    assert opening.result() == Opened(
        TOOK_TOO_LONG, "library and server were not ready within 90 s"
    )
    assert not child.is_running()


def test_it_is_none_of_the_workers(sleeper: OpeningProcess, tmp_path: Path) -> None:
    """A monitor that takes over from a killed one must not take it for worker 1."""
    child = started(sleeper)
    wait_for(lambda: OPEN_PASS in child.cmdline())
    workers = Workers(command(tmp_path, ""), grace_seconds=1)
    assert not workers.lives(identity_of(child.pid), 1)
    sleeper.close()
    sleeper.close()
    assert not child.is_running()
