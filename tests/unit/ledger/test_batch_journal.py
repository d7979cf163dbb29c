"""The journal of a batch: what is written is read back, and nothing else is accepted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.ledger.batch_journal import (
    BadJournal,
    JournalBook,
    JournalFile,
    from_text,
    to_text,
)
from migration.metadata.compare import Fields
from migration.model import BookId, EbookId, FileId, PersonName, SourceId

IDS = st.integers(1, 2**63 - 1)
#: Any text, lone surrogates and all.
TEXT = st.text(st.characters(), max_size=12)
NAMES = st.frozensets(TEXT, max_size=3)
FIELDS = st.builds(
    Fields,
    title=TEXT,
    authors=st.lists(st.builds(PersonName, TEXT, TEXT), max_size=3).map(tuple),
    series=st.none() | TEXT,
    series_index=st.none() | st.integers(-(2**31), 2**31),
    language=TEXT,
    genres=NAMES,
    rating=st.none() | st.integers(0, 100),
    formats=NAMES,
    shelves=NAMES,
)


@st.composite
def books(draw: st.DrawFn) -> JournalBook:
    """A book with files of its own."""
    number = BookId(draw(IDS))
    files = draw(st.lists(st.tuples(TEXT, IDS, TEXT), max_size=3))
    return JournalBook(
        number,
        EbookId(draw(IDS)),
        draw(TEXT),
        tuple(
            JournalFile(FileId(number, form), SourceId(source), location)
            for form, source, location in files
        ),
        draw(TEXT),
        draw(FIELDS),
        draw(TEXT),
        draw(st.binary(max_size=8)),
        tuple(draw(st.lists(TEXT, max_size=3))),
        draw(TEXT),
    )


@given(st.lists(books(), max_size=4).map(tuple))
def test_a_journal_is_read_as_it_was_written(written: tuple[JournalBook, ...]) -> None:
    text = to_text(written)
    assert text.isascii()
    assert from_text(text) == written


WHOLE = json.loads(
    to_text(
        (
            JournalBook(
                BookId(1),
                EbookId(2),
                "A/B",
                (JournalFile(FileId(BookId(1), "EPUB"), SourceId(3), "A/B/c.epub"),),
                "B ~1-1",
                Fields("B"),
            ),
        )
    )
)[0]


@pytest.mark.parametrize("key", sorted(WHOLE))
def test_a_book_that_lacks_a_value_is_refused(key: str) -> None:
    with pytest.raises(BadJournal):
        from_text(json.dumps([{k: v for k, v in WHOLE.items() if k != key}]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        json.dumps([{**WHOLE, "files": [["EPUB", "3", "A/B/c.epub"]]}]),
        json.dumps([{**WHOLE, "modified": "☃"}]),
        json.dumps([{**WHOLE, "lost": [1]}]),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadJournal):
        from_text(text)
