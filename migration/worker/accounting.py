"""Accounting of files: first the ledger, then the progress file, then one log line."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from common import sanitize
from migration.errors import FileChanged, Transient
from migration.lanes.lane import Work
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import BookState, Step
from migration.model import BookFile, BookId, FileId, Outcome, UploadResult
from migration.state_files import logs
from migration.worker.failing import (
    ROUNDS,
    Blame,
    FailureStreak,
    Next,
    after_rounds,
    is_explained,
)
from migration.worker.progress.tracker import Tracker

#: The average rate is logged once per this many uploads.
RATE_EVERY = 100


@dataclass(frozen=True, slots=True)
class Accounting:
    """Settles files, gives them back, or leaves them pending. Thread-safe."""

    ledger: Ledger
    tracker: Tracker
    current: CurrentPass
    log: logging.Logger
    streak: FailureStreak
    #: Called with each file that was settled.
    settled: Callable[[FileId, Outcome], None]
    #: What this run does not try again, described in words, by book.
    left_pending: dict[BookId, str] = field(default_factory=dict)

    def account(self, work: Work, file: BookFile, result: UploadResult) -> None:
        """Records the outcome of a file. Called exactly once per file."""
        if (
            result.outcome is Outcome.DUPLICATE
            and self.ledger.books.get(work.book.id) is None
        ):
            # Should the worker die after this file, its successor must still record
            # what is not carried.
            self.ledger.books.save(
                work.book.id, BookState(work.metadata.working_title, steps=Step.RECORD)
            )
        recorded = self.ledger.files.account(self.current.id, result)
        work.files.remove(file)
        work.begun = None
        if recorded:
            self.tell(work, file, result)

    def arrived(self, work: Work, files: Collection[FileId], seconds: float) -> None:
        """Counts and logs files that the ledger has already, as uploaded.

        `seconds` is what each has taken.
        """
        for file in [one for one in work.files if one.id in files]:
            work.files.remove(file)
            self._count(file, Outcome.UPLOADED)
            self._tell_uploaded(work, file, seconds)

    def tell(self, work: Work, file: BookFile, result: UploadResult) -> None:
        """Says of a file that the ledger has its outcome."""
        self._count(file, result.outcome)
        match result.outcome:
            case Outcome.UPLOADED:
                self._tell_uploaded(work, file, result.seconds)
            case Outcome.DUPLICATE:
                self.log.info(logs.duplicate(_name(work, file)))
            case _:
                self.log.warning(
                    logs.failed(_name(work, file), result.reason, result.message)
                )

    def _count(self, file: BookFile, outcome: Outcome) -> None:
        self.streak.ends()
        self.settled(file.id, outcome)
        self.tracker.over(file.id)
        self.tracker.settled(file.id.book_id, outcome, file.size)

    def _tell_uploaded(self, work: Work, file: BookFile, seconds: float) -> None:
        self.log.info(logs.uploaded(_name(work, file), file.size, seconds))
        if self.tracker.count(Outcome.UPLOADED) % RATE_EVERY == 0:
            self.log.info(logs.average_rate(self.tracker.snapshot().rate_files_per_min))

    def dropped(self, work: Work) -> None:
        """Counts the files of a book that is called done without their outcome."""
        for _file in work.files:
            self.tracker.fruitless()

    def give_back(self, work: Work, *, counted: bool) -> int:
        """Makes the file that was begun pending again and releases the book.

        The attempt is counted only if `counted`. Returns the file's failed rounds.
        """
        rounds = (
            self.ledger.files.give_back(work.begun, counted=counted)
            if work.begun
            else 0
        )
        work.begun = None
        self.ledger.books.let_go(work.book.id)
        return rounds

    def failed(self, work: Work, error: Transient) -> Next:
        """Counts a server failure on a book; what failed too often stays pending."""
        if not is_explained(error):
            self.tracker.fruitless()
        blame = Blame.FILE if isinstance(error, FileChanged) else Blame.SERVER
        counted = self.streak.count(
            work.tries, str(error), blame=blame, in_attempt=work.begun is not None
        )
        work.tries = counted.tries
        rounds = (
            self.give_back(work, counted=counted.counts_for_book) if work.begun else 0
        )
        after = after_rounds(work.tries, rounds)
        if after is not Next.TRY_AGAIN:
            self._leave_pending(work, error, whole_book=after is Next.LEAVE_BOOK)
        return after

    def _leave_pending(self, work: Work, error: Transient, *, whole_book: bool) -> None:
        """Leaves a file pending on which the server failed again and again.

        The server accepted other files meanwhile but has not refused this one, so it
        stays pending and the pass stays open; the rest of the book is finished.
        `whole_book` means that the failure was outside any file (looking up a lost
        answer, the closing steps), so the book is left as it is.
        """
        left = work.files[:] if whole_book else work.files[:1]
        for file in left:
            work.files.remove(file)
        names = ", ".join(str(file.id) for file in left) or "its last steps"
        said = (
            f"book {work.book.id} ({names}), which failed {ROUNDS} times while "
            f"the server took others: {error}"
        )
        self.left_pending[work.book.id] = said
        self.log.error("Left pending for this run: %s", said)
        self.ledger.books.let_go(work.book.id)


def _name(work: Work, file: BookFile) -> str:
    return f"{file.id} {sanitize.for_log(work.book.title, 120)!r}"
