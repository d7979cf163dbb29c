"""Which books are sent many at a time, and how they are divided."""

import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.errors import LoginRefused, ServerUnreachable
from migration.lanes.embedded.lane import (
    BATCH_BOOKS,
    BATCH_BYTES,
    EmbeddedLane,
    batched,
)
from migration.lanes.embedded.reading import BOOK_BYTES, BOOK_FILES, fits
from migration.lanes.lane import Work
from migration.model import (
    Book,
    BookFile,
    BookId,
    EbookMetadata,
    FileId,
    Problem,
)

T = TypeVar("T")
TITLE = "Book ~1a2b3c4d-1"
COVER: dict[str, Any] = {"cover": b"cover.jpg"}


def work(
    sizes: Sequence[int], formats: Sequence[str] = (), mark: str = TITLE, **more: Any
) -> Work:
    """A book with files of these sizes, EPUB first."""
    names = [*formats, "EPUB", *(f"F{number}" for number in range(len(sizes)))]
    files = [
        BookFile(FileId(BookId(1), name), b"f", size)
        for name, size in zip(names, sizes, strict=False)
    ]
    metadata = EbookMetadata("Book", mark, (), None, None, 1, "en", (), None)
    return Work(Book(BookId(1), "Book", files=tuple(files), **more), metadata, files)


@given(st.lists(st.integers(1, BOOK_BYTES), max_size=300))
def test_batches_are_all_the_books_in_their_order(sizes: list[int]) -> None:
    """None too large, and none that the one before had room for."""
    works = [work([size]) for size in sizes]
    batches = list(batched(works))
    assert [one for batch in batches for one in batch] == works
    totals = [sum(one.files[0].size for one in batch) for batch in batches]
    assert all(total <= BATCH_BYTES for total in totals)
    assert all(0 < len(batch) <= BATCH_BOOKS for batch in batches)
    for total, batch, after in zip(totals, batches, batches[1:], strict=False):
        full = len(batch) == BATCH_BOOKS
        assert full or total + after[0].files[0].size > BATCH_BYTES


PROBLEM = Problem("missing", "gone")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(work([9]), True, id="an EPUB"),
        pytest.param(work([9, 9], **COVER), True, id="with another format and a cover"),
        pytest.param(work([9, 9]), False, id="another format, no cover"),
        pytest.param(work([9], ["PDF"]), False, id="a PDF without a cover"),
        pytest.param(work([9], ["PDF"], **COVER), True, id="a PDF with a cover"),
        pytest.param(work([]), False, id="no file"),
        pytest.param(work([0]), False, id="an empty file"),
        pytest.param(work([BOOK_BYTES]), True, id="as large as may be"),
        pytest.param(work([BOOK_BYTES, 1], **COVER), False, id="too large"),
        pytest.param(work([1] * BOOK_FILES, **COVER), True, id="as many files"),
        pytest.param(work([1] * (BOOK_FILES + 1), **COVER), False, id="too many"),
        pytest.param(work([9], cover_problem=PROBLEM), False, id="a bad cover"),
        pytest.param(work([9], removed=True), False, id="removed from Calibre"),
        pytest.param(work([9], mark="Book ~-1"), False, id="a library without id"),
        pytest.param(
            work([9], extras={"comments": "x" * 99_999}), False, id="long comments"
        ),
    ],
)
def test_what_is_odd_goes_by_itself(one: Work, expected: bool) -> None:
    """Also any book on which a worker has died."""
    assert fits(one) is expected
    one.alone = True
    assert fits(one) is False


class Here:
    """A process that runs what it is given at once."""

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """One after the other."""
        return [task() for task in tasks]


def lane(answer: Callable[[], bool]) -> EmbeddedLane:
    """A lane to a server that says so."""
    shared = SimpleNamespace(
        current=SimpleNamespace(rebuilt=False), log=logging.getLogger("test")
    )
    client = SimpleNamespace(session=SimpleNamespace(takes_calibre_books=answer))
    return EmbeddedLane(cast(Any, shared), cast(Any, client), cast(Any, Here()))


def test_a_server_that_is_away_gets_no_batch() -> None:
    """The uploaders wait for it; a login that it refuses ends the worker."""

    def away() -> bool:
        raise ServerUnreachable("no answer in time")

    def refused() -> bool:
        raise LoginRefused("refused")

    works = [work([9])]
    assert lane(away).carry(works) == works
    assert lane(lambda: False).carry(works) == works
    with pytest.raises(LoginRefused):
        lane(refused).carry(works)
