"""Finds out what became of a request whose answer was lost before resending it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from migration.errors import Deferred, ResponseLost
from migration.lanes.api.transfer import extension_of
from migration.lanes.lane import Account, Work
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import Asked, BookState, Intention, Step
from migration.metadata.ebook_metadata import library_of
from migration.model import BookFile, Digest, EbookId, Outcome, UploadResult
from migration.server import importing
from migration.server.client import AttachedElsewhere, BookshelfClient

#: What is to be done for a book whose ebook has just been made.
ALL_STEPS = Step.TITLE | Step.COVER | Step.RATING | Step.RECORD


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Reconciles the creation of an ebook and the attaching of a file.

    `after` is how long a request may still run on the server.
    """

    client: BookshelfClient
    ledger: Ledger
    current: CurrentPass
    clock: Callable[[], datetime]
    after: timedelta
    account: Account

    def soon(self, work: Work, state: BookState, lost: ResponseLost) -> None:
        """Makes the request due now if the server has certainly finished it."""
        if not lost.still_running and state.intention is not None:
            asked = replace(state.intention, at=self.clock() - self.after)
            self.ledger.books.save(work.book.id, replace(state, intention=asked))

    def check_nothing_in_flight(self, work: Work) -> None:
        """Raises Deferred while it is not known what became of the last request.

        Nothing of the book is sent before that, whatever the caller repeats.
        """
        state = self.ledger.books.get(work.book.id)
        if state is not None and state.intention is not None:
            raise Deferred(
                f"book {work.book.id}: a request may still be running",
                state.intention.at + self.after,
            )

    def reconcile(self, work: Work) -> None:
        """Finds out the fate of the book's last request, unless its answer is known.

        Raises Deferred or Transient.
        """
        state = self.ledger.books.get(work.book.id)
        if state is None or state.intention is None:
            return
        due = state.intention.at + self.after
        if state.intention.asked is Asked.IMPORT and self._imported(work, state):
            return
        if self.clock() < due:
            raise Deferred(f"book {work.book.id}: a request may still be running", due)
        if state.intention.asked is Asked.CREATE:
            found = self.client.find(state.working_title)
            steps = ALL_STEPS if found else state.steps
            done = BookState(state.working_title, found[0] if found else None, steps)
            self.ledger.books.made(self.current.id, work.book.id, done)
        elif state.intention.asked is Asked.IMPORT:
            self.ledger.books.forget(work.book.id)
        else:
            self._attached(work, state, state.intention)

    def _imported(self, work: Work, state: BookState) -> bool:
        """Accounts for a book that arrived among others; False when it did not.

        It has its true title and all that belongs to it: only the record is missing.
        """
        library = library_of(state.working_title)
        found = importing.find(self.client.session, library, work.book.id)
        if found is None:
            return False
        receipts = dict(found.receipts)
        done = BookState(
            state.working_title,
            found.ebook.id,
            Step.RECORD,
            title=found.ebook.fields.title,
        )
        self.ledger.books.made(self.current.id, work.book.id, done)
        for file in [*work.files]:
            receipt = receipts.get(extension_of(file))
            if receipt is None:
                continue
            if self._is_replaced(file, receipt.digest):
                self.ledger.books.arrived_replaced(self.current.id, file.id, receipt)
            else:
                result = UploadResult(file.id, Outcome.UPLOADED, receipt)
                self.account(work, file, result)
        return True

    def _attached(self, work: Work, state: BookState, asked: Intention) -> None:
        """Accounts for the file if it arrived in the ebook.

        Otherwise it is sent again; so is one that Calibre has replaced meanwhile.
        """
        file = next(
            (file for file in work.files if file.id.format == asked.format), None
        )
        if state.ebook_id is not None and asked.digest is not None and file is not None:
            if self._is_replaced(file, asked.digest):
                self._replaced(file, state.ebook_id, asked)
                self.ledger.books.save(work.book.id, replace(state, intention=None))
                return
            try:
                receipt = self.client.attached(
                    state.ebook_id, asked.digest, extension_of(file), asked.upload_id
                )
            except AttachedElsewhere as elsewhere:
                self.account(work, file, self.attached_elsewhere(work, file, elsewhere))
                return
            if receipt is not None:
                self.account(
                    work, file, UploadResult(file.id, Outcome.UPLOADED, receipt)
                )
                return
            self.current.count_orphan()
        self.ledger.books.save(work.book.id, replace(state, intention=None))

    def _is_replaced(self, file: BookFile, digest: Digest) -> bool:
        """Whether Calibre has other bytes for the file than those in the request."""
        known = self.ledger.carried.file(file.id)
        return known is None or known.digest != digest

    def _replaced(self, file: BookFile, ebook_id: EbookId, asked: Intention) -> None:
        """Remembers the source of the old bytes, if they arrived.

        It is deleted when the new ones are there.
        """
        if asked.digest is None:
            return
        try:
            receipt = self.client.attached(
                ebook_id, asked.digest, extension_of(file), asked.upload_id
            )
        except AttachedElsewhere as elsewhere:
            self.ledger.hashes.learn_one(elsewhere.match)
            receipt = None
        if receipt is None:
            self.current.count_orphan()
        else:
            self.ledger.books.arrived_replaced(self.current.id, file.id, receipt)

    def attached_elsewhere(
        self, work: Work, file: BookFile, elsewhere: AttachedElsewhere
    ) -> UploadResult:
        """Settles a file as a duplicate: another ebook got these bytes first.

        Our upload is left to the server's clean-up.
        """
        self.current.count_orphan()
        known = self.ledger.hashes.learn_one(elsewhere.match)
        state = self.ledger.books.get(work.book.id)
        if state is not None:
            self.ledger.books.save(work.book.id, replace(state, intention=None))
        return UploadResult(file.id, Outcome.DUPLICATE, known)
