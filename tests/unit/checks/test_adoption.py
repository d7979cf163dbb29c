"""Is a library the one a ledger was made with? Decided book by book, from values."""

import pytest

from migration.checks.adoption import Comparison, Finding, assess, refusal
from migration.ledger.tables.binding import Remembered, folder_hash
from migration.model import BookId, Origin

FILE = ("EPUB", 4711, 1_700_000_000_123_456_789)
OTHER_FILE = ("EPUB", 4712, 1_700_000_000_123_456_789)


def kept(
    uuid: str = "u1", folder: bytes = b"A/B (1)", *files: tuple[str, int, int]
) -> Remembered:
    """A book as the ledger has it."""
    return Remembered(uuid, folder_hash(folder), frozenset(files))


@pytest.mark.parametrize(
    ("known", "origin", "files", "finding"),
    [
        (kept(), Origin("u1", b"A/B (1)"), [], Finding.UUID),
        (kept(), Origin("u1", b"A/Renamed (1)"), [], Finding.UUID),
        (kept(), Origin("u2", b"A/B (1)"), [], Finding.FOLDER),
        (kept("u1", b"A/B (1)", FILE), Origin("u2", b"A/C (1)"), [FILE], Finding.FILES),
        (
            kept("u1", b"A/B (1)", FILE),
            Origin("u2", b"A/C (1)"),
            [OTHER_FILE],
            Finding.OTHER,
        ),
        (kept(), Origin("u2", b"A/C (1)"), [], Finding.OTHER),
        (kept(), None, [], Finding.GONE),
        (kept("", b"", FILE), Origin("u1", b"A/B (1)"), [FILE], Finding.FILES),
        (kept("", b"", FILE), Origin("u1", b"A/B (1)"), [OTHER_FILE], Finding.CHANGED),
        (kept("", b""), Origin("", b""), [], Finding.UNKNOWN),
        (kept("", b""), Origin("u1", b"A/B (1)"), [FILE], Finding.UNKNOWN),
    ],
    ids=[
        "as it was",
        "renamed",
        "a new uuid",
        "uuid and folder are new",
        "another book",
        "another book without files",
        "removed",
        "earlier ledger, same file",
        "earlier ledger, other file",
        "nothing is known of either",
        "nothing is known of one",
    ],
)
def test_a_book_is_judged_by_uuid_then_folder_then_files(
    known: Remembered,
    origin: Origin | None,
    files: list[tuple[str, int, int]],
    finding: Finding,
) -> None:
    """One sign that it is the same is enough; empty values are no sign."""
    assert assess(known, origin, files) is finding


@pytest.mark.parametrize(
    ("books", "why"),
    [
        ({}, ""),
        ({Finding.UUID: 60}, ""),
        ({Finding.UUID: 30, Finding.GONE: 30}, ""),
        (
            {Finding.UUID: 29, Finding.GONE: 31},
            "most of the books it knows are not there",
        ),
        ({Finding.GONE: 1}, "most of the books it knows are not there"),
        (
            {Finding.UUID: 1000, Finding.OTHER: 1},
            "other books have the ids of those it knows (such as 7)",
        ),
        ({Finding.FILES: 9, Finding.CHANGED: 1}, ""),
        ({Finding.FILES: 8, Finding.CHANGED: 1}, "the files of its books are others"),
        ({Finding.CHANGED: 1}, "the files of its books are others"),
        ({Finding.UNKNOWN: 5}, ""),
    ],
    ids=[
        "a new ledger",
        "all",
        "half of it removed",
        "more than half",
        "the only one removed",
        "one of a thousand is another",
        "one of ten rewritten",
        "one of nine",
        "all rewritten",
        "failed files only",
    ],
)
def test_a_library_is_refused_with_what_differs(
    books: dict[Finding, int], why: str
) -> None:
    """Every book must be the same; only files known by size and time may have changed,
    one in ten."""
    others = (BookId(7),) if Finding.OTHER in books else ()
    assert refusal(Comparison(books, others)) == why


def test_what_was_compared_is_said_in_words() -> None:
    """In the order of the strength of the signs."""
    found = Comparison({Finding.GONE: 2, Finding.UUID: 41, Finding.FOLDER: 0})
    assert str(found) == "41 by uuid, 2 no longer there"
    assert str(Comparison({})) == "none"
