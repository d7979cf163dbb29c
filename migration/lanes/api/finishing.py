"""Closing a book: its last steps on the server and its record in the ledger."""

import logging
from dataclasses import dataclass

from migration.errors import ServerFault
from migration.lanes.api import holders
from migration.lanes.api.closing import Closer
from migration.lanes.api.ownership import is_ours
from migration.lanes.lane import Work
from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import BookState, Step
from migration.model import EbookId
from migration.server.client import BookshelfClient
from migration.server.payloads import Ebook


@dataclass(frozen=True, slots=True)
class Finisher:
    """Finishes a book: after its files are attached, or when Calibre has changed it.

    `db_uri` is the server's database, or "".
    """

    client: BookshelfClient
    ledger: Ledger
    current: CurrentPass
    closer: Closer
    left_out: LeftOut
    log: logging.Logger
    db_uri: str

    def finish_book(self, work: Work) -> None:
        """Sets true title, cover and rating, or sends what changed in Calibre.

        Records what is not carried. Repeatable.
        """
        state = self.ledger.books.get(work.book.id)
        if state is None or state.ebook_id is None:
            self._leave_to_others(work)
            return
        if state.steps is Step.NONE:
            self.ledger.books.let_go(work.book.id)
            return
        if state.steps is Step.UPDATE and self.closer.is_current(work):
            self.closer.finish(work, state)
            return
        ebook = self._ebook_of(work, state.ebook_id)
        if (
            ebook is not None
            and not ebook.guessed
            and not is_ours(work, state, ebook, self.ledger.doubts)
        ):
            ebook = None
        if state.steps is Step.UPDATE and (ebook is None or not ebook.sources):
            self._gone(work, state)
            return
        if ebook is None or not ebook.sources:
            # Nothing was attached: an ebook without a file must not stay.
            if ebook is not None:
                self._delete_empty(work, ebook)
            self._leave_to_others(work)
            return
        self.closer.close(work, state, ebook)

    def _gone(self, work: Work, state: BookState) -> None:
        """Leaves a book alone whose ebook somebody removed from the server."""
        self.log.warning(
            "Book %d: its ebook %s was removed from the server; it is not sent again "
            "(--recheck makes its files pending)",
            work.book.id,
            state.ebook_id,
        )
        self.closer.finish(work, state)

    def _ebook_of(self, work: Work, ebook_id: EbookId) -> Ebook | None:
        """Returns the book's ebook, as made in this attempt or as the server shows it.

        What was made and attached in this attempt is known without asking. Its version
        is a guess: if it is wrong, the server refuses the title and changes nothing,
        and is asked then.
        """
        new, work.made = work.made, None
        return (
            new
            if new is not None and new.id == ebook_id and new.sources
            else self.client.ebook(ebook_id)
        )

    def _delete_empty(self, work: Work, ebook: Ebook) -> None:
        """Deletes an ebook without a file, unless the server gave its receipt for one.

        Raises Transient.
        """
        if self.ledger.doubts.arrived_in(work.book.id, ebook.id):
            raise ServerFault(
                f"the server shows ebook {ebook.id} without a file although it gave "
                "its receipt for one: an old answer "
                "of a cache, or somebody removed the file; in that case delete the ebook there"
            )
        self.client.delete(ebook.id)

    def _leave_to_others(self, work: Work) -> None:
        """Forgets a book that got no ebook of its own.

        If its files were on the server already, its metadata is written down.
        """
        files = self.ledger.notebook.files_elsewhere(work.book.id)
        if files:
            holder = holders.find(
                self.client, self.ledger.notebook, self.db_uri, work.book.title, files
            )
            self.left_out.there_already(work.book, work.metadata, holder)
        self.ledger.books.forget(work.book.id)
        self.ledger.carried.settle(work.book.id, work.book.modified)
