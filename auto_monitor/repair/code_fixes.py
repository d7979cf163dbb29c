"""The one code fix on trial: whether it may be tried, whether it worked, installing it.

Each step is recorded in the attempt's history entry before it is taken, so that a
monitor started later can continue.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from auto_monitor import fix_applier
from auto_monitor.decide import trial
from auto_monitor.decide.changed import commands, tried_before
from auto_monitor.decide.trial import Arrival, Since
from auto_monitor.model import (
    Candidate,
    Case,
    HistoryEntry,
    InFlight,
    Trigger,
    WorkerSnapshot,
)
from auto_monitor.ports import (
    UNREADABLE,
    UNWRITABLE,
    Alerts,
    LedgerReader,
    Reservations,
    Script,
    TrialComparer,
)
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.repair import case as machine
from migration.ledger.arrivals import Baseline
from migration.model import BookId, Fate


@dataclass(frozen=True, slots=True)
class CodeFixes:
    """Code fixes of one script."""

    script: Script
    cases: Cases
    ledger: LedgerReader
    reservations: Reservations
    action_log: ActionLog
    alerts: Alerts
    comparer: TrialComparer

    def objection(self, candidate: Candidate) -> str:
        """Returns why this candidate may not be tried now; "" when it may."""
        if self.cases.trial() is not None:
            return "another code fix is being tried"
        known = tried_before(candidate.after, self.cases.entries())
        if known:
            return known
        if self.script.digest() != candidate.before:
            return f"{self.script.name} was changed since the fix was made"
        if not self.script.has(candidate):
            return "the candidate is gone"
        return ""

    def begin(self, entry: HistoryEntry, candidate: Candidate) -> None:
        """Makes the worker run the candidate from its next start on.

        Reserves its ranges.
        """
        self.reserve(entry)
        self.action_log.done(
            f"Worker {entry.worker_id} alone gets {candidate.name}, made from {self.script.name} "
            f"(backup {candidate.backup})"
        )

    def reserve(self, entry: HistoryEntry) -> None:
        """Reserves what the worker of a trial hung on; logs a failure to do so."""
        in_flight = entry.case.in_flight if entry.case is not None else InFlight()
        books = {file.book_id for file in in_flight.files}
        if in_flight.range is not None:
            books.add(BookId(in_flight.range[0]))
        if in_flight.pass_id is None or not books:
            return
        try:
            self.reservations.keep(in_flight.pass_id, books, entry.worker_id)
        except UNWRITABLE as error:
            self.action_log.once("reservation", str(error))

    def begun(self, entry: HistoryEntry, case: Case) -> Case:
        """Returns the case as its trial begins: what arrives from now on counts."""
        in_flight, number = case.in_flight, entry.worker_id
        try:
            pass_id = in_flight.pass_id or self._newest_pass()
            if pass_id is None:
                return case
            fates = self.ledger.fates(pass_id, number, in_flight.files)
            return replace(
                case,
                lost_before=self._lost(in_flight),
                baseline=self.ledger.baseline(pass_id, number),
                awaited=tuple(
                    file for file, fate in fates.items() if fate is Fate.PENDING
                ),
            )
        except UNREADABLE as error:
            self.action_log.once("ledger", f"The ledger cannot be read now: {error}")
            return case

    def _is_closed(self, pass_id: int) -> bool:
        newest = self.ledger.newest()
        return newest is None or newest.pass_id != pass_id or bool(newest.closed_at)

    def _newest_pass(self) -> int | None:
        newest = self.ledger.newest()
        return None if newest is None else newest.pass_id

    def _lost(self, in_flight: InFlight) -> int | None:
        """Returns how many files of the range have failed or were skipped."""
        if in_flight.pass_id is None or in_flight.range is None:
            return None
        return self.ledger.not_carried_in(in_flight.pass_id, *in_flight.range)

    def arrival(self, entry: HistoryEntry, case: Case, seen: WorkerSnapshot) -> Arrival:
        """Returns whether what the worker hung on has arrived since its trial began."""
        then = case.baseline
        if then is None:
            return Arrival.UNKNOWN
        try:
            fates = self.ledger.fates(then.pass_id, entry.worker_id, case.awaited)
            since = self.ledger.since(then, entry.worker_id)
            next_file = self._next_file(case, then, since)
            lost = self._lost(case.in_flight)
        except UNREADABLE:
            return Arrival.UNKNOWN
        fewer_lost = None
        # Where no file has failed for good, all of them are pending: fewer cannot be.
        failing = entry.trigger == Trigger.ALL_FAILING and case.lost_before != 0
        if failing and lost is not None:
            fewer_lost = case.lost_before is not None and lost < case.lost_before
        return trial.arrival(
            Since(
                fates=tuple(fates.values()),
                next_file=next_file,
                again=bool(seen.repeated_range),
                fewer_lost=fewer_lost,
                closed=then.all_done and self._is_closed(then.pass_id),
            )
        )

    def _next_file(self, case: Case, then: Baseline, since: Mapping[int, int]) -> bool:
        """Whether a file of the range it was in has arrived since.

        Or one after that, where that range was closed, or is now.
        """
        hung_in = case.in_flight.range
        if hung_in is None or hung_in[0] not in then.arrived:
            return sum(since.values()) > 0
        if since.get(hung_in[0], 0) > 0:
            return True
        closed = self.ledger.settled(then.pass_id, (), hung_in[0])
        return closed and sum(since.values()) > 0

    def differences(self, entry: HistoryEntry) -> str | None:
        """Returns how what the candidate carried differs from Calibre; "" for not.

        None while that is being found out, by a process that runs the shipped code.
        Raises Incomparable.
        """
        then = entry.case.baseline if entry.case is not None else None
        if then is None:
            return ""
        return self.comparer.differences(
            str(entry.key), then.pass_id, entry.worker_id, then.carried
        )

    def promote(self, candidate: Candidate) -> tuple[bool, str]:
        """Installs the candidate for all workers, and tells a person.

        Returns whether it is in place, and a description of the result.
        """
        try:
            self.script.promote(candidate)
        except fix_applier.NotOurs:
            said = (
                f"the repair of {self.script.name} helped, but somebody has changed "
                "that file meanwhile: nothing was "
                f"overwritten; the repaired script is auto_monitor/candidates/{candidate.name}"
            )
            self.alerts.tell(said)
            return False, said
        except OSError as error:
            said = f"the repair helped, but {self.script.path} cannot be written: {error.strerror}"
            self.alerts.tell(said)
            return False, said
        said = f"{self.script.name} is now the repaired one; backup {candidate.backup}"
        self.action_log.done(said)
        advice = self.script.advice(commands(self.action_log.hint))
        self.alerts.tell(
            f"The program's code was changed: {said}. {advice}",
            candidate.diff,
        )
        return True, said

    # -- probation ---------------------------------------------------------------------

    def on_probation(self, script: str) -> list[HistoryEntry]:
        """Returns the code fixes whose probation lasts, newest first.

        Only those that a process runs which was started with this script.
        """
        return [
            entry
            for entry in reversed(self.cases.entries())
            if machine.is_on_probation(entry) and entry.script_after == script != ""
        ]

    def take_back(self, entry: HistoryEntry, why: str) -> None:
        """Puts the script before a code fix in place again, and tells a person.

        Nothing is overwritten that somebody else has put there.
        """
        assert entry.case is not None
        candidate = entry.case.candidate
        assert candidate is not None
        try:
            self.script.take_back(candidate)
        except (fix_applier.NotOurs, OSError) as error:
            said = f"{why}, but its code fix cannot be taken back: {error}"
            self.cases.record(machine.probation_over(entry, said))
            self.alerts.tell(f"{self.script.name}: {said}")
            return
        self.cases.record(machine.taken_back(entry, why))
        self.alerts.tell(
            f"The code fix of {entry.timestamp} is taken back: {why}. "
            f"{self.script.name} is what it was before",
            candidate.diff,
        )

    def end_probation(
        self,
        pass_id: int | None = None,
        wrong: Collection[str] = (),
        *,
        seen: bool = True,
    ) -> None:
        """Ends it for all code fixes, because the pass is over: those of other passes.

        One that is not in place any more was taken back meanwhile. One that was made
        for a wrong result waits for the next audit: it is taken back when that has
        found something `wrong` again, and waits on when not all was `seen`.
        """
        for entry in list(self.cases.entries()):
            if not machine.is_on_probation(entry) or entry.case is None:
                continue
            then = entry.case.baseline
            if self.script.digest() == entry.script_before:
                why = "the script before it is in place again"
                self.cases.record(machine.taken_back(entry, why))
            elif entry.trigger == Trigger.WRONG_RESULT and pass_id is None:
                if wrong:
                    found = ", ".join(wrong)
                    self.take_back(entry, f"the audit of the next pass found {found}")
                elif seen:
                    said = "the audit of the next pass found nothing"
                    self.cases.record(machine.probation_over(entry, said))
            elif pass_id is None or then is None or then.pass_id != pass_id:
                self.cases.record(machine.probation_over(entry))

    def release(self) -> None:
        """Removes the reservations after a trial."""
        self.reservations.clear()
