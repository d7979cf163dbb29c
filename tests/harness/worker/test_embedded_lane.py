"""Many books in one request: the same ebooks as one by one, and each of them once."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo import trial
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.network.proxy import Answer, Decision, Do
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
        audit = "auto" if lane == "auto" else "off"
        code, said = runs.run(library, shelf, *one, MIGRATE_LANE=lane, AUDIT=audit)
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


def five(folder: Path) -> Library:
    """Five books of one EPUB each."""
    library = Library(folder / "library")
    library.add(
        *(
            Made(title=f"Book {number}", files={"EPUB": epub(number)})
            for number in range(5)
        )
    )
    return library


def settled(state_dir: Path) -> list[tuple[Any, ...]]:
    """How many files have which outcome, and what is left of requests."""
    return [
        *ledger(state_dir, "SELECT outcome, COUNT(*) FROM files GROUP BY outcome"),
        *ledger(state_dir, "SELECT * FROM books WHERE intention IS NOT NULL OR steps"),
        *ledger(state_dir, "SELECT * FROM claims"),
    ]


#: What happens to the first requests of a batch, and how many files came in batches.
LOST: dict[str, tuple[list[Decision], int]] = {
    "one answer": ([Do.CUT], 5),
    "every answer": ([Do.CUT] * 3, 5),
    "every request": ([Do.RESET] * 3, 0),
    "a gateway's answer": ([Answer(502)], 5),
    "the server acted, a gateway answers": ([Answer(504, acted=True)] * 3, 5),
    "twice delivered": ([Do.TWICE], 5),
    "cut off in the middle": ([Answer(200, acted=True, promised=9)], 5),
    "another's JSON": ([Answer(200, '{"books": []}', "application/json")] * 3, 0),
}


@pytest.mark.parametrize("what", LOST)
def test_a_lost_answer_makes_no_second_ebook(
    tmp_path: Path,
    shelf: Shelf,
    workers: LocalWorkers,
    proxies: Callable[..., Shelf],
    what: str,
) -> None:
    """A batch may be sent again; what no answer came for is asked about, book by book,
    and sent by itself where it did not arrive."""
    decisions, in_batches = LOST[what]
    left = list(decisions)

    def decide(method: str, path: str) -> Decision:
        batch = (method, path) == ("POST", "/api/calibre/books")
        return left.pop(0) if batch and left else Do.PASS

    front = proxies(shelf, decide)
    library = five(tmp_path)
    code, said = workers.run(
        library.root, front, **BATCHES, RECONCILE_AFTER_SECONDS="1"
    )
    assert code == 0, said
    assert left == []
    assert settled(workers.state_dir) == [("uploaded", 5)]
    assert imported(shelf) == in_batches
    ebooks = everything(shelf)
    assert [len(ebook["files"]) for ebook in ebooks] == [1] * 5


def test_what_the_server_has_already_is_a_duplicate(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Also where it came in batches from another ledger: those are not ours to count."""
    library = five(tmp_path)
    assert workers.run(library.root, shelf, **BATCHES)[0] == 0
    before = everything(shelf)
    others = LocalWorkers(tmp_path / "another state")
    code, said = others.run(library.root, shelf, **BATCHES)
    assert code == 0, said
    assert settled(others.state_dir) == [("duplicate", 5)]
    assert everything(shelf) == before


def test_limits_by_the_file_are_kept_by_sending_one_by_one(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """So is --limit, which counts files before they are in a batch."""
    library = five(tmp_path)
    given = ("--limit", "2")
    code, said = workers.run(library.root, shelf, *given, **BATCHES)
    assert code == 0, said
    assert imported(shelf) == 2
    given = ("--max-files-per-min", "6000")
    assert workers.run(library.root, shelf, *given, **BATCHES)[0] == 0
    assert (imported(shelf), len(everything(shelf))) == (2, 5)
