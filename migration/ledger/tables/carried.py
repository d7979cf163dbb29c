"""What was carried of each book, differences that stand, sources Calibre has replaced.

Functions over an open transaction of the ledger; only `ledger.parts` calls them.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable

from migration.ledger.records import (
    Carried,
    FileState,
    MadeKind,
    Replaced,
    Standing,
    StandingKind,
    Step,
)
from migration.metadata.compare import Base, Field, from_json, only_different, to_json
from migration.model import BookId, Digest, FileId, Outcome, SourceId

#: The kind of a pass's tally of replaced files.
REPLACED = "replaced"
#: The key of `Carried.extras` beside the fields.
_EXTRAS = "extras"


def mark(db: sqlite3.Connection, books: Collection[BookId]) -> None:
    """Records that these books have to be compared with their ebooks."""
    db.executemany(
        "UPDATE books SET steps = steps | ? WHERE book_id = ? AND ebook_id IS NOT NULL",
        [(int(Step.UPDATE), book_id) for book_id in books],
    )


def write(
    db: sqlite3.Connection, pass_id: int, book_id: BookId, carried: Carried
) -> None:
    """Replaces what is known of a book: values, differences that stand, its mark."""
    db.execute(
        "INSERT OR REPLACE INTO carried (book_id, pass_id, fields, server, version, "
        "cover) VALUES (?, ?, ?, ?, ?, ?)",
        (
            book_id,
            pass_id,
            _text({**to_json(carried.base.calibre), _EXTRAS: carried.extras}),
            _text(only_different(carried.base.server, carried.base.calibre)),
            carried.version,
            carried.base.server.cover,
        ),
    )
    db.execute("DELETE FROM standing WHERE book_id = ?", (book_id,))
    db.executemany(
        "INSERT INTO standing (book_id, field, kind, calibre, server, pass_id) VALUES "
        "(?, ?, ?, ?, ?, ?)",
        [
            (book_id, one.field, one.kind, one.calibre, one.server, one.pass_id)
            for one in carried.standing
        ],
    )


def settle(db: sqlite3.Connection, book_id: BookId, modified: bytes) -> None:
    """Records the `last_modified` of Calibre that the book was compared at."""
    db.execute("UPDATE files SET modified = ? WHERE book_id = ?", (modified, book_id))


def read(db: sqlite3.Connection, book_id: BookId) -> Carried | None:
    """Returns what was carried of a book; None when that was never recorded."""
    row = db.execute("SELECT * FROM carried WHERE book_id = ?", (book_id,)).fetchone()
    if row is None:
        return None
    body = json.loads(row["fields"])
    calibre = from_json(body)
    server = from_json(json.loads(row["server"]), calibre)
    extras = str(body.get(_EXTRAS, ""))
    return Carried(Base(calibre, server), row["version"], standing(db, book_id), extras)


def standing(db: sqlite3.Connection, book_id: BookId) -> tuple[Standing, ...]:
    """Returns the reported differences of a book that stand."""
    rows = db.execute(
        "SELECT * FROM standing WHERE book_id = ? ORDER BY field", (book_id,)
    ).fetchall()
    return tuple(
        Standing(
            Field(row["field"]),
            StandingKind(row["kind"]),
            row["calibre"],
            row["server"],
            row["pass_id"],
        )
        for row in rows
    )


def first_pass(db: sqlite3.Connection) -> str:
    """Returns when the first pass was opened, as ISO 8601; "" before any."""
    row = db.execute("SELECT MIN(opened_at) FROM passes").fetchone()
    return str(row[0] or "")


def renew_marks(db: sqlite3.Connection) -> int:
    """Makes every book be compared again; returns how many files it has."""
    return db.execute(
        "UPDATE files SET modified = NULL WHERE outcome IN ('uploaded', 'duplicate')"
    ).rowcount


def reopen_conflicts(db: sqlite3.Connection) -> int:
    """Makes books with an open conflict be compared again; returns their files."""
    return db.execute(
        "UPDATE files SET modified = NULL WHERE book_id IN (SELECT book_id FROM "
        "standing WHERE kind = ?)",
        (StandingKind.CONFLICT,),
    ).rowcount


def reopen_shelves(db: sqlite3.Connection) -> int:
    """Makes books be compared again whose shelves could not be changed before."""
    return db.execute(
        "UPDATE files SET modified = NULL WHERE book_id IN (SELECT book_id FROM "
        "standing WHERE field = ? AND kind = ?)",
        (Field.SHELVES, StandingKind.REFUSED),
    ).rowcount


def reopen_wrong(db: sqlite3.Connection) -> int:
    """Makes books with a difference that stands be compared again."""
    return db.execute(
        "UPDATE files SET modified = NULL WHERE outcome IN ('uploaded', 'duplicate') AND "
        "book_id IN (SELECT book_id FROM differences WHERE book_id > 0)"
    ).rowcount


# -- replaced files --------------------------------------------------------------------


def keep_replaced(db: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> None:
    """Keeps the sources of files whose bytes Calibre has replaced."""
    db.executemany(
        "INSERT OR IGNORE INTO replaced (book_id, format, source_id, sha1, size) "
        "VALUES (?, ?, ?, ?, ?)",
        [
            (row["book_id"], row["format"], row["source_id"], row["sha1"], row["size"])
            for row in rows
            if row["sha1"] is not None
        ],
    )


def keep_one_replaced(db: sqlite3.Connection, old: Replaced) -> None:
    """Keeps one such source."""
    db.execute(
        "INSERT OR IGNORE INTO replaced (book_id, format, source_id, sha1, size) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            old.file.book_id,
            old.file.format,
            old.source_id,
            bytes.fromhex(old.digest.sha1),
            old.digest.size,
        ),
    )


def replaced(db: sqlite3.Connection, book_id: BookId) -> list[Replaced]:
    """Returns the book's sources that Calibre has other bytes for now."""
    rows = db.execute(
        "SELECT * FROM replaced WHERE book_id = ? ORDER BY source_id", (book_id,)
    ).fetchall()
    return [
        Replaced(
            FileId(book_id, row["format"]),
            SourceId(row["source_id"]),
            Digest(row["sha1"].hex(), row["size"]),
        )
        for row in rows
    ]


def file_state(db: sqlite3.Connection, file: FileId) -> FileState | None:
    """Returns what the ledger knows of a file now."""
    row = db.execute(
        "SELECT outcome, sha1, size, source_id FROM files WHERE book_id = ? AND "
        "format = ?",
        (file.book_id, file.format),
    ).fetchone()
    if row is None:
        return None
    digest = None if row["sha1"] is None else Digest(row["sha1"].hex(), row["size"])
    source = None if row["source_id"] is None else SourceId(row["source_id"])
    return FileState(Outcome(row["outcome"]), digest, source)


def restore_source(db: sqlite3.Connection, old: Replaced) -> None:
    """Gives a file its source back: its bytes turned out to be the same."""
    db.execute(
        "UPDATE files SET source_id = ? WHERE book_id = ? AND format = ? AND "
        "source_id IS NULL",
        (old.source_id, old.file.book_id, old.file.format),
    )
    drop_replaced(db, old)


def drop_replaced(db: sqlite3.Connection, old: Replaced) -> None:
    """Forgets a replaced source: it is gone from the server, or stays there."""
    db.execute(
        "DELETE FROM replaced WHERE book_id = ? AND format = ? AND source_id = ?",
        (old.file.book_id, old.file.format, old.source_id),
    )


def borrowers(db: sqlite3.Connection, digest: Digest, owner: FileId) -> list[BookId]:
    """Returns books with other files that are there because of these bytes.

    They have no source of their own: the server has the bytes once. `owner` is the file
    that has them as its own; its format is "" for all of its book.
    """
    rows = db.execute(
        "SELECT DISTINCT book_id FROM files WHERE source_id IS NULL AND sha1 = ?1 AND "
        "size = ?2 AND outcome = 'duplicate' AND NOT (book_id = ?3 AND ?4 IN ('', "
        "format)) ORDER BY book_id",
        (bytes.fromhex(digest.sha1), digest.size, owner.book_id, owner.format),
    ).fetchall()
    return [BookId(row[0]) for row in rows]


# -- what a pass made ------------------------------------------------------------------


def made(
    db: sqlite3.Connection,
    pass_id: int,
    kind: MadeKind,
    server_id: int,
    book_id: BookId,
    **detail: str | int,
) -> None:
    """Records something a pass has made on the server; the first record stays."""
    db.execute(
        "INSERT OR IGNORE INTO made (kind, server_id, book_id, pass_id, detail) "
        "VALUES (?, ?, ?, ?, ?)",
        (kind, server_id, book_id, pass_id, _text(detail)),
    )


def made_is_gone(db: sqlite3.Connection, kind: MadeKind, server_id: int) -> None:
    """Forgets something that was made and is not on the server any more."""
    db.execute("DELETE FROM made WHERE kind = ? AND server_id = ?", (kind, server_id))


def left(db: sqlite3.Connection, pass_id: int, first: int, last: int) -> list[FileId]:
    """Returns a range's files on the server that this pass has not met in Calibre."""
    rows = db.execute(
        "SELECT book_id, format FROM files WHERE book_id BETWEEN ? AND ? AND pass_id "
        "!= ? AND outcome IN ('uploaded', 'duplicate')",
        (first, last, pass_id),
    ).fetchall()
    return [FileId(BookId(row[0]), row[1]) for row in rows]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
