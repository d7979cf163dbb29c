"""Files that Calibre has replaced, added or removed since they were carried."""

from pathlib import Path

from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.libraries.updatekit import FAST, Server
from tests.support.migration.workerkit import counts_of, lines_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_a_replaced_file_replaces_its_source(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """ "Embed metadata" over two of three books: three files on the server, as before."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1, 4)))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    for number in (1, 2):
        calibre.replace_file(library, number, epub(number + 10))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    newest = totals.read(workers.state_dir / LEDGER_NAME)
    assert newest is not None
    assert newest.replaced == 2
    there = look(shelf.data_dir)
    third = library.file(3).read_bytes()
    assert troubles(there, [epub(11), epub(12), third]) == []
    server = Server(shelf.url, shelf.session())
    assert [len(ebook["sources"]) for ebook in server.ebooks()] == [1, 1, 1]
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert counts_of(workers).duplicate == 3


def test_the_old_bytes_can_come_back(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """What was deleted is not believed to be there."""
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    for data in (epub(1), epub(2), epub(1)):
        calibre.replace_file(library, 1, data)
        assert workers.run(library.root, shelf, **FAST)[0] == 0
        assert troubles(look(shelf.data_dir), [data]) == []


def test_a_file_that_was_only_touched_keeps_its_source(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Its source is still known as ours, so that its next version replaces it."""
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    calibre.replace_file(library, 1, library.file(1).read_bytes())
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert counts_of(workers).duplicate == 1
    calibre.replace_file(library, 1, epub(2))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert troubles(look(shelf.data_dir), [epub(2)]) == []


def test_a_source_that_is_another_books_file_stays(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Two books with the same bytes have one source; replacing one loses nothing."""
    library = Library(tmp_path / "library")
    library.add(Made(title="One", files={"EPUB": epub(1)}))
    library.add(Made(title="Two", files={"EPUB": epub(1)}))
    alone = {**FAST, "PARALLEL_UPLOADS": "1"}
    assert workers.run(library.root, shelf, **alone)[0] == 0
    calibre.replace_file(library, 1, epub(2))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert troubles(look(shelf.data_dir), [epub(1), epub(2)]) == []
    assert any("it is also the file of book 2" in line for line in lines_of(workers))


def test_a_source_somebody_else_has_renumbered_stays(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The server refuses to delete another user's file: it stays, and is said."""
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    server = Server(shelf.url, shelf.session())
    [ebook] = server.ebooks()
    [source] = ebook["sources"]
    server.session.delete(f"{shelf.url}/api/sources/{source['id']}", timeout=20)
    calibre.replace_file(library, 1, epub(2))
    # An ebook without its file: the new one still arrives, in this ebook.
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert troubles(look(shelf.data_dir), [epub(2)]) == []


def test_what_left_calibre_stays_and_is_listed(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """A book in the middle, the last book, and a format: in the log and the totals."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1, 4)))
    library.add(Made(title="Two", files={"EPUB": epub(7), "TXT": b"text " * 40}))
    library.add(*epubs([9]))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    calibre.remove_book(library, 2)
    calibre.remove_book(library, 5)
    library.sql("DELETE FROM data WHERE book = 4 AND format = 'TXT'")
    for _ in range(2):
        assert workers.run(library.root, shelf, **FAST)[0] == 0
        found = totals.read(workers.state_dir / LEDGER_NAME)
        assert found is not None
        assert found.noticed == {
            "book no longer in Calibre, still on the server": 2,
            "format no longer in Calibre, still on the server": 1,
        }
        assert found.counts.discovered == 3
    assert len(Server(shelf.url, shelf.session()).ebooks()) == 5
    assert any("Book 2: book no longer in Calibre" in one for one in lines_of(workers))


def test_a_title_that_arrives_with_a_file_and_a_shelf_are_named(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The ebook is reopened for the file, and shelves have requests of their own."""
    library = Library(tmp_path / "library")
    library.add(Made(title="One", files={"EPUB": epub(1)}, tags=("to read",)))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    calibre.set_title(library, 1, "New")
    calibre.set_names(library, 1, "tags", [("read",)])
    calibre.replace_file(library, 1, epub(2))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert "Updated book 1 'New': title, shelves" in lines_of(workers)
