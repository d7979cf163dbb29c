"""The end of a worker's part in a pass: summary and exit status."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from migration.errors import ExitCode, StateUnwritable
from migration.ledger import edits, totals
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.tables import notices
from migration.model import BookId, Outcome
from migration.worker.progress.tracker import Tracker

#: The most books left pending that the summary names; the log has named each before.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Checks the equation of the pass against the ledger and logs it."""

    ledger: Ledger
    tracker: Tracker
    current: CurrentPass
    log: logging.Logger
    left_pending: Mapping[BookId, str]

    def conclude(self, *, limit_reached: bool, time_is_up: bool) -> ExitCode:
        """Logs how the worker's part ended and returns the exit status."""
        found = totals.read(self.ledger.path, self.current.id)
        if found is None:
            return ExitCode.PENDING
        closed = found.closed_at is not None
        if closed:
            self._tell_closed(found)
            if found.differences:
                return ExitCode.DIFFERENCE
        elif self.left_pending:
            self._tell_left_pending(self._equation(found))
            return ExitCode.PENDING
        elif not limit_reached:
            if time_is_up:
                self.log.info(
                    "The time is up (--max-duration); the pass stays open, the next start goes on"
                )
            return ExitCode.PENDING
        failed = found.counts.failed if closed else self.tracker.count(Outcome.FAILED)
        return ExitCode.SOME_FAILED if failed else ExitCode.OK

    def _tell_closed(self, found: totals.Totals) -> None:
        say = self.log.error if found.differences else self.log.info
        say(self._equation(found))
        self._say_what_was_lost()
        stands = edits.counts(self.ledger.path, self.current.id)
        for sentence in edits.sentences(found.updated, stands):
            self.log.info(sentence)
        for kind, number in sorted(found.noticed.items()):
            self.log.info(notices.sentence(kind, number))
        self._back_up()

    def _equation(self, found: totals.Totals) -> str:
        return totals.equation(
            found, proved=totals.proved(self.ledger.path, self.current.id)
        )

    def _say_what_was_lost(self) -> None:
        """Logs how many files the server had lost, if any."""
        lost = self.ledger.doubts.found_lost(self.current.id)
        if lost:
            self.log.warning(
                "%d files that the server had lost were sent to it again, or failed, in this pass",
                lost,
            )

    def _tell_left_pending(self, equation: str) -> None:
        """Logs which books are left pending, and why."""
        self.log.info("%s", equation)
        for what in list(self.left_pending.values())[:MOST_NAMED]:
            self.log.error("Left pending: %s", what)
        self.log.error(
            "Ended with files pending: the server failed on %d books again and again "
            "while it took others. Nobody "
            "refused them, so the pass stays open and the next start tries them "
            "again; look at the server's log",
            len(self.left_pending),
        )

    def _back_up(self) -> None:
        """Backs up the ledger of a closed pass; a failure is only logged."""
        try:
            self.ledger.back_up(self.current.id)
        except StateUnwritable as error:
            self.log.warning("The ledger has no backup of this pass: %s", error)
