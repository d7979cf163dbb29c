"""Attempts on workers: begun, recorded before and after, closed.

The decisions are in `case`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide import healing
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import (
    Afterwards,
    Assessment,
    Candidate,
    Case,
    HistoryEntry,
    InFlight,
    Trigger,
    WorkerRecord,
    WorkerSnapshot,
    rests,
)
from auto_monitor.ports import (
    UNREADABLE,
    UNWRITABLE,
    Alerts,
    Clock,
    EvidenceStore,
    LedgerReader,
)
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory
from auto_monitor.repair import case as machine
from auto_monitor.repair import wrong_result
from auto_monitor.repair.case import CaseOutcome, GoOn
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.consultation import Consultation
from auto_monitor.repair.trials import Trials


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one state directory.

    `clock` is the steady clock of decisions, `wall` is for display.
    """

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    consultation: Consultation | None
    code_fixes: CodeFixes
    trials: Trials
    ledger: LedgerReader
    evidence: EvidenceStore
    action_log: ActionLog
    alerts: Alerts
    clock: Clock
    wall: Clock

    # -- for the healer ---------------------------------------------------------------

    def restart(
        self,
        assessment: Assessment,
        seen: WorkerSnapshot,
        now: datetime,
        *,
        correlated: bool,
    ) -> None:
        """Records an attempt, takes the stack, and restarts the worker.

        While an answer is pending, it only logs that. `correlated` means that the
        worker is treated for others that hang as well.
        """
        number = assessment.worker_id
        asked = None if self.action_log.dry_run else self.consultation
        if not self.action_log.dry_run and self.trials.took_back(assessment, seen):
            # It runs a script that is no longer in place: the next look starts it with
            # the one that is, which is no attempt.
            return
        if asked is not None and asked.awaits(assessment, seen, now):
            self.action_log.once(
                f"asking {number}",
                f"Worker {number} is {assessment.health.value} ({assessment.reason}); the "
                "LLM is asked why",
                "asked",
            )
            return
        self.action_log.forget(f"asking {number}")
        if not self.action_log.act(
            f"Restarting worker {number}: {assessment.reason}; in hand: {seen.in_flight}"
        ):
            return
        entry = self._opened(assessment, seen, now, correlated=correlated)
        if entry.case is not None and entry.case.candidate is not None:
            self.code_fixes.begin(entry, entry.case.candidate)
        self._start_anew(entry)

    def holds(self, seen: WorkerSnapshot) -> bool:
        """Whether a worker has books in hand that are not done, by the ledger."""
        in_flight = seen.in_flight
        return bool(in_flight.files or in_flight.range) and not self._settled(
            in_flight, seen
        )

    def resume(self, number: int, reason: str) -> None:
        """Starts a worker that only waited for something, or runs an older script.

        This does not count as an attempt. The time of an open attempt starts over.
        """
        if not self.action_log.act(f"Starting worker {number}: {reason}"):
            return
        self.supervisor.kill(number)
        if self.supervisor.start(number) is None:
            return
        entry = self.cases.of(number)
        if entry is not None:
            self.cases.record(machine.resumed(entry, self.clock()))

    def pause(self, number: int, reason: str) -> None:
        """Gives up on a worker: stops it, frees its range, and alerts."""
        if not self.action_log.act(f"Pausing worker {number}: {reason}"):
            return
        self.supervisor.kill(number)
        self.alerts.tell(
            f"Worker {number} is PAUSED: {reason}. The others go on without it. When "
            f"the cause is mended: {self.action_log.hint('resume', str(number))}"
        )
        # This comes last: a monitor that dies before this line finds the attempts used
        # up, and does it again.
        self.cases.note(number, Afterwards.PAUSED)
        self.memory.remember(replace(self.memory.record(number), suspect_since=None))
        self.memory.save()

    def let_go(self, number: int, reason: str) -> None:
        """Stops counting the worker: closes its open attempt.

        None of its attempts is held against it later.
        """
        self.memory.remember(WorkerRecord(number, wanted=False))
        self.conclude(number, None, reason)
        self.cases.note(number, Afterwards.RELEASED)

    # -- a new monitor -----------------------------------------------------------------

    def take_up(self, pass_id: int | None) -> None:
        """Continues what a dead monitor left half done, each attempt from its entry."""
        for entry in self.cases.entries():
            if entry.verified is None and not entry.reason:
                self._take_up(self.cases.of(entry.worker_id), entry, pass_id)
        self.code_fixes.end_probation(pass_id)
        if self.cases.trial() is None:
            self.code_fixes.release()

    def _take_up(
        self, known: HistoryEntry | None, entry: HistoryEntry, pass_id: int | None
    ) -> None:
        if known is not None and known.key == entry.key:
            entry = known
        candidate = entry.case.candidate if entry.case is not None else None
        runs = candidate is not None and self.supervisor.runs(
            entry.worker_id, candidate.name
        )
        move, why = machine.after_restart(entry, pass_id, runs_candidate=runs)
        if move is GoOn.CLOSE and entry.case is None:
            self.cases.record(machine.closed(entry, CaseOutcome(False, why)))
        elif move is GoOn.CLOSE:
            # Of a candidate nothing was shown: it is left to a person.
            self._close(entry, CaseOutcome(None if candidate else False, why))
        elif move is GoOn.PROMOTE:
            self._close(entry, CaseOutcome(True, why))
        elif candidate is not None:
            self.code_fixes.reserve(entry)
        if move is GoOn.START:
            self.action_log.done(
                f"Worker {entry.worker_id}: its candidate was not started yet; it is now"
            )
            self._start_anew(entry)

    # -- the verdict ------------------------------------------------------------------

    def verify(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        assessments: Mapping[int, Assessment],
        now: datetime,
        policy: HealingPolicy,
        *,
        over: bool = False,
    ) -> None:
        """Checks whether the attempts in progress have helped.

        `over`: the pass is closed, so trials are judged by what has arrived.
        """
        for entry in self.cases.open_entries():
            number, case = entry.worker_id, entry.case
            if case is None or number not in snapshots:
                continue
            seen, assessment = snapshots[number], assessments[number]
            if case.candidate is None:
                signs = self._signs(entry, case, seen, assessment, now, policy)
                conclusion = machine.after_look(entry, signs, now, policy)
            else:
                conclusion = self.trials.verdict(
                    entry, seen, assessment, now, policy, over=over
                )
            if conclusion is not None:
                self._close(entry, conclusion)

    def compares(self, differences: Mapping[str, int]) -> bool:
        """Whether the verdict on a trial waits for what another process finds.

        Not where the audit of the pass has found a difference: that is a verdict.
        """
        busy = self.cases.trial() is not None and self.code_fixes.comparer.busy
        return busy and not wrong_result.shown(differences)

    def conclude(self, number: int, verified: bool | None, reason: str) -> None:
        """Closes the attempt on this worker, if any, for an external reason."""
        entry = self.cases.of(number)
        if entry is not None:
            self._close(entry, CaseOutcome(verified, reason))

    def answer_about(
        self, seen: WorkerSnapshot, assessment: Assessment, now: datetime
    ) -> HistoryEntry | None:
        """Returns the attempt that an answer leads to, now that the pass is closed.

        None while the answer is pending. Nobody is restarted for it.
        """
        asked = self.consultation
        assert asked is not None
        if asked.awaits(assessment, seen, now):
            return None
        return self._opened(assessment, seen, now, correlated=False)

    def end_with_pass(
        self, pass_id: int, differences: Mapping[str, int]
    ) -> HistoryEntry | None:
        """Closes every attempt: the pass is closed, with these differences by kind.

        A wrong result is a case of its own, which is returned; a script on trial that
        nobody could judge is not promoted, but left to a person.
        """
        wrong = wrong_result.shown(differences)
        for entry in self.cases.open_entries():
            if entry.case is None or entry.case.candidate is None:
                self._close(entry, CaseOutcome(True, "the pass is closed"))
                continue
            said = f"the audit of the pass found {', '.join(wrong)}"
            outcome = CaseOutcome(None, "inconclusive: the pass is closed")
            outcome = CaseOutcome(False, said) if wrong else outcome
            self._close(entry, outcome, start_again=False)
        if not self.action_log.dry_run:
            self.code_fixes.end_probation(
                wrong=wrong_result.against_a_fix(differences),
                seen=wrong_result.NOT_SEEN.isdisjoint(differences),
            )
        number = min((one.worker_id for one in self.memory.wanted()), default=1)
        case = wrong_result.case_of(
            pass_id,
            differences,
            self.cases.entries(),
            worker_id=number,
            timestamp=self.wall().isoformat(),
            rollback=self.action_log.hint("rollback"),
        )
        if case is not None:
            self.cases.record(case)
        return case

    def finish(self) -> None:
        """Ends the processes that judge; the attempts stay open for a new monitor."""
        self.code_fixes.comparer.close()

    def _signs(
        self,
        entry: HistoryEntry,
        case: Case,
        seen: WorkerSnapshot,
        assessment: Assessment,
        now: datetime,
        policy: HealingPolicy,
    ) -> Signs:
        settled = self._settled(case.in_flight, seen)
        if entry.trigger == Trigger.ALL_FAILING:
            failing = seen.all_failing_since is not None or seen.fruitless > 0
            settled = seen.settled and not failing
        if entry.trigger == Trigger.LEAKING:
            # Files were settled before, too: it is over when nothing grows any more.
            settled = settled and seen.growing is False
        return Signs(
            settled=settled,
            moving=healing.moving(seen, case.acted_at, now, policy),
            waiting=seen.waits,
            health=assessment.health,
            away=assessment.away,
        )

    def _settled(self, in_flight: InFlight, seen: WorkerSnapshot) -> bool:
        """Whether what the worker hung on has its outcome.

        If it hung at its start: whether it has got beyond.
        """
        if in_flight.pass_id is None or not (in_flight.files or in_flight.range):
            return seen.in_flight.range is not None
        try:
            return self.ledger.settled(
                in_flight.pass_id,
                in_flight.files,
                in_flight.range[0] if in_flight.range else None,
            )
        except UNREADABLE:
            return False

    def _close(
        self,
        entry: HistoryEntry,
        conclusion: CaseOutcome,
        *,
        start_again: bool = True,
    ) -> None:
        """Writes the verdict to the history first.

        It holds for the worker and for those that wait for it. With `start_again` a
        worker whose candidate is dropped goes on with the script in place.
        """
        if self.action_log.dry_run:
            return
        number, candidate = (
            entry.worker_id,
            entry.case.candidate if entry.case is not None else None,
        )
        if candidate is not None and conclusion.verified:
            conclusion = self._promoted(entry, candidate, conclusion)
        elif candidate is not None and conclusion.verified is None:
            self.trials.remedies.propose(entry, candidate)
        back = candidate is not None and not conclusion.verified
        if back and candidate is not None:
            # The worker is ended before the verdict is written: should the monitor die
            # in between, no dropped candidate keeps running.
            self.action_log.done(
                f"Worker {number}: the candidate {candidate.name} is dropped"
            )
            self.supervisor.kill(number)
        self.cases.record(machine.closed(entry, conclusion))
        said = {True: "verified", False: "not verified", None: "closed"}[
            conclusion.verified
        ]
        self.action_log.done(
            f"Worker {number}: attempt {entry.attempt} is {said}: {conclusion.reason}"
        )
        if entry.correlated and conclusion.verified:
            self.action_log.info(
                "The restart of worker %d helped; the others are treated too", number
            )
        if number in self.memory.state.workers:
            self.memory.remember(
                replace(self.memory.record(number), suspect_since=None)
            )
            self.memory.save()
        if candidate is not None:
            self.code_fixes.release()
        if back and start_again:
            self._back_to_the_script(number)

    def _promoted(
        self, entry: HistoryEntry, candidate: Candidate, conclusion: CaseOutcome
    ) -> CaseOutcome:
        self.cases.record(machine.promoting(entry))
        promoted, said = self.code_fixes.promote(candidate)
        reason = f"{conclusion.reason}; {said}"
        return replace(conclusion, reason=reason, promoted=promoted)

    def _back_to_the_script(self, number: int) -> None:
        record = self.memory.record(number)
        if record.wanted and not rests(record, self.cases.standing(number)):
            self.supervisor.start(number)

    # -- an attempt begins ------------------------------------------------------------

    def _opened(
        self,
        assessment: Assessment,
        seen: WorkerSnapshot,
        now: datetime,
        *,
        correlated: bool,
    ) -> HistoryEntry:
        """Opens an attempt.

        From here on it counts, even if the monitor dies right away.
        """
        record = self.memory.record(assessment.worker_id)
        stack = self.trials.stack(assessment, seen)
        attempt = self.cases.standing(record.worker_id).attempts + 1
        entry = machine.opened(
            assessment,
            seen,
            now,
            self.wall().isoformat(),
            attempt,
            correlated=correlated,
        )
        mark = self.trials.fingerprint(assessment, seen, stack)
        entry = machine.recognised(entry, mark, self.cases.entries())
        entry = replace(entry, evidence=self._keep_evidence(assessment, seen, stack))
        if self.consultation is not None:
            entry = self.consultation.applied(entry, assessment, seen, now)
        tried = entry.case is not None and entry.case.candidate is not None
        if not self.cases.record(entry) and tried:
            # A monitor that ends in the middle of a trial must find what it was doing.
            entry = self.trials.remedies.only_proposed(
                entry, "auto_fix_history.json cannot be written"
            )
            self.cases.record(entry)
        self.memory.remember(replace(record, suspect_since=record.suspect_since or now))
        self.memory.save()
        return entry

    def _start_anew(self, entry: HistoryEntry) -> None:
        """Restarts the worker, with its candidate if there is one."""
        self.supervisor.kill(entry.worker_id)
        if self.supervisor.start(entry.worker_id) is None:
            self._close(entry, CaseOutcome(False, "the worker could not be started"))
            return
        # The time for verification begins now: ending the old process took a while.
        self.cases.record(machine.started(entry, self.clock()))

    def _keep_evidence(
        self, assessment: Assessment, seen: WorkerSnapshot, stack: str
    ) -> str | None:
        """Keeps what the attempt is based on; returns the file's name.

        None, with a log message, when it cannot be written.
        """
        try:
            return self.evidence.keep(assessment, seen, stack)
        except UNWRITABLE as error:
            self.action_log.once("evidence", str(error))
            return None
