"""The books part of the ledger: their state on the server, and their intentions.

An intention is a recorded request that must not be repeated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from common.clock import SteadyClock
from migration.ledger.database import LedgerDatabase
from migration.ledger.parts.carried import CarriedBooks
from migration.ledger.records import (
    BookState,
    Carried,
    Intended,
    Intention,
    MadeKind,
    Replaced,
)
from migration.ledger.tables import books, claims, passes
from migration.ledger.tables import carried as values
from migration.model import BookId, FileId, Receipt


class Books:
    """Books by Calibre id, safe to use from several threads.

    The only maker of `Intended`.
    """

    def __init__(
        self, database: LedgerDatabase, owner: str, clock: SteadyClock
    ) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        #: What was carried of each book, and what stands since.
        self.carried = CarriedBooks(database)

    def get(self, book_id: BookId) -> BookState | None:
        """Returns what is known of a book on the server."""
        with self._database.reading() as db:
            return books.read(db, book_id, self._clock)

    def save(self, book_id: BookId, state: BookState) -> None:
        """Records a book's state; an intention is on disk when this returns."""
        with self._database.transaction(durable=state.intention is not None) as db:
            books.write(db, book_id, state, self._clock)
            if state.intention is not None:
                claims.touch(db, self._owner, book_id, self._clock)

    def intend(
        self, book_id: BookId, state: BookState, intention: Intention
    ) -> Intended:
        """Records, on disk, a request that must not be repeated.

        Returns the permit to send it. Raises Deferred while an earlier one about the
        book has not been reconciled.
        """
        with self._database.transaction() as db:
            books.refuse_second(db, book_id, self._clock)
            books.write(db, book_id, replace(state, intention=intention), self._clock)
            claims.touch(db, self._owner, book_id, self._clock)
        return Intended(book_id, intention)

    def finish(
        self,
        pass_id: int,
        book_id: BookId,
        state: BookState,
        *,
        names: Mapping[tuple[str, str], int],
        not_carried: Iterable[str],
        carried: Carried | None = None,
        modified: bytes = b"",
    ) -> None:
        """Records a finished book: state, server ids, fields not carried.

        `carried` are its values on both sides, as Calibre had them at `modified`; None
        when they are those recorded before.
        """
        with self._database.transaction(durable=False) as db:
            books.write(db, book_id, state, self._clock)
            if carried is not None:
                values.write(db, pass_id, book_id, carried)
            values.settle(db, book_id, modified)
            db.executemany(
                "INSERT OR REPLACE INTO names (kind, name, server_id) VALUES (?, ?, ?)",
                ((kind, name, server_id) for (kind, name), server_id in names.items()),
            )
            claims.release_book(db, self._owner, book_id)
            passes.tally(db, pass_id, "not_carried", dict.fromkeys(not_carried, 1))

    def made(self, pass_id: int, book_id: BookId, state: BookState) -> None:
        """Records the ebook that a request of ours has made."""
        with self._database.transaction(durable=False) as db:
            books.write(db, book_id, state, self._clock)
            if state.ebook_id is not None:
                values.made(db, pass_id, MadeKind.EBOOK, state.ebook_id, book_id)

    def arrived_replaced(self, pass_id: int, file: FileId, receipt: Receipt) -> None:
        """Records a source of bytes that Calibre has replaced while they were sent."""
        digest = receipt.digest
        with self._database.transaction(durable=False) as db:
            claims.add_hashes(db, [receipt])
            values.made(
                db,
                pass_id,
                MadeKind.SOURCE,
                receipt.source_id,
                file.book_id,
                format=file.format,
                sha1=digest.sha1,
                size=digest.size,
            )
            values.keep_one_replaced(db, Replaced(file, receipt.source_id, digest))

    def forget(self, book_id: BookId) -> None:
        """Forgets a book that has no ebook on the server and nothing in flight."""
        with self._database.transaction(durable=False) as db:
            db.execute("DELETE FROM books WHERE book_id = ?", (book_id,))
            db.execute("DELETE FROM carried WHERE book_id = ?", (book_id,))
            db.execute("DELETE FROM standing WHERE book_id = ?", (book_id,))
            db.execute("DELETE FROM replaced WHERE book_id = ?", (book_id,))
            claims.release_book(db, self._owner, book_id)

    def let_go(self, book_id: BookId) -> None:
        """Releases all claims of a book that is not being worked on now."""
        with self._database.transaction(durable=False) as db:
            if (
                db.execute(
                    "SELECT 1 FROM books WHERE book_id = ? AND intention IS NOT NULL",
                    (book_id,),
                ).fetchone()
                is None
            ):
                claims.release_book(db, self._owner, book_id)

    def forget_names(self, names: Iterable[tuple[str, str]]) -> None:
        """Forgets names that the server no longer knows under our ids."""
        with self._database.transaction() as db:
            db.executemany("DELETE FROM names WHERE kind = ? AND name = ?", list(names))
