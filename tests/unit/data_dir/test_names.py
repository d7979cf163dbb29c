"""How a book's folder and files are named below the books directory."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.metadata.sendable import LONGEST_EXTENSION
from migration.model import EbookMetadata, PersonName
from migration.server.data_dir import names
from migration.server.data_dir.names import (
    Names,
    Naming,
    book_names,
    first_free,
    locations,
    numbered,
)

NAMING = Naming()
DOE, CAPEK = PersonName("Doe", "Jane Mary"), PersonName("Čapek", "Karel")


def metadata(
    title: str = "Title",
    authors: Iterable[PersonName] = (DOE,),
    series: str | None = None,
    index: int | None = None,
    language: str = "en",
) -> EbookMetadata:
    """What names are made of."""
    return EbookMetadata(
        title=title,
        working_title="Title ~1-1",
        authors=tuple(authors),
        series=series,
        series_index=index,
        language_id=1,
        language_code=language,
        genres=(),
        rating=None,
    )


@pytest.mark.parametrize(
    ("book", "folder", "stem"),
    [
        (metadata(), "Doe Jane Mary/Title(en)", "Doe Jane Mary - Title"),
        (metadata(authors=()), "No Authors/Title(en)", "No Authors - Title"),
        (
            metadata(authors=(DOE, CAPEK)),
            "Doe J M, Capek K/Title(en)",
            "Doe J M, Capek K - Title",
        ),
        (
            metadata(authors=(DOE, CAPEK, PersonName("Solo"), PersonName("Last"))),
            "Doe J M, Capek K, Solo and others/Title(en)",
            "Doe J M, Capek K, Solo and others - Title",
        ),
        (
            metadata(series="Tales", index=2),
            "Doe Jane Mary/Tales/Tales 2 - Title(en)",
            "Doe Jane Mary - Tales 2 - Title",
        ),
        (
            metadata(series="Tales"),
            "Doe Jane Mary/Tales/Tales 0 - Title(en)",
            "Doe Jane Mary - Tales 0 - Title",
        ),
        (
            metadata('Sl/ash: Co*lon? "q" <a|b> 5%\\'),
            "Doe Jane Mary/Sl-ash Colon q ab 5(en)",
            "Doe Jane Mary - Sl-ash Colon q ab 5",
        ),
        (
            metadata("Война и мир", [PersonName("Толстой", "Лев Николаевич")]),
            "Tolstoy Lev Nikolaevich/Voyna i mir(en)",
            "Tolstoy Lev Nikolaevich - Voyna i mir",
        ),
        (
            metadata("../../etc", [PersonName("..")]),
            "No Authors/-..-etc(en)",
            "No Authors - ..-..-etc",
        ),
        (
            metadata("...", [PersonName("???")]),
            "No Authors/Book(en)",
            "No Authors - Book",
        ),
        (metadata("CON", [PersonName("Con")]), "_Con/CON(en)", "Con - CON"),
        (
            metadata("One\x00\n\tTwo \u202e½"),
            "Doe Jane Mary/One Two 1-2(en)",
            "Doe Jane Mary - One Two 1-2",
        ),
    ],
)
def test_a_book_is_named_as_the_server_names_it(
    book: EbookMetadata, folder: str, stem: str
) -> None:
    """With what the server leaves out or blanks written in ASCII."""
    assert book_names(book, NAMING) == Names(folder, stem)


def test_the_servers_settings_decide() -> None:
    """Both schemas, with text of their own."""
    naming = Naming("Bücher/%(title)s/%(title)s", "%(serie)s/%(serie_index)03d")
    assert book_names(metadata("Ä"), naming) == Names("Bucher/A", "A")
    assert book_names(metadata(series="S", index=7), naming) == Names("S", "007")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("%(title)s", "BOOKS_FILE_SCHEMA names no folder"),
        ("/%(title)s", "BOOKS_FILE_SCHEMA is not a path"),
        ("%(author)s/../%(title)s", "BOOKS_FILE_SCHEMA is not a path"),
        ("a//%(title)s", "BOOKS_FILE_SCHEMA is not a path"),
        ("/".join("abcdefghijk"), "BOOKS_FILE_SCHEMA is not a path of 2 to 10 names"),
        ("%(serie)s/%(title)s", "BOOKS_FILE_SCHEMA has a placeholder"),
        ("%(publisher)s/%(title)s", "BOOKS_FILE_SCHEMA has a placeholder"),
        ("%(title)d/%(title)s", "BOOKS_FILE_SCHEMA has a placeholder"),
        ("%s/%s", "BOOKS_FILE_SCHEMA has a placeholder"),
    ],
)
def test_a_schema_that_gives_no_path_is_refused(schema: str, said: str) -> None:
    """With the setting's name; the sentence says what is wrong."""
    with pytest.raises(ValueError, match=re.escape(said)):
        Naming(schema)


PEOPLE = st.builds(PersonName, st.text(max_size=140), st.text(max_size=140))
BOOKS = st.builds(
    metadata,
    title=st.text(max_size=300),
    authors=st.lists(PEOPLE, max_size=5),
    series=st.none() | st.text(max_size=300),
    index=st.none() | st.integers(-(2**31), 2**31 - 1),
    language=st.text(max_size=6),
)
SCHEMAS = st.sampled_from(
    [
        NAMING,
        Naming("/".join(["%(author)s %(title)s"] * 10), "%(serie)s/%(title)s"),
        Naming("%(title)s/%(title)s", "é %(author)s./ %(title)s "),
    ]
)
NUMBERS = st.integers(0, 2**31)


@given(BOOKS, SCHEMAS, NUMBERS)
def test_whatever_a_book_is_called_its_path_is_a_plain_one_below(
    book: EbookMetadata, naming: Naming, number: int
) -> None:
    """It fits, never leaves the directory, and no part is empty or hidden."""
    made = book_names(book, naming)
    extension = "x" * LONGEST_EXTENSION
    folder = numbered(made.folder, number)
    path = f"{folder}/{numbered(made.stem, number)}.{extension}"
    assert names.is_inside(path)
    assert len(path) <= names.PATH_LENGTH
    assert len(f"{folder}/{names.COVER_NAME}") <= names.PATH_LENGTH
    for part in path.split("/"):
        assert part.isascii()
        assert part.isprintable()
        assert 0 < len(part.encode()) <= 255
        assert not set(part) & set(':*%|"<>?\\')
        assert part == part.strip(" .")


@given(BOOKS, SCHEMAS)
def test_naming_a_name_changes_nothing(book: EbookMetadata, naming: Naming) -> None:
    """Each part, taken for a title, is its own name."""
    made = book_names(book, naming)
    for part in (*made.folder.split("/"), made.stem):
        as_title = book_names(metadata(part), Naming("%(title)s/%(title)s"))
        assert as_title.folder == part


@given(st.integers(0, 5_000))
def test_a_free_number_is_found_without_asking_for_all(taken: int) -> None:
    """The first that is free, by a number of questions that grows slowly."""
    asked: list[int] = []

    def is_free(number: int) -> bool:
        asked.append(number)
        return number >= taken

    assert first_free(is_free) == taken
    assert len(asked) <= 8 + 2 * 13


@given(st.sets(st.integers(0, 100)))
def test_a_number_that_is_found_is_free(taken: set[int]) -> None:
    """Also where there are gaps."""
    assert first_free(lambda number: number not in taken) not in taken


def test_files_of_one_book_have_different_names() -> None:
    """And none takes the cover's, in any case."""
    assert locations("f", "a", ["epub", "pdf", "epub", "EPUB"]) == (
        "f/a.epub",
        "f/a.pdf",
        "f/a(1).epub",
        "f/a(2).EPUB",
    )
    assert locations("f", "Cover", ["jpg"]) == ("f/Cover(1).jpg",)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("epub", "epub"),
        ("EPUB", "epub"),
        ("../../x", "x"),
        ("e/p", "ep"),
        ("..", "bin"),
        ("x" * 40, "x" * LONGEST_EXTENSION),
    ],
)
def test_an_extension_is_letters_and_digits(given: str, plain: str) -> None:
    """Whatever Calibre's database says."""
    assert names.plain_extension(given) == plain


@pytest.mark.parametrize(
    ("location", "inside"),
    [
        ("a/b.epub", True),
        ("a", True),
        ("a..b/.c", True),
        ("", False),
        ("/a", False),
        ("a//b", False),
        ("a/../b", False),
        ("./a", False),
        ("a/", False),
        ("a\0", False),
    ],
)
def test_a_recorded_path_that_leaves_is_recognised(location: str, inside: bool) -> None:
    """Whoever wrote it."""
    assert names.is_inside(location) is inside
