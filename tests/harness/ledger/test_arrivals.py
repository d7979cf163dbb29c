"""What has arrived through one worker since a moment, by a ledger's rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migration.ledger.arrivals import Baseline
from migration.ledger.database import LedgerDatabase
from migration.ledger.tables import passes
from migration.ledger.watched import LedgerFile
from migration.model import BookId, Fate, FileId
from migration.state_files.names import LEDGER_NAME

MINE, OTHERS = "boot|ns|7|99|1", "boot|ns|8|99|21"
NOW = "2026-11-24T12:00:00+00:00"


class Rows:
    """A ledger of pass 2: ranges and files are put in by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_NAME
        LedgerDatabase(self.path).close()
        self.sql(
            "INSERT INTO passes (id, opened_at, highest_id, claimed_to) VALUES (2, ?, 99, 20)",
            NOW,
        )

    def sql(self, statement: str, *values: object) -> None:
        """Changes it."""
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute(statement, values)

    def range(self, first: int, owner: str | None, closed: str | None = None) -> None:
        """Ten books."""
        self.sql(
            "INSERT INTO ranges VALUES (2, ?, ?, ?, ?)", first, first + 9, owner, closed
        )

    def file(self, book: int, outcome: str, reason: str = "", pass_id: int = 2) -> None:
        """Its EPUB, or what has become of it."""
        self.sql(
            "INSERT OR REPLACE INTO files (book_id, format, size, mtime_ns, outcome, "
            "pass_id, reason) VALUES (?, 'EPUB', 1, 1, ?, ?, ?)",
            book,
            outcome,
            pass_id,
            reason,
        )


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Worker 1 has closed books 1-10 and is in 11-20; worker 21 has 21-30."""
    made = Rows(tmp_path)
    made.range(1, MINE, NOW)
    made.range(11, MINE)
    made.range(21, OTHERS)
    for book in (1, 2, 11, 21):
        made.file(book, "uploaded")
        made.sql("INSERT INTO carried VALUES (?, 2, '{}', '{}', 1, '')", book)
    made.file(12, "pending")
    made.file(13, "failed", "unsupported")
    return made


def test_the_baseline_is_what_is_open(rows: Rows) -> None:
    """Arrivals by range; the books carried are the worker's own."""
    ledger = LedgerFile(rows.path)
    assert ledger.baseline(2, 1) == Baseline(2, 20, {11: 1, 21: 1}, (11,))
    assert ledger.baseline(2, 21).carried == (21,)
    assert ledger.baseline(3, 1) == Baseline(3)


def test_only_the_end_of_the_pass_is_left(rows: Rows) -> None:
    """Every book was claimed, and no file is without its outcome."""
    ledger = LedgerFile(rows.path)
    assert not ledger.baseline(2, 1).all_done
    rows.file(12, "uploaded")
    assert not ledger.baseline(2, 1).all_done
    rows.sql("UPDATE passes SET highest_id = claimed_to WHERE id = 2")
    assert ledger.baseline(2, 1).all_done
    rows.file(12, "pending")
    assert not ledger.baseline(2, 1).all_done


def test_only_what_this_worker_carried_since_counts(rows: Rows) -> None:
    """In the range it was in, in one it took over, in a new one; not in those closed
    before, not what was there, not another worker's."""
    ledger = LedgerFile(rows.path)
    then = ledger.baseline(2, 1)
    assert ledger.since(then, 1) == {11: 0}
    rows.file(12, "duplicate")
    rows.file(3, "uploaded")
    rows.file(22, "uploaded")
    assert ledger.since(then, 1) == {11: 1}
    rows.range(31, "boot|ns|9|99|1")
    rows.file(31, "uploaded")
    rows.range(41, OTHERS)
    rows.file(41, "uploaded")
    assert ledger.since(then, 1) == {11: 1, 31: 1}
    rows.sql("UPDATE ranges SET owner = ? WHERE first_id = 21", MINE)
    assert ledger.since(then, 1) == {11: 1, 21: 1, 31: 1}


FATES = [
    (12, Fate.PENDING),
    (99, Fate.PENDING),
    (11, Fate.ARRIVED),
    (21, Fate.BY_ANOTHER),
    (13, Fate.REFUSED),
    (14, Fate.LOST),
    (15, Fate.LOST),
    (16, Fate.PENDING),
]


def test_what_became_of_files(rows: Rows) -> None:
    """As seen from worker 1; an outcome of an earlier pass says nothing."""
    rows.file(14, "failed", "too big")
    rows.file(15, "skipped")
    rows.file(16, "uploaded", pass_id=1)
    files = [FileId(BookId(book), "EPUB") for book, _fate in FATES]
    found = LedgerFile(rows.path).fates(2, 1, files)
    assert [found[file] for file in files] == [fate for _book, fate in FATES]


def test_the_end_of_the_pass_takes_nothing_away(rows: Rows) -> None:
    """The last file of a trial and the end of the pass can be seen at once."""
    ledger = LedgerFile(rows.path)
    then = ledger.baseline(2, 1)
    rows.file(12, "uploaded")
    with closing(LedgerDatabase(rows.path)) as database, database.transaction() as db:
        passes.close(db, 2, NOW)
    assert ledger.since(then, 1) == {11: 1}
    fates = ledger.fates(2, 1, [FileId(BookId(12), "EPUB"), FileId(BookId(21), "EPUB")])
    assert [*fates.values()] == [Fate.ARRIVED, Fate.BY_ANOTHER]


def test_ranges_of_earlier_passes_go(rows: Rows) -> None:
    """Only the newest pass is judged."""
    with closing(LedgerDatabase(rows.path)) as database, database.transaction() as db:
        passes.close(db, 2, NOW)
        db.execute(
            "INSERT INTO passes (id, opened_at, highest_id, claimed_to) "
            "VALUES (3, ?, 99, 0)",
            (NOW,),
        )
        db.execute("INSERT INTO ranges VALUES (3, 1, 10, ?, NULL)", (MINE,))
        passes.close(db, 3, NOW)
        kept = db.execute("SELECT DISTINCT pass_id FROM ranges").fetchall()
        assert [tuple(row) for row in kept] == [(3,)]
