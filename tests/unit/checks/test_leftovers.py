"""What becomes of an ebook that still bears a book's mark: a table."""

from dataclasses import replace

import pytest

from migration.checks.leftovers import (
    EMPTY,
    LOOKS_AT_MOST,
    SECOND,
    WORKING_TITLE,
    Decision,
    Fate,
    Leftover,
    decide,
)
from migration.ledger.records import BookState, Step
from migration.metadata.ebook_metadata import marked_book, working_title
from migration.model import BookId, EbookId, SourceId
from migration.server.payloads import Ebook

UUID = "1a2b3c4d-0000-4000-8000-000000000000"
TITLE = "Voina i mir ~1a2b3c4d-17"
FILE = (SourceId(5), "epub", 1000)
EMPTY_OURS = Ebook(EbookId(9), 1, TITLE, False, {}, (), created_by=3)
FULL_OURS = replace(EMPTY_OURS, version=2, sources=(FILE,))
OURS = BookState(TITLE, EbookId(9))
ANOTHER = BookState(TITLE, EbookId(8))
REST = Step.TITLE | Step.COVER | Step.RATING


def seen(
    ebook: Ebook | None, state: BookState | None = None, **more: object
) -> Leftover:
    """An ebook of book 17, which Calibre still has, at the first look."""
    base = Leftover(
        ebook, BookId(17), state, arrived=False, in_library=True, user_id="3", look=0
    )
    return replace(base, **more)  # type: ignore[arg-type]  # a test's own fields


FATES: dict[str, tuple[Leftover, Fate, str]] = {
    "gone": (seen(None, OURS), Fate.NOTHING, ""),
    "its title was given meanwhile": (
        seen(FULL_OURS, OURS, book_id=None),
        Fate.NOTHING,
        "",
    ),
    "delivered twice": (seen(EMPTY_OURS, ANOTHER), Fate.DELETE, ""),
    "made and never answered": (seen(EMPTY_OURS, None), Fate.DELETE, ""),
    "ours, and nothing was ever attached": (seen(EMPTY_OURS, OURS), Fate.DELETE, ""),
    "its book left Calibre": (
        seen(EMPTY_OURS, None, in_library=False),
        Fate.DELETE,
        "",
    ),
    "ours, and its files are gone": (
        seen(EMPTY_OURS, OURS, arrived=True),
        Fate.REPORT,
        EMPTY,
    ),
    "a second one, the first has the files": (
        seen(EMPTY_OURS, ANOTHER, arrived=True),
        Fate.DELETE,
        "",
    ),
    "empty, of another user": (
        seen(EMPTY_OURS, None, user_id="4"),
        Fate.REPORT,
        WORKING_TITLE,
    ),
    "empty, of nobody known": (
        seen(replace(EMPTY_OURS, created_by=None), None),
        Fate.REPORT,
        WORKING_TITLE,
    ),
    "empty, changed by somebody": (
        seen(replace(EMPTY_OURS, version=2), ANOTHER),
        Fate.REPORT,
        EMPTY,
    ),
    "empty, rated": (
        seen(replace(EMPTY_OURS, rating=80.0), ANOTHER),
        Fate.REPORT,
        EMPTY,
    ),
    "empty, again and again": (
        seen(EMPTY_OURS, ANOTHER, look=LOOKS_AT_MOST),
        Fate.REPORT,
        EMPTY,
    ),
    "a second one with files": (seen(FULL_OURS, ANOTHER), Fate.REPORT, SECOND),
    "title never given": (seen(FULL_OURS, OURS), Fate.FINISH, ""),
    "forgotten by the ledger": (seen(FULL_OURS, None), Fate.FINISH, ""),
    "asked for and forgotten": (seen(FULL_OURS, BookState(TITLE)), Fate.FINISH, ""),
    "with files, of another user": (
        seen(FULL_OURS, OURS, user_id="4"),
        Fate.REPORT,
        WORKING_TITLE,
    ),
    "title unknown: left Calibre": (
        seen(FULL_OURS, OURS, in_library=False),
        Fate.REPORT,
        WORKING_TITLE,
    ),
    "finished in vain": (
        seen(FULL_OURS, OURS, look=LOOKS_AT_MOST),
        Fate.REPORT,
        WORKING_TITLE,
    ),
}


@pytest.mark.parametrize("case", FATES, ids=str)
def test_the_fate_of_an_ebook(case: str) -> None:
    """A report has its kind and a reason; nothing else has."""
    leftover, fate, kind = FATES[case]
    decision = decide(leftover)
    assert (decision.fate, decision.kind) == (fate, kind)
    assert bool(decision.why) is (fate is Fate.REPORT)


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (OURS, REST),
        (replace(OURS, steps=Step.RECORD), REST | Step.RECORD),
        (None, REST | Step.RECORD),
    ],
)
def test_a_book_that_is_finished_has_its_closing_steps_open(
    state: BookState | None, steps: Step
) -> None:
    """Title, cover and rating; what could not be carried is recorded once."""
    assert decide(seen(FULL_OURS, state)) == Decision(
        Fate.FINISH, BookState(TITLE, EbookId(9), steps)
    )


@pytest.mark.parametrize(
    ("title", "book"),
    [
        (working_title("Война и мир", UUID, 17), 17),
        (working_title("", UUID, 1_700_000), 1_700_000),
        ("Voina i mir", None),
        ("Voina i mir ~1a2b3c4e-17", None),
        ("Voina i mir ~1a2b3c4d-17 (2)", None),
        ("Voina i mir ~1a2b3c4d-", None),
        ("Voina i mir ~1a2b3c4d-١٧", None),
        ("A ~1a2b3c4d-3 ~1a2b3c4d-4", 4),
    ],
)
def test_the_book_a_title_names(title: str, book: int | None) -> None:
    """Only by a mark of this library, and only at its end."""
    assert marked_book(title, UUID) == book


WHY: list[tuple[Leftover, Decision]] = [
    (
        seen(EMPTY_OURS, None, user_id="4"),
        Decision(Fate.REPORT, None, WORKING_TITLE, "it was made by another user"),
    ),
    (
        seen(FULL_OURS, ANOTHER),
        Decision(
            Fate.REPORT,
            None,
            SECOND,
            "book 17 has ebook 8, and this one holds files too",
        ),
    ),
    (
        seen(FULL_OURS, OURS, look=LOOKS_AT_MOST),
        Decision(
            Fate.REPORT,
            None,
            WORKING_TITLE,
            "4 times its book was given back to the workers in vain",
        ),
    ),
    (
        seen(FULL_OURS, OURS, in_library=False),
        Decision(
            Fate.REPORT,
            None,
            WORKING_TITLE,
            "Calibre no longer has book 17, so its true title is not known",
        ),
    ),
    (
        seen(EMPTY_OURS, OURS, arrived=True),
        Decision(
            Fate.REPORT, None, EMPTY, "the files of book 17 arrived in it and are gone"
        ),
    ),
    (
        seen(replace(EMPTY_OURS, rating=0.0), None),
        Decision(Fate.REPORT, None, EMPTY, "somebody has rated it"),
    ),
    (
        seen(replace(EMPTY_OURS, version=2), None),
        Decision(Fate.REPORT, None, EMPTY, "somebody has changed it since it was made"),
    ),
    (
        seen(EMPTY_OURS, None, look=LOOKS_AT_MOST),
        Decision(Fate.REPORT, None, EMPTY, "ebooks like it came back 4 times"),
    ),
    (
        seen(EMPTY_OURS, None, look=LOOKS_AT_MOST - 1),
        Decision(Fate.DELETE),
    ),
    (
        seen(FULL_OURS, OURS, look=LOOKS_AT_MOST - 1),
        Decision(Fate.FINISH, replace(OURS, steps=REST)),
    ),
]


@pytest.mark.parametrize(("leftover", "decision"), WHY, ids=range(len(WHY)))
def test_a_report_says_why(leftover: Leftover, decision: Decision) -> None:
    """The whole decision, as a person is told it."""
    assert decide(leftover) == decision
