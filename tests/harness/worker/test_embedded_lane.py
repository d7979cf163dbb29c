"""Many books in one request: the same ebooks as one by one, and each of them once."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from demo import trial
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import jpeg
from tests.support.servers.snapshot import everything

BATCHES = {"MIGRATE_LANE": "auto", "AUDIT": "auto"}


def ledger(state_dir: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of the ledger."""
    with closing(sqlite3.connect(state_dir / "migration_ledger.db")) as db:
        return db.execute(query).fetchall()


def imported(shelf: Shelf) -> int:
    """How many files the server got in batches."""
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        query = "SELECT COUNT(*) FROM source WHERE load_source GLOB 'calibre:*'"
        return int(db.execute(query).fetchone()[0])


def carried(state_dir: Path) -> list[tuple[Any, ...]]:
    """What the ledger keeps of each book, but for numbers that the server chose."""
    return ledger(
        state_dir,
        "SELECT book_id, fields, server, cover FROM carried ORDER BY book_id",
    )


def test_both_lanes_make_the_same(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """The demo library by both ways onto two servers: no difference in anything that a
    server shows, nor in what the ledger keeps of it."""
    found = {}
    for lane in ("api", "auto"):
        shelf = shelves(tmp_path / lane)
        runs = LocalWorkers(tmp_path / f"state-{lane}")
        # One at a time: of two books with the same bytes the first one gets them.
        one = ("--parallel-uploads", "1")
        library = trial.DEMO / "library"
        code, said = runs.run(library, shelf, *one, MIGRATE_LANE=lane, AUDIT="auto")
        assert code in (0, 1), said
        # Most of it comes in batches: whatever is odd is sent by itself.
        assert (imported(shelf) > 30) is (lane == "auto")
        outcomes = ledger(
            runs.state_dir,
            "SELECT book_id, format, outcome, hex(sha1), reason FROM files ORDER BY 1, 2",
        )
        found[lane] = code, outcomes, carried(runs.state_dir), everything(shelf)
    assert found["auto"] == found["api"]


def test_a_book_comes_with_all_that_belongs_to_it(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Calibre's cover, or the one inside; two formats; a second run sends nothing."""
    library = Library(tmp_path / "library")
    library.add(
        Made(title="Two", files={"EPUB": epub(1, title="Two"), "TXT": b"two"}),
        Made(title="Inside", files={"EPUB": epub(2, title="I", cover=jpeg("red"))}),
    )
    code, said = workers.run(library.root, shelf, **BATCHES)
    assert code == 0, said
    two, inside = sorted(everything(shelf), key=lambda one: str(one["title"]))[::-1]
    assert len(two["files"]) == 2
    assert inside["cover"] != 404
    before = imported(shelf)
    assert workers.run(library.root, shelf, **BATCHES)[0] == 0
    assert imported(shelf) == before
    assert len(everything(shelf)) == 2
