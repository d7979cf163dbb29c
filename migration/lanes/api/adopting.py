"""Recognising our own ebooks on the server after the ledger was lost."""

import logging
from dataclasses import dataclass, replace

from migration.errors import Unlisted
from migration.lanes.api.reconciling import ALL_STEPS
from migration.lanes.lane import Work
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import BookState, Step
from migration.model import Digest, EbookId
from migration.server.client import BookshelfClient


@dataclass(frozen=True, slots=True)
class Adopter:
    """Finds the ebook of a book whose file the server has already."""

    client: BookshelfClient
    ledger: Ledger
    current: CurrentPass
    log: logging.Logger

    def adopt(self, work: Work, digest: Digest, extension: str) -> None:
        """Records the ebook that holds this file under the book's title."""
        if not self.current.rebuilt:
            return
        state = self.ledger.books.get(work.book.id)
        if state is not None and state.ebook_id is not None:
            self._reopen_steps(work, state)
            return
        for title, steps in (
            (work.metadata.working_title, ALL_STEPS),
            (work.metadata.title, Step.NONE),
        ):
            for ebook_id in self._found_or_warned(work, title):
                ebook = self.client.ebook(ebook_id)
                if ebook is not None and (extension, digest.size) in [
                    source[1:] for source in ebook.sources
                ]:
                    self.ledger.books.save(
                        work.book.id,
                        BookState(work.metadata.working_title, ebook_id, steps),
                    )
                    return

    def _found_or_warned(self, work: Work, title: str) -> list[EbookId]:
        """Returns the ebooks with this title.

        Returns None, with a warning, when the server cannot tell. The file is a
        duplicate all the same; only the ebook that holds it stays unknown.
        """
        try:
            return self.client.find(title)
        except Unlisted as error:
            self.log.warning(
                "Book %s: which ebook is its own is not known: %s", work.book.id, error
            )
            return []

    def _reopen_steps(self, work: Work, state: BookState) -> None:
        """Reopens an ebook that the backup of a lost ledger calls finished.

        It may have been reopened after the backup was made: then it has its working
        title.
        """
        ebook = (
            None
            if state.ebook_id is None or state.steps
            else self.client.ebook(state.ebook_id)
        )
        if ebook is not None and ebook.title == state.working_title:
            self.ledger.books.save(work.book.id, replace(state, steps=Step.TITLE))
