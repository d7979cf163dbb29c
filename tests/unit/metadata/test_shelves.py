"""Which shelves a book belongs on, and what is done about it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.json_value import Json
from migration.metadata.shelves import (
    NAME_LENGTH,
    NOTE_LENGTH,
    MadeItem,
    Outcome,
    Plan,
    ShelfChoice,
    Wanted,
    chosen,
    decide,
    fingerprint,
    wanted,
)
from migration.model import Book, BookId, EbookMetadata, ItemId, ShelfId

COLUMNS = {"#read": "Read", "#mood": "Mood", "#saga": "Saga", "#shelf": "Shelf"}
TAGS = ShelfChoice(tags=True, notes=False)


def metadata(**lost: Json) -> EbookMetadata:
    """Of a book that has nothing but what is not carried."""
    return EbookMetadata("T", "T ~1-1", (), None, None, 1, "en", (), None, lost)


@pytest.mark.parametrize(
    ("choice", "extras", "lost", "expected"),
    [
        (TAGS, {}, {}, Wanted()),
        (
            TAGS,
            {},
            {"tags": ["Sea", "To read"]},
            Wanted(frozenset({"Sea", "To read"}), "", frozenset({"tags"})),
        ),
        (ShelfChoice(tags=False), {}, {"tags": ["Sea"]}, Wanted()),
        (
            TAGS,
            {},
            {"tags": ["x" * 300]},
            Wanted(frozenset({"x" * NAME_LENGTH})),
        ),
        (
            ShelfChoice(),
            {"comments": "<p>About <b>war</b>"},
            {"tags": ["Sea"]},
            Wanted(frozenset({"Sea"}), "About war", frozenset({"tags", "comments"})),
        ),
        # Without an item there is no place for the note.
        (ShelfChoice(), {"comments": "<p>About"}, {}, Wanted()),
        (
            ShelfChoice(),
            {"comments": "x" * (NOTE_LENGTH + 1)},
            {"tags": ["Sea"]},
            Wanted(frozenset({"Sea"}), "x" * NOTE_LENGTH, frozenset({"tags"})),
        ),
        (
            ShelfChoice(tags=False, columns=("#read", "#mood")),
            {"#read": True, "#mood": "Dark"},
            {"tags": ["Sea"]},
            Wanted(frozenset({"Read", "Dark"}), "", frozenset({"#read", "#mood"})),
        ),
        (
            ShelfChoice(tags=False, columns=("#read",)),
            {"#read": False},
            {},
            Wanted(carried=frozenset({"#read"})),
        ),
        (ShelfChoice(tags=False, columns=("#read",)), {}, {}, Wanted()),
        (
            ShelfChoice(tags=False, columns=("#shelf",)),
            {"#shelf": ["A", "B", "A"]},
            {},
            Wanted(frozenset({"A", "B"}), "", frozenset({"#shelf"})),
        ),
        # The index of a series is nowhere to be seen.
        (
            ShelfChoice(tags=False, columns=("#saga",)),
            {"#saga": {"series": "Great Saga", "index": 2.5}},
            {},
            Wanted(frozenset({"Great Saga"})),
        ),
        (
            ShelfChoice(tags=False, columns=("#mood",)),
            {"#mood": [None, 5, " ", "Dark\n"]},
            {},
            Wanted(frozenset({"Dark"})),
        ),
    ],
    ids=range(13),
)
def test_where_a_book_belongs(
    choice: ShelfChoice,
    extras: dict[str, Json],
    lost: dict[str, Json],
    expected: Wanted,
) -> None:
    """By its tags and columns; and what is whole there."""
    book = Book(BookId(1), "T", extras=extras)
    assert wanted(book, metadata(**lost), choice, COLUMNS) == expected


@pytest.mark.parametrize(
    ("words", "columns", "choice", "some"),
    [
        ((), (), ShelfChoice(tags=False, notes=False), False),
        (("tags", "comments"), (), ShelfChoice(), True),
        (("comments",), (), ShelfChoice(tags=False), False),
        (
            ("tags", "#read"),
            ("#mood", "#read"),
            ShelfChoice(notes=False, columns=("#read", "#mood")),
            True,
        ),
        (
            (),
            ("#read",),
            ShelfChoice(tags=False, notes=False, columns=("#read",)),
            True,
        ),
    ],
)
def test_what_the_settings_choose(
    words: tuple[str, ...], columns: tuple[str, ...], choice: ShelfChoice, some: bool
) -> None:
    """`--shelf-column` adds to `--shelves`."""
    assert chosen(words, columns, public=False) == choice
    assert chosen(words, columns, public=True) == replace(choice, public=True)
    assert choice.any is some


A, B = ShelfId(1), ShelfId(2)
NOTE = fingerprint("note")
OURS, OLD = MadeItem(NOTE, id=ItemId(7)), MadeItem(fingerprint("old"))
PENDING = MadeItem(NOTE, pending=True)


def some(*ids: ShelfId) -> frozenset[ShelfId]:
    """Shelves."""
    return frozenset(ids)


@pytest.mark.parametrize(
    ("belongs", "made", "present", "plan"),
    [
        pytest.param(some(), {}, some(), Plan(), id="nothing"),
        pytest.param(some(A), {}, some(), Plan(add=some(A)), id="new"),
        pytest.param(some(A), {}, some(A), Plan(), id="somebody put it there"),
        pytest.param(some(), {}, some(A), Plan(), id="somebody's, and not wanted"),
        pytest.param(some(A), {A: OURS}, some(A), Plan(), id="as it was"),
        pytest.param(
            some(A), {A: OURS}, some(), Plan(left_off=some(A)), id="taken off"
        ),
        pytest.param(some(), {A: OURS}, some(A), Plan(remove=some(A)), id="not wanted"),
        pytest.param(some(), {A: OURS}, some(), Plan(forget=some(A)), id="gone"),
        pytest.param(
            some(A), {A: OLD}, some(A), Plan(renote=some(A)), id="another note"
        ),
        pytest.param(
            some(A), {A: PENDING}, some(), Plan(add=some(A)), id="never asked for"
        ),
        pytest.param(
            some(A), {A: PENDING}, some(A), Plan(settle=some(A)), id="answer lost"
        ),
        pytest.param(
            some(B),
            {A: OURS},
            some(A),
            Plan(add=some(B), remove=some(A)),
            id="another tag",
        ),
    ],
)
def test_what_is_done(
    belongs: frozenset[ShelfId],
    made: dict[ShelfId, MadeItem],
    present: frozenset[ShelfId],
    plan: Plan,
) -> None:
    """Shelf by shelf."""
    assert decide(belongs, "note", made, present) == plan


_IDS = st.frozensets(st.integers(1, 6).map(ShelfId))
_ITEMS = st.builds(
    MadeItem, st.sampled_from([NOTE, fingerprint("old")]), pending=st.booleans()
)
_MADE = st.dictionaries(st.integers(1, 6).map(ShelfId), _ITEMS)


@given(_IDS, _MADE, _IDS)
def test_nothing_of_others_is_touched_and_twice_is_once(
    belongs: frozenset[ShelfId],
    made: dict[ShelfId, MadeItem],
    present: frozenset[ShelfId],
) -> None:
    """Only where the book belongs and where we put it; a plan that was carried out
    leaves nothing to do."""
    plan = decide(belongs, "note", made, present)
    assert plan.needs_role <= made.keys() & present
    assert plan.add <= belongs - present
    assert not plan.remove & belongs
    others = present - made.keys()
    after = (present | plan.add) - plan.remove
    assert others <= after
    items = {
        shelf: MadeItem(NOTE)
        if shelf in plan.add | plan.renote
        else replace(item, pending=False)
        if shelf in plan.settle
        else item
        for shelf, item in {**made, **dict.fromkeys(plan.add, OURS)}.items()
        if shelf not in plan.remove | plan.forget
    }
    again = decide(belongs, "note", items, after)
    assert again == Plan(left_off=plan.left_off)
    assert belongs <= after | plan.left_off


def test_what_a_person_is_told() -> None:
    """Which shelves, and why they are as they are."""
    outcome = Outcome(unallowed=("Old",), kept=("Sea",), refused={"x": "too long"})
    assert outcome.sentences() == [
        "the shelf 'x': too long",
        "without the role superuser nothing is changed or removed on 'Old'",
        "what somebody changed stays as it is on 'Sea'",
    ]
    assert Outcome().sentences() == []
