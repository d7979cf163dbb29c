"""One book's ebook on the server: made exactly once, each file attached to it.

Every request that must not be repeated is preceded by its intention in the ledger.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from migration.errors import RefusedByServer, Rejected, ResponseLost
from migration.lanes.api.ownership import is_ours, titles_of_ours
from migration.lanes.api.reconciling import ALL_STEPS, Reconciler
from migration.lanes.api.transfer import extension_of
from migration.lanes.lane import Work
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import Asked, BookState, Intention, Step
from migration.metadata import ebook_metadata
from migration.model import BookFile, EbookId, Outcome, UploadResult
from migration.server.client import AttachedElsewhere, BookshelfClient, Extracted
from migration.server.payloads import made, name_keys


@dataclass(frozen=True, slots=True)
class Publisher:
    """Makes the ebook, or reopens it for a further format, and attaches files."""

    client: BookshelfClient
    ledger: Ledger
    current: CurrentPass
    clock: Callable[[], datetime]
    log: logging.Logger
    reconciler: Reconciler

    def ensure_ebook(self, work: Work, ids: dict[tuple[str, str], int]) -> EbookId:
        """Returns the book's ebook, under its working title.

        Raises Transient or Rejected.
        """
        state = self.ledger.books.get(work.book.id) or BookState(
            work.metadata.working_title
        )
        if state.ebook_id is not None:
            reopened = self._reopen(work, state)
            if reopened is not None:
                return reopened
            state = BookState(work.metadata.working_title)
        found = (
            self.client.find(work.metadata.working_title)
            if self.current.rebuilt
            else []
        )
        if found:
            self.ledger.books.save(
                work.book.id,
                BookState(work.metadata.working_title, found[0], ALL_STEPS),
            )
            return found[0]
        return self._create(work, state, ids)

    def _create(
        self, work: Work, state: BookState, ids: Mapping[tuple[str, str], int]
    ) -> EbookId:
        """Asks the server for a new ebook, exactly once."""
        asked = Intention(Asked.CREATE, self.clock())
        intended = self.ledger.books.intend(work.book.id, state, asked)
        try:
            ebook_id = self.client.create(
                intended,
                work.metadata,
                ids,
                bare=ebook_metadata.too_long_for_paths(work.metadata),
            )
        except ResponseLost as lost:
            # An id of ours that the server no longer knows causes HTTP 500.
            self.ledger.books.forget_names(name_keys(work.metadata))
            self.reconciler.soon(work, replace(state, intention=asked), lost)
            raise
        except Rejected:
            self.ledger.books.save(work.book.id, replace(state, intention=None))
            raise
        created = BookState(work.metadata.working_title, ebook_id, ALL_STEPS)
        self.ledger.books.made(self.current.id, work.book.id, created)
        work.made = made(ebook_id, work.metadata.working_title, ids)
        return ebook_id

    def _reopen(self, work: Work, state: BookState) -> EbookId | None:
        """Gives an ebook its working title back for a further format.

        Returns None when it is gone. The file's name is made of the title. A title that
        we did not give is the work of a person: it is kept, and given back at the end.
        """
        if state.ebook_id is None or work.made is not None or work.reopened:
            return state.ebook_id
        ebook = self.client.ebook(state.ebook_id)
        if ebook is None or not is_ours(work, state, ebook, self.ledger.doubts):
            return None
        restore = state.restore
        if ebook.title != state.working_title:
            restore = (
                None if ebook.title in titles_of_ours(work, state) else ebook.title
            )
        self.ledger.books.save(
            work.book.id,
            replace(state, steps=state.steps | Step.TITLE, restore=restore),
        )
        if ebook.title != state.working_title:
            try:
                self.client.change(
                    ebook, work.metadata, {}, title=state.working_title, bare=False
                )
            except RefusedByServer as refusal:
                # Another user's now: the ebook keeps its title, of which the file's
                # name is made.
                self.log.info(
                    "Book %s: ebook %s keeps its title: %s",
                    work.book.id,
                    ebook.id,
                    refusal,
                )
                self.ledger.books.save(work.book.id, state)
        work.reopened = True
        return ebook.id

    def attach(
        self, work: Work, file: BookFile, ebook_id: EbookId, extracted: Extracted
    ) -> UploadResult:
        """Moves the upload into the ebook; the receipt is the proof.

        Raises Transient or Rejected.
        """
        state = self.ledger.books.get(work.book.id) or BookState(
            work.metadata.working_title, ebook_id
        )
        asked = Intention(
            Asked.ATTACH,
            self.clock(),
            extracted.upload_id,
            file.id.format,
            extracted.digest,
        )
        intended = self.ledger.books.intend(work.book.id, state, asked)
        try:
            receipt = self.client.attach(intended, ebook_id)
        except ResponseLost as lost:
            self.reconciler.soon(work, replace(state, intention=asked), lost)
            raise
        except AttachedElsewhere as elsewhere:
            return self.reconciler.attached_elsewhere(work, file, elsewhere)
        except Rejected:
            self.ledger.books.save(work.book.id, replace(state, intention=None))
            raise
        if work.made is not None:
            work.made = work.made.with_source(
                receipt.source_id, extension_of(file), file.size, cover=extracted.cover
            )
        return UploadResult(file.id, Outcome.UPLOADED, receipt)
