"""The end of a worker's part in a pass: summary and exit status."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from migration.errors import ExitCode, FalseClaim, StateUnwritable
from migration.ledger import edits, totals
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.tables import notices
from migration.model import BookId
from migration.worker.checked.observed import Observed
from migration.worker.threads.limits import TimeLimit

#: The most books left pending that the summary names; the log has named each before.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Stops:
    """What ends a worker before its pass is closed: --limit (0 for none), --max-duration."""

    limit: int
    time_limit: TimeLimit
    observed: Observed

    def limit_reached(self) -> bool:
        """Whether this process has settled as many files as --limit allows."""
        return bool(self.limit) and self.observed.against_limit() >= self.limit

    def time_is_up(self) -> bool:
        """Whether --max-duration is over."""
        return self.time_limit.is_up()


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Checks the equation of the pass against the ledger and logs it."""

    ledger: Ledger
    current: CurrentPass
    log: logging.Logger
    left_pending: Mapping[BookId, str]
    stops: Stops
    _told: list[ExitCode] = field(default_factory=list)

    def conclude(self) -> ExitCode:
        """Logs how the worker's part ended and returns the exit status.

        Raises FalseClaim when the script has ended for no reason.
        """
        code, found = self._end()
        if found is not None and found.closed_at is not None:
            self._tell_closed(found)
        elif found is not None and self.left_pending:
            self._tell_left_pending(self._equation(found))
        elif found is not None and (why := self._why_open()):
            self.log.info(
                "%s; the pass stays open%s, the next start goes on", why, _to_do(found)
            )
        self._told.append(code)
        return code

    def status(self) -> ExitCode:
        """Returns the exit status, whatever the script has said; logs it once.

        Raises FalseClaim when the script has ended for no reason.
        """
        if self._told:
            return self._end()[0]
        return self.conclude()

    def _end(self) -> tuple[ExitCode, totals.Totals | None]:
        """Returns the exit status and the totals of the pass."""
        if self.current.none_open:
            return ExitCode.OK, None
        if not self.current.id:
            raise FalseClaim("the worker's script ended without taking part in a pass")
        self.ledger.check_in_place()
        found = totals.read(self.ledger.path, self.current.id)
        if found is not None and found.closed_at is not None:
            return _of_closed(found), found
        if found is None or self.left_pending:
            return ExitCode.PENDING, found
        if self.stops.limit_reached():
            return _by_failures(self.stops.observed.settled.failed), found
        if self.stops.time_is_up():
            return ExitCode.PENDING, found
        raise FalseClaim(
            "the worker's script ended although books of its pass are not done and "
            "no limit is reached"
        )

    def _why_open(self) -> str:
        """Returns which limit has ended the work of this process, or ""."""
        if self.stops.limit_reached():
            return "As many files as --limit allows are done"
        if self.stops.time_is_up():
            return "The time is up (--max-duration)"
        return ""

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
        left = self.ledger.hashes.batches.left_over()
        if left:
            self.log.warning(
                "Files of %d books may be left in the server's data directory, without "
                "a row, by a process that was killed; the next worker with the direct "
                "lane removes them",
                left,
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


@dataclass(frozen=True, slots=True)
class ScriptConclusion:
    """The conclusion as the script asks for it."""

    _conclusion: Conclusion

    def conclude(self, *, limit_reached: bool, time_is_up: bool) -> ExitCode:  # noqa: ARG002
        """Logs how the worker's part ended and returns the exit status.

        The script says whether a limit is reached, and is not believed.
        """
        return self._conclusion.conclude()


def _to_do(found: totals.Totals) -> str:
    """Returns how many files are left, if that is known."""
    if found.total is None:
        return ""
    left = found.total - found.counts.discovered + found.counts.pending
    return f" with {left} of {found.total} files to do"


def _of_closed(found: totals.Totals) -> ExitCode:
    if found.differences:
        return ExitCode.DIFFERENCE
    return _by_failures(found.counts.failed)


def _by_failures(failed: int) -> ExitCode:
    return ExitCode.SOME_FAILED if failed else ExitCode.OK
