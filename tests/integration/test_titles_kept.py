"""A further format for a book whose ebook somebody has edited on the server: the edit
outlives it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, Shelf, Workers
from tests.support.librarykit import Library, Made, epub
from tests.support.statekit import State
from tests.support.truth import look, troubles

pytestmark = pytest.mark.integration
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "0.5",
}
TITLE = "Die Kunst des Lesens"
LONG = tuple((f"Author {'x' * 60} {n}", f"{n}, Author {'x' * 60}") for n in range(3))


def library_of(tmp_path: Path, **more: object) -> Library:
    """One book with an EPUB."""
    library = Library(tmp_path / "library")
    # A test's own fields.
    library.add(Made(title=TITLE, files={"EPUB": epub(1)}, **more))  # type: ignore[arg-type]
    return library


def add_format(library: Library, kind: str) -> bytes:
    """A further format of the book; returns its bytes."""
    data = f"{kind} ".encode() * 40
    library.file(1, kind).write_bytes(data)
    library.sql(
        "INSERT INTO data (book, format, uncompressed_size, name) VALUES (1, ?, 9, 'file')",
        (kind,),
    )
    return data


def ebook(shelf: Shelf) -> dict[str, Any]:
    """The only ebook there is, as the server shows it."""
    with shelf.session() as session:
        [item] = session.get(f"{shelf.url}/api/ebooks", timeout=20).json()["items"]
        found: dict[str, Any] = session.get(
            f"{shelf.url}/api/ebooks/{item['id']}", timeout=20
        ).json()
        return found


def edit(shelf: Shelf, **changes: object) -> None:
    """What a librarian does."""
    with shelf.session() as session:
        now = ebook(shelf)
        answer = session.patch(
            f"{shelf.url}/api/ebooks/{now['id']}",
            json={"version_id": now["version_id"], **changes},
            timeout=20,
        ).json()
        assert "error" not in answer, answer


def test_an_edited_title_comes_back_after_each_further_format(
    tmp_path: Path, shelf: Shelf, workers: Workers
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


def holder(workers: Workers) -> State:
    """The workers' state directory, for one statement on its ledger."""
    state = State.__new__(State)
    state.folder = workers.state_dir
    return state


DEATHS = [
    pytest.param(
        "publishing.py",
        "self.client.change(",
        id="before the working title",
    ),
    pytest.param("publishing.py", "work.reopened = True", id="with the working title"),
    pytest.param(
        "finishing.py",
        "metadata = replace(\n            work.metadata, not_carried=",
        id="after the title was given back",
    ),
]


@pytest.mark.parametrize(("module", "place"), DEATHS)
def test_a_worker_that_is_killed_in_between_gives_it_back(
    tmp_path: Path, shelf: Shelf, workers: Workers, module: str, place: str
) -> None:
    """kill -9 of a copy of the program at that place; the shipped one finishes."""
    library = library_of(tmp_path)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    edit(shelf, title="The Art of Reading")
    contents = [epub(1), add_format(library, "TXT")]
    shipped, workers.script = workers.script, killed_at(tmp_path, module, place)
    assert workers.run(library.root, shelf, **FAST)[0] == -9
    workers.script = shipped
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert ebook(shelf)["title"] == "The Art of Reading"
    assert troubles(look(shelf.data_dir), contents) == []


def killed_at(tmp_path: Path, module: str, place: str) -> Path:
    """A copy of the worker whose API lane kills it at the statement that begins with
    `place`."""
    program = tmp_path / "program"
    shutil.copytree(PROJECT / "migration", program / "migration")
    lane = program / "migration" / "lanes" / "api" / module
    before, found, after = lane.read_text("utf-8").partition(place)
    assert found
    assert place not in after
    indent = before.rpartition("\n")[2]
    lane.write_text(
        f"{before}__import__('os').kill(__import__('os').getpid(), 9)\n{indent}{found}{after}",
        "utf-8",
    )
    return Path(shutil.copy(PROJECT / "bulk_migrate_calibre.py", program))


def test_authors_that_were_edited_stay(
    tmp_path: Path, shelf: Shelf, workers: Workers
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
