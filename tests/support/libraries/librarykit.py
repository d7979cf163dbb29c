"""Small real Calibre libraries, made in Calibre's own schema (tests/fixtures/lib_empty
was made by calibredb)."""

import io
import random
import shutil
import sqlite3
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from tests.support.environment import FIXTURES

_FIXED_TIME = (2024, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Made:
    """A book to be put into a library; `files` are bytes by format, `authors` (name,
    sort)."""

    title: str = "A Book"
    authors: Sequence[tuple[str, str]] = (("Jane Doe", "Doe, Jane"),)
    files: dict[str, bytes] = field(default_factory=dict)
    series: str = ""
    series_index: float = 1.0
    languages: Sequence[str] = ("eng",)
    tags: Sequence[str] = ()
    rating: int = 0
    comments: str = ""


class Library:
    """A library under construction; every change goes through `db`, which has stand-ins
    for Calibre's SQL functions."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(FIXTURES / "lib_empty" / "metadata.db", root / "metadata.db")
        (root / "metadata.db").chmod(0o644)
        self.root = root
        self.sql(
            "UPDATE library_id SET uuid = ?",
            (str(uuid.uuid5(uuid.NAMESPACE_URL, str(root))),),
        )

    def sql(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Runs one statement and commits."""
        with closing(self.connect()) as db, db:
            return list(db.execute(statement, parameters).fetchall())

    def connect(self) -> sqlite3.Connection:
        """A writing connection, as Calibre would have it; closed by the caller."""
        db = sqlite3.connect(self.root / "metadata.db")
        db.create_function("title_sort", 1, lambda title: title)
        db.create_function("author_to_author_sort", 1, lambda name: name)
        db.create_function("uuid4", 0, lambda: str(uuid.uuid4()))
        return db

    def add(self, *books: Made) -> list[int]:
        """Adds books with their files; returns their ids."""
        with closing(self.connect()) as db, db:
            return [self._add(db, book) for book in books]

    def _add(self, db: sqlite3.Connection, book: Made) -> int:
        number = (
            db.execute(
                "INSERT INTO books (title, path) VALUES (?, '')", (book.title,)
            ).lastrowid
            or 0
        )
        folder = f"Author/Book ({number})"
        db.execute(
            "UPDATE books SET path = ?, series_index = ? WHERE id = ?",
            (folder, book.series_index, number),
        )
        for name, sort in book.authors:
            link(
                db,
                number,
                "authors",
                "author",
                ("name", "sort"),
                (name.replace(",", "|"), sort),
            )
        for code in book.languages:
            link(db, number, "languages", "lang_code", ("lang_code",), (code,))
        for tag in book.tags:
            link(db, number, "tags", "tag", ("name",), (tag,))
        if book.series:
            link(db, number, "series", "series", ("name",), (book.series,))
        if book.rating:
            link(db, number, "ratings", "rating", ("rating",), (book.rating,))
        if book.comments:
            db.execute(
                "INSERT INTO comments (book, text) VALUES (?, ?)",
                (number, book.comments),
            )
        for kind, data in book.files.items():
            path = self.root / folder / f"file.{kind.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            db.execute(
                "INSERT INTO data (book, format, uncompressed_size, name) VALUES (?, ?, ?, 'file')",
                (number, kind, len(data)),
            )
        return number

    def file(self, book_id: int, kind: str = "EPUB") -> Path:
        """Where a file of a book is."""
        return self.root / f"Author/Book ({book_id})" / f"file.{kind.lower()}"


def link(
    db: sqlite3.Connection,
    book: int,
    table: str,
    column: str,
    names: Sequence[str],
    values: Sequence[object],
) -> None:
    """Links a book with a name, made when it is not there yet."""
    db.execute(
        f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES "
        f"({', '.join('?' * len(names))})",
        tuple(values),
    )
    found = db.execute(
        f"SELECT id FROM {table} WHERE {names[0]} = ?", (values[0],)
    ).fetchone()[0]
    db.execute(
        f"INSERT INTO books_{table}_link (book, {column}) VALUES (?, ?)", (book, found)
    )


def epub(
    seed: int,
    *,
    title: str = "A Book",
    author: str = "Jane Doe",
    padding: int = 500,
    cover: bytes = b"",
) -> bytes:
    """A small EPUB; different seeds give different bytes."""
    item = '<item id="c" href="c.png" media-type="image/png"/>' if cover else ""
    meta = '<meta name="cover" content="c"/>' if cover else ""
    opf = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="2.0" '
        'unique-identifier="i"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">b{seed}</dc:identifier>'
        f"<dc:title>{escape(title)}</dc:title><dc:creator>{escape(author)}</dc:creator><dc:language>en</dc:language>{meta}"
        f'</metadata><manifest>{item}<item id="t" href="t.html" '
        'media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="t"/></spine></package>'
    )
    container = (
        '<container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
        ""
        'full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo("mimetype", _FIXED_TIME), "application/epub+zip"
        )
        archive.writestr(
            zipfile.ZipInfo("META-INF/container.xml", _FIXED_TIME), container
        )
        archive.writestr(zipfile.ZipInfo("c.opf", _FIXED_TIME), opf)
        if cover:
            archive.writestr(zipfile.ZipInfo("c.png", _FIXED_TIME), cover)
        archive.writestr(
            zipfile.ZipInfo("t.html", _FIXED_TIME),
            random.Random(seed).randbytes(padding),
        )
    return buffer.getvalue()


def epubs(numbers: Iterable[int], *, padding: int = 500) -> list[Made]:
    """Books of one EPUB each; every tenth shares an author with the others."""
    return [
        Made(
            title=f"Book {number}",
            authors=((f"Writer {number % 10}", f"{number % 10}, Writer"),),
            files={"EPUB": epub(number, title=f"Book {number}", padding=padding)},
        )
        for number in numbers
    ]


WRITER = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
if sys.argv[2] == "wal":
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("INSERT INTO publishers (name) VALUES ('from the wal')")
else:
    db.execute("BEGIN IMMEDIATE")
    for number in range(3000):
        db.execute("INSERT INTO publishers (name) VALUES (?)", (f"uncommitted {number}",))
os.kill(os.getpid(), 9)
"""


def crash_a_writer(library: Library, how: str) -> None:
    """A program that dies while it writes."""
    subprocess.run(
        [sys.executable, "-c", WRITER, str(library.root / "metadata.db"), how],
        check=False,
        timeout=60,
    )


def library_of(tmp_path: Path, books: int = 12) -> tuple[Library, list[bytes]]:
    """A few books with two formats each."""
    library = Library(tmp_path / "library")
    contents = []
    for number in range(books):
        files = {"EPUB": epub(number), "TXT": f"text {number}".encode() * 30}
        library.add(
            Made(
                title=f"Книга {number}",
                files=files,
                rating=8,
                series="S",
                series_index=number,
            )
        )
        contents += list(files.values())
    return library, contents
