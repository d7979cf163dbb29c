"""A further format for a book whose ebook somebody has edited on the server: the edit
outlives it."""

from pathlib import Path

import pytest

from tests.support.libraries.editedkit import FAST, add_format, ebook, edit, library_of
from tests.support.libraries.librarykit import epub
from tests.support.libraries.truth import look, troubles
from tests.support.migration.killing import killed_at
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


DEATHS = [
    pytest.param(
        "publishing.py",
        "self.client.change(",
        id="before the working title",
    ),
    pytest.param("publishing.py", "work.reopened = True", id="with the working title"),
    pytest.param(
        "closing.py",
        "metadata = replace(work.metadata, not_carried=",
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
