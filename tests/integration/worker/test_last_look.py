"""The last look at the server before a pass is closed: what it finds there, what it
does about it, what it says."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migration.metadata.ebook_metadata import working_title
from migration.model import BookId
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1",
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three books."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(3)))
    return made


def uuid(library: Library) -> str:
    """The library's id."""
    return str(library.sql("SELECT uuid FROM library_id")[0][0])


def contents(library: Library) -> list[bytes]:
    """The bytes of all its files."""
    return [path.read_bytes() for path in sorted(library.root.rglob("file.*"))]


def test_an_ebook_the_ledger_lost_sight_of_is_finished(
    library: Library, shelf: Shelf, workers: Workers
) -> None:
    """It holds the book's file under the working title: the book gets its title, not a
    second ebook."""
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    library.add(*epubs([7]))
    title = working_title("Book 7", uuid(library), BookId(4))
    process = workers.start(library.root, shelf, LAST_LOOK_SECONDS="60", **FAST)
    wait_for_rest(workers.state_dir)
    process.kill()
    process.wait(10)
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db, db:
        db.execute("UPDATE ebook SET title = ? WHERE id = 4", (title,))
    with closing(sqlite3.connect(workers.state_dir / "migration_ledger.db")) as db, db:
        db.execute("DELETE FROM books WHERE book_id = 4")
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    assert "still has its working title; book 4 is finished now" in said
    assert troubles(look(shelf.data_dir), contents(library)) == []


def wait_for_rest(state_dir: Path) -> None:
    """Waits until every range of the pass is closed and the last look is due."""

    def begun() -> bool:
        with closing(
            sqlite3.connect(state_dir / "migration_ledger.db", timeout=5)
        ) as db:
            row = db.execute(
                "SELECT looker FROM passes WHERE closed_at IS NULL"
            ).fetchone()
        return bool(row and row[0])

    wait_for(begun)
