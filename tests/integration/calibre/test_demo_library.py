"""The shipped demo library is what expected.json says."""

import hashlib
import json
from pathlib import Path

import pytest

from migration.calibre.library import CalibreLibrary
from tests.support.environment import PROJECT

pytestmark = pytest.mark.integration
DEMO = PROJECT / "demo"


def test_every_book_and_every_byte_is_as_expected(tmp_path: Path) -> None:
    """Titles, authors, formats, hashes; the kinds of books the demo promises; under 3
    MB."""
    expected = json.loads((DEMO / "expected.json").read_text("utf-8"))
    with CalibreLibrary(DEMO / "library", tmp_path) as library:
        books = {
            str(book.id): book
            for book in library.read_books(1, library.highest_book_id())
        }
        assert set(books) == set(expected["books"])
        hashes = []
        for number, listed in expected["books"].items():
            book = books[number]
            assert (book.title, " & ".join(author.name for author in book.authors)) == (
                listed["title"],
                listed["authors"],
            )
            assert {file.id.format for file in book.files} == set(listed["formats"])
            for file in book.files:
                with library.open_file(file.path) as stream:
                    data = stream.read()
                assert (
                    hashlib.sha1(data).hexdigest()
                    == listed["formats"][file.id.format]["sha1"]
                )
                hashes.append(listed["formats"][file.id.format]["sha1"])
    assert 30 <= len(books) <= 40
    assert len(hashes) - len(set(hashes)) == expected["first_run"]["duplicate"] == 1
    assert any(book.cover is None for book in books.values())
    assert any(len(book.authors) > 3 for book in books.values())
    assert any(book.series_index == 1.5 for book in books.values())
    assert {"rus", "zho", "jpn"} <= {
        code for book in books.values() for code in book.languages
    }
    assert (
        sum(
            path.stat().st_size
            for path in (DEMO / "library").rglob("*")
            if path.is_file()
        )
        < 3_000_000
    )
