"""The rows of a book, value by value."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.model import BookId, Digest, FileId, PersonName
from migration.server.direct import values
from migration.server.direct.values import Numbers, Stamp
from migration.server.direct.writing import FEWEST, MOST, next_count
from tests.support.servers.directkit import FORMATS, LIBRARY, digest_of, placed

AT = datetime(2026, 11, 30, 12, 0, 0, 5)  # noqa: DTZ001 - as the columns have it
STAMP = Stamp(AT, 3, LIBRARY)
IDS = Numbers((7, 4), 11, FORMATS)


def test_the_rows_of_a_whole_book() -> None:
    """Everything the API would have written, and where it is from."""
    book = placed(
        5,
        (70, (81, 82)),
        formats=("EPUB", "MOBI"),
        book={"description": "A bird."},
        authors=(PersonName("Doe", "Jane"), PersonName("Homer")),
        series="Birds",
        series_index=4,
        genres=((9, "Fantasy"), (25, "Science Fiction")),
        rating=80,
    )
    at = AT + timedelta(microseconds=2)
    folder = "Doe Jane/Book 70(en)"
    assert values.ebook_row(book, 2, STAMP, IDS, "'raven':1") == (
        *(70, 4, at, at, "The Raven", "A bird.", 2, 11, 4, 80, 1),
        *(f"{folder}/cover.jpg", folder, "'raven':1", 3, 3),
    )
    assert values.author_rows(book, IDS) == [(70, 4), (70, 7)]
    assert values.genre_rows(book) == [(70, 9), (70, 25)]
    assert values.rating_rows(book, 2, STAMP) == [(1, at, at, 70, 80, 3, 3)]
    epub, mobi = digest_of("5/EPUB"), digest_of("5/MOBI")
    assert values.source_rows(book, 2, STAMP, IDS) == [
        (
            *(81, 1, at, at, 70, f"{folder}/Doe Jane - Book.epub"),
            *("calibre:1a2b3c4d:5:EPUB", 8, epub.size, epub.sha1, 3, 3),
        ),
        (
            *(82, 1, at, at, 70, f"{folder}/Doe Jane - Book.mobi"),
            *("calibre:1a2b3c4d:5:MOBI", 6, mobi.size, mobi.sha1, 3, 3),
        ),
    ]


def test_the_rows_of_a_bare_book() -> None:
    """Null where there is nothing; an index without a series is none."""
    book = placed(1, (70, (81,)), cover=False, authors=(), genres=(), series_index=3)
    ids = Numbers((), None, FORMATS)
    row = values.ebook_row(book, 0, STAMP, ids, "'raven':1")
    assert row[1] == 2
    assert row[5:12] == (None, 2, None, None, None, None, None)
    assert values.author_rows(book, ids) == []
    assert values.genre_rows(book) == []
    assert values.rating_rows(book, 0, STAMP) == []


JANE, HOMER = PersonName("Doe", "Jane"), PersonName("Homer")


@pytest.mark.parametrize(
    ("authors", "series", "index", "text"),
    [
        ((JANE,), None, None, "Jane Doe: The Raven"),
        ((HOMER, JANE), None, 3, "Homer, Jane Doe: The Raven"),
        ((), None, None, ": The Raven"),
        ((JANE,), "Birds", 4, "Jane Doe: The Raven (Birds 4)"),
        ((JANE,), "Birds", None, "Jane Doe: The Raven (Birds 0)"),
    ],
)
def test_what_a_book_is_found_by(
    authors: tuple[PersonName, ...], series: str | None, index: int | None, text: str
) -> None:
    """The server's own text."""
    assert values.full_title(authors, "The Raven", series, index) == text


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"title": "x" * 256, "series": "ü" * 256}, ""),
        ({"title": "x" * 257}, "its title is longer than 256 characters"),
        ({"series": "x" * 257}, "its series is longer than 256 characters"),
        ({"authors": (PersonName("a" * 128, "b" * 128),)}, ""),
        (
            {"authors": (PersonName("a" * 129),)},
            "its author is longer than 128 characters",
        ),
        (
            {"authors": (PersonName("a", "b" * 129),)},
            "its author is longer than 128 characters",
        ),
        ({"title": "a\0b"}, "its title has characters no database takes"),
        ({"title": "a\ud800b"}, "its title has characters no database takes"),
        ({"series_index": 2**31}, "its series index is too large"),
        ({"rating": float("nan")}, "its rating is no number"),
        (
            {"authors": tuple(PersonName(f"{n:0128d}") for n in range(400))},
            "its authors are longer than 50000 characters together",
        ),
        (
            {"book": {"description": "\0"}},
            "its description has characters no database takes",
        ),
        ({"book": {"note": "\0"}}, "its note has characters no database takes"),
        (
            {"book": {"shelves": frozenset({"s" * 257})}},
            "its shelf is longer than 256 characters",
        ),
        ({"formats": ("CBZ",)}, "the server has no format 'cbz'"),
    ],
)
def test_what_the_columns_cannot_hold(more: dict[str, object], why: str) -> None:
    """Said before a batch fails for it."""
    book = placed(1, (70, (81,)), **more)  # type: ignore[arg-type]
    assert values.problem(book, LIBRARY, FORMATS) == why


def test_a_file_of_two_gigabytes_and_a_long_path() -> None:
    """Sizes are 32-bit numbers there, paths 512 characters."""
    book = placed(1, (70, (81,)))
    big = replace(book, digests=(Digest("a" * 40, 2**31),))
    assert values.problem(big, LIBRARY, FORMATS) == "it has a file of 2 GB or more"
    just = replace(book, digests=(Digest("a" * 40, 2**31 - 1),))
    assert values.problem(just, LIBRARY, FORMATS) == ""
    far = replace(book, drawn=replace(book.drawn, base_dir="d" * 513))
    assert "path is longer than 512" in values.problem(far, LIBRARY, FORMATS)


@given(
    st.integers(0, 10**18 - 1),
    st.text(min_size=1, max_size=200).filter(lambda one: ":" not in one),
    st.text(),
)
def test_a_source_says_which_file_it_is_from(
    book: int, form: str, library: str
) -> None:
    """And nobody else's row says so."""
    file = FileId(BookId(book), form)
    text = values.load_source(library, file)
    assert values.provenance(text, library) == file
    assert values.provenance(text, f"0{library}x") in (file, None)
    assert values.provenance(f"x{text}", library) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "calibre:",
        "0123456789012345678901234567890123456789.epub",
        "calibre:ffffffff:5:EPUB",
        "calibre:1a2b3c4d:x:EPUB",
        "calibre:1a2b3c4d:5:",
        "calibre:1a2b3c4d:1234567890123456789:EPUB",
    ],
)
def test_other_sources_are_from_elsewhere(text: str) -> None:
    """Of another library, or of people."""
    assert values.provenance(text, LIBRARY) is None


@pytest.mark.parametrize(
    ("done", "count", "seconds", "found"),
    [
        (250, 250, 0.15, 250),
        (250, 250, 0.05, 500),
        (100, 250, 0.05, 250),
        (1000, 1000, 0.01, MOST),
        (250, 250, 0.3, 125),
        (100, 250, 0.3, 50),
        (9, 9, 3.0, FEWEST),
    ],
)
def test_transactions_stay_short(
    done: int, count: int, seconds: float, found: int
) -> None:
    """Halved when one took too long, doubled when it took less than half."""
    assert next_count(done, count, seconds) == found


@given(st.integers(0, MOST), st.integers(1, MOST), st.floats(0, 100))
def test_some_books_always_go(done: int, count: int, seconds: float) -> None:
    """Between the fewest and the most."""
    found = next_count(done, max(count, FEWEST), seconds)
    assert FEWEST <= found <= MOST
