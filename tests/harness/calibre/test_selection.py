"""Selected in SQL as a plain filter in Python selects; names, words, JSON."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.settings.selecting import Selecting, since
from migration.calibre.library import CalibreLibrary
from migration.calibre.selected import NotFound, SelectedBooks
from migration.calibre.selection import (
    By,
    Condition,
    Selection,
    asked,
    from_json,
    where,
)
from migration.calibre.values import Rows
from migration.model import BookId
from tests.support.environment import FIXTURES
from tests.support.libraries.librarykit import Library, Made

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TAGS = ("Fiction", "Fiction.Fantasy", "fictional", "Ünder", "a'b\"c", "100%_x")
AUTHORS = ("Doe| Jane", "STRASSE", "Zoe\u0308", "x; DROP TABLE books")
SERIES = ("Dune", "Dune.Messiah")
LANGUAGES = ("eng", "deu", "fra")
FORMATS = ("EPUB", "PDF", "ORIGINAL_EPUB")
#: What is asked for, with those of the library that it means.
MEANT: dict[By, dict[str, tuple[str, ...]]] = {
    By.TAG: {
        "FICTION": ("Fiction", "Fiction.Fantasy"),
        "fiction.fantasy": ("Fiction.Fantasy",),
        "ÜNDER": ("Ünder",),
        "a'b\"c": ("a'b\"c",),
        "100%_X": ("100%_x",),
    },
    By.AUTHOR: {
        "doe, jane": ("Doe| Jane",),
        "straße": ("STRASSE",),
        "Zoë": ("Zoe\u0308",),
        "x; drop table books": ("x; DROP TABLE books",),
    },
    By.SERIES: {"dune": ("Dune",), "Dune.Messiah": ("Dune.Messiah",)},
    By.LANGUAGE: {"en": ("eng",), "German": ("deu",), "FRA": ("fra",)},
    By.FORMAT: {name: (name,) for name in FORMATS},
}
IDS = ("1-7", "9", "12-30", "31-33", "40", "20")
DATES = ("2026-10-01", "2026-11-01T06:00", "30d", "400d")


@dataclass(frozen=True)
class Entry:
    """A book as it is written, with the names it has of each kind."""

    id: int
    names: dict[By, frozenset[str]]
    added: datetime | None
    modified: datetime | None


moments = st.none() | st.datetimes(
    datetime(2025, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    datetime(2026, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    ids = draw(st.lists(st.integers(1, 40), unique=True, max_size=12))
    kinds = {
        By.TAG: TAGS,
        By.AUTHOR: AUTHORS,
        By.SERIES: SERIES,
        By.LANGUAGE: LANGUAGES,
        By.FORMAT: FORMATS,
    }
    return [
        Entry(
            number,
            {
                by: draw(
                    st.frozensets(
                        st.sampled_from(names), max_size=1 if by is By.SERIES else 2
                    )
                )
                for by, names in kinds.items()
            },
            draw(moments),
            draw(moments),
        )
        for number in sorted(ids)
    ]


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    by = draw(st.sampled_from(list(By)))
    pool = IDS if by is By.IDS else tuple(MEANT.get(by, DATES))
    values = st.lists(
        st.sampled_from(sorted(pool)), unique=True, min_size=1, max_size=3
    )
    return Condition(by, tuple(draw(values)), draw(st.booleans()))


def one_per_option(found: list[Condition]) -> tuple[Condition, ...]:
    return tuple({one.option: one for one in found}.values())


selections = st.lists(conditions(), max_size=4).map(
    lambda found: Selection(one_per_option(found), NOW)
)


def applies(one: Condition, entry: Entry, form: str | None) -> bool:
    """Whether one condition holds, in plain Python; `form` is the file's format."""
    if one.by is By.IDS:
        spans = [
            (text.partition("-")[0], text.partition("-")[2]) for text in one.values
        ]
        found = any(int(a) <= entry.id <= int(b or a) for a, b in spans)
    elif one.by in (By.ADDED, By.MODIFIED):
        at = entry.added if one.by is By.ADDED else entry.modified
        found = at is not None and any(at >= since(text, NOW) for text in one.values)
    else:
        meant = {name for value in one.values for name in MEANT[one.by][value]}
        has = {form} if one.by is By.FORMAT else entry.names[one.by]
        found = bool(meant & has)
    return found != one.excluded


def selected_files(entry: Entry, selection: Selection) -> set[str]:
    return {
        form
        for form in entry.names[By.FORMAT]
        if all(applies(one, entry, form) for one in selection.conditions)
    }


def is_selected(entry: Entry, selection: Selection) -> bool:
    if any(one.by is By.FORMAT for one in selection.conditions):
        return bool(selected_files(entry, selection))
    return all(applies(one, entry, None) for one in selection.conditions)


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    """Calibre's own schema, in memory, with all names that there are."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(FIXTURES / "lib_empty" / "metadata.db")) as empty:
        empty.backup(made)
    made.create_function("title_sort", 1, lambda title: title)
    made.create_function("uuid4", 0, lambda: "x")
    for table, column, names in (
        ("tags", "name", TAGS),
        ("authors", "name", AUTHORS),
        ("series", "name", SERIES),
        ("languages", "lang_code", LANGUAGES),
    ):
        for name in names:
            made.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (name,))
    made.text_factory = bytes
    with closing(made):
        yield made


def books_of(db: sqlite3.Connection, selection: Selection) -> SelectedBooks:
    def query(sql: str, given: tuple[object, ...] = (), _what: str = "") -> Rows:
        return db.execute(sql, given).fetchall()

    columns = {
        table.decode(): {
            row[0].decode()
            for row in db.execute(
                "SELECT name FROM pragma_table_info(?)", (table.decode(),)
            )
        }
        for (table,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
    }
    return SelectedBooks(query, columns, selection)


def write(db: sqlite3.Connection, library: list[Entry]) -> None:
    db.execute("BEGIN")
    db.execute("DELETE FROM books")
    db.execute("DELETE FROM data")
    linked = {
        By.TAG: ("tags", "name", "books_tags_link", "tag"),
        By.AUTHOR: ("authors", "name", "books_authors_link", "author"),
        By.SERIES: ("series", "name", "books_series_link", "series"),
        By.LANGUAGE: ("languages", "lang_code", "books_languages_link", "lang_code"),
    }
    for _table, _name, link, _column in linked.values():
        db.execute(f"DELETE FROM {link}")
    for entry in library:
        db.execute(
            "INSERT INTO books (id, title, path, timestamp, last_modified) VALUES "
            "(?, 'T', '', ?, ?)",
            (entry.id, _shown(entry.added), _shown(entry.modified)),
        )
        for by, (table, name, link, column) in linked.items():
            for value in sorted(entry.names[by]):
                db.execute(
                    f"INSERT INTO {link} (book, {column}) SELECT ?, id FROM {table} "
                    f"WHERE {name} = ?",
                    (entry.id, value),
                )
        for form in sorted(entry.names[By.FORMAT]):
            db.execute(
                "INSERT INTO data (book, format, uncompressed_size, name) "
                "VALUES (?, ?, 0, 'n')",
                (entry.id, form),
            )
    db.execute("COMMIT")


def _shown(moment: datetime | None) -> str:
    return "no time" if moment is None else moment.isoformat(" ")


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(library=entries(), selection=selections, after=st.integers(0, 41))
def test_sql_selects_what_a_plain_filter_selects(
    db: sqlite3.Connection, library: list[Entry], selection: Selection, after: int
) -> None:
    """Ids, numbers, files of any library under any selection."""
    write(db, library)
    books = books_of(db, selection)
    inside = [entry for entry in library if is_selected(entry, selection)]
    ids = [entry.id for entry in inside]
    later = [number for number in ids if number > after][:3]
    beyond = [entry.id for entry in library if entry.id > after]
    files = [form for entry in library for form in selected_files(entry, selection)]
    chosen = books.where
    listed = db.execute(
        "SELECT books.id, data.format FROM books JOIN data ON data.book = books.id "
        f"WHERE 1{chosen.books}{chosen.files} ORDER BY books.id, data.format",
        (*chosen.of_books, *chosen.of_files),
    ).fetchall()
    counted = {row[0].decode(): row[1] for row in books.formats_counted()}  # type: ignore[attr-defined]
    everyone = [BookId(entry.id) for entry in library]
    assert (
        books.highest_id(),
        books.book_count(selected=True),
        books.book_count(selected=False),
        books.file_count(),
        books.last_id_after(after, 3),
        {int(number) for number in books.those_of(everyone)},
        counted,
        [(number, form.decode()) for number, form in listed],
        [int(number) for number in books.without_files(1, 99)],
    ) == (
        max(ids, default=0),
        len(ids),
        len(library),
        len(files),
        later[-1] if len(later) == 3 else max(beyond, default=None),
        set(ids),
        {form: files.count(form) for form in files},
        [
            (entry.id, form)
            for entry in library
            for form in sorted(selected_files(entry, selection))
        ],
        [entry.id for entry in inside if not entry.names[By.FORMAT]],
    )


@given(selections)
def test_a_selection_is_remembered_as_it_was(selection: Selection) -> None:
    """With its time, and given to another program as settings."""
    again = from_json(selection.to_json())
    assert (again, again.as_of) == (selection, selection.as_of)
    assert again.same(selection)


def test_no_text_of_a_users_is_in_the_statement() -> None:
    """Names are bound as parameters of ids, whatever they hold."""
    hostile = "x') OR 1=1 --"
    selection = Selection(
        (Condition(By.TAG, (hostile,)), Condition(By.FORMAT, (hostile,))), NOW
    )
    columns = {"tags": {"id", "name"}, "books_tags_link": {"book", "tag"}}
    made = where(selection, {selection.conditions[0]: [7]}, columns)
    assert "1=1" not in made.books + made.files
    assert made.of_books == ("[7]",)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            Condition(By.TAG, ("Fictoin", "Under")),
            [
                NotFound(By.TAG, "Fictoin", ("Fiction", "fictional")),
                NotFound(By.TAG, "Under", ("Ünder",)),
            ],
        ),
        (
            Condition(By.AUTHOR, ("Jane Doe",)),
            [NotFound(By.AUTHOR, "Jane Doe", ())],
        ),
        (
            Condition(By.AUTHOR, ("Doe, Janet",), excluded=True),
            [NotFound(By.AUTHOR, "Doe, Janet", ("Doe, Jane",))],
        ),
        (Condition(By.SERIES, ("dune",)), []),
        (
            Condition(By.LANGUAGE, ("Welsh",)),
            [NotFound(By.LANGUAGE, "Welsh", ("deu", "eng", "fra"))],
        ),
        (Condition(By.IDS, ("999",)), []),
        (Condition(By.ADDED, ("30d",)), []),
    ],
)
def test_names_like_an_unknown_one(
    db: sqlite3.Connection, one: Condition, expected: list[NotFound]
) -> None:
    assert books_of(db, Selection((one,), NOW)).not_found() == expected


@pytest.mark.parametrize(
    ("missing", "one", "says"),
    [
        ("tags", Condition(By.TAG, ("Fiction",)), "no tag 'Fiction' in the library"),
        (
            "books",
            Condition(By.MODIFIED, ("30d",)),
            "this library does not record when books were modified",
        ),
    ],
)
def test_what_a_library_does_not_have_nothing_matches(
    db: sqlite3.Connection, missing: str, one: Condition, says: str
) -> None:
    """A schema without the table or the column: a clear word, and no book."""
    write(db, [Entry(1, dict.fromkeys(MEANT, frozenset()), NOW, NOW)])
    whole = books_of(db, Selection((one,), NOW))
    whole.meet({**whole._columns, missing: {"id", "title", "path"} - {"name"}})
    if missing == "tags":
        whole.meet({**whole._columns, missing: frozenset()})
    assert [str(found) for found in whole.not_found()] == [says]
    assert whole.book_count(selected=True) == 0
    assert whole.highest_id() == 0


def test_names_are_looked_up_again_when_calibre_has_changed_them(
    tmp_path: Path,
) -> None:
    """A tag that comes under a selected one while the library is being read."""
    library = Library(tmp_path / "library")
    library.add(Made(tags=("Fiction",)), Made(tags=("Poems",)))
    with CalibreLibrary(library.root, tmp_path / "private") as opened:
        opened.select(Selection((Condition(By.TAG, ("fiction",)),), NOW))
        assert opened.highest_book_id() == 1
        library.sql("UPDATE tags SET name = 'Fiction.Verse' WHERE name = 'Poems'")
        assert opened.highest_book_id() == 2
        assert [book.id for book in opened.read_books(1, 9)] == [1, 2]
        library.sql("UPDATE tags SET name = 'Letters' WHERE name = 'Fiction'")
        assert [book.id for book in opened.read_books(1, 9)] == [2]
        # Whoever says which books it wants gets them.
        assert [book.id for book in opened.read_books(1, 9, {1})] == [1]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(), "everything"),
        (
            asked(
                replace(
                    Selecting(),
                    select_tag=("Fantasy", "Horror"),
                    select_not_format=("PDF",),
                    select_ids=((5, 9), (1, 4), (20, 20)),
                    select_added_since=("30d",),
                ),
                NOW,
            ),
            "tag Fantasy or Horror, not format PDF, ids 1-9,20, added since 30d",
        ),
    ],
)
def test_in_words(selection: Selection, words: str) -> None:
    assert str(selection) == words


def test_an_age_counts_from_when_the_pass_was_opened() -> None:
    """So a pass that takes a week has one selection."""
    opened = NOW - timedelta(days=7)
    one = Selection((Condition(By.ADDED, ("30d",)),), opened)
    made = where(one, {}, {"books": {"timestamp"}})
    assert made.of_books == ("2026-10-23 12:00:00",)
