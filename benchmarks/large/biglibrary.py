"""Makes a Calibre library of any size in Calibre's own schema, and the ledger of a
worker that has moved all of it.

    python -m benchmarks.large.biglibrary BOOKS DIR [--real N]

The schema is that of `tests/fixtures/lib_empty`, which calibredb made; its indexes and
triggers are taken off for the load and put back. Content is a pure function of the
book's number: an author for every four books, 1.33 formats a book, tags, series,
languages, ratings, identifiers. Every file is there, in `Author/Title (id)/`: of the
first and of the last `--real` books small real EPUBs, the rest sparse files of their
recorded size and of one fixed time (2 cores make 1.7 million books in minutes; contents
that nobody reads would take hours)."""

import argparse
import os
import shutil
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

from migration.ledger import schema
from tests.support.environment import FIXTURES
from tests.support.libraries.librarykit import epub

MTIME_NS = 1_700_000_000_000_000_000
LANGUAGES = ("eng", "ces", "deu", "fra", "rus", "zho")
MORE_FORMATS = ("MOBI", "PDF", "AZW3")
#: Books whose folders one process makes at a time.
SHARE = 5_000


def formats_of(book: int) -> list[tuple[str, int]]:
    """The formats of a book with their sizes in bytes."""
    kinds = ["EPUB"] if book % 3 else ["EPUB", MORE_FORMATS[book // 3 % 3]]
    return [
        (kind, 1000 + (book * 2_654_435_761 + len(kind)) % 5_000_000) for kind in kinds
    ]


def author_of(book: int, books: int) -> int:
    """The number of a book's author; scattered, so that neighbours rarely share a
    folder."""
    return book * 7919 % max(1, books // 4) + 1


def folder_of(book: int, books: int) -> str:
    """Where a book's files are, below the library."""
    return f"Writer {author_of(book, books)}/Title {book} ({book})"


def is_real(book: int, books: int, real: int) -> bool:
    """Has the book a readable EPUB?"""
    return book <= real or book > books - real


def make_database(root: Path, books: int, real: int) -> None:
    """metadata.db: one transaction, rows by executemany, indexes at the end."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(FIXTURES / "lib_empty" / "metadata.db", root / "metadata.db")
    (root / "metadata.db").chmod(0o644)
    with closing(sqlite3.connect(root / "metadata.db", isolation_level=None)) as db:
        for pragma in (
            "journal_mode = off",
            "synchronous = off",
            "cache_size = -200000",
            "temp_store = memory",
        ):
            db.execute(f"PRAGMA {pragma}")
        later = db.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND "
            "type IN ('index', 'trigger')"
            " ORDER BY type, rowid"
        ).fetchall()
        db.execute("BEGIN")
        for kind, name, _sql in later:
            db.execute(f'DROP {kind} "{name}"')
        load(db, books, real)
        for _kind, _name, sql in later:
            db.execute(sql)
        db.execute(
            "UPDATE library_id SET uuid = ?",
            (str(uuid.uuid5(uuid.NAMESPACE_URL, f"big:{books}")),),
        )
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = delete")


def load(db: sqlite3.Connection, books: int, real: int) -> None:
    """All rows."""
    numbers = range(1, books + 1)
    authors = range(1, max(1, books // 4) + 1)
    series = max(1, books // 12)
    db.executemany(
        "INSERT INTO authors (id, name, sort) VALUES (?, ?, ?)",
        ((k, f"Writer {k}", f"{k}, Writer") for k in authors),
    )
    db.executemany(
        "INSERT INTO series (id, name) VALUES (?, ?)",
        ((k, f"Series {k}") for k in range(1, series + 1)),
    )
    db.executemany(
        "INSERT INTO tags (id, name) VALUES (?, ?)",
        ((k, f"Tag {k}") for k in range(1, 501)),
    )
    db.executemany(
        "INSERT INTO languages (id, lang_code) VALUES (?, ?)", enumerate(LANGUAGES, 1)
    )
    db.executemany(
        "INSERT INTO ratings (id, rating) VALUES (?, ?)", ((k, k) for k in range(1, 11))
    )
    db.executemany(
        "INSERT INTO books (id, title, sort, author_sort, path, uuid, series_index) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                k,
                f"Title {k}",
                f"Title {k}",
                f"{author_of(k, books)}, Writer",
                folder_of(k, books),
                str(uuid.UUID(int=k)),
                k % 40 / 2,
            )
            for k in numbers
        ),
    )
    db.executemany(
        "INSERT INTO data (book, format, uncompressed_size, name) VALUES (?, ?, ?, 'file')",
        (
            (
                k,
                kind,
                len(real_epub(k))
                if is_real(k, books, real) and kind == "EPUB"
                else size,
            )
            for k in numbers
            for kind, size in formats_of(k)
        ),
    )
    for table, column, rows in (
        ("authors", "author", ((k, author_of(k, books)) for k in numbers)),
        ("series", "series", ((k, k % series + 1) for k in range(4, books + 1, 4))),
        ("languages", "lang_code", ((k, k % 6 + 1) for k in numbers if k % 5)),
        (
            "tags",
            "tag",
            ((k, (k * 131 + 7 * j) % 500 + 1) for k in numbers for j in range(k % 4)),
        ),
        ("ratings", "rating", ((k, k % 10 + 1) for k in range(1, books + 1, 6))),
    ):
        db.executemany(
            f"INSERT INTO books_{table}_link (book, {column}) VALUES (?, ?)", rows
        )
    db.executemany(
        "INSERT INTO identifiers (book, type, val) VALUES (?, 'isbn', ?)",
        ((k, f"978{k:010d}") for k in numbers),
    )


def real_epub(book: int) -> bytes:
    """A small EPUB of a book's own."""
    return epub(book, title=f"Title {book}")


def make_files(root: Path, books: int, first: int, last: int, real: int) -> None:
    """The folders and files of some books."""
    for book in range(first, last + 1):
        folder = f"{root}/{folder_of(book, books)}"
        try:
            os.mkdir(folder)  # noqa: PTH102 - two million times
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        for kind, size in formats_of(book):
            flags = os.O_WRONLY | os.O_CREAT
            descriptor = os.open(f"{folder}/file.{kind.lower()}", flags, 0o644)
            if is_real(book, books, real) and kind == "EPUB":
                os.write(descriptor, real_epub(book))
            else:
                os.ftruncate(descriptor, size)
            os.utime(descriptor, ns=(MTIME_NS, MTIME_NS))
            os.close(descriptor)


def make_library(root: Path, books: int, *, real: int) -> None:
    """The whole library."""
    make_database(root, books, real)
    with ProcessPoolExecutor(2) as pool:
        shares = [
            pool.submit(
                make_files, root, books, first, min(books, first + SHARE - 1), real
            )
            for first in range(1, books + 1, SHARE)
        ]
        for share in shares:
            share.result()


def _enter_books(db: sqlite3.Connection, open_from: int | None) -> None:
    """Every book of the attached library as if it had been sent: files, ebooks, what
    was carried, hashes."""
    end = open_from or 2**62
    outcome, current = ("duplicate", 2) if open_from else ("uploaded", 1)
    db.execute(
        "INSERT INTO files (book_id, format, size, mtime_ns, outcome, pass_id, sha1, "
        "source_id, modified) SELECT book, format, uncompressed_size, ?, ?, ?, "
        "randomblob(20), data.id, CAST(last_modified AS BLOB) FROM library.data "
        "JOIN library.books ON books.id = book WHERE book < ?"
        " ORDER BY book, format",
        (MTIME_NS, outcome, current, end),
    )
    db.execute(
        "INSERT INTO books (book_id, working_title, ebook_id)"
        " SELECT id, title || ' ~00000000-' || id, id FROM library.books WHERE id < ?",
        (end,),
    )
    db.execute(
        "INSERT INTO carried (book_id, pass_id, fields, server, version, cover)"
        " SELECT id, ?, json_object('title', title, 'language', 'en', 'series', "
        "NULL, 'authors', json_array(json_array('Writer', author_sort)), "
        "'rating', NULL, 'extras', hex(randomblob(8))), '{}', 2, '' "
        "FROM library.books WHERE id < ?",
        (current, end),
    )
    db.execute(
        "INSERT INTO hashes (sha1, size) SELECT sha1, size FROM files ORDER BY sha1"
    )


def make_ledger(
    root: Path,
    state_dir: Path,
    *,
    server: str,
    user: str = "1",
    open_from: int | None = None,
) -> int:
    """A ledger in which every file was uploaded in a closed pass; returns how many
    files.

    With `open_from`, a second pass is open that has settled every book before that one,
    and the files from there on are not known at all: a migration shortly before its
    end."""
    state_dir.mkdir(parents=True)
    now = "2026-01-01T00:00:00+00:00"
    with closing(
        sqlite3.connect(state_dir / "migration_ledger.db", isolation_level=None)
    ) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = off")
        db.execute("PRAGMA temp_store = memory")
        db.executescript(schema.TABLES)
        db.execute(f"PRAGMA user_version = {schema.VERSION}")
        db.execute("ATTACH ? AS library", (str(root / "metadata.db"),))
        db.execute("BEGIN")
        _enter_books(db, open_from)
        files, highest = (
            db.execute("SELECT COUNT(*) FROM files").fetchone()[0],
            db.execute("SELECT MAX(id) FROM library.books").fetchone()[0],
        )
        db.execute(
            "INSERT INTO passes (opened_at, closed_at, highest_id, claimed_to, "
            "discovered, uploaded)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (now, now, highest, highest, files, files),
        )
        if open_from:
            db.execute(
                "INSERT INTO passes (opened_at, highest_id, claimed_to, discovered, "
                "duplicate) VALUES (?, ?, ?, ?, ?)",
                (now, highest, open_from - 1, files, files),
            )
        bound = {
            "library": db.execute("SELECT uuid FROM library.library_id").fetchone()[0],
            "server": server,
        }
        db.executemany(
            "INSERT INTO meta VALUES (?, ?)", [*bound.items(), ("user", user)]
        )
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return int(files)


def fill_server(data_dir: Path, state_dir: Path) -> None:
    """Gives an embedded server that does not run rows for every file of a ledger: a
    worker asks about some of them when it starts. The bytes are not there."""
    with closing(sqlite3.connect(data_dir / "bookshelf.db", timeout=60)) as db, db:
        # Millions of hashes in no order: the index has to fit the cache.
        db.execute("PRAGMA cache_size = -800000")
        db.execute("ATTACH ? AS ledger", (str(state_dir / "migration_ledger.db"),))
        db.execute(
            "INSERT INTO ebook (title, folded, language_id, created, modified, "
            "created_by, modified_by) VALUES ('All of it', 'all of it', 1, '', '', 1, 1)"
        )
        db.execute(
            "INSERT INTO source (ebook_id, format_id, size, hash, location, created, "
            "modified, created_by) SELECT last_insert_rowid(), 1, size, "
            "lower(hex(sha1)), '', '', '', 1 FROM ledger.files ORDER BY sha1"
        )


def remove(root: Path) -> None:
    """Removes a library; its top folders are shared out over two processes."""
    with ProcessPoolExecutor(2) as pool:
        for gone in [pool.submit(_remove, share) for share in _shares(root)]:
            gone.result()
    shutil.rmtree(root, ignore_errors=True)


def _shares(root: Path) -> Iterator[list[str]]:
    names = [
        entry.path for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)
    ]
    for start in range(0, len(names), 1000):
        yield names[start : start + 1000]


def _remove(folders: list[str]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Makes one and says how long it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("books", type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--real",
        type=int,
        default=300,
        help="books at either end with readable EPUBs [default: 300]",
    )
    given = parser.parse_args()
    started = time.monotonic()
    make_library(given.directory, given.books, real=given.real)
    print(f"{given.books} books in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
