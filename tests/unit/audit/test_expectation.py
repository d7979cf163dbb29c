"""The plain mapping: it says what the shipped mapping says, by other means."""

import math
from dataclasses import replace

import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sanitize import sanitize_text
from migration.audit import expectation, findings
from migration.audit.findings import Kind
from migration.audit.iso_languages import short
from migration.audit.seen import Seen, SeenAuthor
from migration.errors import LanguageMissing
from migration.metadata.ebook_metadata import make_metadata, server_language
from migration.metadata.genres import SYNONYMS
from migration.model import Author, Book, BookId, EbookId, EbookMetadata, Vocabulary

UUID = "1a2b3c4d-0000-4000-8000-000000000000"
REAL = Vocabulary(
    {"cs": 1, "en": 2, "sk": 3, "ru": 4},
    {
        "Science Fiction": 25,
        "Military SF": 48,
        "Fantasy": 9,
        "Humor/Satire": 14,
        "Children's Books": 4,
        "Post-catastrophic": 44,
        "Non-Fiction": 15,
    },
)
WIDE = Vocabulary(
    {"en": 1, "deu": 2, "pt-BR": 3, "zh": 4, "no": 5, "fr": 6, "grc": 7, "sr-Latn": 8},
    REAL.genres,
)


def shown(metadata: EbookMetadata, *, cover: bool = False) -> Seen:
    """What a server shows that was sent this metadata: authors by id."""
    return Seen(
        EbookId(1),
        metadata.title,
        tuple(
            SeenAuthor(number, one.last, one.first)
            for number, one in enumerate(metadata.authors, 1)
        ),
        metadata.series,
        metadata.series_index,
        metadata.language_code,
        frozenset(name for _id, name in metadata.genres),
        metadata.rating,
        cover,
        frozenset(),
        "2026-11-23T22:27:38.322182+00:00",
    )


def shipped(book: Book, server: Vocabulary, default: str = "en") -> EbookMetadata:
    """The book by the mapping that writes."""
    return make_metadata(book, server, default_language=default, library_uuid=UUID)


def kinds(book: Book, metadata: EbookMetadata, server: Vocabulary = REAL) -> set[Kind]:
    """What the audit says of this metadata on a server."""
    wanted = expectation.expected(book, server, "en")
    found = findings.compare(book.id, wanted, shown(metadata), {})
    return {one.kind for one in found}


def people(*authors: tuple[str, str]) -> tuple[Author, ...]:
    """Authors by name and sort."""
    return tuple(Author(name, sort) for name, sort in authors)


@pytest.mark.parametrize(
    ("name", "sort", "right", "wrong"),
    [
        pytest.param(
            "Jane Doe", "Doe, Jane", [("Doe", "Jane")], [("Jane", "Doe")], id="swapped"
        ),
        pytest.param(
            "Jane Mary Doe",
            "Doe, Jane, Mary",
            [("Doe", "Jane Mary")],
            [("Doe", "Mary Jane"), ("Doe", "")],
            id="further commas are dropped",
        ),
        pytest.param("Plato", "Plato", [("Plato", "")], [("", "Plato")], id="one part"),
        pytest.param(
            "Ursula Le Guin",
            "Le Guin Ursula",
            [("Le Guin", "Ursula"), ("Le Guin Ursula", "")],
            [("Ursula", "Le Guin")],
            id="a sort without a comma: two readings",
        ),
        pytest.param(
            "Jane Doe",
            "",
            [("Doe", "Jane")],
            [("Jane Doe", "")],
            id="no sort: last word",
        ),
        pytest.param(
            "Jane Doe Jr.",
            "Doe, Jane, Jr.",
            [("Doe", "Jane Jr.")],
            [("Jane Jr.", "Doe"), ("Doe", "Jane")],
            id="a suffix behind the first name",
        ),
        pytest.param(
            "Dr. Jane Doe",
            "",
            [("Doe", "Jane"), ("Doe", "Dr. Jane")],
            [("Roe", "Jane"), ("", "")],
            id="a title: any arrangement of its words",
        ),
    ],
)
def test_an_author_by_name_and_sort(
    name: str, sort: str, right: list[tuple[str, str]], wrong: list[tuple[str, str]]
) -> None:
    """What is accepted, and what is not."""
    one = expectation.person(Author(name, sort))
    assert [one.is_this(*reading) for reading in right] == [True] * len(right)
    assert [one.is_this(*reading) for reading in wrong] == [False] * len(wrong)


@pytest.mark.parametrize(
    ("codes", "default", "right"),
    [
        pytest.param(("eng",), "en", {"en"}, id="a three-letter code"),
        pytest.param(("ger",), "en", {"deu"}, id="the server's own form"),
        pytest.param(("por",), "en", {"pt-BR"}, id="a country of the server's"),
        pytest.param(("cmn", "eng"), "en", {"zh"}, id="one of several"),
        pytest.param(("nob",), "en", {"no"}, id="the wider language"),
        pytest.param(("ces",), "fr_FR", {"fr"}, id="the default"),
        pytest.param((), "eng", {"en"}, id="none: the default"),
        pytest.param(("grc",), "en", None, id="not in the table: not compared"),
        pytest.param(("ces",), "German", None, id="a default by name: not compared"),
        pytest.param((), "xx", None, id="a default that is no code: not compared"),
    ],
)
def test_a_language_by_its_code(
    codes: tuple[str, ...], default: str, right: set[str] | None
) -> None:
    """The server's codes that are right."""
    assert expectation.languages(codes, WIDE.languages, default) == right


def test_the_table_of_languages_is_that_of_iso() -> None:
    """Every two-letter code of ISO 639-1 is known, but for those that are ambiguous."""
    of_iso = {
        one.alpha_3: one.alpha_2
        for one in pycountry.languages
        if hasattr(one, "alpha_2")
    }
    missing = {code for code in of_iso if short(code) != of_iso[code]}
    assert missing == {"hbs", "tgl", "twi"}
    assert {short(code) for code in missing} == {""}


# -- both mappings ---------------------------------------------------------------------

_TEXTS = st.text(max_size=300).map(sanitize_text)
_WORDS = st.sampled_from(
    [
        "Jane",
        "Doe",
        "Jr.",
        "Dr.",
        "van",
        "der",
        "Berg",
        "Inc.",
        "Smith,",
        "III",
        "Club",
        "O'Brien",
        "Nguyễn",
        "(ed.)",
        "李",
        "&",
    ]
)
_NAMES = st.lists(_WORDS, min_size=1, max_size=5).map(" ".join) | _TEXTS.filter(bool)
_AUTHORS = st.lists(
    st.builds(
        lambda name, sort: Author(name, sort if sort is not None else name),
        _NAMES,
        st.none() | st.just("") | _NAMES,
    ),
    max_size=4,
).map(tuple)
_TAGS = (
    st.sampled_from([*SYNONYMS, *REAL.genres, "Fiction.Fantasy", "a::sci-fi", "x > SF"])
    | _TEXTS
)
_CODES = st.sampled_from([one.alpha_3 for one in pycountry.languages]) | _TEXTS
_BOOKS = st.builds(
    Book,
    id=st.just(BookId(1)),
    title=_TEXTS,
    authors=_AUTHORS,
    series=st.none() | _TEXTS,
    series_index=st.none() | st.floats() | st.floats(-10, 1000),
    languages=st.lists(_CODES, max_size=2).map(tuple),
    tags=st.lists(_TAGS, max_size=4).map(tuple),
    rating=st.none() | st.floats(0, 10) | st.floats(),
)


@given(_BOOKS, st.sampled_from([REAL, WIDE]), st.sampled_from(["en", "eng", "fr"]))
def test_both_mappings_say_the_same_of_every_book(
    book: Book, server: Vocabulary, default: str
) -> None:
    """What the shipped mapping sends is what the audit expects to see."""
    try:
        metadata = shipped(book, server, default)
    except LanguageMissing:
        return
    wanted = expectation.expected(book, server, default)
    found = findings.compare(book.id, wanted, shown(metadata), {})
    assert [one for one in found if not math.isnan(book.rating or 0)] == []


@pytest.mark.parametrize("known", [REAL.languages, WIDE.languages])
def test_both_say_the_same_of_every_language_of_iso(known: dict[str, int]) -> None:
    """Those outside the table are not compared."""
    for one in pycountry.languages:
        right = expectation.languages((one.alpha_3,), known, "en")
        sent, _id, _exact = server_language((one.alpha_3,), known, "en")
        assert right is None or sent in right, one.alpha_3


BOOK = Book(
    BookId(1),
    "The Silent Harbour",
    people(("Jane Doe", "Doe, Jane"), ("Karel Čapek", "Čapek, Karel")),
    "Harbour Tales",
    2.5,
    ("ces",),
    ("sf", "Fantasy"),
    rating=8,
)
_SENT = shipped(BOOK, REAL)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param({"title": "The Silent Harbor"}, Kind.TITLE, id="title"),
        pytest.param(
            {"authors": _SENT.authors[:1]}, Kind.AUTHORS, id="one author less"
        ),
        pytest.param({"authors": ()}, Kind.AUTHORS, id="no author"),
        pytest.param({"series": None}, Kind.SERIES, id="no series"),
        pytest.param({"series": "Tales"}, Kind.SERIES, id="another series"),
        pytest.param({"series_index": 3}, Kind.SERIES_INDEX, id="index rounded up"),
        pytest.param({"language_code": "en"}, Kind.LANGUAGE, id="language"),
        pytest.param({"genres": _SENT.genres[:1]}, Kind.GENRES, id="one genre less"),
        pytest.param({"rating": 8}, Kind.RATING, id="rating not times ten"),
        pytest.param({"rating": None}, Kind.RATING, id="no rating"),
    ],
)
def test_every_single_change_is_found(change: dict[str, object], kind: Kind) -> None:
    """And as what it is."""
    assert kinds(BOOK, _SENT) == set()
    assert kinds(BOOK, replace(_SENT, **change)) == {kind}  # type: ignore[arg-type]
