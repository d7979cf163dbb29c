"""Reading real and damaged Calibre libraries; nothing is ever written to them."""

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migration.calibre.library import CalibreLibrary
from migration.errors import (
    LibraryUnreadable,
    MissingFile,
    NotRegular,
    OutsideLibrary,
)
from migration.model import Author, Book, Problem
from tests.support.environment import FIXTURES
from tests.support.libraries.librarykit import Library, Made, crash_a_writer, epub


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library of one book."""
    made = Library(tmp_path / "library")
    made.add(Made(title="One", files={"EPUB": epub(1)}))
    return made


def books_of(root: Path, *, timeout: float = 10.0) -> list[Book]:
    """All books of a library."""
    with CalibreLibrary(
        root, root.parent / "private", busy_timeout_seconds=timeout
    ) as opened:
        return opened.read_books(1, opened.highest_book_id())


def problem_of(root: Path) -> Problem | None:
    """What is wrong with the first file of the first book."""
    return books_of(root)[0].files[0].problem


def state_of(root: Path) -> dict[str, tuple[int, int, str]]:
    """Every file with its size, mtime and hash."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_size,
            path.stat().st_mtime_ns,
            hashlib.sha1(path.read_bytes()).hexdigest(),
        )
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_real_library_is_read_as_calibre_lists_it(small_library: Path) -> None:
    """201 books: titles, authors, series, languages, tags, ratings, formats and custom
    columns."""
    listed = {
        book["id"]: book
        for book in json.loads(
            (FIXTURES / "lib_small.expected.json").read_text("utf-8")
        )
    }
    before = state_of(small_library)
    books = books_of(small_library)
    assert [book.id for book in books] == sorted(listed)
    for book in books:
        calibre = listed[book.id]
        assert (
            book.title,
            [author.name for author in book.authors],
            book.series,
            list(book.languages),
        ) == (
            calibre["title"],
            calibre["authors"].split(" & "),
            calibre.get("series"),
            calibre.get("languages", []),
        )
        assert sorted(book.tags) == sorted(calibre.get("tags", []))
        assert book.rating == calibre.get("rating")
        assert {file.id.format for file in book.files} == set(calibre.get("sha1", {}))
        assert [file.problem for file in book.files if file.problem] == []
        assert (book.cover is not None) == bool(calibre.get("cover"))
        assert book.extras.get("#read") == calibre.get("*read")
        assert sorted(
            str(value) for value in _list(book.extras.get("#genre"))
        ) == sorted(calibre.get("*genre") or [])
    assert state_of(small_library) == before


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def test_the_bytes_of_a_real_library_are_those_calibre_has(small_library: Path) -> None:
    """Every file opened through the safe way has its SHA-1."""
    listed = {
        book["id"]: book["sha1"]
        for book in json.loads(
            (FIXTURES / "lib_small.expected.json").read_text("utf-8")
        )
    }
    with CalibreLibrary(small_library, small_library.parent / "private") as opened:
        for book in opened.read_books(1, 50):
            for file in book.files:
                with opened.open_file(file.path) as stream:
                    assert (
                        hashlib.sha1(stream.read()).hexdigest()
                        == listed[book.id][file.id.format]
                    )


def test_ranges_hold_whole_books_in_order(tmp_path: Path) -> None:
    """Gaps in the numbering do not matter."""
    made = Library(tmp_path / "library")
    made.add(*(Made(title=str(number)) for number in range(10)))
    made.sql("DELETE FROM books WHERE id IN (2, 3, 9)")
    with CalibreLibrary(made.root, tmp_path / "private") as opened:
        assert opened.highest_book_id() == 10
        assert [
            opened.last_id_of_range(0, 3),
            opened.last_id_of_range(5, 3),
            opened.last_id_of_range(10, 3),
        ] == [
            5,
            8,
            None,
        ]
        assert [book.id for book in opened.read_books(2, 8)] == [4, 5, 6, 7, 8]


# -- the database ----------------------------------------------------------------------


def truncated(library: Library) -> None:
    """Half of the file."""
    path = library.root / "metadata.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt_page(library: Library) -> None:
    """The root page of the table of books is noise."""
    page = library.sql("SELECT rootpage FROM sqlite_master WHERE name = 'books'")[0][0]
    path = library.root / "metadata.db"
    data = bytearray(path.read_bytes())
    start = (int(str(page)) - 1) * 4096
    data[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(data)


def not_a_database(library: Library) -> None:
    """A text."""
    (library.root / "metadata.db").write_text(
        "hello, I am not a database at all\n" * 200
    )


def empty_file(library: Library) -> None:
    """0 bytes."""
    (library.root / "metadata.db").write_bytes(b"")


def removed(library: Library) -> None:
    """No metadata.db."""
    (library.root / "metadata.db").unlink()


def another_database(library: Library) -> None:
    """SQLite, but not Calibre."""
    (library.root / "metadata.db").unlink()
    with closing(sqlite3.connect(library.root / "metadata.db")) as db, db:
        db.execute("CREATE TABLE x (y)")


def a_folder(library: Library) -> None:
    """A folder of that name."""
    (library.root / "metadata.db").unlink()
    (library.root / "metadata.db").mkdir()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncated, "is damaged|malformed"),
        (corrupt_page, "is damaged"),
        (not_a_database, "is not a database"),
        (empty_file, r"is empty \(0 bytes\)"),
        (removed, "has no metadata.db"),
        (another_database, "is not a Calibre library"),
        (a_folder, "is not a file"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_damaged_database_is_named_and_left_alone(
    library: Library, damage: Callable[[Library], None], sentence: str
) -> None:
    """One sentence each; nothing is repaired, made or removed."""
    damage(library)
    before = state_of(library.root)
    with pytest.raises(LibraryUnreadable, match=sentence):
        books_of(library.root)
    assert state_of(library.root) == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Named."""
    with pytest.raises(LibraryUnreadable, match="is not a folder"):
        books_of(tmp_path / "nowhere")


def test_a_locked_database_is_waited_for_and_then_named(library: Library) -> None:
    """Another program holds an exclusive lock."""
    with closing(library.connect()) as other:
        other.isolation_level = None
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LibraryUnreadable, match="locked by another program"):
            books_of(library.root, timeout=0.2)
        other.execute("ROLLBACK")
    assert [book.title for book in books_of(library.root)] == ["One"]


def test_reading_holds_no_lock(library: Library) -> None:
    """Calibre opens its library with BEGIN EXCLUSIVE while ours is open."""
    with CalibreLibrary(library.root, library.root.parent / "private") as opened:
        opened.read_books(1, 100)
        with closing(library.connect()) as calibre:
            calibre.isolation_level = None
            calibre.execute("PRAGMA busy_timeout = 0")
            calibre.execute("BEGIN EXCLUSIVE")
            calibre.execute("COMMIT")


def test_a_hot_journal_is_recovered_in_a_private_copy(
    library: Library, tmp_path: Path
) -> None:
    """Uncommitted rows are not seen; the original keeps its journal; a second worker
    uses the same copy."""
    crash_a_writer(library, "journal")
    assert (library.root / "metadata.db-journal").exists()
    before = state_of(library.root)
    for _ in range(2):
        with CalibreLibrary(library.root, tmp_path / "private") as opened:
            assert [book.title for book in opened.read_books(1, 5)] == ["One"]
            assert opened._query("SELECT COUNT(*) FROM publishers") == [(0,)]
    assert state_of(library.root) == before


def test_a_wal_is_read_with_what_is_in_it(library: Library, tmp_path: Path) -> None:
    """Committed rows that are only in the WAL are seen."""
    crash_a_writer(library, "wal")
    with CalibreLibrary(library.root, tmp_path / "private") as opened:
        assert opened._query("SELECT name FROM publishers") == [(b"from the wal",)]


def test_newer_and_older_schemas_are_read(library: Library) -> None:
    """Columns gone, columns and tables added."""
    library.sql("DROP TRIGGER IF EXISTS books_update_trg")
    library.sql("ALTER TABLE books ADD COLUMN pages INTEGER")
    library.sql("ALTER TABLE languages ADD COLUMN link TEXT")
    library.sql("CREATE TABLE book_storage (id INTEGER)")
    for view in ("meta", "tag_browser_news", "tag_browser_filtered_news"):
        library.sql(f"DROP VIEW IF EXISTS {view}")
    library.sql("DROP TABLE comments")
    library.sql("DROP TABLE identifiers")
    assert [(book.title, book.authors) for book in books_of(library.root)] == [
        ("One", (Author("Jane Doe", "Doe, Jane"),))
    ]


# -- rows ------------------------------------------------------------------------------


def test_absurd_rows_never_stop_the_reading(library: Library) -> None:
    """NULs, BLOBs, numbers as text, infinities, year 101, huge texts, no author: read,
    cleaned, or left out."""
    library.add(
        Made(title="x" * 100_000, comments="<p>" + "c" * 5_000_000),
        Made(title="No author", authors=()),
        Made(title="Nothing"),
    )
    library.sql("DROP TRIGGER IF EXISTS books_update_trg")
    library.sql("UPDATE books SET title = x'00ff41', series_index = 9e999 WHERE id = 1")
    library.sql("UPDATE books SET pubdate = '0101-01-01 00:00:00+00:00' WHERE id = 1")
    library.sql(
        "UPDATE books SET series_index = 'many', timestamp = 5, uuid = x'ff' WHERE id = 4"
    )
    library.sql(
        "UPDATE authors SET name = CAST(x'4a00ff' AS TEXT), sort = NULL WHERE id = 1"
    )
    first, long, nobody, odd = books_of(library.root)
    assert (first.title, first.series_index, "pubdate" in first.extras) == (
        "\ufffdA",
        float("inf"),
        False,
    )
    assert first.authors == (Author("J\ufffd", ""),)
    assert (len(long.title), len(str(long.extras["comments"]))) == (100_000, 5_000_003)
    assert nobody.authors == ()
    assert (odd.series_index, odd.extras["timestamp"], odd.extras["uuid"]) == (
        None,
        "5",
        "\ufffd",
    )
    json.dumps([book.extras for book in (first, long, nobody, odd)], allow_nan=False)


# -- files -----------------------------------------------------------------------------


def gone(path: Path) -> None:
    """Not there."""
    path.unlink()


def no_bytes(path: Path) -> None:
    """0 bytes."""
    path.write_bytes(b"")


def directory(path: Path) -> None:
    """A folder."""
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    """A named pipe, which must not be waited for."""
    path.unlink()
    os.mkfifo(path)


def link_outside(path: Path) -> None:
    """A link to somebody's secrets."""
    path.unlink()
    path.symlink_to("/etc/passwd")


def link_inside(path: Path) -> None:
    """A link within the library."""
    path.rename(path.with_name("other.bin"))
    path.symlink_to("other.bin")


def link_loop(path: Path) -> None:
    """A link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def linked_folder(path: Path) -> None:
    """The book's folder is a link out of the library."""
    away = path.parents[2].with_name("away")
    shutil.move(path.parent, away)
    path.parent.symlink_to(away)


def unix_socket(path: Path) -> None:
    """A socket."""
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (gone, "missing"),
        (no_bytes, "empty"),
        (directory, "not a regular file"),
        (pipe, "not a regular file"),
        (unix_socket, "not a regular file"),
        (link_outside, "not a regular file"),
        (link_inside, "not a regular file"),
        (link_loop, "not a regular file"),
        (linked_folder, "not a regular file"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_file_that_is_none_is_reported(
    library: Library, damage: Callable[[Path], None], reason: str
) -> None:
    """With a sentence that names it; it is not opened even when asked for."""
    damage(library.file(1))
    found = problem_of(library.root)
    assert found is not None
    assert found.reason == reason
    assert "file.epub" in found.message
    if reason != "empty":
        with (
            CalibreLibrary(library.root, library.root.parent / "p") as opened,
            pytest.raises((MissingFile, NotRegular)),
        ):
            opened.open_file(b"Author/Book (1)/file.epub")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../../../etc", "hostname"),
        ("/etc", "hostname"),
        ("", "metadata"),
        ("Author/../../x", "file"),
        ("..", "x"),
        (".", "metadata"),
        ("Author/Book (1)", "../../metadata"),
        ("Author//Book (1)", "file"),
        ("Author/Book (1)", ""),
        ("Author/Book (1)\x00", "file"),
    ],
)
def test_a_path_that_leaves_the_library_is_never_opened(
    library: Library, path: str, name: str
) -> None:
    """In `books.path` or in `data.name`."""
    library.sql("DROP TRIGGER IF EXISTS books_update_trg")
    library.sql("UPDATE books SET path = ?, has_cover = 1", (path,))
    library.sql("UPDATE data SET name = ?, format = 'DB'", (name,))
    found = problem_of(library.root)
    assert found is not None
    assert found.reason == "outside the library"
    assert books_of(library.root)[0].cover is None


@pytest.mark.parametrize(
    "path", [b"/etc/passwd", b"../x", b"", b"a/../b", b"a\0b", b"./metadata.db"]
)
def test_no_path_opens_anything_outside(library: Library, path: bytes) -> None:
    """The last line of defence."""
    with (
        CalibreLibrary(library.root, library.root.parent / "private") as opened,
        pytest.raises(OutsideLibrary),
    ):
        opened.open_file(path)


def test_a_file_of_another_case_or_normalisation_is_found(library: Library) -> None:
    """Taken, with a note; never renamed."""
    path = library.file(1)
    path.rename(path.with_name("FILE.EPUB"))
    (path.parent / "notes.txt").write_text("x")
    found = books_of(library.root)[0].files[0]
    assert (found.problem, found.path) == (None, b"Author/Book (1)/FILE.EPUB")
    assert "was taken instead" in found.note
    assert not path.exists()


def test_a_library_in_another_normal_form_is_found(library: Library) -> None:
    """Copied from a Mac, every folder and file is spelled NFD; then one folder changes
    its case too."""
    author, book = library.root / "Zo\u00eb", "\u017dlu\u0165 (1)"
    (library.root / "Author").rename(author)
    (author / "Book (1)").rename(author / book)
    library.sql("UPDATE books SET path = ? WHERE id = 1", (f"Zo\u00eb/{book}",))
    size = books_of(library.root)[0].files[0].size
    for path in sorted(library.root.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    found = books_of(library.root)[0].files[0]
    assert (found.problem, found.size, "was taken instead" in found.note) == (
        None,
        size,
        True,
    )
    assert found.path.startswith("Zoe\u0308/Z\u030c".encode())
    (author,) = [path for path in library.root.iterdir() if path.is_dir()]
    author.rename(author.with_name("ZOE\u0308"))
    found = books_of(library.root)[0].files[0]
    assert found.path.startswith("ZOE\u0308/".encode())
    (library.root / "zoE\u0308").mkdir()
    assert problem_of(library.root) is not None


def test_of_several_strangers_none_is_taken(library: Library) -> None:
    """Only a single file of the kind may be the lost one."""
    path = library.file(1)
    path.rename(path.with_name("a.epub"))
    found = books_of(library.root)[0].files[0]
    assert found.path.endswith(b"a.epub")
    (path.parent / "b.epub").write_bytes(b"x")
    (path.parent / "._c.epub").write_bytes(b"hidden")
    assert problem_of(library.root) == Problem(
        "missing",
        "'Author/Book (1)/file.epub' is not in the library; 2 files there could be "
        "it ('a.epub', 'b.epub'); "
        "leave one, or give it that name",
    )
