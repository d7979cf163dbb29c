"""A further format for a book whose ebook somebody has edited on the server: the edit
outlives it."""

from pathlib import Path

from tests.support.libraries.editedkit import (
    FAST,
    TITLE,
    add_format,
    ebook,
    edit,
    library_of,
)
from tests.support.libraries.librarykit import epub
from tests.support.libraries.truth import look, troubles
from tests.support.migration.statekit import State
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

LONG = tuple((f"Author {'x' * 60} {n}", f"{n}, Author {'x' * 60}") for n in range(3))


def test_an_edited_title_comes_back_after_each_further_format(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Also the second time, and with a ledger of a version that did not note what it
    gave; nobody's edit is a rule."""
    library = library_of(tmp_path)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert ebook(shelf)["title"] == TITLE
    add_format(library, "TXT")
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert ebook(shelf)["title"] == TITLE
    edit(shelf, title="The Art of Reading")
    contents = [epub(1), b"TXT " * 40, add_format(library, "PDF")]
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert ebook(shelf)["title"] == "The Art of Reading"
    State.sql(holder(workers), "UPDATE books SET title = NULL")
    contents.append(add_format(library, "RTF"))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert ebook(shelf)["title"] == "The Art of Reading"
    assert troubles(look(shelf.data_dir), contents) == []
    # Calibre's own change still arrives where nobody else has changed anything.
    edit(shelf, title=TITLE)
    library.sql("UPDATE books SET title = 'Neu' WHERE id = 1")
    add_format(library, "ODT")
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert ebook(shelf)["title"] == "Neu"


def holder(workers: LocalWorkers) -> State:
    """The workers' state directory, for one statement on its ledger."""
    state = State.__new__(State)
    state.folder = workers.state_dir
    return state


def test_authors_that_were_edited_stay(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """A book with names too long for paths gets its authors at the end; a second end
    leaves them alone."""
    library = library_of(tmp_path, authors=LONG)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert len(ebook(shelf)["authors"]) == len(LONG)
    edit(shelf, authors=[{"last_name": "Okonjo", "first_name": "Ada"}])
    add_format(library, "TXT")
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    [author] = ebook(shelf)["authors"]
    assert (author["last_name"], ebook(shelf)["title"]) == ("Okonjo", TITLE)
