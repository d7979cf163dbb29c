"""What Calibre's own settings and its work beside us make of a library, read from real
metadata.db files."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from common.clock import SteadyClock
from migration.calibre import connection
from migration.calibre.library import CalibreLibrary
from migration.calibre.listing import Listing
from migration.calibre.paths import Tree
from migration.checks.adoption import adopt
from migration.errors import LibraryBusy, LibraryUnreadable, WrongLedger
from migration.ledger.ledger import Ledger
from migration.model import Author, BookId, FileId
from migration.state_files.owner import this_process
from tests.support.libraries.calibreside import (
    NOWHERE,
    locked,
    remove_format,
    rename,
    restored,
)
from tests.support.libraries.librarykit import (
    Library,
    Made,
    crash_a_writer,
    epub,
    epubs,
)
from tests.support.servers.inprocess import LocalWorkers


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library."""
    return Library(tmp_path / "library")


def authors_of(library: Library, tmp_path: Path) -> list[Author]:
    """All authors of all books, in order."""
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        return [author for book in opened.read_books(1, 99) for author in book.authors]


# -- authors ---------------------------------------------------------------------------


def test_sorts_that_calibre_copied_say_nothing(
    library: Library, tmp_path: Path
) -> None:
    """With `author_sort_copy_method = copy`: the names are left to be split."""
    library.add(
        Made(authors=(("John Smith", "John Smith"), ("Smith, Jane", "Smith, Jane"))),
        Made(
            authors=(
                ("Plato", "Plato"),
                ("Ann Lee", "Ann Lee"),
                ("Edited", "Edited, By Hand"),
            )
        ),
    )
    assert authors_of(library, tmp_path) == [
        Author("John Smith", ""),
        Author("Smith, Jane", ""),
        Author("Plato", ""),
        Author("Ann Lee", ""),
        Author("Edited", "Edited, By Hand"),
    ]


@pytest.mark.parametrize(
    "sorts",
    [("Smith, John", "Lee, Ann"), ("Smith John", "Lee Ann")],
    ids=["comma", "nocomma"],
)
def test_a_repeated_name_among_turned_ones_is_a_statement(
    library: Library, tmp_path: Path, sorts: tuple[str, str]
) -> None:
    """Somebody gave the organisation its sort by hand: it is one name."""
    library.add(
        Made(
            authors=(
                ("John Smith", sorts[0]),
                ("Ann Lee", sorts[1]),
                ("United Nations", "United Nations"),
            )
        )
    )
    assert authors_of(library, tmp_path)[2] == Author(
        "United Nations", "United Nations"
    )


# -- files that move between two looks -------------------------------------------------


class Restless:
    """A library that Calibre changes right after each listing, as long as there are
    changes left."""

    def __init__(self, library: Library, *changes: Callable[[Library], object]) -> None:
        self.library = library
        self.changes = list(changes)
        self.listings = 0

    def query(
        self, sql: str, parameters: tuple[object, ...], _what: str
    ) -> list[tuple[object, ...]]:
        """Lists from metadata.db, then lets Calibre work."""
        self.listings += 1
        with closing(self.library.connect()) as db:
            db.text_factory = bytes
            rows = db.execute(sql, parameters).fetchall()
        if self.changes:
            self.changes.pop(0)(self.library)
        return rows


def unlink(book_id: int, kind: str) -> Callable[[Library], None]:
    """A file is lost, and Calibre does not know."""
    return lambda library: library.file(book_id, kind).unlink()


@pytest.mark.parametrize(
    ("changes", "listings", "folder", "formats", "missing"),
    [
        pytest.param([], 1, "Book (1)", "EPUB,TXT", 0, id="nothing changes"),
        pytest.param([rename(1, "New (1)")], 2, "New (1)", "EPUB,TXT", 0, id="renamed"),
        pytest.param(
            [rename(1, "A (1)"), rename(1, "B (1)")],
            3,
            "B (1)",
            "EPUB,TXT",
            0,
            id="renamed twice",
        ),
        pytest.param(
            [remove_format(1, "TXT")], 2, "Book (1)", "EPUB", 0, id="a format removed"
        ),
        pytest.param(
            [unlink(1, "TXT")], 2, "Book (1)", "EPUB,TXT", 1, id="a file lost"
        ),
        pytest.param(
            [rename(1, f"{n} (1)") for n in range(9)],
            4,
            "2 (1)",
            "EPUB,TXT",
            2,
            id="without end",
        ),
    ],
)
def test_metadata_db_is_asked_once_more_before_a_file_is_missing(
    library: Library,
    changes: list[Callable[[Library], None]],
    listings: int,
    folder: str,
    formats: str,
    missing: int,
) -> None:
    """Where Calibre has moved it, it is found; what Calibre removed is not listed; a
    lost one is missing."""
    book = {"EPUB": epub(1), "TXT": b"text"}
    library.add(Made(files=book), Made(files={"EPUB": epub(2)}))
    restless = Restless(library, *changes)
    tree = Tree(library.root)
    pauses: list[float] = []
    listing = Listing(restless.query, tree, lacks=(), pause=pauses.append)
    files = listing.files(1, 9)
    tree.close()
    assert restless.listings == listings
    assert len(pauses) == listings - 1
    assert ",".join(file.id.format for file in files[1]) == formats
    assert {os.fsdecode(file.path).split("/")[1] for file in files[1]} == {folder}
    assert (
        sum(file.problem is not None for book in files.values() for file in book)
        == missing
    )
    assert listing.origins(1, 9)[BookId(1)].folder == f"Author/{folder}".encode()
    assert [file.id.format for file in files[2]] == ["EPUB"]


def test_calibre_is_given_time_to_tell_of_a_folder_that_it_has_just_moved(
    library: Library,
) -> None:
    """It moves the folder first; nobody is kept waiting for a file that was lost long
    ago."""
    library.add(Made(files={"EPUB": epub(1)}), Made(files={"EPUB": epub(2)}))
    restless = Restless(library)
    tree = Tree(library.root)
    (library.root / "Author" / "Book (1)").rename(library.root / "Author" / "New (1)")
    pauses: list[float] = []

    def meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        library.sql("UPDATE books SET path = 'Author/New (1)' WHERE id = 1")

    listing = Listing(restless.query, tree, lacks=(), pause=meanwhile)
    assert [
        file.problem for files in listing.files(1, 9).values() for file in files
    ] == [None, None]
    assert len(pauses) == 1
    library.file(2).unlink()
    os.utime(library.file(2).parent, (1, 1))
    assert [file.problem is None for file in listing.files(2, 2)[2]] == [False]
    assert len(pauses) == 1
    tree.close()


# -- another metadata.db in the same place ---------------------------------------------


def put_in_place(library: Library, change: str) -> None:
    """What a backup or a program that synchronises does: another file under the same
    name."""
    new = library.root / "metadata.new"
    shutil.copy(library.root / "metadata.db", new)
    with closing(sqlite3.connect(new)) as db:
        db.create_function("title_sort", 1, lambda title: title)
        db.execute(change)
        db.commit()
    new.replace(library.root / "metadata.db")


def test_a_database_that_was_replaced_is_read_again(
    library: Library, tmp_path: Path
) -> None:
    """The old one would go on telling what was, and a renamed book would be missing."""
    library.add(*epubs(range(2)))
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        assert opened.read_books(1, 1)[0].title == "Book 0"
        put_in_place(library, "UPDATE books SET title = 'Brought' WHERE id = 1")
        assert opened.read_books(1, 1)[0].title == "Brought"
        rename(2, "Renamed (2)")(library)
        assert [file.problem for file in opened.read_files(1, 9)] == [None, None]
        assert opened.listed(1, 9) == frozenset(
            FileId(BookId(book), "EPUB") for book in (1, 2)
        )


def test_a_database_of_another_library_in_its_place_ends_the_reading(
    library: Library, tmp_path: Path
) -> None:
    """Each time it is asked; the way out for a restored one is named."""
    library.add(*epubs(range(2)))
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        put_in_place(library, "UPDATE library_id SET uuid = 'another'")
        for _ in range(2):
            with pytest.raises(
                LibraryUnreadable,
                match=r"replaced by that of library another.*--adopt-library",
            ):
                opened.read_files(1, 9)


def test_a_private_copy_is_renewed_when_its_original_is_whole_again(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibre rolled the crashed writer's journal back and went on; a copy for ever
    would not know."""
    monkeypatch.setattr(connection, "COPY_SECONDS", 0.0)
    library.add(*epubs(range(2)))
    crash_a_writer(library, "journal")
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        assert (tmp_path / "copy" / "metadata.db").exists()
        library.sql("UPDATE books SET title = 'Later' WHERE id = 1")
        assert opened.read_books(1, 1)[0].title == "Later"


def ledger_of(library: Library, state_dir: Path, *, forget: bool = False) -> Ledger:
    """A ledger that has been through the library once; `forget`: as an earlier version
    made it."""
    with CalibreLibrary(library.root, state_dir / "copy") as opened:
        ledger = Ledger(state_dir, this_process(1), SteadyClock(), library=opened)
        ledger.identity.bind(library=opened.uuid, server="http://s", user="1")
        pass_id = ledger.passes.join(opened.highest_book_id(), may_open=True)
        assert pass_id is not None
        owned = ledger.files.claim_range(
            pass_id, lambda after: opened.last_id_of_range(after, 100)
        )
        assert owned is not None
        ledger.files.register(
            owned, [(file, "") for file in opened.read_files(owned.first, owned.last)]
        )
    if forget:
        with closing(sqlite3.connect(ledger.path)) as db:
            db.execute("DELETE FROM origins")
            db.commit()
    return ledger


def new_uuids(library: Library) -> None:
    """Books without a metadata.opf get new ones in a restored library."""
    library.sql("UPDATE books SET uuid = 'new-' || id")


def other_books(library: Library) -> None:
    """Another library: the same ids, nothing else."""
    library.sql("UPDATE books SET uuid = 'other-' || id, path = 'Other/' || id")


@pytest.mark.parametrize(
    ("change", "forget", "found"),
    [
        pytest.param(
            lambda _library: None,
            False,
            "of 5 books 5 by uuid",
            id="restored from its OPF files",
        ),
        pytest.param(
            new_uuids, False, "of 5 books 5 by folder", id="without OPF files"
        ),
        pytest.param(
            new_uuids,
            True,
            "of 5 books 5 by size and time of a file",
            id="a ledger of earlier versions",
        ),
        pytest.param(
            lambda library: library.sql("DELETE FROM books WHERE id = 5"),
            False,
            "of 5 books 4 by uuid, 1 no longer there",
            id="a book less",
        ),
    ],
)
def test_a_ledger_is_adopted_when_the_books_are_the_same(
    library: Library,
    tmp_path: Path,
    change: Callable[[Library], object],
    forget: bool,
    found: str,
) -> None:
    """Says by what they were known; the working titles keep the old mark; a second time
    it is no news."""
    library.add(*epubs(range(5)))
    (tmp_path / "state").mkdir()
    ledger = ledger_of(library, tmp_path / "state", forget=forget)
    before = ledger.identity.library
    restored(library)
    change(library)
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        assert adopt(ledger, opened).endswith(found)
        assert (
            adopt(ledger, opened)
            == "The ledger belongs to this library; there is nothing to adopt"
        )
        ledger.identity.bind(library=opened.uuid, server="http://s", user="1")
        # What was renewed is known by its uuid from now on.
        restored(library, "22222222-2222-4333-8444-555555555555")
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        assert "by uuid" in adopt(ledger, opened)
    assert ledger.identity.first_library == before
    ledger.close()


def test_a_ledger_is_not_adopted_by_another_library(
    library: Library, tmp_path: Path
) -> None:
    """Refused with what differs, and nothing is changed."""
    library.add(*epubs(range(5)))
    (tmp_path / "state").mkdir()
    ledger = ledger_of(library, tmp_path / "state")
    before = ledger.identity.library
    restored(library)
    other_books(library)
    with CalibreLibrary(library.root, tmp_path / "copy") as opened:
        with pytest.raises(
            WrongLedger,
            match=r"such as 1, 2, 3, 4, 5\): of 5 books 5 other books.*--state-dir",
        ):
            adopt(ledger, opened)
        with pytest.raises(WrongLedger, match="start once with --adopt-library"):
            ledger.identity.bind(library=opened.uuid, server="http://s", user="1")
    assert (ledger.identity.library, ledger.identity.first_library) == (before, before)
    ledger.close()


@pytest.mark.parametrize("option", ["--verify", "--dry-run", "--open-pass"])
def test_a_person_is_not_kept_waiting_for_ever(
    library: Library, workers: LocalWorkers, option: str
) -> None:
    """It is said at once, and after a while it ends with 4 and the way out."""
    short = {"LIBRARY_BUSY_SECONDS": "0.1", "LIBRARY_LOCK_SECONDS": "0.5"}
    with locked(library):
        code, said = workers.run(library.root, NOWHERE, option, **short)
    assert code == 4, said
    assert "waiting for it" in said
    assert "let Calibre finish, then start again" in said


def test_a_lock_is_named_with_the_books_that_were_to_be_read(
    library: Library, tmp_path: Path
) -> None:
    """Not with whatever two numbers the query had."""
    library.add(*epubs(range(3)))
    with (
        CalibreLibrary(
            library.root, tmp_path / "copy", busy_timeout_seconds=0.05
        ) as opened,
        locked(library),
    ):
        for read, what in (
            (lambda: opened.last_id_of_range(7, 500), "the next 500 books after 7"),
            (lambda: opened.read_files(2, 9), "books 2-9"),
            (lambda: opened.read_books(1, 9, {2, 3}), "books 2-3"),
            (opened.highest_book_id, "the highest book id"),
            (opened.file_count, "the number of files"),
        ):
            with pytest.raises(
                LibraryBusy, match=rf"\({what}\) is locked by another program"
            ):
                read()
