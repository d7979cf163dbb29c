"""The end of a pass on a real ledger: when a last look is due, who takes it, what
closes the pass."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.ledger.parts.pass_end import NOT_AUDITED, UNSEEN
from migration.ledger.records import (
    Asked,
    Audited,
    AuditState,
    BookState,
    Difference,
    Intention,
    Look,
    Step,
)
from migration.model import BookId, EbookId
from migration.state_files.names import LEDGER_NAME
from migration.state_files.owner import this_process
from tests.support.environment import FIXTURES
from tests.support.migration.fakes import ToldClock
from tests.support.migration.workerkit import dead_owner

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STANDING = Difference("second ebook", "ebook 7 …", BookId(1), EbookId(7))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[int], Ledger]]:
    """Ledgers of this process, as worker N; of a worker that died for a negative N."""
    made: list[Ledger] = []

    def open_as(number: int) -> Ledger:
        owner = dead_owner(-number) if number < 0 else this_process(number)
        made.append(Ledger(tmp_path, owner, ToldClock(NOW)))
        return made[-1]

    yield open_as
    for ledger in made:
        ledger.close()


def walk(ledger: Ledger, *, create: bool) -> int:
    """A pass of one book, all its ranges closed; with `create` an ebook was asked
    for."""
    pass_id = ledger.passes.join(1, may_open=True)
    assert pass_id is not None
    ledger.end.record_start(pass_id, EbookId(40), rebuilt=False)
    owned = ledger.files.claim_range(pass_id, lambda _after: 1)
    assert owned is not None
    if create:
        ledger.books.save(
            BookId(1), BookState("B ~1", intention=Intention(Asked.CREATE, NOW))
        )
        ledger.books.save(BookId(1), BookState("B ~1", EbookId(41)))
    assert ledger.files.close_range(owned)
    return pass_id


def take(ledger: Ledger, pass_id: int) -> Look:
    """The look, which must be to be had."""
    look = ledger.end.take(pass_id)
    assert look is not None
    return look


def test_a_pass_that_asked_for_nothing_closes_without_a_look(
    opened: Callable[[int], Ledger],
) -> None:
    """There is nothing to look for."""
    ledger = opened(1)
    pass_id = walk(ledger, create=False)
    assert (
        ledger.passes.is_closed(pass_id),
        ledger.end.is_due(pass_id),
        ledger.end.take(pass_id),
    ) == (True, False, None)


def test_only_a_look_closes_a_pass_that_asked_for_an_ebook(
    opened: Callable[[int], Ledger],
) -> None:
    """One process takes it; what it finds stands in the ledger."""
    ledger, other = opened(1), opened(2)
    pass_id = walk(ledger, create=True)
    assert (ledger.passes.is_closed(pass_id), ledger.end.is_due(pass_id)) == (
        False,
        True,
    )
    look = take(ledger, pass_id)
    assert (look.newest_before, look.first_made, look.number, look.standing) == (
        40,
        41,
        0,
        (),
    )
    assert other.end.take(pass_id) is None
    assert not other.end.close(look, [])
    assert ledger.end.close(look, [STANDING])
    assert ledger.passes.is_closed(pass_id)


def test_the_look_of_a_worker_that_died_is_taken_anew(
    opened: Callable[[int], Ledger],
) -> None:
    """And the dead one's word counts no more."""
    dead, living = opened(-2), opened(1)
    pass_id = walk(dead, create=True)
    look = take(dead, pass_id)
    again = take(living, pass_id)
    assert again == look
    assert not dead.end.close(look, [])
    assert living.end.close(again, [])


def test_a_book_given_back_is_work_again_and_the_pass_stays_open(
    opened: Callable[[int], Ledger],
) -> None:
    """Its range has no owner; when it is closed once more another look follows, which
    knows that it is the second."""
    ledger = opened(1)
    pass_id = walk(ledger, create=True)
    look = take(ledger, pass_id)
    assert not ledger.end.reopen(
        look, BookId(2), BookState("C ~2", EbookId(42), Step.TITLE)
    )
    assert ledger.end.reopen(
        look, BookId(1), BookState("B ~1", EbookId(41), Step.TITLE)
    )
    assert not ledger.end.close(look, [])
    ledger.end.again(look)
    assert (ledger.end.is_due(pass_id), ledger.books.get(BookId(2))) == (False, None)
    owned = ledger.files.claim_range(pass_id, lambda _after: 1)
    assert owned is not None
    assert not ledger.files.close_range(owned)
    ledger.books.save(BookId(1), BookState("B ~1", EbookId(41)))
    assert ledger.files.close_range(owned)
    assert take(ledger, pass_id).number == 1


def test_what_stands_is_looked_at_in_the_next_pass_whatever_that_does(
    opened: Callable[[int], Ledger],
) -> None:
    """Until a look does not find it any more."""
    ledger = opened(1)
    first = walk(ledger, create=True)
    assert ledger.end.close(take(ledger, first), [STANDING])
    second = walk(ledger, create=False)
    look = take(ledger, second)
    assert look.standing == (STANDING,)
    assert ledger.end.close(look, [])
    assert ledger.passes.is_closed(walk(ledger, create=False))


def test_a_pass_after_one_that_could_not_look_goes_back_as_far(
    opened: Callable[[int], Ledger],
) -> None:
    """And one of a lost ledger goes through everything."""
    ledger = opened(1)
    assert ledger.end.close(
        take(ledger, walk(ledger, create=True)), [Difference(UNSEEN, "HTTP 403")]
    )
    second = ledger.passes.join(1, may_open=True) or 0
    ledger.end.record_start(second, EbookId(99), rebuilt=False)
    ledger.end.record_start(second, EbookId(100), rebuilt=False)
    owned = ledger.files.claim_range(second, lambda _after: 1)
    assert owned is not None
    assert ledger.files.close_range(owned)
    look = take(ledger, second)
    assert look.newest_before == 40
    assert ledger.end.close(look, [])
    third = ledger.passes.join(1, may_open=True) or 0
    ledger.end.record_start(third, EbookId(99), rebuilt=True)
    owned = ledger.files.claim_range(third, lambda _after: 1)
    assert owned is not None
    assert ledger.files.close_range(owned)
    assert take(ledger, third).newest_before == 0


def test_an_open_pass_of_the_version_before_is_looked_through_too(
    tmp_path: Path,
) -> None:
    """Back to the first ebook it carried a file to."""
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db, db:
        db.executescript((FIXTURES / "ledger_v2.sql").read_text())
        db.execute("PRAGMA user_version = 2")
        db.execute(
            "INSERT INTO passes (id, opened_at, highest_id, claimed_to) VALUES (4, '2026', 9, 9)"
        )
        db.executemany(
            "INSERT INTO books (book_id, working_title, ebook_id) VALUES (?, 'x', ?)",
            [(1, 5), (2, 50)],
        )
        db.executemany(
            "INSERT INTO files (book_id, format, size, mtime_ns, outcome, pass_id) "
            "VALUES (?, 'EPUB', 1, 1, ?, 4)",
            [(1, "duplicate"), (2, "uploaded")],
        )
    ledger = Ledger(tmp_path, this_process(1), ToldClock(NOW))
    try:
        assert ledger.end.knows_its_start(4)
        look = take(ledger, 4)
        assert (look.newest_before, look.first_made) == (49, 50)
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("audited", "differences"),
    [
        pytest.param(None, {NOT_AUDITED: 1}, id="nobody has looked"),
        pytest.param(Audited(AuditState.PROVED, 1, 1, 0), {}, id="all read back"),
        pytest.param(Audited(AuditState.OFF), {}, id="the user said so"),
    ],
)
def test_a_pass_that_changed_books_never_closes_as_if_it_had_been_audited(
    opened: Callable[[int], Ledger],
    audited: Audited | None,
    differences: dict[str, int],
) -> None:
    """Whoever asks for it: without an audit that is a difference of its own."""
    ledger = opened(1)
    pass_id = ledger.passes.join(1, may_open=True)
    assert pass_id is not None
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("INSERT INTO carried VALUES (1, ?, '{}', '{}', 1, '')", (pass_id,))
    assert ledger.end.has_changed_books(pass_id)
    owned = ledger.files.claim_range(pass_id, lambda _after: 1)
    assert owned is not None
    assert ledger.files.close_range(owned)
    assert (ledger.passes.is_closed(pass_id), ledger.end.is_due(pass_id)) == (
        False,
        True,
    )
    assert ledger.end.close(take(ledger, pass_id), [], audited)
    found = totals.read(ledger.path)
    assert found is not None
    assert found.differences == differences
    assert found.audited == (audited or Audited(AuditState.BROKEN))


def test_what_a_changed_script_did_is_asked_until_a_pass_was_audited(
    opened: Callable[[int], Ledger],
) -> None:
    """A pass that the audit could not read back leaves it to the next ones."""
    ledger = opened(1)
    first = walk(ledger, create=True)
    assert not ledger.end.has_changed_script(first)
    ledger.end.note_changed_script(first, "f" * 64)
    assert ledger.end.has_changed_script(first)
    broke = Difference(NOT_AUDITED, "the audit failed")
    assert ledger.end.close(take(ledger, first), [broke], Audited(AuditState.BROKEN))
    second = walk(ledger, create=False)
    assert ledger.end.has_changed_script(second)
    proved = Audited(AuditState.PROVED, 1, 1, 0)
    assert ledger.end.close(take(ledger, second), [STANDING], proved)
    assert not ledger.end.has_changed_script(walk(ledger, create=False))


def test_another_script_compares_what_an_audit_found_wrong_again(
    opened: Callable[[int], Ledger], tmp_path: Path
) -> None:
    """Only those books, and only when the script has changed."""
    ledger = opened(1)
    assert ledger.carried.carry_by("the first") == 0
    look = take(ledger, walk(ledger, create=True))
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db, db:
        db.executemany(
            "INSERT INTO files (book_id, format, size, mtime_ns, outcome, pass_id, "
            "reason, modified) VALUES (?, 'EPUB', 1, 1, 'uploaded', 1, '', x'00')",
            [(1,), (2,)],
        )
    assert ledger.end.close(look, [STANDING], Audited(AuditState.PROVED, 1, 1, 1))

    def compared_again() -> list[int]:
        with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db:
            sql = "SELECT book_id FROM files WHERE modified IS NULL"
            return [row[0] for row in db.execute(sql)]

    assert (ledger.carried.carry_by("the first"), compared_again()) == (0, [])
    assert (ledger.carried.carry_by("the second"), compared_again()) == (1, [1])


def test_another_script_tries_files_again_that_have_stopped_their_worker(
    opened: Callable[[int], Ledger], tmp_path: Path
) -> None:
    """Once by each script, so that two that take turns do not try for ever."""
    ledger = opened(1)
    pass_id = walk(ledger, create=True)
    assert ledger.carried.carry_by("the first") == 0

    def given_up() -> None:
        with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db, db:
            db.executemany(
                "INSERT OR REPLACE INTO files (book_id, format, size, mtime_ns, "
                "outcome, pass_id, reason) VALUES (1, ?, 1, 1, 'failed', ?, ?)",
                [
                    ("EPUB", pass_id, "stopped its worker 3 times"),
                    ("PDF", pass_id, "missing file"),
                ],
            )

    given_up()
    assert ledger.carried.carry_by("the first") == 0
    assert ledger.carried.carry_by("the second") == 1
    given_up()
    assert ledger.carried.carry_by("the first") == 0
    assert ledger.carried.carry_by("the third") == 1
