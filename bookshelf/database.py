"""SQLite for the server: one connection, one thread; every write is on the disk before it is answered."""

import asyncio
import sqlite3
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bookshelf import vocabulary

T = TypeVar("T")
VERSION = 1

_TABLES = """
CREATE TABLE user (
    id INTEGER PRIMARY KEY, user_name TEXT NOT NULL UNIQUE, email TEXT NOT NULL, password TEXT NOT NULL,
    role TEXT NOT NULL, active INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE language (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE genre (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE format (id INTEGER PRIMARY KEY, extension TEXT NOT NULL UNIQUE, mime_type TEXT NOT NULL);
CREATE TABLE author (
    id INTEGER PRIMARY KEY AUTOINCREMENT, last_name TEXT NOT NULL, first_name TEXT, folded TEXT NOT NULL
);
CREATE INDEX author_by_name ON author (last_name, first_name);
CREATE INDEX author_folded ON author (folded);
CREATE TABLE series (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, folded TEXT NOT NULL);
CREATE INDEX series_by_title ON series (title);
CREATE INDEX series_folded ON series (folded);
CREATE TABLE ebook (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, folded TEXT NOT NULL,
    language_id INTEGER NOT NULL REFERENCES language, series_id INTEGER REFERENCES series, series_index INTEGER,
    rating REAL, rating_count INTEGER, downloads INTEGER NOT NULL DEFAULT 0, cover INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL, modified TEXT NOT NULL, created_by INTEGER NOT NULL, modified_by INTEGER NOT NULL,
    version_id INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX ebook_folded ON ebook (folded);
CREATE INDEX ebook_series ON ebook (series_id, series_index);
CREATE TABLE ebook_authors (
    ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE, author_id INTEGER NOT NULL REFERENCES author,
    PRIMARY KEY (ebook_id, author_id)
) WITHOUT ROWID;
CREATE INDEX ebooks_of_author ON ebook_authors (author_id);
CREATE TABLE ebook_genres (
    ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE, genre_id INTEGER NOT NULL REFERENCES genre,
    PRIMARY KEY (ebook_id, genre_id)
) WITHOUT ROWID;
CREATE TABLE source (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE,
    format_id INTEGER NOT NULL REFERENCES format, size INTEGER NOT NULL, hash TEXT NOT NULL, location TEXT NOT NULL,
    load_source TEXT, quality REAL, created TEXT NOT NULL, modified TEXT NOT NULL, created_by INTEGER NOT NULL
);
CREATE INDEX source_by_hash ON source (hash, size);
CREATE INDEX sources_of_ebook ON source (ebook_id);
CREATE TABLE upload (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, load_source TEXT NOT NULL, format_id INTEGER NOT NULL,
    size INTEGER NOT NULL, hash TEXT NOT NULL, meta TEXT NOT NULL, cover INTEGER NOT NULL, created TEXT NOT NULL,
    modified TEXT NOT NULL, created_by INTEGER NOT NULL
);
CREATE TABLE ebook_rating (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE,
    user_id INTEGER NOT NULL, rating REAL NOT NULL, description TEXT, UNIQUE (ebook_id, user_id)
);
CREATE VIRTUAL TABLE ebook_text USING fts5 (
    text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
"""

#: What MyBookshelf2 lacks; not there in permissive mode.
_UNIQUE = (
    "CREATE UNIQUE INDEX {} one_source ON source (hash, size)",
    "CREATE UNIQUE INDEX {} one_author ON author (last_name, COALESCE(first_name, ''))",
    "CREATE UNIQUE INDEX {} one_series ON series (title)",
)


class Database:
    """Runs functions over the connection, one after the other, away from the event loop."""

    def __init__(self, path: Path, *, permissive: bool) -> None:
        """Opens or makes the database. Raises sqlite3.Error, ValueError for another schema version."""
        self.permissive = permissive
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._connection = self._thread.submit(_open, path, permissive).result()
        self._looking = sqlite3.connect(path, timeout=10.0, isolation_level=None, cached_statements=256)
        self._looking.row_factory = sqlite3.Row
        self._looking.execute("PRAGMA query_only = ON")

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in one transaction; when it returns, what it wrote is on the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, which only reads."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)

    def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, a few look-ups by key, at once: in WAL mode no writer holds them up, and going to another thread
        and back would take longer than they do. What was written before is seen.
        """
        return work(self._looking)

    def write_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, before there is an event loop."""
        return self._thread.submit(self._transaction, work).result()

    def close(self) -> None:
        """Ends the thread and closes the file."""
        self._looking.close()
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connection
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result


def folded(text: str) -> str:
    """Without case and accents, for look-ups by the beginning."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return plain.casefold()


def _open(path: Path, permissive: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10.0, isolation_level=None, cached_statements=256, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            _fill(db)
        elif version != VERSION:
            raise ValueError(f"{path} has schema version {version}, this server knows {VERSION}")
        for statement in _UNIQUE:
            name = statement.split()[4]
            db.execute(f"DROP INDEX IF EXISTS {name}" if permissive else statement.format("IF NOT EXISTS"))
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _fill(db: sqlite3.Connection) -> None:
    statement = ""
    for line in _TABLES.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    db.executemany("INSERT INTO language (id, code, name) VALUES (?, ?, ?)", vocabulary.languages())
    db.executemany("INSERT INTO genre (id, name) VALUES (?, ?)", vocabulary.genres())
    db.executemany("INSERT INTO format (id, extension, mime_type) VALUES (?, ?, ?)", vocabulary.FORMATS)
    db.execute(f"PRAGMA user_version = {VERSION}")
