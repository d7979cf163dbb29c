"""Every command that the documents print, typed in the order a person would, by a user
who is not root, in folders with blanks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import end, needs
from tests.support.libraries.calibre_edits import add_column
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.machine.personkit import Person, person
from tests.support.machine.tries import NAS, RENAMED, TRIES
from tests.support.servers.shelf import start_shelf

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


def fill(library: Library) -> None:
    """With whatever the documents name: tags, an author, formats, columns, times."""
    writers = ((("Anna van der Berg", "van der Berg, Anna"),), (("A B", "B, A"),))
    library.add(
        Made("One", writers[0], {"EPUB": epub(1)}, tags=("Fantasy",)),
        Made("Two", writers[1], {"EPUB": epub(2)}, tags=("Horror", "Odd")),
        Made("Three", writers[1], {"PDF": b"%PDF-1.4 three"}),
        Made("Four", writers[1], {"EPUB": epub(4)}),
    )
    add_column(library, "read", "bool", "Read", {1: 1, 2: 0})
    add_column(library, "mood", "text", "Mood", {2: "dark"})
    library.sql("UPDATE books SET last_modified = '2026-01-02 03:04:05' WHERE id = 4")


@pytest.fixture
def anna() -> Iterator[Person]:
    """A person with a library, and git."""
    needs("jq")
    with person() as one:
        fill(Library(one.home / "Calibre"))
        one.owns_everything()
        status, said = one.types(
            "git init -q && git config user.name Anna && git config user.email a@b "
            "&& git add -A && git commit -qm 'A clone'"
        )
        assert status == 0, said
        yield one


@pytest.fixture
def nas(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that is not started by ./start.sh."""
    shelf = start_shelf(tmp_path / "nas")
    yield shelf.url
    end(shelf.process)


def test_all_of_them(anna: Person, nas: str) -> None:
    """Each ends as it should and says what it should; nothing is left running."""
    for one in TRIES:
        typed = (one.typed or one.command).replace(NAS, nas)
        typed = typed.replace(RENAMED, nas.replace("127.0.0.1", "localhost"))
        if one.until:
            said = anna.types_until(typed, one.until)
            assert one.until in said, f"{typed}\n{said}"
        else:
            status, said = anna.types(typed)
            assert (status, one.said in said) == (one.status, True), f"{typed}\n{said}"
        if one.then is not None:
            one.then(anna)
    assert anna.types("./stop.sh --all") == (0, "Nothing was running.\n")
