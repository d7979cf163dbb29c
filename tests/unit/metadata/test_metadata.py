"""Calibre's metadata as MyBookshelf2 accepts it."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.errors import Misconfigured
from migration.metadata.ebook_metadata import (
    PATH_BUDGET,
    WORKING_LENGTH,
    has_mark,
    make_metadata,
    marked_book,
    person,
    plain_title,
    server_genres,
    server_language,
    too_long_for_paths,
    working_title,
)
from migration.model import Author, Book, BookId, EbookMetadata, PersonName, Vocabulary

UUID = "1a2b3c4d-0000-4000-8000-000000000000"
REAL = Vocabulary(
    {"cs": 1, "en": 2, "sk": 3, "ru": 4},
    {
        "Science Fiction": 25,
        "Fiction": 10,
        "Fantasy": 9,
        "Humor/Satire": 14,
        "Children's Books": 4,
        "Horror": 13,
    },
)


@pytest.mark.parametrize(
    ("name", "sort", "last", "first"),
    [
        pytest.param("Jane Doe", "Doe, Jane", "Doe", "Jane", id="the sort decides"),
        pytest.param(
            "Jane Doe Jr.",
            "Doe, Jane, Jr.",
            "Doe",
            "Jane Jr.",
            id="further commas are dropped",
        ),
        pytest.param(
            "van der Berg, Anna",
            "van der Berg, Anna",
            "van der Berg",
            "Anna",
            id="a name with a comma",
        ),
        pytest.param("Smith, John", "", "Smith", "John", id="a comma without a sort"),
        pytest.param("Smith,John", "", "Smith", "John", id="a comma without a blank"),
        pytest.param(
            "Smith, John",
            "John, Smith,",
            "Smith",
            "John",
            id="turned once more: method invert",
        ),
        pytest.param(
            "Smith, John",
            "John Smith,",
            "Smith",
            "John",
            id="turned once more: method nocomma",
        ),
        pytest.param(
            "Smith, John", "Smith John", "Smith", "John", id="its comma taken out"
        ),
        pytest.param(
            "Smith, John",
            "Smythe, John",
            "Smythe",
            "John",
            id="a sort of its own beside a comma",
        ),
        pytest.param("John Smith", "Smith John", "Smith", "John", id="method nocomma"),
        pytest.param(
            "John von Neumann",
            "Neumann John von",
            "Neumann",
            "John von",
            id="nocomma, a particle",
        ),
        pytest.param(
            "John von Neumann",
            "von Neumann John",
            "von Neumann",
            "John",
            id="nocomma, particles kept",
        ),
        pytest.param(
            "John von Neumann",
            "",
            "Neumann",
            "John von",
            id="a particle without a sort",
        ),
        pytest.param("Plato", "Plato", "Plato", "", id="one word is a last name"),
        pytest.param("Plato", "", "Plato", "", id="one word without a sort"),
        pytest.param(
            "United Nations",
            "United Nations",
            "United Nations",
            "",
            id="no comma: one name",
        ),
        pytest.param(
            "The Beatles",
            "Beatles",
            "Beatles",
            "",
            id="a sort without a comma that is not the name",
        ),
        pytest.param(
            "Acme Corporation", "", "Acme Corporation", "", id="an organisation's word"
        ),
        pytest.param(
            "Acme, Inc.",
            "Acme, Inc.",
            "Acme, Inc.",
            "",
            id="an organisation with a comma",
        ),
        pytest.param(
            "Jane Doe",
            "",
            "Doe",
            "Jane",
            id="without a sort the last word is the last name",
        ),
        pytest.param(
            "Dr. Jane Doe Jr.", "", "Doe", "Jane Jr.", id="a title goes, a suffix stays"
        ),
        pytest.param(
            "Martin Luther King, Jr.",
            "Martin Luther King, Jr.",
            "King",
            "Martin Luther Jr.",
            id="a suffix",
        ),
        pytest.param("Henry Ford III", "", "Ford", "Henry III", id="a number"),
        pytest.param("Jane Doe [editor]", "", "Doe", "Jane", id="brackets"),
        pytest.param("Jr. III", "", "Jr. III", "", id="nothing but suffixes"),
        pytest.param(
            "Unknown",
            "Unknown",
            "Unknown",
            "",
            id="Calibre's Unknown is carried as it is",
        ),
        pytest.param(", ", "", "Unknown", "", id="nothing but a comma"),
        pytest.param(
            "X",
            "L" * 200 + ", " + "F" * 200,
            "L" * 128,
            "F" * 128,
            id="both are cut to 128",
        ),
    ],
)
def test_names(name: str, sort: str, last: str, first: str) -> None:
    """First and last name, whatever way Calibre makes its sorts."""
    assert person(Author(name, sort)) == PersonName(last, first)


@pytest.mark.parametrize(
    ("codes", "known", "expected"),
    [
        pytest.param(
            ("rus",), {"en": 2, "ru": 4}, ("ru", 4, True), id="three letters to two"
        ),
        pytest.param(
            ("ces", "eng"),
            {"cs": 1, "en": 2},
            ("cs", 1, True),
            id="the first language counts",
        ),
        pytest.param(
            ("cmn",),
            {"en": 2, "zh": 9},
            ("zh", 9, True),
            id="a member of a macrolanguage",
        ),
        pytest.param(
            ("zho",), {"en": 2, "zh": 9}, ("zh", 9, True), id="the macrolanguage itself"
        ),
        pytest.param(
            ("deu",), {"en": 2}, ("en", 2, False), id="the server lacks it: the default"
        ),
        pytest.param(
            ("gsw",),
            {"en": 2, "de": 3},
            ("en", 2, False),
            id="a neighbour is not the same language",
        ),
        pytest.param((), {"en": 2}, ("en", 2, False), id="none: the default"),
        pytest.param(
            ("rus",),
            {"eng": 1, "rus": 2},
            ("rus", 2, True),
            id="a server with three-letter codes",
        ),
        pytest.param(("fas",), {"en": 2, "fa": 5}, ("fa", 5, True), id="Persian"),
        pytest.param(
            ("fr-FR",), {"en": 2, "fr": 6}, ("fr", 6, True), id="with a country"
        ),
        pytest.param(
            ("fr_FR.UTF-8",), {"en": 2, "fr": 6}, ("fr", 6, True), id="as a locale"
        ),
        pytest.param(
            ("ca@valencia",), {"en": 2, "ca": 6}, ("ca", 6, True), id="a variant"
        ),
        pytest.param(("PT-br",), {"en": 2, "pt": 7}, ("pt", 7, True), id="in any case"),
        pytest.param(
            ("pt_BR",),
            {"pt": 7, "pt-BR": 8},
            ("pt-BR", 8, True),
            id="a server that makes the difference",
        ),
        pytest.param(
            ("por",),
            {"pt-BR": 8, "pt": 7},
            ("pt", 7, True),
            id="the plain one before a country's",
        ),
        pytest.param(
            ("zh-Hans",), {"en": 2, "zh": 9}, ("zh", 9, True), id="with a script"
        ),
        pytest.param(
            ("fre",), {"en": 2, "fr": 6}, ("fr", 6, True), id="the bibliographic code"
        ),
        pytest.param(
            ("GER",),
            {"en": 2, "de": 3},
            ("de", 3, True),
            id="the bibliographic code in capitals",
        ),
        pytest.param(("German",), {"en": 2, "de": 3}, ("de", 3, True), id="a name"),
        pytest.param(
            ("french",),
            {"en": 2, "fr": 6},
            ("fr", 6, True),
            id="a name in small letters",
        ),
        pytest.param(
            ("nob",), {"en": 2, "no": 4}, ("no", 4, True), id="Bokmål is Norwegian"
        ),
        pytest.param(
            ("hbs",),
            {"en": 2, "sr": 4},
            ("en", 2, False),
            id="Serbo-Croatian is not Serbian",
        ),
        pytest.param(
            ("no language",), {"en": 2}, ("en", 2, False), id="no language at all"
        ),
        pytest.param(
            ("cs_CZ",),
            {"eng": 1, "ces": 2},
            ("ces", 2, True),
            id="a country, a server with three letters",
        ),
    ],
)
def test_languages(
    codes: tuple[str, ...], known: dict[str, int], expected: tuple[str, int, bool]
) -> None:
    """Calibre's ISO 639-3 to the server's codes."""
    assert server_language(codes, known, "en") == expected


def test_a_default_language_the_server_lacks_is_named_with_what_it_has() -> None:
    """A sentence with the way out."""
    with pytest.raises(Misconfigured, match=r"'xx'.*DEFAULT_LANGUAGE.*cs, en, ru, sk"):
        server_language((), REAL.languages, "xx")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param(
            ["science fiction"],
            (((25, "Science Fiction"),), ()),
            id="whatever its case",
        ),
        pytest.param(
            ["Sci-Fi", "SF", "Science-Fiction"],
            (((25, "Science Fiction"),), ()),
            id="synonyms, once",
        ),
        pytest.param(
            ["Sea", "Horror"], (((13, "Horror"),), ("Sea",)), id="unknown tags are told"
        ),
        pytest.param(
            ["Fiction.Fantasy"],
            (((10, "Fiction"), (9, "Fantasy")), ()),
            id="a hierarchy by its parts",
        ),
        pytest.param(
            ["Humour", "Kids"],
            (((14, "Humor/Satire"), (4, "Children's Books")), ()),
            id="other words",
        ),
        pytest.param(
            ["Poems"], ((), ("Poems",)), id="a synonym whose genre the server lacks"
        ),
        pytest.param(
            ["Humor/Satire"],
            (((14, "Humor/Satire"),), ()),
            id="a name with a slash is tried whole",
        ),
    ],
)
def test_genres(
    tags: list[str], expected: tuple[tuple[tuple[int, str], ...], tuple[str, ...]]
) -> None:
    """Tags to genres, without duplicates."""
    assert server_genres(tags, REAL.genres) == expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        pytest.param("Война и мир", "Voyna i mir ~1a2b3c4d-17", id="Cyrillic"),
        pytest.param(
            "50 % / of_it",
            "50 of it ~1a2b3c4d-17",
            id="characters that break the look-up",
        ),
        pytest.param("???", "Book ~1a2b3c4d-17", id="nothing left"),
        pytest.param("雨", "Yu ~1a2b3c4d-17", id="Chinese"),
    ],
)
def test_working_titles(title: str, expected: str) -> None:
    """Known cases."""
    assert working_title(title, UUID, BookId(17)) == expected


@given(
    st.text(st.characters(exclude_categories=()), max_size=400),
    st.integers(min_value=1, max_value=2**40),
)
def test_a_working_title_is_plain_short_and_unique(title: str, book_id: int) -> None:
    """Letters, digits, blanks, `-`, `~`; at most 80; it ends with the library's and the
    book's mark."""
    made = working_title(title, UUID, BookId(book_id))
    assert re.fullmatch(r"[A-Za-z0-9 ~\-]+", made)
    assert made.endswith(f" ~1a2b3c4d-{book_id}")
    assert len(made) <= WORKING_LENGTH
    assert made == made.strip()
    assert "  " not in made


def metadata(book: Book) -> EbookMetadata:
    """The metadata of a book on a server like MyBookshelf2."""
    return make_metadata(book, REAL, default_language="en", library_uuid=UUID)


def test_a_plain_book_loses_nothing() -> None:
    """All of the metadata."""
    book = Book(
        BookId(1),
        "The Dune",
        (Author("Frank Herbert", "Herbert, Frank"),),
        "Dune",
        1.0,
        ("eng",),
        ("Sci-Fi",),
        9.0,
    )
    assert metadata(book) == EbookMetadata(
        title="The Dune",
        working_title="The Dune ~1a2b3c4d-1",
        authors=(PersonName("Herbert", "Frank"),),
        series="Dune",
        series_index=1,
        language_id=2,
        language_code="en",
        genres=((25, "Science Fiction"),),
        rating=90,
        not_carried={},
    )


def test_what_has_no_place_is_named_by_field() -> None:
    """Everything that is lost is in not_carried, and nothing else."""
    book = Book(
        BookId(2),
        "x" * 300,
        (Author("A" * 200, ""),),
        "s" * 300,
        2.5,
        ("deu", "eng"),
        ("Sea",),
        None,
        extras={"comments": "<p>x</p>"},
    )
    made = metadata(book)
    assert made.not_carried == {
        "comments": "<p>x</p>",
        "language": ["deu", "eng"],
        "tags": ["Sea"],
        "title": "x" * 300,
        "authors": ["A" * 200],
        "series": "s" * 300,
        "series index": 2.5,
    }
    assert (len(made.title), len(made.series or ""), made.series_index) == (256, 256, 2)


@pytest.mark.parametrize(
    ("index", "expected", "kept"),
    [
        pytest.param(0.0, 0, None, id="zero"),
        pytest.param(-1.5, -2, -1.5, id="the floor of a negative"),
        pytest.param(math.inf, None, "inf", id="infinity"),
        pytest.param(1e300, None, "1e+300", id="absurd"),
        pytest.param(None, None, None, id="none"),
    ],
)
def test_series_indexes(
    index: float | None, expected: int | None, kept: object
) -> None:
    """The floor, when a server can hold it."""
    made = metadata(Book(BookId(1), "t", series="S", series_index=index))
    assert (made.series_index, made.not_carried.get("series index")) == (expected, kept)


@pytest.mark.parametrize(
    ("rating", "expected"),
    [(None, None), (0.0, None), (10.0, 100), (7.0, 70), (99.0, None)],
)
def test_ratings(rating: float | None, expected: int | None) -> None:
    """Half stars times ten; 0 is none; nonsense is left out."""
    assert metadata(Book(BookId(1), "t", rating=rating)).rating == expected


def test_an_index_without_a_series_says_nothing() -> None:
    """Calibre's default of 1.0 is not carried into nowhere."""
    assert metadata(Book(BookId(1), "t", series_index=1.0)).series_index is None


def test_long_names_are_held_back_from_paths() -> None:
    """They would push a directory name of the server over 255 bytes."""
    assert not too_long_for_paths(
        metadata(Book(BookId(1), "t", (Author("Jane Doe", "Doe, Jane"),), "Short"))
    )
    assert too_long_for_paths(
        metadata(Book(BookId(1), "t", (Author("x", "L" * 128 + ", F"),)))
    )
    assert too_long_for_paths(
        metadata(Book(BookId(1), "t", series="S" * 200, series_index=1.0))
    )


@given(
    st.text(max_size=300), st.text(max_size=300), st.floats(), st.floats() | st.none()
)
def test_any_book_becomes_a_card_within_the_limits(
    title: str, name: str, index: float, rating: float | None
) -> None:
    """Total: never an error, never over a limit."""
    made = metadata(
        Book(
            BookId(1),
            title,
            (Author(name, name),),
            title or None,
            index,
            (),
            (),
            rating,
        )
    )
    assert 0 < len(made.title) <= 256
    assert all(
        len(person.last) <= 128 and len(person.first) <= 128 for person in made.authors
    )
    assert made.rating is None or 0 <= made.rating <= 100


@pytest.mark.parametrize(
    ("rating", "sent", "lost"),
    [
        (None, None, None),
        (0.0, None, None),
        (-0.5, None, "-0.5"),
        (0.5, 5, None),
        (1.0, 10, None),
        (10.0, 100, None),
        (10.5, None, "10.5"),
        (math.nan, None, "nan"),
        (math.inf, None, "inf"),
    ],
)
def test_what_is_no_rating_is_kept(
    rating: float | None, sent: int | None, lost: str | None
) -> None:
    """Nobody's rating is nothing to keep."""
    made = metadata(Book(BookId(1), "t", rating=rating))
    assert (made.rating, made.not_carried.get("rating")) == (sent, lost)


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("Voina i mir ~1a2b3c4d-17", "Voina i mir"),
        ("A ~ B ~1a2b3c4d-17", "A ~ B"),
        ("Voina i mir", "Voina i mir"),
        (" ~1a2b3c4d-17", " ~1a2b3c4d-17"),
    ],
)
def test_a_working_title_without_its_mark(title: str, plain: str) -> None:
    """One that is nothing but its mark stays."""
    assert plain_title(title) == plain


@pytest.mark.parametrize(
    ("title", "book"),
    [
        ("X ~1a2b3c4d-17", 17),
        ("X ~1a2b3c4d-" + "9" * 18, int("9" * 18)),
        ("X ~1a2b3c4d-" + "9" * 19, None),
        ("X ~1a2b3c4d-1x", None),
        ("X ~1a2b3c4d-", None),
        ("X ~ffffffff-17", None),
        ("X", None),
        ("", None),
    ],
)
def test_whose_title_it_is(title: str, book: int | None) -> None:
    """By the mark of this library."""
    assert marked_book(title, UUID) == book


@given(st.text(), st.integers(1, 10**9))
def test_a_folder_named_after_a_working_title(title: str, book: int) -> None:
    assert has_mark(f"Jane Doe/{working_title(title, UUID, book)}(en)")


@pytest.mark.parametrize("folder", ["", "Jane Doe/A Book(en)", "A ~ B/x-17 ~y-", "~-1"])
def test_any_other_folder(folder: str) -> None:
    assert not has_mark(folder)


@pytest.mark.parametrize(("more", "long"), [(0, False), (1, True)])
def test_the_budget_of_a_path(more: int, long: bool) -> None:
    """Up to three authors count, each with two signs between them."""
    names = [Author(f"{'A' * 19}{n}", f"{'A' * 19}{n}") for n in range(4)]
    series = "S" * (PATH_BUDGET - 3 * 23 + more)
    made = metadata(Book(BookId(1), "t", tuple(names), series=series, series_index=1))
    assert too_long_for_paths(made) is long


def test_a_working_title_has_80_characters_at_most() -> None:
    """Its mark is whole, whatever the title."""
    found = working_title("x" * 300, UUID, 17)
    assert (len(found), found.endswith("x ~1a2b3c4d-17")) == (80, True)


@pytest.mark.parametrize(
    ("index", "sent"),
    [
        (2.0**31 - 1, 2**31 - 1),
        (2.0**31, None),
        (-(2.0**31) + 1, -(2**31) + 1),
        (-(2.0**31), None),
    ],
)
def test_the_largest_series_index(index: float, sent: int | None) -> None:
    """What a server's column holds."""
    made = metadata(Book(BookId(1), "t", series="S", series_index=index))
    assert made.series_index == sent
    assert ("series index" in made.not_carried) is (sent is None)


@pytest.mark.parametrize(("length", "cut"), [(256, False), (257, True)])
def test_a_title_is_cut_beyond_what_the_server_holds(length: int, cut: bool) -> None:
    """And only then kept as a whole."""
    made = metadata(Book(BookId(1), "t" * length))
    assert (len(made.title), "title" in made.not_carried) == (256, cut)


@pytest.mark.parametrize(
    ("tag", "genres", "unknown"),
    [
        ("Whodunit", ("Crime/Mystery",), ()),
        ("whodunit ", ("Crime/Mystery",), ()),
        # The server's word counts more than ours.
        ("SF", ("Space Opera",), ()),
        # A genre that the server does not have is none.
        ("Lost", (), ("Lost",)),
        # A genre is itself, whatever a synonym says.
        ("Horror", ("Horror",), ()),
        ("Sci-Fi", ("Science Fiction",), ()),
        ("Humor", ("Humor/Satire",), ()),
        ("Satire", ("Humor/Satire",), ()),
    ],
)
def test_the_servers_synonyms_of_genres_are_honoured(
    tag: str, genres: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    """Before ours; those MyBookshelf2 ships are known without its database."""
    synonyms = {
        "Whodunit": "crime/mystery",
        "SF": "Space Opera",
        "Lost": "No such genre",
        "Horror": "Fantasy",
    }
    known = {**REAL.genres, "Crime/Mystery": 7, "Horror": 13, "Space Opera": 51}
    found, rest = server_genres([tag], known, synonyms)
    assert (tuple(name for _id, name in found), rest) == (genres, unknown)
