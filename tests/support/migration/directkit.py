"""The server's host for the direct lane, small: its database is an SQLite file, its data
directory a folder. Both outlive the process that writes them, so what a killed one left
can be looked at; they pass the contract of the real ones."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from migration.lanes.direct.child import HostBroke
from migration.lanes.direct.host import Host
from migration.lanes.direct.messages import Reply, Request
from migration.lanes.direct.ports import Taken
from migration.metadata.compare import Fields, of_metadata
from migration.model import (
    BookId,
    Digest,
    EbookId,
    FileId,
    ItemId,
    Receipt,
    ShelfId,
    SourceId,
)
from migration.server.direct.batch import (
    Drawn,
    LeftBehind,
    NewBook,
    Placed,
    Refused,
    Shelved,
    Written,
)
from migration.server.payloads import name_keys

TABLES = """
CREATE TABLE IF NOT EXISTS ids (name TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ebook (id INTEGER PRIMARY KEY, title TEXT, base_dir TEXT,
    cover TEXT, values_ BLOB);
CREATE TABLE IF NOT EXISTS source (id INTEGER PRIMARY KEY, ebook_id INTEGER,
    format TEXT, location TEXT, sha1 TEXT, size INTEGER);
CREATE TABLE IF NOT EXISTS name (kind TEXT, name TEXT, id INTEGER,
    PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, shelf INTEGER, ebook INTEGER);
"""
#: Called with the name of a step; may kill.
Step = Callable[[str], None]


def nothing(_step: str) -> None:
    """No step is special."""


class SqliteRows:
    """The server's database. `step` is called before and after its commit."""

    def __init__(self, path: Path, step: Step = nothing) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(TABLES)
        self._step = step
        self.doubles = 0

    def draw(
        self, books: int, sources: int
    ) -> tuple[Sequence[EbookId], Sequence[SourceId]]:
        return (
            [EbookId(one) for one in self._ids("ebook", books)],
            [SourceId(one) for one in self._ids("source", sources)],
        )

    def _ids(self, name: str, count: int) -> range:
        [(last,)] = self._db.execute(
            "INSERT INTO ids VALUES (?1, ?2) ON CONFLICT DO UPDATE SET last = last + ?2 "
            "RETURNING last",
            (name, count),
        ).fetchall()
        return range(last - count + 1, last + 1)

    def taken(self, folders: Collection[str]) -> frozenset[str]:
        rows = self._db.execute("SELECT base_dir FROM ebook").fetchall()
        return frozenset(folders) & {row[0] for row in rows}

    def write(
        self, token: int, placed: Sequence[Placed]
    ) -> Sequence[Written | Refused]:
        """Refuses a book with the title `refused`; one with `crash` ends the process."""
        done: list[Written | Refused] = []
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for one in placed:
                title = one.drawn.book.metadata.title
                if title == "crash":
                    raise HostBroke("it ended with status -11")
                refused = Refused(one.drawn.book.id, "the database does not take it")
                done.append(refused if title == "refused" else self._written(one))
            self._step("before the commit")
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._step("after the commit")
        return done

    def _written(self, placed: Placed) -> Written:
        drawn, book = placed.drawn, placed.drawn.book
        self._db.execute(
            "INSERT INTO ebook VALUES (?, ?, ?, ?, NULL)",
            (drawn.ebook_id, book.metadata.title, drawn.base_dir, placed.cover),
        )
        files = zip(
            book.files, drawn.source_ids, drawn.locations, placed.digests, strict=True
        )
        for file, source, location, digest in files:
            self._db.execute(
                "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?)",
                (
                    source,
                    drawn.ebook_id,
                    file.id.format,
                    location,
                    digest.sha1,
                    digest.size,
                ),
            )
        written = self._read(book.id, drawn.ebook_id, name_keys(book.metadata))
        assert written is not None
        return replace(
            written,
            fields=replace(of_metadata(book.metadata, ""), cover=""),
            shelved=tuple(self._shelved(drawn.ebook_id, one) for one in book.shelves),
        )

    def _shelved(self, ebook: EbookId, name: str) -> Shelved:
        key = ("shelf", name)
        known = self._db.execute(
            "SELECT id FROM name WHERE kind = ? AND name = ?", key
        ).fetchone()
        shelf = self._id(key)
        [item] = self._ids("item", 1)
        self._db.execute("INSERT INTO item VALUES (?, ?, ?)", (item, shelf, ebook))
        return Shelved(name, ShelfId(shelf), ItemId(item), made_shelf=known is None)

    def _id(self, key: tuple[str, str]) -> int:
        row = self._db.execute(
            "SELECT id FROM name WHERE kind = ? AND name = ?", key
        ).fetchone()
        if row is None:
            [number] = self._ids("name", 1)
            self._db.execute("INSERT INTO name VALUES (?, ?, ?)", (*key, number))
            return number
        return int(row[0])

    def _read(
        self, book: BookId, ebook: EbookId, keys: Sequence[tuple[str, str]]
    ) -> Written | None:
        row = self._db.execute(
            "SELECT title, cover FROM ebook WHERE id = ?", (ebook,)
        ).fetchone()
        if row is None:
            return None
        sources = self._db.execute(
            "SELECT id, format, sha1, size FROM source WHERE ebook_id = ? ORDER BY id",
            (ebook,),
        ).fetchall()
        return Written(
            book,
            ebook,
            tuple(
                (
                    FileId(book, form),
                    Receipt(Digest(sha1, size), ebook, SourceId(number)),
                )
                for number, form, sha1, size in sources
            ),
            {key: self._id(key) for key in keys},
            Fields(row[0]),
            1,
            row[1],
        )

    def left(self, token: int, books: Sequence[LeftBehind]) -> Sequence[Written]:
        found = [self._read(one.book, one.ebook_id, ()) for one in books]
        return [one for one in found if one is not None]

    def provenance(self) -> Iterator[tuple[FileId, Receipt]]:
        """All of them: there is one library."""
        for source, ebook, form, sha1, size, location in self._db.execute(
            "SELECT id, ebook_id, format, sha1, size, location FROM source ORDER BY id"
        ).fetchall():
            book = BookId(int(location.split("/")[1].removeprefix("Book ")))
            receipt = Receipt(Digest(sha1, size), EbookId(ebook), SourceId(source))
            yield FileId(book, form), receipt

    def merge(self) -> int:
        """Nobody else makes names here, unless a test says so."""
        return self.doubles

    def close(self) -> None:
        self._db.close()


class PlainDir:
    """The data directory. `step` is called before each book is placed."""

    def __init__(self, root: Path, library: Path, step: Step = nothing) -> None:
        self.root, self._library, self._step = root, library, step

    def choose(
        self,
        books: Sequence[NewBook],
        ebooks: Sequence[EbookId],
        sources: Sequence[SourceId],
        taken: Taken,
    ) -> Sequence[Drawn | Refused]:
        done: list[Drawn | Refused] = []
        free = iter(sources)
        for book, ebook in zip(books, ebooks, strict=True):
            its = tuple(next(free) for _ in book.files)
            folder = f"A/{book.metadata.title}"
            while taken([folder]) or (self.root / "books" / folder).exists():
                folder += "(1)"
            if book.metadata.title == "odd":
                done.append(Refused(book.id, "its cover is only inside its file"))
                continue
            names = tuple(f"{folder}/book.{file.extension}" for file in book.files)
            done.append(Drawn(book, ebook, its, folder, names))
        return done

    def place(
        self, drawn: Sequence[Drawn], moved: Callable[[int], None]
    ) -> Sequence[Placed | Refused]:
        return [self._place(one, moved) for one in drawn]

    def _place(self, drawn: Drawn, moved: Callable[[int], None]) -> Placed:
        self._step("before a book is placed")
        digests = []
        for file, location in zip(drawn.book.files, drawn.locations, strict=True):
            target = self.root / "books" / location
            target.parent.mkdir(parents=True, exist_ok=True)
            content = (self._library / file.path.decode()).read_bytes()
            with target.open("xb") as held:
                held.write(content[: len(content) // 2])
                self._step("in the middle of a file")
                held.write(content[len(content) // 2 :])
            moved(len(content))
            digests.append(Digest(hashlib.sha1(content).hexdigest(), len(content)))
        if drawn.book.cover is None:
            return Placed(drawn, tuple(digests))
        cover = f"{drawn.base_dir}/cover.jpg"
        picture = (self._library / drawn.book.cover.decode()).read_bytes()
        (self.root / "books" / cover).write_bytes(picture)
        sha1 = hashlib.sha1(picture).hexdigest()
        return Placed(drawn, tuple(digests), cover, sha1, sha1)

    def sync(self) -> None:
        self._step("before the sync")

    def cover_sha1(self, location: str) -> str:
        path = self.root / "books" / location
        return hashlib.sha1(path.read_bytes()).hexdigest() if path.exists() else ""

    def remove(self, left: Sequence[LeftBehind]) -> None:
        for one in left:
            shutil.rmtree(self.root / "books" / one.base_dir, ignore_errors=True)

    def close(self) -> None: ...


class Here:
    """The process of the lane, in the test's own: replies wait until they are asked for.

    `step` is called with each step of both sides.
    """

    def __init__(self, host: Host, step: Step = nothing) -> None:
        self.host, self._step = host, step
        self._waiting: list[Request] = []
        self._broken = ""

    def send(self, request: Request) -> None:
        self._step(f"before the worker sends {type(request).__name__}")
        self._waiting.append(request)

    def receive(self) -> Reply:
        if self._broken:
            raise HostBroke(self._broken)
        try:
            reply = self.host.answer(self._waiting.pop(0))
        except HostBroke as error:
            self._broken = str(error)
            raise
        self._step(f"after the worker receives {type(reply).__name__}")
        return reply

    def close(self) -> None:
        self.host.close()


class World:
    """A host with its database and its data directory, as people find it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.database, self.root = folder / "server.db", folder / "data"
        self.library = library
        folder.mkdir(exist_ok=True)

    def channel(self, step: Step = nothing) -> Here:
        """A process of the lane."""
        rows = SqliteRows(self.database, step)
        return Here(Host(rows, PlainDir(self.root, self.library, step), _moved), step)

    def files(self) -> set[str]:
        """All files below the books directory."""
        books = self.root / "books"
        return {
            str(path.relative_to(books)) for path in books.rglob("*") if path.is_file()
        }

    def named(self) -> set[str]:
        """All files that a row names."""
        with closing(sqlite3.connect(self.database)) as db:
            db.executescript(TABLES)
            rows = db.execute(
                "SELECT location FROM source UNION SELECT cover FROM ebook"
            ).fetchall()
        return {row[0] for row in rows if row[0]}

    def titles(self) -> list[str]:
        """The titles of its ebooks that have a source."""
        with closing(sqlite3.connect(self.database)) as db:
            db.executescript(TABLES)
            rows = db.execute(
                "SELECT title FROM ebook WHERE id IN (SELECT ebook_id FROM source) "
                "ORDER BY title"
            ).fetchall()
        return [row[0] for row in rows]


def _moved(_count: int) -> None: ...
