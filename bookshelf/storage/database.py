"""SQLite for the server: one transaction at a time, on disk before it is answered."""

import asyncio
import logging
import os
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bookshelf.storage import additions, vocabulary
from bookshelf.storage.file_watch import DatabaseGone, FileWatch

T = TypeVar("T")
log = logging.getLogger("bookshelf")
VERSION = 1
#: More uploads than can be lost in a power cut, which are at most those since the last
#: durable transaction.
UPLOADS_LOST_AT_MOST = 100_000

_TABLES = """
CREATE TABLE user (
    id INTEGER PRIMARY KEY, user_name TEXT NOT NULL UNIQUE, email TEXT NOT NULL,
    password TEXT NOT NULL,
    role TEXT NOT NULL, active INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE language (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL);
CREATE TABLE genre (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE format (id INTEGER PRIMARY KEY, extension TEXT NOT NULL UNIQUE,
    mime_type TEXT NOT NULL);
CREATE TABLE author (
    id INTEGER PRIMARY KEY AUTOINCREMENT, last_name TEXT NOT NULL, first_name TEXT,
    folded TEXT NOT NULL
);
CREATE INDEX author_by_name ON author (last_name, first_name);
CREATE INDEX author_folded ON author (folded);
CREATE TABLE series (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL,
    folded TEXT NOT NULL);
CREATE INDEX series_by_title ON series (title);
CREATE INDEX series_folded ON series (folded);
CREATE TABLE ebook (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, folded TEXT NOT NULL,
    language_id INTEGER NOT NULL REFERENCES language,
    series_id INTEGER REFERENCES series, series_index INTEGER,
    rating REAL, rating_count INTEGER, downloads INTEGER NOT NULL DEFAULT 0,
    cover INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL, modified TEXT NOT NULL, created_by INTEGER NOT NULL,
    modified_by INTEGER NOT NULL,
    version_id INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX ebook_folded ON ebook (folded);
CREATE INDEX ebook_series ON ebook (series_id, series_index);
CREATE TABLE ebook_authors (
    ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE,
    author_id INTEGER NOT NULL REFERENCES author,
    PRIMARY KEY (ebook_id, author_id)
) WITHOUT ROWID;
CREATE INDEX ebooks_of_author ON ebook_authors (author_id);
CREATE TABLE ebook_genres (
    ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE,
    genre_id INTEGER NOT NULL REFERENCES genre,
    PRIMARY KEY (ebook_id, genre_id)
) WITHOUT ROWID;
CREATE TABLE source (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE,
    format_id INTEGER NOT NULL REFERENCES format, size INTEGER NOT NULL,
    hash TEXT NOT NULL, location TEXT NOT NULL,
    load_source TEXT, quality REAL, created TEXT NOT NULL, modified TEXT NOT NULL,
    created_by INTEGER NOT NULL
);
CREATE INDEX source_by_hash ON source (hash, size);
CREATE INDEX sources_of_ebook ON source (ebook_id);
CREATE TABLE upload (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL,
    load_source TEXT NOT NULL, format_id INTEGER NOT NULL,
    size INTEGER NOT NULL, hash TEXT NOT NULL, meta TEXT NOT NULL,
    cover INTEGER NOT NULL, created TEXT NOT NULL,
    modified TEXT NOT NULL, created_by INTEGER NOT NULL
);
CREATE TABLE ebook_rating (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ebook_id INTEGER NOT NULL REFERENCES ebook ON DELETE CASCADE,
    user_id INTEGER NOT NULL, rating REAL NOT NULL, description TEXT, UNIQUE (ebook_id,
    user_id)
);
CREATE VIRTUAL TABLE ebook_text USING fts5 (
    text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
"""

#: Constraints that MyBookshelf2 lacks; dropped in permissive mode.
_UNIQUE = (
    "CREATE UNIQUE INDEX {} one_source ON source (hash, size)",
    "CREATE UNIQUE INDEX {} one_author ON author (last_name, COALESCE(first_name, ''))",
    "CREATE UNIQUE INDEX {} one_series ON series (title)",
)


_GONE = (
    "every answer is 503 from now on, and nothing is saved. Stop the server; put its "
    "database back (from a backup: "
    "first remove what is left of bookshelf.db, bookshelf.db-wal and "
    "bookshelf.db-shm), or let it make an empty one; "
    "start it again, and run the migration with --recheck"
)


@dataclass(frozen=True, slots=True)
class _Write:
    """A pending write, and the future for its result."""

    work: Callable[[sqlite3.Connection], Any]
    lasting: bool
    done: asyncio.Future[Any]


class Database:
    """Runs functions over connections to one file.

    Statements run on the event loop's own thread: each takes microseconds, and passing
    them to a thread would cost more than that in switches of the GIL. What waits for
    the disk runs on a separate thread: commits, and reads of more than a few rows.
    """

    def __init__(self, path: Path, *, permissive: bool) -> None:
        """Opens or creates the database.

        Raises sqlite3.Error, or ValueError for another schema version.
        """
        self.permissive = permissive
        #: Whether there was no database at this path.
        self.new = not path.exists() or path.stat().st_size == 0
        # The files that SQLite creates beside it get the same permissions.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._writing = _open(path, permissive)
        self._looking, self._reading = _reader(path), _reader(path)
        self._watch = FileWatch(path)
        self.gone = self._committing = False
        self._waiting: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raises DatabaseGone, for good, when the database is not the opened file."""
        if self.gone:
            raise DatabaseGone("the database was deleted or replaced")
        self._unless_gone(
            self._watch.check_files if self._committing else self._watch.check
        )

    def _unless_gone(self, look: Callable[[], None]) -> None:
        try:
            look()
        except DatabaseGone as error:
            if not self.gone:
                self.gone = True
                log.critical("%s while the server was running: %s", error, _GONE)
            raise

    async def write(
        self, work: Callable[[sqlite3.Connection], T], *, lasting: bool = True
    ) -> T:
        """Runs `work` completely or not at all; its writes are on disk when it returns.

        If not `lasting`, they are not on disk yet. Writes that were requested while the
        disk was busy share one transaction, and so the next wait for the disk.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, lasting, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await done

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, which only reads, away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, work, self._reading
        )

    def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work`, a few look-ups by key, at once, and sees all earlier writes.

        In WAL mode no writer blocks them.
        """
        return work(self._looking)

    def write_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does what `write` does, before there is an event loop."""
        with self._transaction(lasting=True) as db:
            result = work(db)
            db.execute("COMMIT")
            self._unless_gone(self._watch.settle)
        return result

    async def close(self) -> None:
        """Writes what is pending, ends the thread and closes the file."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])
        self._thread.shutdown()
        if self.gone:
            # Closing would write the log into a file that is not this server's.
            return
        for connection in (self._looking, self._reading, self._writing):
            connection.close()
        self._watch.close()

    async def _write_waiting(self) -> None:
        """Runs one transaction after the other while writes are pending."""
        while self._waiting:
            writes = [write for write in self._waiting if not write.done.cancelled()]
            self._waiting = []
            try:
                outcomes = await self._commit(writes) if writes else []
            except Exception as error:  # noqa: BLE001 - told to everybody who waits
                outcomes = [(None, error)] * len(writes)
            for write, (result, failure) in zip(writes, outcomes, strict=True):
                if write.done.done():
                    continue
                if failure is not None:
                    write.done.set_exception(failure)
                else:
                    write.done.set_result(result)

    async def _commit(
        self, writes: Sequence[_Write]
    ) -> list[tuple[Any, Exception | None]]:
        """Returns what each write returned or raised, once it is on disk.

        Raises what ended the whole transaction.
        """
        with self._transaction(lasting=any(write.lasting for write in writes)) as db:
            outcomes = [self._attempt(write) for write in writes]
            self._committing = True
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, db.execute, "COMMIT"
                )
                # A client must not be told that something was saved in a file that is
                # lost.
                self._unless_gone(self._watch.settle)
            finally:
                self._committing = False
        return outcomes

    @contextmanager
    def _transaction(self, *, lasting: bool) -> Iterator[sqlite3.Connection]:
        """Yields the connection for a block that commits; otherwise rolls back."""
        db = self._writing
        self.check()
        db.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _attempt(self, write: _Write) -> tuple[Any, Exception | None]:
        """Returns what a write returned or raised; rolls back one that raised.

        Raises what ended the whole transaction.
        """
        db = self._writing
        db.execute("SAVEPOINT one")
        try:
            result = write.work(db)
        except Exception as error:
            # Only the caller of this write gets the error; the others go on, unless it
            # ended the whole transaction.
            if not db.in_transaction:
                raise
            db.execute("ROLLBACK TO one")
            db.execute("RELEASE one")
            # A future cannot hold a StopIteration.
            return None, RuntimeError(repr(error)) if isinstance(
                error, StopIteration
            ) else error
        db.execute("RELEASE one")
        return result, None


def _reader(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        path,
        timeout=10.0,
        isolation_level=None,
        cached_statements=256,
        check_same_thread=False,
    )
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA query_only = ON")
    return db


def folded(text: str) -> str:
    """Removes case and accents, for look-ups by prefix."""
    plain = "".join(
        char
        for char in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(char)
    )
    return plain.casefold()


def _open(path: Path, permissive: bool) -> sqlite3.Connection:
    db = sqlite3.connect(
        path,
        timeout=10.0,
        isolation_level=None,
        cached_statements=256,
        check_same_thread=False,
    )
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
            raise ValueError(
                f"{path} has schema version {version}, this server knows {VERSION}"
            )
        # Uploads are not durable: ids assigned before a power cut must not be reused
        # for other uploads.
        bumped = db.execute(
            "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'upload'",
            (UPLOADS_LOST_AT_MOST,),
        )
        if bumped.rowcount == 0:
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('upload', 0)")
        additions.add(db)
        for statement in _UNIQUE:
            name = statement.split()[4]
            db.execute(
                f"DROP INDEX IF EXISTS {name}"
                if permissive
                else statement.format("IF NOT EXISTS")
            )
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
    db.executemany(
        "INSERT INTO language (id, code, name) VALUES (?, ?, ?)", vocabulary.languages()
    )
    db.executemany("INSERT INTO genre (id, name) VALUES (?, ?)", vocabulary.genres())
    db.executemany(
        "INSERT INTO format (id, extension, mime_type) VALUES (?, ?, ?)",
        vocabulary.FORMATS,
    )
    db.execute(f"PRAGMA user_version = {VERSION}")
