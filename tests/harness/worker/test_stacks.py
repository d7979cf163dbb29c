"""Where the threads are, as a worker writes it when it is asked to."""

import faulthandler
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from migration.errors import StateUnwritable
from migration.worker.process import stacks
from tests.support.migration.workerkit import wait_for


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Asks; returns what was written since."""
    before, mask = signal.getsignal(stacks.ASK), signal.pthread_sigmask(0, ())
    known = set(threading.enumerate())
    stacks.write_on_signal(tmp_path, 7)
    [writer] = set(threading.enumerate()) - known
    path = stacks.stack_path(tmp_path, 7)

    def asking() -> str:
        there = path.stat().st_size
        assert writer.ident is not None
        signal.pthread_kill(writer.ident, stacks.ASK)
        wait_for(lambda: path.read_bytes()[there:].endswith(b"\n"), seconds=20)
        return path.read_bytes()[there:].decode()

    yield asking
    faulthandler.unregister(stacks.INSIST)
    signal.signal(stacks.ASK, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_every_thread_is_written_with_its_place(ask: Callable[[], str]) -> None:
    """By its name, the main thread last; the writer itself is not there."""
    may_go = threading.Event()

    def waiting_here() -> None:
        may_go.wait(30)

    thread = threading.Thread(target=waiting_here, name="waits here")
    thread.start()
    try:
        first, second = ask(), ask()
    finally:
        may_go.set()
        thread.join()
    for text in (first, second):
        blocks = re.split(r"^Thread ", text, flags=re.MULTILINE)[1:]
        of = {block.split(" (most", 1)[0]: block for block in blocks}
        assert "in waiting_here" in of["waits here"]
        assert blocks[-1].startswith("MainThread (most recent call first):\n")
        assert "in test_every_thread_is_written_with_its_place" in of["MainThread"]
        assert "_write_when_asked" not in of


def test_a_thread_that_is_deep_is_cut(ask: Callable[[], str]) -> None:
    """After a hundred places, the innermost first."""

    def deeper(left: int) -> str:
        return deeper(left - 1) if left else ask()

    lines = deeper(150).splitlines()
    main = lines[lines.index("Thread MainThread (most recent call first):") + 1 :]
    assert len(main) == stacks.DEEPEST + 1
    assert main[-1] == "  ..."
    assert sum(line.endswith("in deeper") for line in main) > 50


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before any signal is taken."""
    with pytest.raises(StateUnwritable, match=r"cannot write .*worker7\.stack"):
        stacks.write_on_signal(tmp_path / "nowhere", 7)
