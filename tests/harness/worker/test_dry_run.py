"""A dry run foretells what the run then does, and leaves nothing behind."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from migration.commands.edits import changed_fields
from migration.ledger.records import Carried, Standing, StandingKind
from migration.metadata.compare import Base, Field, Fields
from migration.model import PersonName
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries.calibreside import remove_format
from tests.support.libraries.librarykit import Library, Made, epub, link
from tests.support.libraries.updatekit import picture
from tests.support.migration.plankit import done, everything_in, foretold
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

BOOKS = 8


@dataclass
class Case:
    """A library that was migrated once."""

    library: Library
    shelf: Shelf
    workers: LocalWorkers

    def run(self, *options: str, **environment: str) -> str:
        code, said = self.workers.run(
            self.library.root, self.shelf, *options, **environment
        )
        assert code in (0, 1), said
        return said

    @property
    def ledger(self) -> Path:
        return self.workers.state_dir / LEDGER_NAME


@pytest.fixture
def case(tmp_path: Path, shelf: Shelf, workers: LocalWorkers) -> Case:
    """Books with all that is carried; the first has a second format."""
    library = Library(tmp_path / "library")
    for number in range(1, BOOKS + 1):
        library.add(
            Made(
                title=f"Book {number}",
                authors=((f"Author {number}", ""),),
                series="A Series",
                tags=("Fantasy",),
                rating=6,
                files={"EPUB": epub(number)}
                | ({"TXT": b"text"} if number == 1 else {}),
            )
        )
    made = Case(library, shelf, workers)
    made.run()
    return made


Edit = Callable[[Library], None]


def touched(library: Library, book: int, *statements: tuple[str, object]) -> None:
    """Changes a book as Calibre does: its time of modification changes as well."""
    for sql, value in statements:
        library.sql(sql, (value,))
    library.sql(
        "UPDATE books SET last_modified = '2030-01-01 00:00:00+00:00' WHERE id = ?",
        (book,),
    )


def title(library: Library) -> None:
    # Not that of `new_format`: a book that gets a file is given its title anyway.
    touched(library, 5, ("UPDATE books SET title = ? WHERE id = 5", "Another"))


def tags(library: Library) -> None:
    touched(library, 2, ("DELETE FROM books_tags_link WHERE book = ?", 2))


def rating(library: Library) -> None:
    touched(library, 3, ("DELETE FROM books_ratings_link WHERE book = ?", 3))


def series_index(library: Library) -> None:
    touched(library, 4, ("UPDATE books SET series_index = ? WHERE id = 4", 5.0))


def author(library: Library) -> None:
    with closing(library.connect()) as db, db:
        db.execute("DELETE FROM books_authors_link WHERE book = 5")
        link(db, 5, "authors", "author", ("name", "sort"), ("Somebody Else", ""))
    touched(library, 5)


def comment(library: Library) -> None:
    touched(
        library, 6, ("INSERT INTO comments (book, text) VALUES (6, ?)", "<p>New</p>")
    )


def cover(library: Library) -> None:
    (library.file(7).parent / "cover.jpg").write_bytes(picture("red"))
    touched(library, 7, ("UPDATE books SET has_cover = ? WHERE id = 7", 1))


def only_the_time(library: Library) -> None:
    touched(library, 2)


def new_book(library: Library) -> None:
    library.add(
        *(Made(title=f"New {n}", files={"EPUB": epub(100 + n)}) for n in range(4))
    )


def new_format(library: Library) -> None:
    library.file(2, "TXT").write_bytes(b"other text")
    library.sql(
        "INSERT INTO data (book, format, uncompressed_size, name) "
        "VALUES (2, 'TXT', 9, 'file')"
    )
    touched(library, 2)


def other_bytes(library: Library) -> None:
    library.file(3).write_bytes(epub(900, padding=900))
    touched(library, 3)


def format_removed(library: Library) -> None:
    remove_format(1, "TXT")(library)
    touched(library, 1)


def book_removed(library: Library) -> None:
    library.file(BOOKS).unlink()
    for table in ("books", "data"):
        column = "id" if table == "books" else "book"
        library.sql(f"DELETE FROM {table} WHERE {column} = ?", (BOOKS,))


def refused(library: Library) -> None:
    library.add(Made(files={"CBZ": b"PK no book"}), Made(files={"EPUB": b""}))


EDITS: list[Edit] = [
    title,
    tags,
    rating,
    series_index,
    author,
    comment,
    cover,
    only_the_time,
    new_book,
    new_format,
    other_bytes,
    format_removed,
    book_removed,
    refused,
]


@pytest.mark.parametrize(
    "edits",
    [[], *([edit] for edit in EDITS), EDITS],
    ids=lambda edits: "+".join(one.__name__ for one in edits)[:20] or "nothing",
)
def test_what_is_foretold_is_what_happens(case: Case, edits: list[Edit]) -> None:
    """Figure by figure, for each edit and for all of them together."""
    for edit in edits:
        edit(case.library)
    plan = foretold(case.run("--dry-run", "--json"))
    case.run()
    assert plan == done(case.ledger)


def test_a_dry_run_before_anything_foretells_the_first_run(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """And makes no state directory for it."""
    library = Library(tmp_path / "library")
    new_book(library)
    made = Case(library, shelf, workers)
    said = made.run("--dry-run", "--json")
    assert not workers.state_dir.exists()
    plan = json.loads(said)
    assert plan["state_dir"] is None
    assert plan["estimate"] == {"minutes": None, "files_per_min": None}
    made.run()
    assert foretold(said) == done(made.ledger)


def test_it_writes_nothing(case: Case, tmp_path: Path) -> None:
    """Nothing below the state directory, the library or elsewhere changes."""
    for edit in EDITS:
        edit(case.library)
    before = everything_in(tmp_path)
    case.run("--dry-run")
    case.run("--dry-run", "--json")
    assert everything_in(tmp_path) == before


def test_it_works_while_a_pass_is_open(case: Case) -> None:
    """It tells of what is left of it; its selection counts."""
    new_book(case.library)
    case.run("--ids", "5-99", "--open-pass")
    case.run("--join-only", "--limit", "5")
    plan = json.loads(case.run("--dry-run", "--json"))
    assert plan["open_pass"] == 2
    assert plan["selection"] == {"words": "ids 5-99", "books": 12, "outside": 4}
    assert plan["send"]["files"] == 3
    assert plan["files"]["done"] == 5
    code, said = case.workers.run(
        case.library.root, case.shelf, "--dry-run", "--tag", "Fantasy"
    )
    assert code == 2
    assert "[another-selection]" in said


def test_a_selection_counts_only_its_books(case: Case) -> None:
    """What is outside is neither new, nor removed."""
    for edit in EDITS:
        edit(case.library)
    plan = foretold(case.run("--dry-run", "--json", "--tag", "fantasy"))
    case.run("--tag", "fantasy")
    assert plan == done(case.ledger)
    assert plan["books removed"] == 0


def test_words_for_people(case: Case) -> None:
    """The same as a table, with what is not known."""
    title(case.library)
    new_book(case.library)
    said = " ".join(case.run("--dry-run").split())
    for words in (
        "to be sent 4",
        "new 4",
        "books that get an ebook 4",
        "books changed in Calibre 1",
        "title 1",
        "unchanged 9",
        "files/min",
        "The server was not asked:",
    ):
        assert words in said, said


def test_shelves_are_foretold(case: Case) -> None:
    """A tag without a genre is a shelf, a comment the note there."""

    def reshelved() -> int:
        books = json.loads(case.run("--dry-run", "--json"))["books"]
        return int(books["reshelved"])

    with closing(case.library.connect()) as db, db:
        link(db, 2, "tags", "tag", ("name",), ("Curious",))
    touched(case.library, 2)
    only_the_time(case.library)
    assert reshelved() == 1
    case.run()
    assert reshelved() == 0
    touched(
        case.library, 2, ("INSERT INTO comments (book, text) VALUES (2, ?)", "A note")
    )
    library_time = "UPDATE books SET last_modified = ? WHERE id = 2"
    case.library.sql(library_time, ("2031-01-01 00:00:00+00:00",))
    assert reshelved() == 1
    case.run()
    assert reshelved() == 0


def test_what_would_be_deleted_is_not_known(case: Case) -> None:
    """The server decides, book by book; nothing is promised."""
    book_removed(case.library)
    plan = json.loads(case.run("--dry-run", "--json", "--delete-removed"))
    assert plan["books"]["removed"] == 1
    assert any("--delete-removed would delete" in why for why in plan["not_known"])
    plan = json.loads(case.run("--dry-run", "--json"))
    assert not any("--delete-removed" in why for why in plan["not_known"])


def test_an_older_ledger_says_what_is_not_known(case: Case) -> None:
    """Without the server's words only the number of changed books is known."""
    title(case.library)
    with closing(sqlite3.connect(case.ledger)) as db, db:
        db.execute("DELETE FROM meta WHERE key = 'note:vocabulary'")
    plan = json.loads(case.run("--dry-run", "--json"))
    assert plan["books"]["changed"] == 1
    assert plan["changed_fields"] == {"not known": 1}
    assert any("which fields changed" in why for why in plan["not_known"])


BASE = Fields("T", (PersonName("Doe", "J"),), "S", 2, "en", frozenset({"G"}), 60, "c")


@pytest.mark.parametrize(
    ("now", "prefer", "expected"),
    [
        ({}, "server", []),
        ({"title": "U"}, "server", [Field.TITLE]),
        ({"series": None}, "server", [Field.SERIES, Field.SERIES_INDEX]),
        ({"cover": "d", "rating": None}, "server", [Field.RATING, Field.COVER]),
        ({"cover": ""}, "server", []),
        ({}, "calibre", [Field.LANGUAGE]),
    ],
)
def test_which_fields_would_be_sent(
    now: dict[str, object], prefer: str, expected: list[Field]
) -> None:
    """A cover cannot be taken away; a conflict that stands is decided by --prefer."""
    stands = Standing(Field.LANGUAGE, StandingKind.CONFLICT, "en", "de", 1)
    known = Carried(Base(BASE, BASE), 3, (stands,))
    values = {name: getattr(BASE, name) for name in Fields.__slots__}
    assert changed_fields(known, Fields(**{**values, **now}), prefer) == expected
