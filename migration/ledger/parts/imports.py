"""The imports part of the ledger: books that are sent many at a time.

What one book needs in several transactions the books of a batch share here: the
attempts, claims and intentions before, the receipts and what was carried afterwards.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import timedelta

from common.clock import SteadyClock
from migration.errors import Deferred, StoppedItsWorker
from migration.ledger.database import LedgerDatabase
from migration.ledger.records import (
    Asked,
    BookState,
    Carried,
    Intention,
    MadeKind,
    Step,
)
from migration.ledger.tables import books, carried, claims, passes, registration
from migration.model import (
    BookId,
    Digest,
    EbookId,
    FileId,
    Outcome,
    Receipt,
    UploadResult,
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A book that is about to be sent, with the digests of all its files."""

    id: BookId
    working_title: str
    files: Mapping[FileId, Digest]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A book that has arrived: its ebook, the title it has, a result for each file."""

    id: BookId
    ebook_id: EbookId
    title: str
    results: tuple[UploadResult, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """What is recorded of a book that has arrived and needs nothing more.

    `names` are the server's ids of its authors and its series, `modified` is when
    Calibre changed it last.
    """

    id: BookId
    carried: Carried
    names: Mapping[tuple[str, str], int]
    not_carried: tuple[str, ...]
    modified: bytes


class Imports:
    """Books that are sent many at a time. Thread-safe."""

    def __init__(
        self,
        database: LedgerDatabase,
        owner: str,
        clock: SteadyClock,
        settle: timedelta,
        is_alive: Callable[[str], bool],
    ) -> None:
        """`settle` is how long a dead worker's last request may still be running."""
        self._database = database
        self._owner = owner
        self._clock = clock
        self._settle = settle
        self._is_alive = is_alive

    def begin(self, batch: Iterable[Outgoing]) -> Set[BookId]:
        """Records, on disk, that books are about to be sent; returns which may be.

        Left out are those whose bytes the server has, or somebody is sending, and those
        that were begun before.
        """
        with self._database.transaction() as db:
            return {book.id for book in batch if self._begin(db, book)}

    def _begin(self, db: sqlite3.Connection, book: Outgoing) -> bool:
        if books.read(db, book.id, self._clock) is not None:
            return False
        digests = book.files.values()
        if any(claims.is_known(db, digest) for digest in digests):
            return False
        if len(set(digests)) < len(digests):
            return False
        if not all(self._claim(db, book.id, digest) for digest in digests):
            claims.release_book(db, self._owner, book.id)
            return False
        for file, digest in book.files.items():
            try:
                registration.start(db, file)
            except StoppedItsWorker:
                claims.release_book(db, self._owner, book.id)
                return False
            db.execute(
                "UPDATE files SET sha1 = ? WHERE book_id = ? AND format = ?",
                (bytes.fromhex(digest.sha1), file.book_id, file.format),
            )
        asked = Intention(Asked.IMPORT, self._clock())
        state = BookState(book.working_title, intention=asked)
        books.write(db, book.id, state, self._clock)
        return True

    def _claim(self, db: sqlite3.Connection, book_id: BookId, digest: Digest) -> bool:
        """Claims bytes; False unless nobody has held them before."""
        try:
            return claims.claim(
                db,
                "hash",
                claims.hash_name(digest),
                owner=self._owner,
                book_id=book_id,
                clock=self._clock,
                alive=self._is_alive,
                settle=self._settle,
            )
        except Deferred:
            return False

    def refused(self, batch: Iterable[Outgoing]) -> None:
        """Records that the server has not taken books, and nothing of them."""
        with self._database.transaction(durable=False) as db:
            for book in batch:
                _give_back(db, book)
                db.execute("DELETE FROM books WHERE book_id = ?", (book.id,))
                claims.release_book(db, self._owner, book.id)

    def unanswered(self, batch: Iterable[Outgoing]) -> None:
        """Ends the attempts on books of which no answer came; the intention stays."""
        with self._database.transaction(durable=False) as db:
            for book in batch:
                _give_back(db, book)

    def arrived(self, pass_id: int, batch: Sequence[Arrival]) -> Set[FileId]:
        """Accounts for books that have arrived; returns the files that were pending."""
        with self._database.transaction(durable=False) as db:
            return {file for book in batch for file in self._arrived(db, pass_id, book)}

    def _arrived(
        self, db: sqlite3.Connection, pass_id: int, book: Arrival
    ) -> list[FileId]:
        before = books.read(db, book.id, self._clock)
        working = before.working_title if before else book.title
        state = BookState(working, book.ebook_id, Step.RECORD, title=book.title)
        books.write(db, book.id, state, self._clock)
        carried.made(db, pass_id, MadeKind.EBOOK, book.ebook_id, book.id)
        settled = []
        for result in book.results:
            receipt = result.proof
            if not isinstance(receipt, Receipt):
                raise TypeError(f"{result.file} has arrived without a receipt")
            if registration.account(db, pass_id, result, receipt):
                settled.append(result.file)
                registration.received(db, pass_id, result.file, receipt)
            claims.add_hashes(db, [receipt])
            claims.release(db, "hash", claims.hash_name(receipt.digest))
        moved = {Outcome.UPLOADED: len(settled), Outcome.PENDING: -len(settled)}
        passes.count(db, pass_id, 0, moved)
        return settled

    def finish(self, pass_id: int, batch: Iterable[Ending]) -> None:
        """Records books that need nothing more, as `Books.finish` does for one."""
        with self._database.transaction(durable=False) as db:
            for book in batch:
                state = books.read(db, book.id, self._clock)
                if state is None:
                    raise ValueError(f"book {book.id} has not arrived")
                done = replace(state, steps=Step.NONE)
                books.write(db, book.id, done, self._clock)
                carried.write(db, pass_id, book.id, book.carried)
                carried.settle(db, book.id, book.modified)
                db.executemany(
                    "INSERT OR REPLACE INTO names (kind, name, server_id) VALUES (?, ?, ?)",
                    [
                        (kind, name, number)
                        for (kind, name), number in book.names.items()
                    ],
                )
                claims.release_book(db, self._owner, book.id)
                left = dict.fromkeys(book.not_carried, 1)
                passes.tally(db, pass_id, "not_carried", left)


def _give_back(db: sqlite3.Connection, book: Outgoing) -> None:
    for file in book.files:
        registration.put_back(db, file, counted=False)
