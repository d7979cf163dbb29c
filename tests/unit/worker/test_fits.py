"""Which books the direct lane takes, and in which batches."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.lanes.direct.fits import MOST_BYTES, BatchLimits, batches, why_not
from migration.lanes.lane import Work
from migration.metadata.shelves import Wanted
from migration.model import BookFile, BookId, FileId, PersonName, Problem
from tests.support.migration.lanekit import book_of, work_of

PLAIN = work_of(book_of(1, formats=("EPUB", "MOBI")))
FILE = PLAIN.files[0]


def of_work(**changes: object) -> Work:
    return replace(PLAIN, **changes)  # type: ignore[arg-type]


def of_book(**changes: object) -> Work:
    return of_work(book=replace(PLAIN.book, **changes))  # type: ignore[arg-type]


def of_metadata(**changes: object) -> Work:
    return of_work(metadata=replace(PLAIN.metadata, **changes))  # type: ignore[arg-type]


def of_file(**changes: object) -> Work:
    return of_work(files=[FILE, replace(FILE, **changes)])  # type: ignore[arg-type]


def reason(work: Work, wanted: Wanted | None = None, *, known: bool = False) -> str:
    most = MOST_BYTES * 4
    return why_not(work, wanted or Wanted(), known=known, most_bytes=most)


def test_a_plain_book_fits() -> None:
    assert reason(PLAIN) == ""
    assert reason(of_metadata(title="t" * 256, series="s" * 256)) == ""
    assert reason(of_metadata(authors=(PersonName("\U0001f426" * 128),))) == ""


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (of_book(removed=True), "its ebook was begun before"),
        (of_work(alone=True), "its worker died while it was at it"),
        (of_work(begun=FILE.id), "its worker died while it was at it"),
        (of_work(files=[]), "it has no file to send"),
        (
            of_book(cover_problem=Problem("missing", "gone")),
            "its cover cannot be read",
        ),
        (
            of_file(problem=Problem("missing", "gone")),
            "one of its files cannot be used",
        ),
        (
            of_file(size=0),
            "the server does not take one of its files (empty)",
        ),
        (
            of_file(size=MOST_BYTES * 4),
            "the server does not take one of its files (too big)",
        ),
        (of_file(size=MOST_BYTES + 1), "one of its files is too big"),
        *(
            (
                of_metadata(**change),
                "one of its names does not fit the server's columns",
            )
            for change in (
                {"title": "t" * 257},
                {"title": ""},
                {"title": "a\0b"},
                {"title": "a\ud800"},
                {"series": "s" * 257},
                {"authors": (PersonName("a" * 129),)},
                {"authors": (PersonName("Doe", "j" * 129),)},
                {"authors": (PersonName(""),)},
            )
        ),
        (
            of_metadata(series="s", series_index=2**31),
            "its series index does not fit the server's column",
        ),
    ],
)
def test_a_book_with_something_odd_goes_by_the_api(work: Work, why: str) -> None:
    assert reason(work) == why


def test_what_the_ledger_knows_goes_by_the_api() -> None:
    assert reason(PLAIN, known=True) == "its ebook was begun before"


def test_a_shelf_that_does_not_fit_goes_by_the_api() -> None:
    wanted = Wanted(frozenset({"s" * 257}))
    assert reason(PLAIN, wanted) == "a name of its shelves does not fit"


SIZES = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=3), max_size=30)


def works_of(sizes: Sequence[Sequence[int]]) -> list[Work]:
    works = []
    for number, its in enumerate(sizes, 1):
        book = book_of(number)
        files = [
            BookFile(FileId(BookId(number), f"F{one}"), b"f", size)
            for one, size in enumerate(its)
        ]
        works.append(replace(work_of(book), files=files))
    return works


@given(
    SIZES,
    st.builds(BatchLimits, st.integers(1, 5), st.integers(1, 6), st.integers(1, 90)),
)
def test_batches_hold_all_books_in_order_and_no_more_than_allowed(
    sizes: Sequence[Sequence[int]], limits: BatchLimits
) -> None:
    """A book that is more than a whole batch may hold is a batch of its own."""
    works = works_of(sizes)
    found = [*batches(works, limits)]
    assert [work for batch in found for work in batch] == works
    for batch in found:
        files = [file for work in batch for file in work.files]
        assert len(batch) == 1 or (
            len(batch) <= limits.books
            and len(files) <= limits.files
            and sum(file.size for file in files) <= limits.size
        )
