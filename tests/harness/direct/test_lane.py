"""A range through the direct lane: what it carries, what it leaves to the API, and why."""

import hashlib
import logging
from pathlib import Path

import pytest

from migration.errors import Misconfigured, ServerUnreachable
from migration.lanes.direct.child import Channel, HostBroke
from migration.ledger import totals
from migration.ledger.records import BookState, Step
from migration.model import BookId, Counts, Digest, EbookId, FileId, Receipt, SourceId
from migration.server.direct.batch import Placed, Written
from migration.state_files import not_carried
from tests.support.migration.lanekit import (
    LaneHouse,
    book_of,
    misconfigured,
    work_of,
)


def counts(house: LaneHouse) -> Counts:
    found = totals.read(house.state_dir / "migration_ledger.db")
    assert found is not None
    return found.counts


@pytest.fixture
def house(tmp_path: Path) -> LaneHouse:
    return LaneHouse(tmp_path, [book_of(number) for number in range(1, 11)])


def test_a_range_is_carried_whole(house: LaneHouse) -> None:
    """Every file has its receipt, its place and its row; nothing is left to do."""
    worker = house.worker()
    assert worker.carry() == []
    assert counts(house) == Counts(discovered=10, uploaded=10)
    assert house.world.files() == house.world.named()
    assert len(house.world.files()) == 20
    assert len(set(worker.watched.arrived_files)) == 10
    assert not worker.ledger.hashes.batches.any()
    state = worker.ledger.books.get(BookId(3))
    assert state is not None
    assert (state.steps, state.title) == (Step.NONE, "Book 3")


def test_what_is_carried_is_what_the_next_run_compares(house: LaneHouse) -> None:
    """Both sides are recorded, pictures by their own bytes; comments are no loss."""
    worker = house.worker()
    worker.carry()
    known = worker.ledger.carried.get(BookId(1))
    assert known is not None
    assert known.base.calibre == known.base.server
    assert known.base.calibre.title == "Book 1"
    assert known.base.calibre.cover
    lines = (house.state_dir / not_carried.NAME).read_text("utf-8").splitlines()
    assert len(lines) == 10
    assert all("publisher" in line and "comments" not in line for line in lines)


def test_shelves_are_filled_and_recorded(tmp_path: Path) -> None:
    house = LaneHouse(tmp_path, [book_of(1), book_of(2)])
    worker = house.worker()
    worker.claim()
    works = [work_of(book, tags=["To read"]) for book in house.books]
    assert worker.lane.carry(works) == []
    shelf = worker.ledger.shelves.known(["To read"])["To read"]
    assert shelf in worker.ledger.shelves.items(BookId(2))
    known = worker.ledger.carried.get(BookId(2))
    assert known is not None
    assert known.base.server.shelves == known.base.calibre.shelves == {"To read"}


@pytest.mark.parametrize("title", ["odd", "refused"])
def test_a_book_that_the_host_refuses_goes_by_the_api(
    tmp_path: Path, title: str
) -> None:
    """At once, or by its database when its files were placed already."""
    books = [book_of(1), book_of(2, title), book_of(3), book_of(4)]
    house = LaneHouse(tmp_path, books)
    worker = house.worker()
    assert worker.carry() == [2]
    assert house.world.titles() == ["Book 1", "Book 3", "Book 4"]
    assert house.world.files() == house.world.named()
    assert counts(house) == Counts(discovered=4, uploaded=3, pending=1)
    assert worker.ledger.books.get(BookId(2)) is None


def test_bytes_that_the_server_has_go_by_the_api(house: LaneHouse) -> None:
    """They are duplicates, as there; their files are removed again."""
    worker = house.worker()
    held = (house.world.library / "4.EPUB").read_bytes()
    digest = Digest(hashlib.sha1(held).hexdigest(), len(held))
    worker.ledger.hashes.learn([Receipt(digest, EbookId(900), SourceId(900))])
    assert worker.carry() == [4]
    assert house.world.files() == house.world.named()
    assert counts(house).uploaded == 9


def test_a_book_that_was_begun_by_the_api_stays_with_it(house: LaneHouse) -> None:
    worker = house.worker()
    state = BookState("Book 5 ~1-5", EbookId(77), Step.TITLE)
    worker.ledger.books.save(BookId(5), state)
    assert worker.carry() == [5]


@pytest.mark.parametrize("why", ["not set", "not this server's"])
def test_without_a_host_everything_goes_by_the_api(
    house: LaneHouse, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, once."""
    caplog.set_level(logging.INFO)
    worker = (
        house.worker(off="MBS2_DATA_DIR is not set")
        if why == "not set"
        else house.worker(begin=misconfigured("the database is another server's"))
    )
    assert worker.carry() == list(range(1, 11))
    worker.lane.carry(worker.works())
    assert house.world.files() == set()
    assert caplog.text.count("The books go by the API: ") == 1


def test_a_process_that_breaks_is_begun_again_three_times(house: LaneHouse) -> None:
    """Then it is given up, and nothing is lost."""
    begun: list[int] = []

    def begin() -> Channel:
        begun.append(1)
        raise HostBroke("it ended with status 1")

    assert house.worker(begin=begin).carry() == list(range(1, 11))
    assert len(begun) == 3


def test_a_book_that_ends_the_process_goes_by_the_api_with_its_batch(
    tmp_path: Path,
) -> None:
    """The others are carried by the next process."""
    house = LaneHouse(
        tmp_path, [book_of(n, "crash" if n == 6 else "") for n in range(1, 11)]
    )
    worker = house.worker()
    left = worker.carry()
    assert 6 in left
    assert len(left) <= 3
    assert counts(house).uploaded == 10 - len(left)
    assert house.world.files() == house.world.named()
    assert not worker.ledger.hashes.batches.any()


def test_a_database_that_is_away_is_waited_for(house: LaneHouse) -> None:
    """Nothing goes by the API: that would not work either."""
    away = [True] * 4

    def begin() -> Channel:
        if away:
            away.pop()
            raise ServerUnreachable("the server's database does not answer")
        return house.world.channel()

    worker = house.worker(begin=begin)
    assert worker.carry() == []
    assert len(worker.watched.troubles) == 4


def test_a_limit_holds_back_the_rest(house: LaneHouse) -> None:
    worker = house.worker()
    worker.watched.most_batches = 2
    left = worker.carry()
    assert len(left) == 6
    assert counts(house).uploaded == 4


def test_the_first_book_is_looked_at_before_it_counts(house: LaneHouse) -> None:
    """When the server does not show it, the lane is off and the API asked about it."""

    def looked(_written: Written, _placed: Placed) -> None:
        raise Misconfigured("the server does not show what was written")

    worker = house.worker(looked=looked)
    house.clock.move(100)
    assert worker.carry() == list(range(1, 11))
    assert counts(house).uploaded == 0
    [batch] = worker.ledger.hashes.batches.all()
    assert batch.settled
    assert [book.id for book in batch.books] == [1]
    assert worker.ledger.carried.file(FileId(BookId(1), "EPUB")) is not None


def test_names_that_somebody_else_made_meanwhile_are_merged(house: LaneHouse) -> None:
    """Once a range is through; the ledger forgets ids that may be gone."""
    channel = house.world.channel()
    channel.host.rows.doubles = 1  # type: ignore[attr-defined]
    worker = house.worker(begin=lambda: channel)
    assert worker.carry() == []
    assert worker.ledger.hashes.take_names(BookId(99), [("author", "Doe, Jane")]) == {}


def test_a_lost_ledger_is_learned_again_from_the_servers_rows(house: LaneHouse) -> None:
    """No book is written twice; the API finds its ebook, and finishes its record."""
    first = house.worker()
    first.watched.most_batches = 2
    first.carry()
    written = house.world.titles()
    assert len(written) == 4
    first.ledger.close()
    for path in house.state_dir.glob("migration_ledger.db*"):
        path.unlink()
    again = house.worker(rebuilt=True)
    left = again.carry()
    assert [f"Book {number}" for number in left] == written
    assert len(house.world.titles()) == 10
    state = again.ledger.books.get(left[0])
    assert state is not None
    assert (state.steps, state.ebook_id is None) == (Step.RECORD, False)
