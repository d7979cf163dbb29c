"""What the ledger is told of a batch, from the moment before anything is written."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from migration.lanes.api.book_cover import cover_digest
from migration.lanes.context import Context
from migration.lanes.direct.facts import ended_book, journal_book, lost_of
from migration.lanes.lane import Work
from migration.ledger.batch_journal import Batch, JournalBook
from migration.ledger.records import BookState, Step
from migration.ledger.tables import notices
from migration.metadata.ebook_metadata import working_title
from migration.metadata.shelves import Wanted
from migration.model import BookId, FileId, Receipt
from migration.server.direct.batch import Drawn, Placed, Refused, Written
from migration.server.payloads import name_keys


@dataclass(slots=True)
class InHand:
    """A batch on its way: its books, and what came of them so far."""

    works: Mapping[BookId, Work]
    begun_at: float
    batch: Batch | None = None
    placed: dict[BookId, Placed] = field(default_factory=dict)
    written: dict[BookId, Written] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Journals:
    """Begins batches in the ledger, claims for them, ends them."""

    given: Context

    @property
    def log(self) -> logging.Logger:
        """The worker's log."""
        return self.given.log

    def wanted(self, work: Work) -> Wanted:
        """Returns the shelves a book belongs on."""
        return self.given.shelver.wanted(work)

    def is_known(self, work: Work) -> bool:
        """Whether the ledger knows something of the book's ebook."""
        return self.given.ledger.books.get(work.book.id) is not None

    def begin(self, hand: InHand, drawn: Sequence[Drawn | Refused]) -> list[Drawn]:
        """Records, on disk, the books that are about to be written; returns them.

        What cannot be carried of them is written down before, so that it is there
        however the process ends.
        """
        fit = [one for one in drawn if isinstance(one, Drawn)]
        journal = []
        for one in fit:
            work = hand.works[one.book.id]
            wanted = self.wanted(work)
            self._leave_out(one, work, wanted)
            journal.append(journal_book(one, work, wanted))
        if journal:
            batches = self.given.ledger.hashes.batches
            hand.batch = batches.begin(self.given.current.id, journal)
        return fit

    def _leave_out(self, drawn: Drawn, work: Work, wanted: Wanted) -> None:
        lost = lost_of(work, wanted)
        left_out = self.given.left_out
        left_out.of_ebook(
            work.book, replace(work.metadata, not_carried=lost), drawn.ebook_id
        )
        if notices.of_book(work.book, None):
            left_out.of_book(work.book, None)

    def claim(
        self, hand: InHand, done: Sequence[Placed | Refused]
    ) -> frozenset[BookId]:
        """Claims bytes and names of what was placed.

        Returns the books for which that is not possible.
        """
        hand.placed = {
            one.drawn.book.id: one for one in done if isinstance(one, Placed)
        }
        digests = {
            file.id: digest
            for one in hand.placed.values()
            for file, digest in zip(one.drawn.book.files, one.digests, strict=True)
        }
        names = {book: name_keys(hand.works[book].metadata) for book in hand.placed}
        return self.given.ledger.hashes.batches.claim(digests, names)

    def end(self, hand: InHand) -> list[FileId]:
        """Accounts for the batch; returns the files that had no outcome before."""
        if hand.batch is None:
            return []
        journal = {book.id: book for book in hand.batch.books}
        ended = [
            ended_book(
                journal[book],
                written,
                hand.placed[book].cover_sha1,
                hand.placed[book].calibre_sha1,
            )
            for book, written in hand.written.items()
        ]
        return self.given.ledger.hashes.batches.end(hand.batch, ended)

    def tell_refused(self, refused: Refused) -> None:
        """Logs why a book goes by the API after all."""
        self.log.info("Book %d goes by the API: %s", refused.book, refused.why)

    def forget_names(self, works: Sequence[Work]) -> None:
        """Forgets the server's ids of these books' names: some are gone."""
        keys = {key for work in works for key in name_keys(work.metadata)}
        self.given.ledger.books.forget_names(keys)

    def cover_of(self, work: Work | None, book: JournalBook) -> str:
        """Returns the SHA-1 of the cover that a killed process has taken.

        "" when it may be another by now.
        """
        if work is None or work.book.modified != book.modified:
            return ""
        return cover_digest(self.given.library, work.book) or ""

    @property
    def is_rebuilt(self) -> bool:
        """Whether the ledger was lost, so that the server knows more than it."""
        return self.given.current.rebuilt

    def recall(self, files: Sequence[tuple[FileId, Receipt]]) -> None:
        """Learns again what a lane has written, from its rows.

        The API lane finds the files there, and records what is carried of their books.
        """
        ledger = self.given.ledger
        ledger.hashes.learn(receipt for _file, receipt in files)
        for file, receipt in files:
            if ledger.books.get(file.book_id) is None:
                uuid = ledger.identity.first_library
                working = working_title("", uuid, file.book_id)
                state = BookState(working, receipt.ebook_id, Step.RECORD)
                ledger.books.save(file.book_id, state)
