"""The ledger on a real SQLite file: passes, ranges, claims, attempts, the equation."""

import sqlite3
from collections.abc import Iterator, Set
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from migration.errors import (
    Deferred,
    Evidence,
    FalseClaim,
    LedgerCorrupt,
    StoppedItsWorker,
    Superseded,
    WrongLedger,
)
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.ledger.parts.pass_end import NOT_AUDITED
from migration.ledger.records import (
    Asked,
    BookState,
    Intention,
    LibraryView,
    Range,
    Step,
    Taken,
)
from migration.model import (
    BookFile,
    BookId,
    Counts,
    Digest,
    EbookId,
    FileId,
    Known,
    Origin,
    Outcome,
    Problem,
    Receipt,
    RemoteMatch,
    SourceId,
    UploadResult,
)
from migration.state_files import reservation
from migration.state_files.owner import Owner, this_process
from tests.support.migration.fakes import ToldClock
from tests.support.migration.workerkit import dead_owner

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ONE, TWO = Digest("1" * 40, 10), Digest("2" * 40, 20)
THREE = Digest("3" * 40, 30)


@dataclass(frozen=True)
class Listed:
    """A library that listed these files, whatever the range."""

    files: Set[FileId] | None

    def listed(self, _first: int, _last: int) -> Set[FileId] | None:
        """None: the range was not read."""
        return self.files

    def origins(self, _first: int, _last: int) -> dict[BookId, Origin]:
        """Nothing is known of its books."""
        return {}


class House:
    """Ledgers of several owners on one file."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.clock = ToldClock(NOW)
        self.opened: list[Ledger] = []

    def ledger(
        self, owner: Owner | None = None, library: LibraryView | None = None
    ) -> Ledger:
        """A ledger for an owner; this process by default."""
        self.opened.append(
            Ledger(
                self.state_dir, owner or this_process(1), self.clock, library=library
            )
        )
        return self.opened[-1]

    def dead(self) -> Ledger:
        """The ledger of a worker that died."""
        return self.ledger(dead_owner(2))

    def counts(self) -> Counts:
        """The counters of the newest pass."""
        found = totals.read(self.state_dir / "migration_ledger.db")
        assert found is not None
        return found.counts


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A state directory."""
    made = House(tmp_path)
    yield made
    for ledger in made.opened:
        ledger.close()


def file(
    book: int,
    kind: str = "EPUB",
    size: int = 10,
    mtime: int = 1,
    problem: Problem | None = None,
) -> BookFile:
    """A file of a library."""
    return BookFile(FileId(BookId(book), kind), b"x/y", size, mtime, problem)


def claim(ledger: Ledger, highest: int = 10) -> Range:
    """A pass and its first range."""
    pass_id = ledger.passes.join(highest, may_open=True)
    assert pass_id is not None
    owned = ledger.files.claim_range(pass_id, lambda after: highest)
    assert owned is not None
    return owned


def failed(book: int, reason: str) -> UploadResult:
    """A failure with its evidence."""
    return UploadResult(
        file(book).id, Outcome.FAILED, Evidence(reason, "seen", file(book).id)
    )


def receipt(digest: Digest, source: int = 1) -> Receipt:
    """The server's word."""
    return Receipt(digest, EbookId(1), SourceId(source))


def test_a_pass_from_its_first_file_to_its_end(house: House) -> None:
    """Registered, settled one way each, closed, proved."""
    ledger = house.ledger()
    owned = claim(ledger)
    files = [
        (file(1), ""),
        (file(2), ""),
        (file(3), "format not asked for"),
        (file(4, problem=Problem("missing", "not there")), ""),
    ]
    registered = ledger.files.register(owned, files)
    assert registered.todo == {FileId(BookId(1), "EPUB"), FileId(BookId(2), "EPUB")}
    assert registered.settled == Counts(4, 0, 0, 1, 1, 2)
    assert house.counts() == Counts(4, 0, 0, 1, 1, 2)
    assert not ledger.files.close_range(owned)
    ledger.files.account(1, UploadResult(file(1).id, Outcome.UPLOADED, receipt(ONE)))
    _new, known = ledger.hashes.learn([receipt(TWO)])
    ledger.files.account(1, UploadResult(file(2).id, Outcome.DUPLICATE, known[0]))
    assert ledger.files.close_range(owned)
    assert ledger.passes.is_closed(1)
    assert house.counts() == Counts(4, 1, 1, 1, 1, 0)
    assert totals.proved(ledger.path, 1)


def test_evidence_of_something_else_fails_no_file(house: House) -> None:
    """Of this file, of its book or of its bytes; whatever else the worker's own code
    may hold, it stays pending."""
    ledger = house.ledger()
    ledger.files.register(
        claim(ledger), [(file(number), "") for number in (1, 2, 3, 4)]
    )
    ledger.hashes.take(file(2).id, TWO, [])
    for about in (file(1, "PDF").id, BookId(3), TWO, None):
        with pytest.raises(ValueError, match="cannot fail for 'too big'"):
            ledger.files.account(
                1,
                UploadResult(
                    file(1).id, Outcome.FAILED, Evidence("too big", "no", about)
                ),
            )
    assert house.counts() == Counts(4, 0, 0, 0, 0, 4)
    for number, about in ((1, file(1).id), (2, TWO), (3, BookId(3))):
        assert ledger.files.account(
            1,
            UploadResult(
                file(number).id, Outcome.FAILED, Evidence("too big", "no", about)
            ),
        )
    assert house.counts() == Counts(4, 0, 0, 0, 3, 1)


def test_an_intention_lets_one_request_leave_and_no_second_before_it_is_known(
    house: House,
) -> None:
    """Neither the same again, nor another while the first is open, nor one of another
    kind; in no process."""
    ledger, other = house.ledger(), house.ledger(replace(this_process(2), started="1"))
    state, asked = BookState("w ~1-1"), Intention(Asked.CREATE, NOW)
    intended = ledger.books.intend(BookId(1), state, asked)
    assert ledger.books.get(BookId(1)) == replace(state, intention=asked)
    for of_any in (ledger, other):
        with pytest.raises(
            Deferred, match="not known yet what became of the last request to create"
        ):
            of_any.books.intend(BookId(1), state, asked)
    intended.spend(Asked.CREATE)
    with pytest.raises(Deferred, match="no fresh intention"):
        intended.spend(Asked.CREATE)
    with pytest.raises(Deferred, match="no fresh intention"):
        other.books.intend(BookId(2), state, asked).spend(Asked.ATTACH)
    ledger.books.save(BookId(1), state)
    ledger.books.intend(BookId(1), state, asked).spend(Asked.CREATE)


def test_a_range_that_is_given_up_waits_for_others_and_keeps_the_pass_open(
    house: House,
) -> None:
    """This process does not take it again and need not wait for it; another worker, or
    the next start, does."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), "")])
    assert not ledger.files.left.are_all(1)
    ledger.files.left.give_up(owned)
    assert ledger.files.claim_range(1, lambda after: 10) is None
    assert ledger.files.left.are_all(1)
    assert not ledger.passes.is_closed(1)
    other = house.ledger(replace(this_process(2), started="1"))
    # Nobody lives whose start is another: it is as if that worker had died with the
    # range in hand.
    assert other.files.claim_range(1, lambda after: 10) == replace(
        owned, taken_over=True
    )
    alive = house.ledger(this_process(1))
    taken = alive.files.claim_range(1, lambda after: 10)
    assert taken == replace(owned, taken_over=True)
    assert not ledger.files.left.are_all(1)


def test_a_second_pass_settles_what_has_not_changed_without_work(house: House) -> None:
    """Same size and mtime: duplicate; changed: to do; failed for good: failed; failed
    for now: to do."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.files.register(owned, [(file(number), "") for number in (1, 2, 3, 4)])
    ledger.files.account(1, UploadResult(file(1).id, Outcome.UPLOADED, receipt(ONE)))
    ledger.files.account(1, UploadResult(file(2).id, Outcome.UPLOADED, receipt(TWO, 2)))
    ledger.files.account(1, failed(3, "unsupported"))
    ledger.files.account(1, failed(4, "unreadable"))
    assert ledger.files.close_range(owned)
    again = claim(ledger)
    registered = ledger.files.register(
        again, [(file(1), ""), (file(2, mtime=2), ""), (file(3), ""), (file(4), "")]
    )
    assert registered.todo == {file(2).id, file(4).id}
    assert house.counts() == Counts(4, 0, 1, 0, 1, 2)


def test_accounting_twice_changes_nothing(house: House) -> None:
    """The second word about a file is not counted."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), "")])
    result = UploadResult(file(1).id, Outcome.UPLOADED, receipt(ONE))
    assert [ledger.files.account(1, result), ledger.files.account(1, result)] == [
        True,
        False,
    ]
    assert house.counts() == Counts(1, 1)


@pytest.mark.parametrize(
    ("digest", "error", "said"),
    [
        pytest.param(ONE, Deferred, "not known any more", id="its own, forgotten"),
        pytest.param(
            TWO, FalseClaim, "knows nothing of its bytes", id="another file's"
        ),
        pytest.param(THREE, FalseClaim, "knows nothing of its bytes", id="nobody's"),
    ],
)
def test_a_duplicate_needs_bytes_that_the_server_is_known_to_have(
    house: House, digest: Digest, error: type[Exception], said: str
) -> None:
    """Those of this very file, whoever says so; its own may have been lost meanwhile."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), "")])
    ledger.hashes.learn([RemoteMatch(ONE), RemoteMatch(TWO)])
    assert ledger.hashes.take(file(1).id, ONE, ()) == Known(ONE)
    ledger.doubts.forget(1, [(file(2).id, ONE)])
    with pytest.raises(error, match=said):
        ledger.files.account(
            1, UploadResult(file(1).id, Outcome.DUPLICATE, Known(digest))
        )
    assert house.counts() == Counts(1, pending=1)
    assert ONE not in ledger.hashes
    # The file is not lost: its bytes can be claimed and sent.
    assert ledger.hashes.take(file(1).id, ONE, ()) == Taken(fresh=True, ids={})


def test_a_part_of_a_range_closes_nothing(house: House) -> None:
    """The rest of it would be left out."""
    ledger = house.ledger(library=Listed(frozenset({file(1).id})))
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), "format not asked for")])
    with pytest.raises(Superseded):
        ledger.files.close_range(replace(owned, last=owned.last - 1))


@pytest.mark.parametrize("last", [0, -1])
def test_a_range_has_books(house: House, last: int) -> None:
    """Whatever the script says where it ends."""
    ledger = house.ledger()
    pass_id = ledger.passes.join(10, may_open=True)
    assert pass_id is not None
    assert ledger.files.claim_range(pass_id, lambda after: after + 5)
    with pytest.raises(FalseClaim, match="which has no books"):
        ledger.files.claim_range(pass_id, lambda after: after + last)


def test_a_changed_script_in_a_pass_calls_for_a_last_look(house: House) -> None:
    """Though it created and changed nothing."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.end.note_changed_script(owned.pass_id, "f" * 64)
    ledger.files.register(owned, [(file(1), "format not asked for")])
    assert ledger.files.close_range(owned)
    assert ledger.end.is_due(owned.pass_id)
    look = ledger.end.take(owned.pass_id)
    assert look is not None
    assert ledger.end.close(look, [])
    found = totals.read(ledger.path)
    assert found is not None
    assert dict(found.differences) == {NOT_AUDITED: 1}


def test_enrolling_a_range_again_changes_nothing_that_is_settled(house: House) -> None:
    """After a takeover; files that are gone from the library leave the count."""
    ledger = house.ledger()
    owned = claim(ledger)
    files = [(file(1), ""), (file(2), ""), (file(3), "")]
    ledger.files.register(owned, files)
    ledger.files.account(1, UploadResult(file(1).id, Outcome.UPLOADED, receipt(ONE)))
    registered = ledger.files.register(owned, files[:2])
    assert registered.todo == {file(2).id}
    assert house.counts() == Counts(2, 1, 0, 0, 0, 1)
    assert totals.proved(ledger.path, 1)


def test_only_a_dead_or_released_range_is_taken_over(house: House) -> None:
    """A live owner keeps its range, however long it says nothing."""
    dead, live = house.dead(), house.ledger()
    pass_id = dead.passes.join(20, may_open=True)
    assert pass_id == 1
    first = dead.files.claim_range(1, lambda after: after + 10)
    taken = live.files.claim_range(1, lambda after: after + 10)
    assert taken == replace(first or Range(0, 0, 0), taken_over=True)
    second = live.files.claim_range(1, lambda after: after + 10)
    assert second == Range(1, 11, 20)
    house.clock.now += timedelta(days=30)
    assert (
        house.ledger(replace(this_process(3), worker_id=3)).files.claim_range(
            1, lambda after: None
        )
        is None
    )
    live.files.release_ranges()
    assert house.ledger().files.claim_range(1, lambda after: None) == Range(
        1, 1, 10, taken_over=True
    )
    with pytest.raises(Superseded):
        dead.files.close_range(first or Range(0, 0, 0))


def test_a_joining_worker_opens_no_pass(house: House) -> None:
    """Workers that others start only join."""
    ledger = house.ledger()
    assert ledger.passes.join(5, may_open=False) is None
    assert ledger.passes.join(5, may_open=True) == 1
    assert ledger.passes.join(5, may_open=False) == 1


def test_an_empty_library_is_a_pass_that_closes_at_once(house: House) -> None:
    """Nothing to claim, nothing to wait for."""
    ledger = house.ledger()
    assert ledger.passes.join(0, may_open=True) == 1
    assert ledger.files.claim_range(1, lambda after: None) is None
    assert ledger.passes.is_closed(1)


def test_bytes_in_flight_are_not_sent_by_another(house: House) -> None:
    """Deferred while a live worker has them; known when it is done."""
    mine, other = house.ledger(), house.ledger(replace(this_process(5), worker_id=5))
    owned = claim(mine)
    mine.files.register(owned, [(file(1), ""), (file(2), "")])
    assert mine.hashes.take(file(1).id, ONE, []) == Taken(fresh=True, ids={})
    for ledger in (mine, other):
        with pytest.raises(Deferred):
            ledger.hashes.take(file(2).id, ONE, [])
    mine.files.account(1, UploadResult(file(1).id, Outcome.UPLOADED, receipt(ONE)))
    assert other.hashes.take(file(2).id, ONE, []) == Known(ONE)


def test_claims_are_taken_all_or_nothing(house: House) -> None:
    """A name that is in flight elsewhere leaves no claim on the bytes behind."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), ""), (file(2), ""), (file(3), "")])
    ledger.hashes.take(file(1).id, ONE, [("author", "Doe, Jane")])
    with pytest.raises(Deferred):
        ledger.hashes.take(file(2).id, TWO, [("author", "Doe, Jane"), ("series", "S")])
    assert isinstance(ledger.hashes.take(file(3).id, TWO, [("series", "S")]), Taken)


def test_a_dead_workers_claim_waits_until_its_last_request_has_settled(
    house: House,
) -> None:
    """Forty seconds after its last intention; the same book may go on at once, for it
    reconciles itself."""
    dead, live = house.dead(), house.ledger()
    owned = claim(dead)
    dead.files.register(owned, [(file(1), ""), (file(2), "")])
    dead.hashes.take(file(1).id, ONE, [])
    house.clock.now += timedelta(seconds=30)
    dead.books.save(
        BookId(1),
        BookState("w ~1-1", intention=Intention(Asked.CREATE, house.clock.now)),
    )
    house.clock.now += timedelta(seconds=39)
    with pytest.raises(Deferred) as aside:
        live.hashes.take(file(2).id, ONE, [])
    assert aside.value.until == NOW + timedelta(seconds=70)
    house.clock.now += timedelta(seconds=1)
    assert live.hashes.take(file(2).id, ONE, []) == Taken(fresh=False, ids={})


def test_a_file_that_kills_its_worker_three_times_is_given_up(house: House) -> None:
    """Attempts are counted before the file is opened; giving back is no death."""
    ledger = house.ledger()
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), "")])
    for _ in range(5):
        ledger.files.begin(file(1).id)
        ledger.files.give_back(file(1).id, counted=False)
    for _ in range(3):
        ledger.files.begin(file(1).id)
    with pytest.raises(StoppedItsWorker):
        ledger.files.begin(file(1).id)
    assert ledger.files.register(owned, [(file(1), "")]).settled.failed == 1
    assert house.counts() == Counts(1, 0, 0, 0, 1)


def test_a_books_state_is_kept_whole(house: House) -> None:
    """Ebook, open steps, intention; a range with an open step is not closed."""
    ledger = house.ledger()
    owned = claim(ledger)
    state = BookState(
        "w ~1-1",
        EbookId(5),
        Step.TITLE | Step.COVER,
        Intention(Asked.ATTACH, NOW, None, "EPUB", ONE),
    )
    ledger.books.save(BookId(1), state)
    assert ledger.books.get(BookId(1)) == state
    assert ledger.files.register(owned, []).unfinished == {BookId(1)}
    assert not ledger.files.close_range(owned)
    ledger.books.finish(
        1,
        BookId(1),
        BookState("w ~1-1", EbookId(5)),
        names={("author", "A"): 7},
        not_carried=["tags"],
    )
    assert ledger.files.close_range(owned)
    found = totals.read(ledger.path)
    assert found is not None
    assert dict(found.not_carried) == {"tags": 1}


def test_failed_files_can_be_tried_again_in_an_open_and_in_a_new_pass(
    house: House,
) -> None:
    """--retry-failed: pending again, the range open again, the equation kept."""
    ledger = house.ledger()
    owned = claim(ledger, 20)
    ledger.files.register(owned, [(file(1), "")])
    ledger.files.account(1, failed(1, "unsupported"))
    with_more = ledger.passes.join(20, may_open=True)
    assert with_more == 1
    assert ledger.files.retry_failed() == 1
    assert house.counts() == Counts(1, 0, 0, 0, 0, 1)
    ledger.files.account(1, failed(1, "unsupported"))
    assert ledger.files.close_range(owned)
    assert ledger.files.retry_failed() == 1
    again = claim(ledger, 20)
    assert ledger.files.register(again, [(file(1), "")]).todo == {file(1).id}


def test_a_ledger_belongs_to_one_library_server_and_user(house: House) -> None:
    """Any other is refused with a sentence."""
    ledger = house.ledger()
    ledger.identity.bind(library="a", server="http://x", user="1")
    ledger.identity.bind(library="a", server="http://x", user="1")
    for change in ({"library": "b"}, {"server": "http://y"}, {"user": "2"}):
        with pytest.raises(WrongLedger, match="give another --state-dir"):
            ledger.identity.bind(
                **{"library": "a", "server": "http://x", "user": "1", **change}
            )


def test_a_damaged_ledger_is_never_started_anew(tmp_path: Path) -> None:
    """The file stays as it is, with a sentence."""
    path = tmp_path / "migration_ledger.db"
    path.write_bytes(
        b"this is not a database, and it is long enough to be read as one" * 20
    )
    before = path.read_bytes()
    with pytest.raises(LedgerCorrupt, match="set aside and rebuilt"):
        Ledger(tmp_path, this_process(1), ToldClock(NOW))
    assert path.read_bytes() == before


def test_a_ledger_of_a_newer_program_is_refused(house: House) -> None:
    """By its schema version."""
    ledger = house.ledger()
    with ledger._database.transaction() as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(WrongLedger, match="schema version 99"):
        house.ledger()


def test_totals_of_a_ledger_in_the_making_are_none(tmp_path: Path) -> None:
    """A reader may come before the tables are there."""
    path = tmp_path / "migration_ledger.db"
    assert totals.read(path) is None
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    assert totals.read(path) is None


def test_a_ledger_that_is_deleted_under_us_is_noticed(house: House) -> None:
    """SQLite would go on writing to nothing."""
    ledger = house.ledger()
    ledger.check_in_place()
    ledger.path.unlink()
    with pytest.raises(LedgerCorrupt, match="deleted or replaced"):
        ledger.check_in_place()


def test_a_reserved_range_waits_for_its_worker(house: House) -> None:
    """Nobody else takes it over; its worker takes it first; when the reservation runs
    out it is anybody's."""
    mine, other = (
        house.ledger(this_process(1)),
        house.ledger(replace(this_process(3), worker_id=3)),
    )
    mine.passes.join(20, may_open=True)
    for _ in range(2):
        mine.files.claim_range(1, lambda after: after + 10)
    mine.files.release_ranges()
    until = NOW + timedelta(minutes=20)
    reservation.write(
        house.state_dir,
        reservation.Reservation(1, frozenset({BookId(11)}), 1, until),
        house.clock,
    )
    assert other.files.claim_range(1, lambda after: None) == Range(
        1, 1, 10, taken_over=True
    )
    assert other.files.claim_range(1, lambda after: None) is None
    assert mine.files.claim_range(1, lambda after: None) == Range(
        1, 11, 20, taken_over=True, once_more=True
    )
    mine.files.release_ranges()
    other.files.release_ranges()
    assert mine.files.claim_range(1, lambda after: None) == Range(
        1, 11, 20, taken_over=True, once_more=True
    )
    mine.files.release_ranges()
    house.clock.now = until
    assert other.files.claim_range(1, lambda after: None) == Range(
        1, 1, 10, taken_over=True
    )
    assert other.files.claim_range(1, lambda after: None) == Range(
        1, 11, 20, taken_over=True
    )


def test_a_repaired_script_tries_once_more_what_stopped_its_workers(
    house: House,
) -> None:
    """The range is kept for it: one more attempt, not three; for anybody else the file
    stays given up."""
    mine, other = (
        house.ledger(this_process(1)),
        house.ledger(replace(this_process(3), worker_id=3)),
    )
    owned = claim(mine)
    mine.files.register(owned, [(file(1), ""), (file(2), "")])
    for _ in range(3):
        mine.files.begin(file(1).id)
    mine.files.release_ranges()
    reservation.write(
        house.state_dir,
        reservation.Reservation(
            1, frozenset({BookId(1)}), 1, NOW + timedelta(minutes=20)
        ),
        house.clock,
    )
    kept = mine.files.claim_range(1, lambda after: None)
    assert kept == replace(owned, taken_over=True, once_more=True)
    registered = mine.files.register(kept, [(file(1), ""), (file(2), "")])
    assert (registered.todo, registered.suspects) == (
        frozenset({file(1).id, file(2).id}),
        frozenset({file(1).id}),
    )
    mine.files.begin(file(1).id)
    mine.files.release_ranges()
    reservation.clear(house.state_dir)
    plain = other.files.claim_range(1, lambda after: None)
    assert plain == replace(owned, taken_over=True)
    assert (
        other.files.register(plain, [(file(1), ""), (file(2), "")]).settled.failed == 1
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"pass_id": 1}',
        '{"pass_id": 1, "books": [1], "worker_id": 9, "until": "x"}',
    ],
)
def test_a_reservation_that_cannot_be_read_keeps_nothing(
    house: House, text: str
) -> None:
    """It keeps nobody from anything."""
    (house.state_dir / "reserved").mkdir()
    (house.state_dir / "reserved/migration_reserved.json").write_text(text)
    assert reservation.read(house.state_dir, house.clock) is None
    reservation.clear(house.state_dir)
    reservation.clear(house.state_dir)
    assert not (house.state_dir / "reserved/migration_reserved.json").exists()


@pytest.mark.parametrize(
    ("listed", "closes"),
    [({1}, True), ({1, 2}, False), ({2}, False), (set(), True), (None, False)],
)
def test_a_range_with_files_left_out_is_not_closed(
    house: House, listed: set[int] | None, closes: bool
) -> None:
    """Whatever the worker says: every file the library listed for exactly this range
    was entered.

    One that arrived and has left Calibre since does not stand in for one that was left
    out."""
    ledger = house.ledger(
        library=Listed(None if listed is None else {file(book).id for book in listed})
    )
    owned = claim(ledger)
    ledger.files.register(owned, [(file(1), "")])
    ledger.files.account(1, UploadResult(file(1).id, Outcome.UPLOADED, receipt(ONE)))
    assert ledger.files.close_range(owned) is closes
