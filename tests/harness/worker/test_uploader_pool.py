"""The uploader threads and the main thread's ways of waiting for them."""

import functools
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from common.exit_status import ExitCode
from migration.lanes.lane import Work
from migration.model import Book, BookId
from migration.worker.threads.uploader_pool import Hands, Stopping, UploaderPool
from migration.worker.threads.work_queue import WorkQueue
from tests.support.migration.fakes import ToldClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Scene:
    """A pool over a queue, and how many of its threads have left."""

    def __init__(self, size: int = 2) -> None:
        self.left = threading.Semaphore(0)
        self.queue = WorkQueue(ToldClock(NOW))
        self.pool = UploaderPool(self.queue, self.left.release, size)

    def works(self, *numbers: int) -> list[Work]:
        """A book each."""
        return [
            cast(Any, Work)(Book(BookId(number), f"Book {number}"), None, [])
            for number in numbers
        ]


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Ended after the test."""
    made = Scene()
    yield made
    made.pool.dismiss()


def test_the_first_failure_of_a_thread_ends_all(scene: Scene) -> None:
    """The main thread raises it."""

    def broken(_work: Work) -> None:
        raise KeyError("nothing")

    scene.pool.start(broken)
    scene.queue.load(scene.works(1, 2))
    assert scene.left.acquire(timeout=10)
    with pytest.raises(KeyError, match="nothing"):
        scene.pool.check(0.0)


def test_what_is_slow_is_done_beside_the_main_thread(scene: Scene) -> None:
    """Which goes on beating; what was raised there is raised here."""
    beats = threading.Semaphore(0)

    def slow() -> int:
        assert beats.acquire(timeout=10)
        return 7

    assert scene.pool.meanwhile(slow, beats.release) == 7

    def broken() -> int:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        scene.pool.meanwhile(broken, lambda: None)


def test_a_signal_ends_every_waiting(scene: Scene) -> None:
    """The status says which one; a second one ends at once."""
    before = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)
    }
    ended = threading.Event()
    try:
        status = scene.pool.stop_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        for waiting in (
            lambda: scene.pool.check(0.0),
            lambda: scene.pool.check(60.0),
            lambda: scene.pool.rest(60.0, lambda: None),
            lambda: scene.pool.sleep(60.0),
            scene.pool.heed_stop,
            lambda: scene.pool.meanwhile(lambda: ended.wait(60), lambda: None),
        ):
            with pytest.raises(Stopping):
                waiting()
        assert status() is ExitCode(143)
        with pytest.raises(SystemExit) as second:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)
        assert second.value.code == 130
    finally:
        ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_does_not_end_in_time_is_given_back(scene: Scene) -> None:
    """What only waited is forgotten: its range is given back as a whole."""
    begun, may_go = threading.Semaphore(0), threading.Event()

    def hang(_work: Work) -> None:
        begun.release()
        may_go.wait(30)

    scene.pool.start(hang)
    scene.queue.load(scene.works(1, 2, 3))
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)
    back: list[int] = []
    scene.pool.end(0.0, lambda work: back.append(work.book.id))
    may_go.set()
    assert sorted(back) == [1, 2]


def test_a_pool_only_grows(scene: Scene) -> None:
    """Threads that are there stay."""
    assert not scene.pool.grow(2, lambda _work: None)
    assert scene.pool.grow(3, lambda _work: None)
    assert not scene.pool.grow(1, lambda _work: None)
    assert scene.pool.size == 3
    scene.pool.start(lambda _work: None)
    assert scene.pool.grow(4, lambda _work: None)


def test_rest_beats_and_ends(scene: Scene) -> None:
    """Nothing is waited for when nothing is left of it."""
    beats: list[int] = []
    scene.pool.rest(0.0, lambda: beats.append(1))
    assert beats == []
    scene.pool.rest(0.001, lambda: beats.append(1))
    assert beats == [1]


def test_hands_do_what_they_are_handed() -> None:
    """Results and errors come back; each thread says when it leaves."""
    left = threading.Semaphore(0)
    hands = Hands(2, left.release)
    done = [hands.submit(functools.partial(pow, n, 2)) for n in range(5)]
    failed = hands.submit(lambda: 1 / 0)
    assert [future.result(10) for future in done] == [0, 1, 4, 9, 16]
    with pytest.raises(ZeroDivisionError):
        failed.result(10)
    hands.dismiss()
    assert left.acquire(timeout=10)
    assert left.acquire(timeout=10)
