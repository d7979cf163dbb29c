"""Killed between any two steps: nothing is lost, nothing twice, no file without its row.

The worker of the first tests is a process of its own, and really killed; what it leaves
is on a real disk and in real databases.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from migration.lanes.direct.child import HostBroke
from migration.ledger import totals
from migration.model import Counts, EbookId
from migration.server.payloads import Ebook
from tests.support.migration.directkit import Step
from tests.support.migration.lanekit import LaneHouse, LaneWorker, book_of

BOOKS = 5
ALL = [f"Book {number}" for number in range(1, BOOKS + 1)]


def house_of(folder: Path) -> LaneHouse:
    return LaneHouse(folder, [book_of(number) for number in range(1, BOOKS + 1)])


def counts(house: LaneHouse) -> Counts:
    found = totals.read(house.state_dir / "migration_ledger.db")
    assert found is not None
    return found.counts


def at(point: int, act: Callable[[], None]) -> Step:
    """A step that acts when it is reached so often."""
    reached = [0]

    def step(_name: str) -> None:
        reached[0] += 1
        if reached[0] == point:
            act()

    return step


def in_a_process(carry: Callable[[], object]) -> int:
    """Runs it in a process of its own; returns the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        try:
            carry()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def killed(house: LaneHouse, point: int) -> bool:
    """Runs a worker that is killed at this step; whether it got so far."""

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return in_a_process(lambda: house.worker(step=at(point, kill)).carry()) != 0


def as_it_should_be(house: LaneHouse, worker: LaneWorker) -> None:
    assert house.world.titles() == ALL
    assert house.world.files() == house.world.named()
    assert counts(house) == Counts(discovered=BOOKS, uploaded=BOOKS)
    assert not worker.ledger.hashes.batches.any()
    for book in house.books:
        known = worker.ledger.carried.get(book.id)
        assert known is not None
        assert known.base.calibre.cover == known.base.server.cover != ""


def test_a_worker_killed_at_any_step_is_followed_by_one_that_finishes(
    tmp_path: Path,
) -> None:
    """It finishes what was committed, removes what was not, and carries the rest."""
    point = 0
    while True:
        point += 1
        house = house_of(tmp_path / str(point))
        if not killed(house, point):
            break
        worker = house.worker()
        assert worker.carry() == [], point
        as_it_should_be(house, worker)
    assert point > 30


def test_two_workers_killed_one_after_the_other(tmp_path: Path) -> None:
    """The second one while it settles what the first has left."""
    for second in (1, 2, 3, 8, 14):
        house = house_of(tmp_path / str(second))
        assert killed(house, 16)
        assert killed(house, second)
        worker = house.worker()
        assert worker.carry() == []
        as_it_should_be(house, worker)


def test_a_process_that_dies_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """Its worker lives: what was committed counts, what was in hand goes by the API."""
    point = 0
    while True:
        point += 1
        house = house_of(tmp_path / str(point))
        died: list[bool] = []

        def die(died: list[bool] = died) -> None:
            died.append(True)
            raise HostBroke("it ended with status -9")

        worker = house.worker(step=of_the_host(at(point, die)))
        left = worker.carry()
        assert house.world.files() == house.world.named()
        done = counts(house)
        assert (done.uploaded, done.pending) == (BOOKS - len(left), len(left))
        assert len(house.world.titles()) == done.uploaded
        assert len(left) <= 3
        assert not worker.ledger.hashes.batches.any()
        if not died:
            break
    assert point > 10


def of_the_host(step: Step) -> Step:
    """The same for the steps of the host alone."""
    return lambda name: None if "worker" in name else step(name)


@pytest.mark.parametrize("committed", [False, True])
def test_without_the_host_the_server_is_asked(
    tmp_path: Path, *, committed: bool
) -> None:
    """The API finishes what is there; files that may be left wait for the next lane."""
    house = house_of(tmp_path)

    def kill(name: str) -> None:
        if name == ("after the commit" if committed else "before the commit"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process(lambda: house.worker(step=kill).carry())
    worker = house.worker(off="MBS2_DATA_DIR is not set")
    [batch] = worker.ledger.hashes.batches.all()
    [book] = batch.books
    if committed:
        sources = tuple((file.source_id, "epub", 1) for file in book.files)
        house.server.ebooks[EbookId(book.ebook_id)] = Ebook(
            book.ebook_id, 1, book.calibre.title, True, {}, sources
        )
    assert len(worker.carry()) == BOOKS
    assert (worker.ledger.books.get(book.id) is not None) == committed
    assert [one.settled for one in worker.ledger.hashes.batches.all()] == [True]
    assert worker.ledger.hashes.batches.left_over() == 1
    again = house.worker()
    rest = again.lane.carry(again.works())
    assert [work.book.id for work in rest] == ([book.id] if committed else [])
    assert house.world.files() == house.world.named()
    assert not again.ledger.hashes.batches.any()
