"""The lane to the embedded server: a batch of books in one request.

The order of what is written is that of the API lane, for a whole batch: attempts and
intentions are in the ledger before anything is sent, and the server's receipts before
anything is said. What does not fit, and what the server refuses, is left to the API.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

from common.sanitize import for_log
from migration.errors import Deferred, Rejected, Transient
from migration.lanes.api.transfer import TransferObserver
from migration.lanes.context import Context
from migration.lanes.embedded import records
from migration.lanes.embedded.reading import Parcel, fits, read
from migration.lanes.lane import Work
from migration.ledger.records import Stage
from migration.metadata.ebook_metadata import library_of
from migration.model import BookFile, BookId, UploadResult
from migration.server import importing
from migration.server.client import BookshelfClient
from migration.server.importing import Imported

T = TypeVar("T")

#: The most books and bytes of one request.
BATCH_BOOKS, BATCH_BYTES = 64, 16 * 1024 * 1024
#: How often a batch is sent when no answer comes. It may be repeated: the server knows
#: what it has made.
TRIES = 3


class Process(Protocol):
    """What the lane needs of the worker's process."""

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Does some things at the same time, showing that the process is alive."""

    @property
    def ends(self) -> Callable[[], bool]:
        """Says whether nothing new is to be begun."""

    def sending(self, file: BookFile) -> AbstractContextManager[TransferObserver]:
        """Lists the file among those that are being sent."""

    def tell(self, work: Work, file: BookFile, result: UploadResult) -> None:
        """Says of a file that the ledger has its outcome."""

    def finished(self, book: BookId) -> None:
        """Says of a book that nothing is left to be done."""


@dataclass(frozen=True, slots=True)
class EmbeddedLane:
    """Sends books in batches."""

    given: Context
    client: BookshelfClient
    process: Process

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        """Carries the books that fit, as `Lane.carry` says; returns the others."""
        if self.given.current.rebuilt or not all(self.process.run([self._is_taken])):
            return works
        chosen = [work for work in works if fits(work) and not self._is_begun(work)]
        batches = list(batched(chosen))
        tasks = [lambda batch=batch: self._batch(batch) for batch in batches]
        carried = {
            book_id for settled in self.process.run(tasks) for book_id in settled
        }
        return [work for work in works if work.book.id not in carried]

    def _is_taken(self) -> bool:
        """Whether the server takes batches; not while it does not answer."""
        try:
            return self.client.session.takes_calibre_books()
        except Transient as error:
            self.given.log.warning("%s; books are sent one by one meanwhile", error)
            return False

    def _is_begun(self, work: Work) -> bool:
        return self.given.ledger.books.get(work.book.id) is not None

    def _batch(self, works: Sequence[Work]) -> set[BookId]:
        """Sends one batch; returns the books that nothing is left to be done for."""
        if self.process.ends():
            return set()
        began = self.given.clock()
        with ExitStack() as listed:
            watches = {
                file.id: listed.enter_context(self.process.sending(file))
                for work in works
                for file in work.files
            }
            found = [read(self.given.library, work, watches) for work in works]
            parcels = [parcel for parcel in found if parcel is not None]
            ledger = self.given.ledger.hashes.imports
            begun = ledger.begin([parcel.outgoing for parcel in parcels])
            parcels = [parcel for parcel in parcels if parcel.work.book.id in begun]
            if not parcels:
                return set()
            for file in watches:
                if file.book_id in begun:
                    watches[file].reach(Stage.UPLOAD)
            answers = self._send(parcels)
            if answers is None:
                ledger.unanswered([parcel.outgoing for parcel in parcels])
                return set()
            for parcel in parcels:
                for file, digest in parcel.outgoing.files.items():
                    watches[file].moved(digest.size)
            seconds = (self.given.clock() - began).total_seconds()
            return self._settle(parcels, answers, seconds)

    def _send(
        self, parcels: Sequence[Parcel]
    ) -> Mapping[BookId, Imported | str] | None:
        """Returns the server's answers; None when none came."""
        library = library_of(parcels[0].work.metadata.working_title)
        books = [parcel.book for parcel in parcels]
        for again in range(TRIES):
            try:
                answers = importing.send(self.client.session, library, books)
                return answers if again else _made_now(answers)
            except Rejected as error:
                return dict.fromkeys((book.id for book in books), str(error))
            except Transient as error:
                last = again + 1 == TRIES
                self.given.log.warning(
                    "A batch of %d books was not answered: %s; %s",
                    len(books),
                    error,
                    "they are sent one by one" if last else "it is sent again",
                )
                if last or self.process.ends():
                    return None
        return None

    def _settle(
        self,
        parcels: Sequence[Parcel],
        answers: Mapping[BookId, Imported | str],
        seconds: float,
    ) -> set[BookId]:
        """Accounts for what arrived; the rest is as if it had not been tried."""
        arrived: list[tuple[Parcel, Imported]] = []
        refused: list[Parcel] = []
        for parcel in parcels:
            answer = answers[parcel.work.book.id]
            if isinstance(answer, Imported):
                arrived.append((parcel, answer))
            else:
                refused.append(parcel)
                self.given.log.info(
                    "Book %s %r is sent by itself: %s",
                    parcel.work.book.id,
                    for_log(parcel.work.book.title, 120),
                    answer,
                )
        ledger, pass_id = self.given.ledger.hashes.imports, self.given.current.id
        if refused:
            ledger.refused([parcel.outgoing for parcel in refused])
        arrivals = [
            records.arrival(parcel, answer, seconds) for parcel, answer in arrived
        ]
        settled = ledger.arrived(pass_id, arrivals)
        for (parcel, _answer), book in zip(arrived, arrivals, strict=True):
            files = {file.id: file for file in parcel.work.files}
            for result in book.results:
                if result.file in settled:
                    self.process.tell(parcel.work, files[result.file], result)
                parcel.work.files.remove(files[result.file])
        return self._finish(arrived)

    def _finish(self, arrived: Sequence[tuple[Parcel, Imported]]) -> set[BookId]:
        """Records what was carried; a book that cannot be shelved now is closed later."""
        endings: list[records.Ending] = []
        for parcel, answer in arrived:
            try:
                endings.append(records.ending(self.given, parcel, answer))
            except (Transient, Deferred, Rejected) as error:
                self.given.log.info(
                    "Book %s is closed later: %s", parcel.work.book.id, error
                )
        self.given.ledger.hashes.imports.finish(self.given.current.id, endings)
        for ending in endings:
            self.process.finished(ending.id)
        return {ending.id for ending in endings}


def batched(works: Sequence[Work]) -> Iterator[Sequence[Work]]:
    """Divides books into batches of at most `BATCH_BOOKS` and `BATCH_BYTES`. Pure."""
    batch: list[Work] = []
    size = 0
    for work in works:
        more = sum(file.size for file in work.files)
        if batch and (len(batch) == BATCH_BOOKS or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(work)
        size += more
    if batch:
        yield batch


def _made_now(
    answers: Mapping[BookId, Imported | str],
) -> Mapping[BookId, Imported | str]:
    """Refuses what was there before the first request: this ledger did not send it."""
    return {
        book: "the server has it already"
        if isinstance(answer, Imported) and not answer.made
        else answer
        for book, answer in answers.items()
    }
