"""What Calibre's own settings and its work beside us make of a library, read from real metadata.db files."""

from pathlib import Path

import pytest

from migration.library import CalibreLibrary
from migration.model import Author
from tests.librarykit import Library, Made

pytestmark = pytest.mark.integration


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library."""
    return Library(tmp_path / "library")


def authors_of(library: Library, tmp_path: Path) -> list[Author]:
    """All authors of all books, in order."""
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        return [author for book in opened.read_books(1, 99) for author in book.authors]


# -- authors ---------------------------------------------------------------------------------------------------------


def test_sorts_that_calibre_copied_say_nothing(library: Library, tmp_path: Path) -> None:
    """With `author_sort_copy_method = copy`: the names are left to be split."""
    library.add(
        Made(authors=(("John Smith", "John Smith"), ("Smith, Jane", "Smith, Jane"))),
        Made(authors=(("Plato", "Plato"), ("Ann Lee", "Ann Lee"), ("Edited", "Edited, By Hand"))),
    )
    assert authors_of(library, tmp_path) == [
        Author("John Smith", ""), Author("Smith, Jane", ""), Author("Plato", ""), Author("Ann Lee", ""),
        Author("Edited", "Edited, By Hand"),
    ]  # fmt: skip


@pytest.mark.parametrize("sorts", [("Smith, John", "Lee, Ann"), ("Smith John", "Lee Ann")], ids=["comma", "nocomma"])
def test_a_repeated_name_among_turned_ones_is_a_statement(
    library: Library, tmp_path: Path, sorts: tuple[str, str]
) -> None:
    """Somebody gave the organisation its sort by hand: it is one name."""
    library.add(Made(authors=(("John Smith", sorts[0]), ("Ann Lee", sorts[1]), ("United Nations", "United Nations"))))
    assert authors_of(library, tmp_path)[2] == Author("United Nations", "United Nations")
