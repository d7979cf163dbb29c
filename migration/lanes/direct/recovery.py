"""Batches whose process is gone: what of them is on the server, and what was left.

Nothing else is done with a book before that is known. Whoever has the database and the
data directory asks there; anybody else asks the server's API, and leaves the question
of files without rows to the next one who has them.
"""

import logging
from collections.abc import Callable, Collection, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from migration.lanes.direct.facts import ended_book, left_behind
from migration.lanes.direct.messages import Settle, Settled
from migration.ledger.batch_journal import Batch, JournalBook
from migration.ledger.ledger import Ledger
from migration.ledger.records import BookState, Step
from migration.model import BookId, FileId
from migration.server.client import BookshelfClient

#: Asks the host's process to settle a batch; None when none is at hand.
AskHost = Callable[[Settle], Settled | None]
#: Is told the files of books that turned out to be on the server.
Arrived = Callable[[Collection[FileId]], None]
#: Returns the SHA-1 of Calibre's cover if the book is as it was, "" if nobody can tell.
CoverOf = Callable[[JournalBook], str]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Settles batches that their process has left.

    `ask` is the host's process, `after` how long a killed process's request may still
    run on the server. `wait` lets some time pass, doing the worker's chores, and may
    raise to stop.
    """

    ledger: Ledger
    client: BookshelfClient
    clock: Callable[[], datetime]
    log: logging.Logger
    after: timedelta
    ask: AskHost
    wait: Callable[[float], None]
    #: The tokens of the batches that this process is at.
    in_hand: set[int] = field(default_factory=set)

    def settle(self, books: Set[BookId], arrived: Arrived, cover_of: CoverOf) -> None:
        """Returns when nobody's batch holds one of these books.

        `arrived` is told the files that turned out to be there. Raises Transient, or
        what ends the wait.
        """
        batches = self.ledger.hashes.batches
        while batches.any():
            batches.take_over()
            others = False
            for batch in batches.all():
                if batches.is_mine(batch):
                    if batch.token not in self.in_hand:
                        self._settle(batch, arrived, cover_of)
                elif not batch.settled:
                    others = others or not books.isdisjoint(
                        book.id for book in batch.books
                    )
            if not others:
                return
            self.wait(0.5)

    def _settle(self, batch: Batch, arrived: Arrived, cover_of: CoverOf) -> None:
        left = tuple(left_behind(book) for book in batch.books)
        settled = self.ask(Settle(batch.token, left))
        if settled is not None:
            arrived(self._end(batch, settled, cover_of))
        elif not batch.settled:
            self._ask_server(batch)

    def _end(self, batch: Batch, settled: Settled, cover_of: CoverOf) -> list[FileId]:
        journal = {book.id: book for book in batch.books}
        ended = (
            []
            if batch.settled
            else [
                ended_book(
                    journal[written.book],
                    written,
                    cover,
                    cover_of(journal[written.book]),
                )
                for written, cover in settled.books
            ]
        )
        files = self.ledger.hashes.batches.end(batch, ended)
        self.log.info(
            "A batch of %d books was left by a process that is gone: %d are on the "
            "server, of the others nothing is",
            len(batch.books),
            len(settled.books),
        )
        return files

    def _ask_server(self, batch: Batch) -> None:
        """Asks the server which of the books it has; those are finished by the API."""
        while (now := self.clock()) < batch.begun_at + self.after:
            self.wait(min(0.5, (batch.begun_at + self.after - now).total_seconds()))
        there = [book for book in batch.books if self._is_there(book)]
        for book in there:
            self.ledger.books.save(book.id, _state(book))
        self.ledger.hashes.batches.settle(batch)
        self.log.warning(
            "A batch of %d books was left by a process that is gone: the server has %d "
            "of them; files of the others may have been left in its data directory, "
            "the next worker with the direct lane removes them",
            len(batch.books),
            len(there),
        )

    def _is_there(self, book: JournalBook) -> bool:
        ebook = self.client.ebook(book.ebook_id)
        wanted = {file.source_id for file in book.files}
        return ebook is not None and wanted <= {one[0] for one in ebook.sources}


def _state(book: JournalBook) -> BookState:
    """Returns the state of a book whose values have to be recorded yet.

    Its files are pending: the API lane finds that the server has their bytes.
    """
    return BookState(
        book.working_title, book.ebook_id, Step.RECORD, title=book.calibre.title
    )
