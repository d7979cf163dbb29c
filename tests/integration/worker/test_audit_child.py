"""The audit's process: who it listens to, and how it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from migration.audit import messages
from migration.audit.child import AuditBroke, AuditChild
from migration.audit.messages import Begun, Done, Failed, Message, Order
from migration.worker.threads.uploader_pool import Stopping
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import not_audited_yet, order_for
from tests.support.migration.workerkit import FAST, wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf


@pytest.fixture
def order(tmp_path: Path, shelf: Shelf, workers: Workers) -> Order:
    """The order to audit three books."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    code, said = workers.run(library.root, shelf, AUDIT="off", **FAST)
    assert code == 0, said
    not_audited_yet(workers.state_dir)
    return order_for(library, shelf, workers.state_dir)


def told(order: Order, heed: Callable[[], None] = lambda: None) -> list[Message]:
    """What a child tells."""
    return list(AuditChild(order, 60.0, heed).messages())


def children() -> list[psutil.Process]:
    """The audits of this process."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "migration.audit" in child.cmdline()
    ]


def test_it_tells_what_it_does_and_ends(order: Order) -> None:
    """The first word and the last."""
    said = told(order)
    assert (said[0], len(said), said[-1]) == (Begun(3, 3), 5, Done())
    assert children() == []


def test_a_library_that_is_none_is_told(order: Order, tmp_path: Path) -> None:
    """In the words of the worker's own errors."""
    last = told(replace(order, library=tmp_path))[-1]
    assert isinstance(last, Failed)
    assert "metadata.db" in last.why


def test_a_worker_that_is_asked_to_stop_ends_it(order: Order) -> None:
    """Although the server does not answer."""
    away = replace(order, server="http://127.0.0.1:9")
    asked: list[float] = []

    def heed() -> None:
        asked.append(time.monotonic())
        if len(asked) > 6:
            raise Stopping

    with pytest.raises(Stopping):
        told(away, heed)
    assert children() == []


def test_one_that_is_silent_or_killed_broke(order: Order) -> None:
    """The deadline is for its silence, not for its work."""

    def freeze() -> None:
        for child in children():
            child.suspend()

    with pytest.raises(AuditBroke, match="no sign of life for 0 s"):
        list(AuditChild(order, 0.0, freeze).messages())
    assert children() == []

    def kill() -> None:
        for child in children():
            child.kill()

    with pytest.raises(AuditBroke, match="status -9"):
        told(order, kill)


WORKER = """
import sys
from migration.audit import messages
from migration.audit.child import AuditChild
order = messages.order(sys.stdin.buffer.readline())
for message in AuditChild(order, 60.0, lambda: None).messages():
    print(message, flush=True)
"""


def test_it_ends_when_its_worker_was_killed(order: Order) -> None:
    """With kill -9 the worker can end nothing itself."""
    away = replace(order, server="http://127.0.0.1:9")
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=PROJECT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(away.line())
    worker.stdin.flush()
    # The first word: it has its order.
    assert os.read(worker.stdout.fileno(), 100)
    [child] = psutil.Process(worker.pid).children()
    worker.kill()
    worker.wait(10)
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    worker.stdin.close()
    worker.stdout.close()


def test_an_order_survives_its_pipe_and_shows_no_secret(order: Order) -> None:
    """The password is in the line, and nowhere else."""
    assert messages.order(order.line()) == order
    assert order.password not in repr(order)
