"""The comparison of a book with its ebook, and the merge of what both sides changed."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.metadata.compare import (
    COMPARED,
    MERGED,
    SENT,
    Base,
    Fate,
    Field,
    Fields,
    Prefer,
    differences,
    from_json,
    merge,
    only_different,
    to_json,
)
from migration.model import PersonName

DOE, CAPEK = PersonName("Doe", "Jane"), PersonName("Čapek", "Karel")
BOOK = Fields(
    title="The Silent Harbour",
    authors=(DOE, CAPEK),
    series="Harbour Tales",
    series_index=2,
    language="en",
    genres=frozenset({"Science Fiction"}),
    rating=80,
    cover="a" * 40,
    formats=frozenset({"epub"}),
    shelves=frozenset({"to read"}),
)
#: Another value for each field.
OTHER: dict[Field, object] = {
    Field.TITLE: "The Loud Harbour",
    Field.AUTHORS: (DOE,),
    Field.SERIES: "Harbours",
    Field.SERIES_INDEX: 3,
    Field.LANGUAGE: "cs",
    Field.GENRES: frozenset({"Horror"}),
    Field.RATING: 100,
    Field.COVER: "b" * 40,
    Field.FORMATS: frozenset({"epub", "pdf"}),
    Field.SHELVES: frozenset({"read"}),
}
THIRD: dict[Field, object] = {
    Field.TITLE: "Harbour",
    Field.AUTHORS: (CAPEK,),
    Field.SERIES: None,
    Field.SERIES_INDEX: 7,
    Field.LANGUAGE: "sk",
    Field.GENRES: frozenset(),
    Field.RATING: None,
    Field.COVER: "c" * 40,
}


def edited(book: Fields, field: Field, value: Any) -> Fields:
    return replace(book, **{field.value: value})


names = st.text(min_size=1, max_size=8)
people = st.builds(PersonName, names, st.text(max_size=8))
books = st.builds(
    Fields,
    title=st.text(max_size=8),
    authors=st.lists(people, max_size=3, unique=True).map(tuple),
    series=st.none() | names,
    series_index=st.none() | st.integers(-5, 5),
    language=st.sampled_from(["en", "cs", "sk"]),
    genres=st.frozensets(st.sampled_from(["Horror", "War", "Travel"])),
    rating=st.none() | st.integers(1, 100),
    cover=st.sampled_from(["", "a" * 40, "b" * 40]),
    formats=st.frozensets(st.sampled_from(["epub", "pdf"])),
    shelves=st.frozensets(names, max_size=3),
)


@pytest.mark.parametrize("field", COMPARED)
def test_an_edit_of_one_field_is_exactly_that_difference(field: Field) -> None:
    found = differences(BOOK, edited(BOOK, field, OTHER[field]))
    assert [one.field for one in found] == [field]
    assert found[0].calibre == BOOK.shown(field) != found[0].server


@given(books)
def test_what_was_just_carried_does_not_differ(book: Fields) -> None:
    assert differences(book, book) == ()
    assert set(merge(Base(book, book), book, book, Prefer.SERVER).values()) == {
        Fate.SAME
    }


def test_the_order_of_authors_is_not_the_servers_to_keep() -> None:
    assert differences(BOOK, replace(BOOK, authors=(CAPEK, DOE))) == ()


def test_an_index_without_a_series_is_no_difference() -> None:
    one, other = Fields(series_index=None), Fields(series_index=4)
    assert differences(one, other) == ()


def test_a_cover_differs_when_the_server_has_none() -> None:
    found = differences(BOOK, replace(BOOK, cover=""))
    assert [one.field for one in found] == [Field.COVER]
    assert differences(BOOK, replace(BOOK, cover="b" * 40)) == ()
    assert differences(replace(BOOK, cover=""), BOOK) == ()


@pytest.mark.parametrize("prefer", Prefer)
@pytest.mark.parametrize("field", MERGED)
def test_the_merge_of_one_field(field: Field, prefer: Prefer) -> None:
    """Every field, edited on either side or on both."""
    base = Base(BOOK, BOOK)
    new, newer = edited(BOOK, field, OTHER[field]), edited(BOOK, field, THIRD[field])

    def fate(server: Fields, calibre: Fields) -> Fate:
        return merge(base, server, calibre, prefer)[field]

    assert fate(BOOK, BOOK) is Fate.SAME
    assert fate(BOOK, new) is Fate.SEND
    assert fate(new, BOOK) is Fate.KEEP
    both = {
        Prefer.CALIBRE: Fate.CONFLICT_SEND,
        Prefer.SERVER: Fate.CONFLICT_KEEP,
    }[prefer]
    assert fate(new, newer) is both
    # A picture cannot be recognised in what the server made of it.
    alike = both if field is Field.COVER else Fate.SAME
    assert fate(new, new) is alike


def test_a_cover_that_neither_side_has_any_more_is_no_conflict() -> None:
    bare = replace(BOOK, cover="")
    fates = merge(Base(BOOK, BOOK), bare, bare, Prefer.SERVER)
    assert set(fates.values()) == {Fate.SAME}


def test_series_and_index_have_one_fate() -> None:
    base = Base(BOOK, BOOK)
    server = replace(BOOK, series_index=5)
    calibre = replace(BOOK, series="Harbours")
    fates = merge(base, server, calibre, Prefer.SERVER)
    assert fates[Field.SERIES] is fates[Field.SERIES_INDEX] is Fate.CONFLICT_KEEP


def test_what_the_server_made_of_a_value_is_no_change_of_a_person() -> None:
    """It shows another title than was sent: that is what a change is measured by."""
    shown = replace(BOOK, title="The silent harbour")
    base = Base(BOOK, shown)
    assert merge(base, shown, BOOK, Prefer.SERVER)[Field.TITLE] is Fate.SAME
    new = replace(BOOK, title="Another")
    assert merge(base, shown, new, Prefer.SERVER)[Field.TITLE] is Fate.SEND


def test_a_value_put_back_is_no_edit_any_more() -> None:
    base = Base(BOOK, replace(BOOK, title="Somebody's title"))
    new = replace(BOOK, title="Another")
    assert merge(base, BOOK, new, Prefer.SERVER)[Field.TITLE] is Fate.SEND


@given(books, books, books, st.sampled_from(list(Prefer)))
def test_the_merge_never_overwrites_what_only_the_server_changed(
    carried: Fields, server: Fields, calibre: Fields, prefer: Prefer
) -> None:
    fates = merge(Base(carried, carried), server, calibre, prefer)
    for field, fate in fates.items():
        pair = field in (Field.SERIES, Field.SERIES_INDEX)
        over = (Field.SERIES, Field.SERIES_INDEX) if pair else (field,)
        theirs = any(server.of(one) != carried.of(one) for one in over)
        ours = any(calibre.of(one) != carried.of(one) for one in over)
        if fate in SENT:
            assert ours
            assert not theirs or prefer is Prefer.CALIBRE
        if fate is Fate.KEEP:
            assert theirs and not ours


@given(books, books)
def test_values_survive_json(book: Fields, base: Fields) -> None:
    text = json.dumps(to_json(book))
    assert from_json(json.loads(text)) == book
    short = json.loads(json.dumps(only_different(book, base)))
    assert from_json(short, base) == book


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Field, "more"]), json_values))
def test_damaged_json_gives_values_of_the_right_types(body: dict[str, object]) -> None:
    found = from_json(body, BOOK)  # type: ignore[arg-type]
    assert from_json(json.loads(json.dumps(to_json(found)))) == found
