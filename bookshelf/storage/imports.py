"""Books that arrive many at a time: one transaction for a batch, each book once.

A file says where it comes from in `load_source`: `calibre:<library>:<book>:<FORMAT>`.
A batch that is delivered twice finds its own files by it and answers as before. What a
batch is about to put on the disk is written down first, in `import_batch`, so that a
killed server knows what it left.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bookshelf.errors import ApplicationError, HttpError
from bookshelf.storage import calibre_fields, catalogue, views, vocabulary
from bookshelf.storage.calibre_fields import CalibreFields
from bookshelf.storage.files import FileStore

_FORMAT_IDS = {extension: number for number, extension, _mime in vocabulary.FORMATS}


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """One file of a book: its format's extension, and what its bytes are."""

    extension: str
    sha1: str
    size: int

    @property
    def name(self) -> str:
        """Its name among the server's files."""
        return f"{self.sha1}.{self.extension}"


@dataclass(frozen=True, slots=True)
class ImportedBook:
    """A checked book. `rating` and `fields` are None where there are none."""

    number: int
    change: catalogue.Change
    files: tuple[ImportedFile, ...]
    rating: float | None = None
    fields: CalibreFields | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a batch may write: ids of ebooks from `first`, one for each of its books."""

    batch: int
    first: int


@dataclass(frozen=True, slots=True)
class Found:
    """An ebook that holds a book's files: `made` says whether this batch made it."""

    ebook_id: int
    sources: tuple[int, ...]
    made: bool


def load_source(library: str, book: int, extension: str) -> str:
    """Returns how a file names its origin."""
    return f"calibre:{library}:{book}:{extension.upper()}"


# -- one batch -------------------------------------------------------------------------


def reserve(
    db: sqlite3.Connection, count: int, files: Sequence[ImportedFile]
) -> Reserved:
    """Reserves ids for ebooks, and writes down what the batch will put on the disk.

    Ids are never used again, so that a picture of a batch that was lost belongs to no
    other ebook.
    """
    row = db.execute(
        "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'ebook' RETURNING seq",
        (count,),
    ).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('ebook', ?)", (count,)
        )
    last = count if row is None else int(row[0])
    names = json.dumps([file.name for file in files])
    made = db.execute(
        "INSERT INTO import_batch (first, last, files) VALUES (?, ?, ?)",
        (last - count + 1, last, names),
    )
    return Reserved(int(made.lastrowid or 0), last - count + 1)


def settle(
    db: sqlite3.Connection,
    library: str,
    books: Sequence[ImportedBook],
    reserved: Reserved,
    pictured: Sequence[bool],
    user_id: int,
) -> list[Found | str]:
    """Makes the ebooks of a batch; returns each, or why it was refused.

    A book is made completely or not at all, and none of it twice.
    """
    db.execute("DELETE FROM import_batch WHERE id = ?", (reserved.batch,))
    found: list[Found | str] = []
    for place, book in enumerate(books):
        db.execute("SAVEPOINT book")
        try:
            found.append(
                _settle(
                    db, library, book, reserved.first + place, pictured[place], user_id
                )
            )
        except (ApplicationError, HttpError, sqlite3.IntegrityError) as error:
            db.execute("ROLLBACK TO book")
            found.append(refusal(error))
        db.execute("RELEASE book")
    return found


def refusal(error: Exception) -> str:
    """Returns why a book is refused, with the details."""
    details = error.details if isinstance(error, ApplicationError) else None
    return f"{error}: {details}" if details is not None else str(error)


def _settle(
    db: sqlite3.Connection,
    library: str,
    book: ImportedBook,
    ebook_id: int,
    pictured: bool,
    user_id: int,
) -> Found | str:
    before = known(db, library, book)
    if before is not None:
        return before
    for file in book.files:
        existing = catalogue.existing_source(db, file.sha1, file.size)
        if existing:
            return f"File already exists: {existing}"
    catalogue.create(db, book.change, user_id, ebook_id=ebook_id)
    stamp = catalogue.now()
    sources = [
        db.execute(
            "INSERT INTO source (ebook_id, format_id, size, hash, location, "
            "load_source, created, modified, created_by) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                ebook_id,
                _FORMAT_IDS[file.extension],
                file.size,
                file.sha1,
                f"{book.change.title}/{file.name}"[:512],
                load_source(library, book.number, file.extension),
                stamp,
                stamp,
                user_id,
            ),
        ).lastrowid
        for file in book.files
    ]
    if pictured:
        db.execute("UPDATE ebook SET cover = 1 WHERE id = ?", (ebook_id,))
    if book.rating is not None:
        catalogue.rate(db, ebook_id, user_id, book.rating, None)
    if book.fields is not None:
        calibre_fields.store(db, ebook_id, book.fields)
    return Found(ebook_id, tuple(int(number or 0) for number in sources), True)


# -- what arrived before ---------------------------------------------------------------


def known(db: sqlite3.Connection, library: str, book: ImportedBook) -> Found | None:
    """Returns the ebook that an earlier delivery of the same book made.

    Raises ApplicationError when other files came from this book.
    """
    held = files_of(db, library, book.number)
    if not held:
        return None
    asked = {(file.extension, file.sha1, file.size): file for file in book.files}
    there = {(row["extension"], row["hash"], row["size"]): row for row in held}
    ebooks = {row["ebook_id"] for row in held}
    if asked.keys() != there.keys() or len(ebooks) != 1:
        raise ApplicationError("Other files of this book are there")
    sources = tuple(int(there[key]["id"]) for key in asked)
    return Found(int(ebooks.pop()), sources, False)


def files_of(db: sqlite3.Connection, library: str, book: int) -> list[sqlite3.Row]:
    """Returns the rows of the files that came from a book in batches."""
    return db.execute(
        "SELECT source.id, ebook_id, extension, hash, size FROM source JOIN format ON "
        "format.id = format_id WHERE load_source >= ? AND load_source < ? "
        "AND load_source GLOB 'calibre:*' ORDER BY source.id",
        (f"calibre:{library}:{book}:", f"calibre:{library}:{book};"),
    ).fetchall()


def shown(db: sqlite3.Connection, found: Found, user_id: int) -> dict[str, Any]:
    """Returns an ebook as a batch's answer has it."""
    return {
        "id": found.ebook_id,
        "sources": list(found.sources),
        "made": found.made,
        "ebook": views.ebook(db, found.ebook_id, user_id),
    }


# -- what a killed server left ---------------------------------------------------------


def sweep(db: sqlite3.Connection, files: FileStore) -> int:
    """Removes what batches without an end left on the disk; returns how many.

    Called where no other batch is under way.
    """
    rows = db.execute("SELECT * FROM import_batch").fetchall()
    for row in rows:
        withdraw(db, files, Reserved(row["id"], row["first"]))
    return len(rows)


def withdraw(db: sqlite3.Connection, files: FileStore, reserved: Reserved) -> None:
    """Removes what one batch put on the disk and no row names."""
    row = db.execute(
        "SELECT * FROM import_batch WHERE id = ?", (reserved.batch,)
    ).fetchone()
    if row is None:
        return
    for number in range(row["first"], row["last"] + 1):
        if not _there(db, "SELECT 1 FROM ebook WHERE id = ?", number):
            with suppress(OSError):
                files.remove_cover(number)
    names = [name.partition(".") for name in json.loads(row["files"])]
    placed = [ImportedFile(extension, sha1, 0) for sha1, _, extension in names]
    for file in unnamed(db, placed):
        with suppress(OSError):
            files.remove_book(file.sha1, file.extension)
    db.execute("DELETE FROM import_batch WHERE id = ?", (reserved.batch,))


def unnamed(
    db: sqlite3.Connection, files: Sequence[ImportedFile]
) -> list[ImportedFile]:
    """Returns those files whose bytes no ebook has."""
    query = "SELECT 1 FROM source WHERE hash = ?"
    return [file for file in files if not _there(db, query, file.sha1)]


def _there(db: sqlite3.Connection, query: str, value: object) -> bool:
    return db.execute(query, (value,)).fetchone() is not None
