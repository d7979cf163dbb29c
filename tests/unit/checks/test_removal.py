"""What may be deleted on the server: every kind of thing, every reason to leave it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.checks.removal import (
    GOES,
    GONE,
    Fate,
    Reason,
    SeenEbook,
    SeenItem,
    SeenShelf,
    SeenSource,
    of_ebook,
    of_item,
    of_shelf,
    of_source,
)
from migration.ledger.records import Carried, Standing, StandingKind
from migration.metadata.compare import Base, Field, Fields
from migration.model import EbookId, ItemId, PersonName, SourceId
from migration.server.payloads import Ebook

ME, OTHER = 3, 9
EPUB, PDF = SourceId(11), SourceId(12)
FIELDS = Fields(
    title="Harbour",
    authors=(PersonName("Doe", "Jane"),),
    series="Tales",
    series_index=2,
    language="en",
    genres=frozenset({"War"}),
    rating=80,
    cover="made-by-the-server",
)
KNOWN = Carried(Base(replace(FIELDS, cover="calibres"), FIELDS), 5)
EBOOK = Ebook(
    EbookId(7),
    6,
    FIELDS.title,
    cover=True,
    ids={},
    sources=((EPUB, "epub", 100),),
    rating=80.0,
    created_by=ME,
    fields=replace(FIELDS, cover=""),
    owners={EPUB: ME},
    modified_by=ME,
    rating_count=1,
)
SEEN = SeenEbook(
    EBOOK,
    KNOWN,
    {EPUB: ("epub", 100)},
    {},
    str(ME),
    superuser=True,
    cover=FIELDS.cover,
    shelves={1: "Ours"},
    our_shelves=frozenset({1}),
)


def ebook(**changes: Any) -> Callable[[SeenEbook], SeenEbook]:
    """The ebook, shown otherwise."""
    return lambda seen: replace(seen, ebook=replace(EBOOK, **changes))


def shows(**changes: Any) -> Callable[[SeenEbook], SeenEbook]:
    """The ebook, with other values."""
    return ebook(fields=replace(EBOOK.fields, **changes))


def known(**changes: Any) -> Callable[[SeenEbook], SeenEbook]:
    """The same, with another thing known of it."""
    return lambda seen: replace(seen, **changes)


def stands(kind: StandingKind) -> Callable[[SeenEbook], SeenEbook]:
    """A difference that a later run found."""
    one = Standing(Field.TITLE, kind, "a", "b", 4)
    return known(known=replace(KNOWN, standing=(one,)))


BOTH: dict[str, Any] = {
    "sources": (*EBOOK.sources, (PDF, "pdf", 5)),
    "owners": {EPUB: ME, PDF: ME},
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda seen: seen, None),
        (ebook(version=99), None),
        (known(taken=80.0), None),
        (stands(StandingKind.REFUSED), None),
        (ebook(created_by=OTHER), Reason.OTHER_USER),
        (ebook(created_by=None), Reason.OTHER_USER),
        (ebook(owners={EPUB: OTHER}), Reason.FOREIGN_FILE),
        (ebook(owners={}), Reason.FOREIGN_FILE),
        (ebook(**BOTH), Reason.FOREIGN_FILE),
        (
            lambda seen: replace(ebook(**BOTH)(seen), passes={PDF: 4}),
            Reason.ANOTHER_RUN,
        ),
        (ebook(sources=()), Reason.FILES_CHANGED),
        (ebook(sources=((EPUB, "epub", 101),)), Reason.FILES_CHANGED),
        (ebook(sources=((EPUB, "pdf", 100),)), Reason.FILES_CHANGED),
        (known(known=None), Reason.NOT_RECORDED),
        (shows(title="Other"), Reason.EDITED),
        (shows(authors=()), Reason.EDITED),
        (shows(series="Other"), Reason.EDITED),
        (shows(series_index=3), Reason.EDITED),
        (shows(language="cs"), Reason.EDITED),
        (shows(genres=frozenset()), Reason.EDITED),
        (ebook(modified_by=OTHER), Reason.EDITED),
        (stands(StandingKind.KEPT), Reason.EDITED),
        (stands(StandingKind.CONFLICT), Reason.EDITED),
        (stands(StandingKind.OVERWRITTEN), Reason.EDITED),
        (ebook(rating_count=2), Reason.RATED),
        (
            ebook(rating=50.0, fields=replace(EBOOK.fields, rating=None)),
            Reason.RATED,
        ),
        (shows(rating=40.0), Reason.OWN_RATING),
        (
            ebook(
                rating=None, rating_count=0, fields=replace(EBOOK.fields, rating=None)
            ),
            Reason.OWN_RATING,
        ),
        (known(cover="other"), Reason.COVER),
        (known(cover=""), Reason.COVER),
        (known(neighbours=frozenset()), None),
        (known(neighbours=frozenset({EbookId(8)})), Reason.FOLDER),
        (known(shelves={1: "Ours", 2: "Theirs"}), Reason.SHELVED),
        (known(superuser=False), Reason.ROLE),
    ],
)
def test_an_ebook(
    change: Callable[[SeenEbook], SeenEbook], reason: Reason | None
) -> None:
    verdict = of_ebook(change(SEEN))
    assert (verdict.fate, verdict.reason) == (
        Fate.GOES if reason is None else Fate.STAYS,
        reason,
    )


def test_an_ebook_that_is_gone_or_whose_rating_was_taken_back_before() -> None:
    assert of_ebook(replace(SEEN, ebook=None)) == GONE
    bare = ebook(rating=None, rating_count=0, fields=replace(EBOOK.fields, rating=None))
    assert of_ebook(replace(bare(SEEN), taken=80.0)) == GOES
    assert of_ebook(replace(SEEN, shelves={}, superuser=False)) == GOES


def test_what_nobody_has_asked_for_decides_nothing() -> None:
    assert of_ebook(replace(SEEN, cover=None, shelves=None, superuser=False)) == GOES


@given(
    st.sampled_from([None, 0, 40, 80]),
    st.integers(0, 3),
    st.dictionaries(st.sampled_from([EPUB, PDF]), st.sampled_from([ME, OTHER])),
    st.dictionaries(st.integers(1, 3), st.just("x"), max_size=3),
)
def test_nothing_of_somebody_else_ever_goes(
    rating: int | None,
    others: int,
    owners: dict[SourceId, int],
    shelves: dict[int, str],
) -> None:
    shown = replace(
        EBOOK,
        fields=replace(EBOOK.fields, rating=rating),
        rating_count=others + (rating is not None),
        rating=None if rating is None and not others else 50.0,
        owners=owners,
        sources=tuple((one, "epub", 100) for one in owners),
    )
    verdict = of_ebook(replace(SEEN, ebook=shown, shelves=shelves))
    theirs = (
        others or OTHER in owners.values() or PDF in owners or {2, 3} & set(shelves)
    )
    assert verdict.fate is Fate.STAYS or not theirs


SOURCE = SeenSource(replace(EBOOK, **BOTH), EPUB, ("epub", 100), str(ME))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (SOURCE, None),
        (replace(SOURCE, ebook=replace(EBOOK, **BOTH, created_by=OTHER)), None),
        (
            replace(
                SOURCE,
                ebook=replace(
                    EBOOK, sources=BOTH["sources"], owners={EPUB: OTHER, PDF: ME}
                ),
            ),
            Reason.OTHER_USER,
        ),
        (replace(SOURCE, sent=("epub", 7)), Reason.FILES_CHANGED),
        (replace(SOURCE, sent=("pdf", 100)), Reason.FILES_CHANGED),
        (replace(SOURCE, others=(5, 6)), Reason.SHARED),
        (replace(SOURCE, ebook=EBOOK), Reason.ONLY_FILE),
    ],
)
def test_a_file(seen: SeenSource, reason: Reason | None) -> None:
    verdict = of_source(seen)
    assert (verdict.fate is Fate.GOES, verdict.reason) == (reason is None, reason)


def test_a_file_that_is_gone() -> None:
    assert of_source(replace(SOURCE, ebook=None)) == GONE
    assert of_source(replace(SOURCE, source_id=SourceId(99))) == GONE


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (SeenItem("a", "a", superuser=True), (Fate.GOES, None)),
        (SeenItem(None, "a", superuser=False), (Fate.GONE, None)),
        (SeenItem("b", "a", superuser=True), (Fate.STAYS, Reason.NOTE)),
        (SeenItem("a", "a", superuser=False), (Fate.STAYS, Reason.ROLE)),
    ],
)
def test_an_item_of_a_shelf(
    seen: SeenItem, expected: tuple[Fate, Reason | None]
) -> None:
    verdict = of_item(seen)
    assert (verdict.fate, verdict.reason) == expected


NONE, ONE = frozenset[ItemId](), frozenset({ItemId(4)})


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (SeenShelf("A", "A", NONE, NONE, superuser=True), (Fate.GOES, None)),
        (SeenShelf("A", "A", ONE, ONE, superuser=True), (Fate.GOES, None)),
        (SeenShelf(None, "A", NONE, NONE, superuser=True), (Fate.GONE, None)),
        (SeenShelf("B", "A", NONE, NONE, superuser=True), (Fate.STAYS, Reason.RENAMED)),
        (SeenShelf("A", "A", ONE, NONE, superuser=True), (Fate.STAYS, Reason.IN_USE)),
        (SeenShelf("A", "A", NONE, NONE, superuser=False), (Fate.STAYS, Reason.ROLE)),
    ],
)
def test_a_shelf(seen: SeenShelf, expected: tuple[Fate, Reason | None]) -> None:
    verdict = of_shelf(seen)
    assert (verdict.fate, verdict.reason) == expected
