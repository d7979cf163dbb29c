"""A book's state on the server: its ebook, open steps, the request awaiting its answer.

Functions over an open transaction of the ledger; only `ledger.parts` calls them.
"""

import sqlite3

from common.clock import SteadyClock
from migration.errors import Deferred
from migration.ledger.records import Asked, BookState, Intention, Step
from migration.model import BookId, Digest, EbookId, UploadId


def read(
    db: sqlite3.Connection, book_id: BookId, clock: SteadyClock
) -> BookState | None:
    """Returns the state of a book, None when it was never begun."""
    row = db.execute("SELECT * FROM books WHERE book_id = ?", (book_id,)).fetchone()
    if row is None:
        return None
    intention = None
    if row["intention"] is not None:
        intention = Intention(
            Asked(row["intention"]),
            clock.since(row["intended_at"]),
            None if row["upload_id"] is None else UploadId(row["upload_id"]),
            row["format"] or "",
            None if row["sha1"] is None else Digest(row["sha1"].hex(), row["size"]),
        )
    ebook_id = None if row["ebook_id"] is None else EbookId(row["ebook_id"])
    return BookState(
        row["working_title"],
        ebook_id,
        Step(row["steps"]),
        intention,
        row["title"],
        row["restore"],
    )


def refuse_second(db: sqlite3.Connection, book_id: BookId, clock: SteadyClock) -> None:
    """Raises Deferred while an earlier request's fate is unknown."""
    known = read(db, book_id, clock)
    if known is not None and known.intention is not None:
        raise Deferred(
            f"book {book_id}: it is not known yet what became of the last request to "
            f"{known.intention.asked}"
        )


def write(
    db: sqlite3.Connection, book_id: BookId, state: BookState, clock: SteadyClock
) -> None:
    """Replaces the state of a book.

    A request for a new ebook is counted in the open pass, which then needs a last look.
    """
    intention = state.intention
    if intention is not None and intention.asked is Asked.CREATE:
        db.execute("UPDATE passes SET creates = creates + 1 WHERE closed_at IS NULL")
    digest = intention.digest if intention else None
    db.execute(
        "INSERT OR REPLACE INTO books (book_id, working_title, ebook_id, steps, "
        "intention, intended_at, upload_id,"
        " format, sha1, size, title, restore) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            book_id,
            state.working_title,
            state.ebook_id,
            int(state.steps),
            intention.asked if intention else None,
            clock.stamp(intention.at) if intention else None,
            intention.upload_id if intention else None,
            intention.format if intention else None,
            bytes.fromhex(digest.sha1) if digest else None,
            digest.size if digest else None,
            state.title,
            state.restore,
        ),
    )


def unfinished(db: sqlite3.Connection, first: int, last: int) -> list[BookId]:
    """Returns the books of a range with open steps or an unanswered request."""
    rows = db.execute(
        "SELECT book_id FROM books WHERE book_id BETWEEN ? AND ? AND (steps != 0 OR "
        "intention IS NOT NULL)",
        (first, last),
    ).fetchall()
    return [BookId(row[0]) for row in rows]
