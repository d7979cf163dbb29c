"""Which of Calibre's fields the embedded server is given, and what is whole there."""

import pytest

from common.json_value import Json
from common.plain_text import MOST
from migration.model import Book, BookId
from migration.server.calibre_fields import (
    NOTHING,
    CalibreFields,
    carried,
    of_book,
)


def book(**fields: object) -> Book:
    """A book called The Raven."""
    named = {"title": "The Raven", "title_sort": "The Raven", **fields}
    return Book(BookId(1), **named)  # type: ignore[arg-type]  # fields of Book


@pytest.mark.parametrize(
    ("given", "fields", "names"),
    [
        (book(), NOTHING, set()),
        (book(title_sort=""), NOTHING, set()),
        (book(title_sort="Raven, The"), CalibreFields(sort="Raven, The"), set()),
        (book(series="S", series_index=2.0), NOTHING, set()),
        (book(series_index=0.5), NOTHING, set()),
        (
            book(series="S", series_index=0.5),
            CalibreFields(series_index=0.5),
            {"series index"},
        ),
        (book(series="S", series_index=float("inf")), NOTHING, set()),
        (book(series="S", series_index=float("nan")), NOTHING, set()),
        (
            book(extras={"comments": "<p>x", "identifiers": {"isbn": "1"}}),
            CalibreFields("<p>x", {"isbn": "1"}),
            {"comments", "identifiers"},
        ),
        (
            book(extras={"comments": "x" * (MOST + 1), "publisher": "P"}),
            CalibreFields("x" * MOST),
            set(),
        ),
        (
            book(extras={"identifiers": {"isbn": "1", "url": "x" * 600}}),
            CalibreFields(identifiers={"isbn": "1"}),
            set(),
        ),
        (book(extras={"comments": 5, "identifiers": ["x"]}), NOTHING, set()),
    ],
    ids=range(12),
)
def test_what_is_sent_of_a_book(
    given: Book, fields: CalibreFields, names: set[str]
) -> None:
    """And what is carried whole, which is not reported as not carried then."""
    assert of_book(given) == fields
    assert carried(given) == names


def test_an_odd_index_is_none() -> None:
    """Whatever JSON of a library says."""
    extras: dict[str, Json] = {"identifiers": {"isbn": None}}
    assert of_book(book(extras=extras)) == NOTHING
