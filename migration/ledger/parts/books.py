"""Part of the ledger: what became of each book on the server, and the
requests that must not be repeated."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from common.clock import SteadyClock
from migration.ledger.database import LedgerDatabase
from migration.ledger.records import BookState, Intended, Intention
from migration.ledger.tables import books, claims, passes
from migration.model import (
    BookId,
)


class Books:
    """Books by their Calibre ids; safe to use from several threads.

    Only it makes `Intended`."""

    def __init__(
        self, database: LedgerDatabase, owner: str, clock: SteadyClock
    ) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock

    def get(self, book_id: BookId) -> BookState | None:
        """What is known of a book on the server."""
        with self._database.reading() as db:
            return books.read(db, book_id, self._clock)

    def save(self, book_id: BookId, state: BookState) -> None:
        """Records a book's state; an intention is on the disk before its request
        leaves."""
        with self._database.transaction(durable=state.intention is not None) as db:
            books.write(db, book_id, state, self._clock)
            if state.intention is not None:
                claims.touch(db, self._owner, book_id, self._clock)

    def intend(
        self, book_id: BookId, state: BookState, intention: Intention
    ) -> Intended:
        """Puts a request that must not be repeated on record, on the disk, before it
        leaves; what lets it leave.

        Raises PutAside while an earlier one about the book has not been reconciled.
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
    ) -> None:
        """The book is done: its state, the ids of its names on the server, and which
        fields could not be carried."""
        with self._database.transaction(durable=False) as db:
            books.write(db, book_id, state, self._clock)
            db.executemany(
                "INSERT OR REPLACE INTO names (kind, name, server_id) VALUES (?, ?, ?)",
                ((kind, name, server_id) for (kind, name), server_id in names.items()),
            )
            claims.release_book(db, self._owner, book_id)
            passes.tally(db, pass_id, "not_carried", dict.fromkeys(not_carried, 1))

    def forget(self, book_id: BookId) -> None:
        """The book has no ebook on the server (any more), and nothing is in flight for
        it."""
        with self._database.transaction(durable=False) as db:
            db.execute("DELETE FROM books WHERE book_id = ?", (book_id,))
            claims.release_book(db, self._owner, book_id)

    def let_go(self, book_id: BookId) -> None:
        """Lets go of all claims for a book that is not being worked on now."""
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
        """The server no longer knows these names under the ids we had."""
        with self._database.transaction() as db:
            db.executemany("DELETE FROM names WHERE kind = ? AND name = ?", list(names))
