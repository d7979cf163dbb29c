"""Merging what a file says with what is proposed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookshelf.content.extract import TaskError, merge, parse_ebook_meta
from bookshelf.storage.files import safe_name
from bookshelf.storage.vocabulary import FORMATS, format_of, genres, languages
from migration.metadata.genres import SYNONYMS

FOUND = {
    "title": "From file",
    "authors": [{"last_name": "A"}],
    "series": {"title": "X"},
    "series_index": 9,
}


@pytest.mark.parametrize(
    ("proposed", "expected"),
    [
        ({}, FOUND),
        ({"title": "P"}, {**FOUND, "title": "P"}),
        ({"genres": []}, {**FOUND, "genres": []}),
        ({"series": {"title": "Y"}}, {**FOUND, "series": {"title": "Y"}}),
        ({"unknown": 1}, {**FOUND, "unknown": 1}),
    ],
)
def test_proposed_wins_key_by_key(
    proposed: dict[str, object], expected: dict[str, object]
) -> None:
    """Whole values; nothing is merged deeper."""
    assert merge(FOUND, proposed) == expected


@pytest.mark.parametrize(
    "proposed",
    [None, [], "x", {"series": None}, {"language": None}, {"title": "a\0b"}],
    ids=repr,
)
def test_what_breaks_the_task(proposed: object) -> None:
    """As on the real server."""
    with pytest.raises(TaskError):
        merge(FOUND, proposed)


def test_ebook_metas_output_is_understood() -> None:
    """Calibre 6's text."""
    output = (
        "Title               : The Quiet Harbour\n"
        "Author(s)           : Anna van der Berg & John Q. Public [Public, John]\n"
        "Tags                : Fiction, Sea\nSeries              : Harbour Cycle "
        "#2.5\nLanguages           : eng\n"
    )
    assert parse_ebook_meta(output) == {
        "title": "The Quiet Harbour",
        "authors": [
            {"last_name": "Berg", "first_name": "Anna van der"},
            {"last_name": "Public", "first_name": "John Q."},
        ],
        "genres": [{"name": "Fiction"}, {"name": "Sea"}],
        "language": {"code": "eng"},
        "series": {"title": "Harbour Cycle"},
        "series_index": 2,
    }


@given(st.text(max_size=200))
def test_any_output_is_understood_somehow(output: str) -> None:
    """Total."""
    assert isinstance(parse_ebook_meta(output), dict)


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_a_safe_name_is_plain(name: str) -> None:
    """ASCII letters, digits, `_.-`; no leading dot; short."""
    made = safe_name(name)
    assert made.isascii()
    assert "/" not in made
    assert not made.startswith(".")
    assert len(made) <= 200


def test_the_vocabulary_holds_what_mybookshelf2_has() -> None:
    """Its languages and genres with the same ids; every ISO 639-1 language once."""
    codes = [code for _id, code, _name in languages()]
    assert codes[:4] == ["cs", "en", "sk", "ru"]
    assert len(codes) == len(set(codes)) >= 180
    names = dict(genres())
    assert (names[1], names[25], names[58]) == (
        "Adventure",
        "Science Fiction",
        "Technology",
    )
    assert 33 not in names


def test_formats_are_known_by_type_or_by_extension() -> None:
    """Alternatives; the first row wins."""
    assert format_of("application/epub+zip", None) == (8, "epub")
    assert format_of("application/x", "azw3") == (17, "azw3")
    assert format_of("application/zip", "cbz") is None
    assert len(FORMATS) == 17


def test_synonyms_lead_to_genres_that_exist() -> None:
    """Every target is a genre of MyBookshelf2's; every key is folded as the look-up
    folds."""
    names = {name for _id, name in genres()}
    assert {target for targets in SYNONYMS.values() for target in targets} <= names
    assert all(
        key == " ".join(key.casefold().replace("-", " ").split()) for key in SYNONYMS
    )
