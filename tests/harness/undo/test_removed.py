"""`--delete-removed`: what is missing in Calibre twice leaves the server, and no more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.checks.removed import allowance
from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, USERNAME
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.undokit import READER, TOUCHES, ids, kept, login
from tests.support.libraries.updatekit import FAST, library_of
from tests.support.migration.workerkit import lines_of
from tests.support.servers.firstuser import seed
from tests.support.servers.inprocess import LocalShelf, LocalWorkers
from tests.support.servers.shelf import Shelf

DELETE = "--delete-removed"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shelf]:
    """A server with a second user."""
    data_dir = tmp_path / "shared"
    seed(data_dir, USERNAME, PASSWORD, users=(READER,))
    with LocalShelf(data_dir) as server:
        yield server.shelf


def deletions(workers: LocalWorkers) -> tuple[dict[str, int], dict[str, int]]:
    """What the newest pass deleted, and what stays."""
    found = totals.read(workers.state_dir / LEDGER_NAME)
    assert found is not None
    assert found.closed_at is not None
    assert totals.proved(workers.state_dir / LEDGER_NAME, found.pass_id)
    return dict(found.deleted), dict(found.stays)


def test_a_book_missing_in_two_passes_goes(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    """Also a rated one with a cover, and the last one of the library."""
    library = library_of(tmp_path / "library")
    library.add(*epubs(range(2, 5)))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    owner = login(shared)
    made = ids(owner)
    calibre.remove_book(library, 1)
    calibre.remove_book(library, 4)
    wide = (DELETE, "--max-delete", "5")
    assert workers.run(library.root, shared, *wide, **FAST)[0] == 0
    assert ids(owner) == made
    assert deletions(workers) == ({}, {})
    # A run that does not ask deletes nothing.
    assert workers.run(library.root, shared, **FAST)[0] == 0
    assert ids(owner) == made
    assert workers.run(library.root, shared, *wide, **FAST)[0] == 0
    assert deletions(workers) == ({"ebook": 2}, {})
    assert len(ids(owner)) == 2
    assert any("deleted on the server: book 4" in line for line in lines_of(workers))
    assert workers.run(library.root, shared, *wide, **FAST)[0] == 0
    assert deletions(workers) == ({}, {})
    found = totals.read(workers.state_dir / LEDGER_NAME)
    assert found is not None
    assert found.noticed == {}


def test_what_somebody_touched_stays(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    library.add(*epubs(range(2, len(TOUCHES) + 3)))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    owner, other = login(shared), login(shared, READER)
    # A lost file is found by the check at the start of a run, and is not this test's.
    reasons = [reason for reason in TOUCHES if reason != "its files were changed"]
    touched = dict(zip(reasons, ids(owner)[1:], strict=False))
    for reason, ebook_id in touched.items():
        TOUCHES[reason](owner, other, ebook_id)
    before = {ebook_id: kept(owner, ebook_id) for ebook_id in touched.values()}
    for number in range(1, len(reasons) + 2):
        calibre.remove_book(library, number)
    for _ in range(2):
        assert (
            workers.run(library.root, shared, DELETE, "--max-delete", "99", **FAST)[0]
            == 0
        )
    gone, stays = deletions(workers)
    assert gone == {"ebook": 1}
    assert stays == dict.fromkeys(reasons, 1)
    assert {number: kept(owner, number) for number in before} == before


def test_a_removed_format_takes_only_our_file(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(Made(title="Two", files={"EPUB": epub(7), "TXT": b"text " * 40}))
    library.add(Made(title="One", files={"EPUB": epub(8)}))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    library.sql("DELETE FROM data WHERE book = 1 AND format = 'TXT'")
    library.sql("DELETE FROM data WHERE book = 2")
    for _ in range(2):
        assert (
            workers.run(library.root, shared, DELETE, "--max-delete", "9", **FAST)[0]
            == 0
        )
    gone, stays = deletions(workers)
    assert gone == {"source": 1}
    assert sum(stays.values()) == 1
    owner = login(shared)
    shown = [kept(owner, number).record["sources"] for number in ids(owner)]
    assert [[one["format"] for one in files] for files in shown] == [["epub"], ["epub"]]


def test_the_file_of_another_book_stays(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(Made(title="One", files={"EPUB": epub(1)}))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    library.add(Made(title="Two", files={"EPUB": epub(1)}))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    calibre.remove_book(library, 1)
    for _ in range(2):
        assert workers.run(library.root, shared, DELETE, **FAST)[0] == 0
    assert deletions(workers) == ({}, {"another book has the same file": 1})
    assert len(ids(login(shared))) == 1


def test_a_book_that_has_another_number_now_stays(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1, 4)))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    uuid = library.connect().execute("SELECT uuid FROM books WHERE id = 2").fetchone()
    calibre.remove_book(library, 2)
    library.add(*epubs([9]))
    library.sql("UPDATE books SET uuid = ? WHERE id = 4", tuple(uuid))
    for _ in range(2):
        assert workers.run(library.root, shared, DELETE, **FAST)[0] == 0
    assert deletions(workers) == ({}, {"the library still has it": 1})


def test_more_than_allowed_go_not_at_all(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1, 6)))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    calibre.remove_book(library, 1)
    calibre.remove_book(library, 2)
    for _ in range(2):
        assert workers.run(library.root, shared, DELETE, **FAST)[0] == 0
    reason = "more would have to go than --max-delete allows"
    assert deletions(workers) == ({}, {reason: 2})
    assert any(
        "start once more with --max-delete 2" in one for one in lines_of(workers)
    )
    assert len(ids(login(shared))) == 5
    assert (
        workers.run(library.root, shared, DELETE, "--max-delete", "2", **FAST)[0] == 0
    )
    assert deletions(workers) == ({"ebook": 2}, {})


def test_never_with_a_selection(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1, 4)))
    code, said = workers.run(library.root, shared, DELETE, "--ids", "1-2", **FAST)
    assert (code, "leave out the selection" in said) == (2, True)
    # Nor in a pass with a selection that somebody else opened.
    for _ in range(2):
        assert workers.run(library.root, shared, "--ids", "1-2", **FAST)[0] == 0
    calibre.remove_book(library, 2)
    opened = ("--ids", "1-3", "--open-pass")
    assert workers.run(library.root, shared, *opened, **FAST)[0] == 0
    assert workers.run(library.root, shared, DELETE, **FAST)[0] == 0
    assert deletions(workers) == ({}, {})
    assert 2 in ids(login(shared))


@pytest.mark.parametrize(
    ("books", "max_delete", "expected"),
    [
        (0, 0, 1),
        (30, 0, 1),
        (100, 0, 1),
        (101, 0, 2),
        (2000, 0, 20),
        (1_700_000, 0, 20),
        (30, 500, 500),
    ],
)
def test_how_many_may_go(books: int, max_delete: int, expected: int) -> None:
    assert allowance(books, max_delete) == expected
