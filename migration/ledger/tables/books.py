"""The state of one Calibre book on the server: its ebook, the steps still open, the
request whose answer is awaited.

Functions over an open transaction of the ledger; only `ledger` calls them.
"""

import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag, StrEnum

from common.clock import SteadyClock
from migration.errors import Deferred
from migration.model import BookId, Digest, EbookId, UploadId


class Step(IntFlag):
    """What is still to be done for a book after its files are attached."""

    NONE = 0
    TITLE = 1  #: the ebook still has its working title
    # : Calibre's cover.jpg, in the place of whatever the server found in a file
    COVER = 2
    RATING = 4  #: Calibre's rating
    RECORD = 8  #: what could not be carried goes to not_carried.jsonl


class Asked(StrEnum):
    """A request that must not be repeated before it is known what became of it."""

    CREATE = "create"  #: POST /api/ebooks under the working title
    ATTACH = "attach"  #: POST /api/ebooks/<id>/add-upload


@dataclass(frozen=True, slots=True)
class Intention:
    """A request that may have been sent, at a time of the steady clock.

    `upload_id`, `format` and `digest` belong to ATTACH.
    """

    asked: Asked
    at: datetime
    upload_id: UploadId | None = None
    format: str = ""
    digest: Digest | None = None


class Intended:
    """The ledger's word that an intention is on record: what lets one request leave,
    once. Only `ledger` makes one."""

    def __init__(self, book_id: BookId, intention: Intention) -> None:
        self.book_id = book_id
        self.intention = intention
        self._fresh = True
        self._lock = threading.Lock()

    def spend(self, asked: Asked) -> None:
        """The request leaves now. Raises PutAside when one has left before: what became
        of it comes first."""
        with self._lock:
            fresh, self._fresh = self._fresh, False
        if not fresh or self.intention.asked is not asked:
            raise Deferred(
                f"book {self.book_id}: a request to {asked} it has no fresh intention in the ledger"
            )


@dataclass(frozen=True, slots=True)
class BookState:
    """What the ledger knows of a book on the server; `ebook_id` is None until the
    server has named it.

    `title` is the one we gave it last, None before that and in a ledger of an older
    version; `restore` the one that somebody else gave it, to be given back, while it
    has its working title again for a further format."""

    working_title: str
    ebook_id: EbookId | None = None
    steps: Step = Step.NONE
    intention: Intention | None = None
    title: str | None = None
    restore: str | None = None


def read(
    db: sqlite3.Connection, book_id: BookId, clock: SteadyClock
) -> BookState | None:
    """The state of a book, None when it was never begun."""
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
    """Raises PutAside while what became of an earlier request about the book is not
    known."""
    known = read(db, book_id, clock)
    if known is not None and known.intention is not None:
        raise Deferred(
            f"book {book_id}: it is not known yet what became of the last request to "
            f"{known.intention.asked}"
        )


def write(
    db: sqlite3.Connection, book_id: BookId, state: BookState, clock: SteadyClock
) -> None:
    """Replaces the state of a book. The open pass counts the ebooks that were asked
    for: a last look is due then."""
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
    """The books of a range with open steps or an unanswered request."""
    rows = db.execute(
        "SELECT book_id FROM books WHERE book_id BETWEEN ? AND ? AND (steps != 0 OR "
        "intention IS NOT NULL)",
        (first, last),
    ).fetchall()
    return [BookId(row[0]) for row in rows]
