"""The lane of the server's own host: rows and files are written batch by batch.

A batch goes through a process of its own (`child.py`): ids and folders are drawn, then
recorded in the ledger; then files are placed, bytes and names claimed, rows written;
then the ledger accounts for the whole batch. While the worker accounts for one batch,
the process is at the next.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from migration.errors import Misconfigured, Transient
from migration.lanes.direct.child import Channel, HostBroke
from migration.lanes.direct.fits import BatchLimits, batches, why_not
from migration.lanes.direct.journals import Journals
from migration.lanes.direct.link import Link
from migration.lanes.direct.recovery import Recovery
from migration.lanes.direct.run import Run
from migration.lanes.direct.watcher import Watcher
from migration.lanes.lane import Work
from migration.ledger.batch_journal import JournalBook
from migration.model import FileId
from migration.server.direct.batch import Placed, Written

T = TypeVar("T")
#: After so many failures in a row that may pass, the books in hand go by the API.
MOST_TROUBLES = 3


@dataclass(slots=True)
class DirectLane:
    """Carries the books that fit. Used by the worker's main thread only.

    `look_at` looks at the first book through the server's API, and raises Misconfigured
    when it is not there. `most_bytes` is the longest upload that the server accepts,
    `now` is a clock in seconds.
    """

    link: Link
    recovery: Recovery
    journals: Journals
    watcher: Watcher
    limits: BatchLimits
    most_bytes: int
    look_at: Callable[[Written, Placed], None]
    now: Callable[[], float]
    _looked: bool = False
    _recalled: bool = False
    _troubles: int = 0

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        """Carries as many books of one range as it can; returns the others."""
        left = self._settle(works)
        if not left or self._patiently(self.link.channel) is None:
            return left
        self._recall_once()
        fit = [work for work in left if not self._why_not(work)]
        mine = {id(work) for work in fit}
        rest = [work for work in left if id(work) not in mine]
        while fit and (channel := self._patiently(self.link.channel)) is not None:
            fit, others = self._carry_on(fit, channel)
            rest += others
        if self.link.tidy():
            self.journals.forget_names(left)
        return [*rest, *fit]

    def close(self) -> None:
        """Ends the process."""
        self.link.drop()

    def _settle(self, works: Sequence[Work]) -> list[Work]:
        """Settles what killed processes left; returns the books with work to do."""
        with_files = {id(work) for work in works if work.files}
        by_book = {work.book.id: work for work in works}

        def arrived(files: Collection[FileId]) -> None:
            for file in files:
                if (work := by_book.get(file.book_id)) is not None:
                    self.watcher.arrived(work, [file], 0.0)

        def cover_of(book: JournalBook) -> str:
            return self.journals.cover_of(by_book.get(book.id), book)

        books = by_book.keys()
        self._patiently(lambda: self.recovery.settle(books, arrived, cover_of))
        return [work for work in works if work.files or id(work) not in with_files]

    def _recall_once(self) -> None:
        """After a loss of the ledger learns from the server's rows what is there."""
        if self._recalled or not self.journals.is_rebuilt:
            return
        while files := self._patiently(self.link.recall):
            self.journals.recall(files)
        self._recalled = True

    def _why_not(self, work: Work) -> str:
        return why_not(
            work,
            self.journals.wanted(work),
            known=self.journals.is_known(work),
            most_bytes=self.most_bytes,
        )

    def _carry_on(
        self, works: list[Work], channel: Channel
    ) -> tuple[list[Work], list[Work]]:
        """Carries books until all are through or the process fails.

        Returns those to be carried again, and those for the API.
        """
        run = Run(
            channel,
            self.journals,
            self.watcher,
            self._groups(works),
            self._look_once,
            self.recovery.in_hand,
            self.now,
        )
        try:
            run.go()
        except HostBroke as error:
            run.leave()
            self.link.broke(error)
            again, rest = run.untouched(), run.touched()
        except Misconfigured as error:
            run.leave()
            self.link.turn_off(error)
            again, rest = run.untouched(), run.touched()
        except Transient as error:
            run.leave()
            again, rest = self._wait(error, run)
        except BaseException:
            # A stop. What is in hand is in the journal, for the next process.
            run.leave()
            self.link.drop()
            raise
        else:
            self.link.worked()
            self._troubles = 0
            return [], [*run.returned, *run.held_back]
        gone = {id(work) for work in run.returned}
        left = self._settle([work for work in [*again, *rest] if id(work) not in gone])
        to_api = {id(work) for work in rest}
        return (
            [work for work in left if id(work) not in to_api],
            [*run.returned, *(work for work in left if id(work) in to_api)],
        )

    def _wait(self, error: Transient, run: Run) -> tuple[list[Work], list[Work]]:
        """Waits for host or ledger; after a while the books in hand are not to wait."""
        self.link.drop()
        self._troubles += 1
        self.watcher.trouble(error)
        if self._troubles < MOST_TROUBLES:
            return [*run.touched(), *run.untouched()], []
        self._troubles = 0
        return run.untouched(), run.touched()

    def _groups(self, works: list[Work]) -> "chain[Sequence[Work]]":
        """Returns the batches; the first one of a process is a single book."""
        first = 0 if self._looked else 1
        return chain(
            batches(works[:first], self.limits), batches(works[first:], self.limits)
        )

    def _look_once(self, written: Written, placed: Placed) -> None:
        if not self._looked:
            self.look_at(written, placed)
            self._looked = True

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Asks until there is an answer, however long the server is away."""
        while True:
            try:
                return ask()
            except Transient as error:
                self.watcher.trouble(error)
