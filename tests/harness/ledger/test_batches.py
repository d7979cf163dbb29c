"""Batches of the direct lane in a real ledger: journal, claims, the end in one step."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migration.errors import Deferred, FalseClaim
from migration.ledger import totals
from migration.ledger.batch_journal import (
    EndedBook,
    JournalBook,
    JournalFile,
    ShelfOfBook,
)
from migration.ledger.ledger import Ledger
from migration.ledger.records import BookState, Carried, MadeKind, Range, Taken
from migration.metadata.compare import Base, Fields
from migration.metadata.shelves import MadeItem
from migration.model import (
    BookFile,
    BookId,
    Counts,
    Digest,
    EbookId,
    FileId,
    ItemId,
    Outcome,
    Receipt,
    ShelfId,
    SourceId,
)
from migration.state_files.owner import Owner, this_process
from tests.support.migration.fakes import ToldClock
from tests.support.migration.workerkit import dead_owner

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ASIMOV = ("author", "Asimov, Isaac")


class House:
    """Ledgers of several owners on one file."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.clock = ToldClock(NOW)
        self.opened: list[Ledger] = []

    def ledger(self, owner: Owner | None = None) -> Ledger:
        """A ledger for an owner; this process by default."""
        self.opened.append(Ledger(self.state_dir, owner or this_process(1), self.clock))
        return self.opened[-1]

    def counts(self) -> Counts:
        """The counters of the newest pass."""
        found = totals.read(self.state_dir / "migration_ledger.db")
        assert found is not None
        return found.counts


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    for ledger in made.opened:
        ledger.close()


def file_of(book: int) -> FileId:
    return FileId(BookId(book), "EPUB")


def claimed(ledger: Ledger, books: int = 3) -> Range:
    """A pass whose first range has these books, registered."""
    pass_id = ledger.passes.join(books, may_open=True)
    assert pass_id is not None
    owned = ledger.files.claim_range(pass_id, lambda _after: books)
    assert owned is not None
    listed = [
        (BookFile(file_of(book), b"x/y", 10, 1), "") for book in range(1, books + 1)
    ]
    ledger.files.register(owned, listed)
    return owned


def journal(book: int) -> JournalBook:
    return JournalBook(
        BookId(book),
        EbookId(100 + book),
        f"A/{book}",
        (JournalFile(file_of(book), SourceId(200 + book), f"A/{book}/b.epub"),),
        f"Book ~1-{book}",
        Fields(f"Book {book}"),
    )


def digest(book: int) -> Digest:
    return Digest(f"{book:040x}", 10)


def ended(book: int, lost: tuple[str, ...] = ("publisher",)) -> EndedBook:
    ebook = EbookId(100 + book)
    fields = Fields(f"Book {book}")
    return EndedBook(
        BookId(book),
        BookState(f"Book ~1-{book}", ebook, title=f"Book {book}"),
        ((file_of(book), Receipt(digest(book), ebook, SourceId(200 + book))),),
        {ASIMOV: 7},
        Carried(Base(fields, fields), 1),
        b"2026",
        lost,
        (
            ShelfOfBook(
                "Read", ShelfId(5), MadeItem("n", id=ItemId(50 + book)), book == 1
            ),
        ),
    )


def test_a_batch_ends_with_everything_in_one_step(house: House) -> None:
    """Files, hashes, books, values, names, shelves, what was made, and the counters."""
    ledger = house.ledger()
    owned = claimed(ledger)
    batch = ledger.hashes.batches.begin(owned.pass_id, [journal(1), journal(2)])
    files = {file_of(1): digest(1), file_of(2): digest(2)}
    assert ledger.hashes.batches.claim(files, {BookId(1): [ASIMOV]}) == frozenset()
    assert ledger.hashes.batches.end(batch, [ended(1), ended(2)]) == [
        file_of(1),
        file_of(2),
    ]
    assert house.counts() == Counts(discovered=3, uploaded=2, pending=1)
    assert digest(1) in ledger.hashes
    state = ledger.books.get(BookId(2))
    assert state == BookState("Book ~1-2", EbookId(102), title="Book 2")
    assert ledger.carried.get(BookId(1)) == ended(1).carried
    known = ledger.carried.file(file_of(2))
    assert known is not None
    assert (known.outcome, known.source_id) == (Outcome.UPLOADED, 202)
    assert ledger.hashes.take_names(BookId(3), [ASIMOV]) == {ASIMOV: 7}
    assert ledger.shelves.known(["Read"]) == {"Read": 5}
    made = ledger.undoing.page(owned.pass_id, 0)
    assert {(one.kind, one.server_id) for one in made} == {
        (MadeKind.EBOOK, 101),
        (MadeKind.EBOOK, 102),
        (MadeKind.SOURCE, 201),
        (MadeKind.SOURCE, 202),
        (MadeKind.ITEM, 51),
        (MadeKind.ITEM, 52),
    }
    assert ledger.undoing.find(MadeKind.SHELF, 5) is not None
    assert not ledger.hashes.batches.any()


def test_books_that_never_arrived_leave_nothing(house: House) -> None:
    ledger = house.ledger()
    owned = claimed(ledger)
    batch = ledger.hashes.batches.begin(owned.pass_id, [journal(1), journal(2)])
    ledger.hashes.batches.claim({file_of(2): digest(2)}, {})
    ledger.hashes.batches.end(batch, [ended(1)])
    assert house.counts() == Counts(discovered=3, uploaded=1, pending=2)
    assert ledger.books.get(BookId(2)) is None
    assert isinstance(ledger.hashes.take(file_of(2), digest(2), ()), Taken)


def test_ending_with_other_ids_than_were_begun_is_refused(house: House) -> None:
    """Whatever the lane's process says, the journal was there before."""
    ledger = house.ledger()
    batch = ledger.hashes.batches.begin(claimed(ledger).pass_id, [journal(1)])
    other = ended(1)
    (file, receipt) = other.receipts[0]
    for wrong in (
        ended(2),
        replace(other, state=replace(other.state, ebook_id=EbookId(9))),
        replace(other, receipts=()),
        replace(other, receipts=((file, replace(receipt, source_id=SourceId(9))),)),
        replace(other, receipts=((file, replace(receipt, ebook_id=EbookId(9))),)),
    ):
        with pytest.raises(FalseClaim):
            ledger.hashes.batches.end(batch, [wrong])
    assert ledger.hashes.batches.all() == [batch]
    assert house.counts().uploaded == 0


@pytest.mark.parametrize("whose", ["known", "another book's", "a batch-mate's"])
def test_bytes_that_are_not_new_are_not_claimed(house: House, whose: str) -> None:
    ledger = house.ledger()
    claimed(ledger)
    files = {file_of(1): digest(1)}
    if whose == "known":
        ledger.hashes.learn([Receipt(digest(1), EbookId(1), SourceId(1))])
    elif whose == "another book's":
        ledger.hashes.take(file_of(3), digest(1), ())
    else:
        files = {file_of(2): digest(1), file_of(1): digest(1)}
    assert ledger.hashes.batches.claim(files, {}) == {1}
    taken = ledger.hashes.take(file_of(3), digest(3), [ASIMOV])
    assert isinstance(taken, Taken)


def test_names_are_shared_in_a_batch_and_with_nobody_else(house: House) -> None:
    ledger = house.ledger()
    claimed(ledger)
    files = {file_of(1): digest(1), file_of(2): digest(2)}
    names = {BookId(1): [ASIMOV], BookId(2): [ASIMOV]}
    assert ledger.hashes.batches.claim(files, names) == frozenset()
    with pytest.raises(Deferred):
        ledger.hashes.take(file_of(3), digest(3), [ASIMOV])
    assert ledger.hashes.batches.claim(
        {file_of(3): digest(3)}, {BookId(3): [ASIMOV]}
    ) == {3}


def test_names_of_another_workers_batch_are_no_obstacle(house: House) -> None:
    """Lanes make them under a lock of the server's; bytes are claimed all the same."""
    mine, other = house.ledger(), house.ledger(dead_owner(2))
    pass_id = claimed(mine).pass_id
    for ledger, book in ((mine, 1), (other, 2)):
        ledger.hashes.batches.begin(pass_id, [journal(book)])
        files, names = {file_of(book): digest(book)}, {BookId(book): [ASIMOV]}
        assert ledger.hashes.batches.claim(files, names) == frozenset()
    assert other.hashes.batches.claim({file_of(3): digest(1)}, {}) == {3}


def test_batches_of_dead_workers_are_taken_over_those_of_live_ones_are_not(
    house: House,
) -> None:
    dead, mine = house.ledger(dead_owner(2)), house.ledger()
    pass_id = claimed(mine).pass_id
    dead.hashes.batches.begin(pass_id, [journal(1)])
    mine.hashes.batches.begin(pass_id, [journal(2)])
    assert [
        mine.hashes.batches.is_mine(one) for one in mine.hashes.batches.all()
    ].count(True) == 1
    mine.hashes.batches.take_over()
    assert all(mine.hashes.batches.is_mine(one) for one in mine.hashes.batches.all())
    dead.hashes.batches.take_over()
    assert all(mine.hashes.batches.is_mine(one) for one in mine.hashes.batches.all())


def test_a_settled_batch_holds_no_claim_and_stays_known(house: House) -> None:
    ledger = house.ledger()
    batch = ledger.hashes.batches.begin(claimed(ledger).pass_id, [journal(1)])
    ledger.hashes.batches.claim({file_of(1): digest(1)}, {})
    ledger.hashes.batches.settle(batch)
    assert [one.settled for one in ledger.hashes.batches.all()] == [True]
    assert isinstance(ledger.hashes.take(file_of(2), digest(1), ()), Taken)
