"""Attempts on workers: begun, recorded before and after, closed. What follows from what
is in `case`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide import healing
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import (
    Afterwards,
    Assessment,
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
from auto_monitor.repair.case import Conclusion, GoOn
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.consultation import Consultation
from auto_monitor.repair.remedy import Remedies


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one state directory. `clock` is the steady clock of decisions,
    `wall` the one people read."""

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    consultation: Consultation | None
    remedies: Remedies
    code_fixes: CodeFixes
    ledger: LedgerReader
    evidence: EvidenceStore
    action_log: ActionLog
    alerts: Alerts
    clock: Clock
    wall: Clock

    # -- what healing asks for --------------------------------------------------------

    def restart(
        self,
        assessment: Assessment,
        seen: WorkerSnapshot,
        now: datetime,
        *,
        correlated: bool,
    ) -> None:
        """Recorded, stack taken, process ended and started anew; while an answer is
        awaited, only said.

        `correlated`: it is treated for others that hang as well."""
        number = assessment.worker_id
        asked = None if self.action_log.dry_run else self.consultation
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

    def resume(self, number: int, reason: str) -> None:
        """Starts a worker again that only waited for something; no attempt, and the
        time of an open one begins anew."""
        if (
            not self.action_log.act(f"Starting worker {number}: {reason}")
            or self.supervisor.start(number) is None
        ):
            return
        entry = self.cases.of(number)
        if entry is not None:
            self.cases.record(machine.resumed(entry, self.clock()))

    def pause(self, number: int, reason: str) -> None:
        """Gives up on a worker: it is stopped, so that others can take its range over,
        and a person is told."""
        if not self.action_log.act(f"Pausing worker {number}: {reason}"):
            return
        self.supervisor.kill(number)
        self.alerts.tell(
            f"Worker {number} is PAUSED: {reason}. The others go on without it. When "
            "the cause is mended: "
            f"python auto_monitor/monitor.py --resume {number}"
        )
        # Last: a monitor that dies before this line finds attempts that are used up,
        # and does it again.
        self.cases.note(number, Afterwards.PAUSED)
        self.memory.remember(replace(self.memory.record(number), suspect_since=None))
        self.memory.save()

    def let_go(self, number: int, reason: str) -> None:
        """The worker counts no more: its open attempt is closed, and none of its
        attempts is held against it later."""
        self.memory.remember(WorkerRecord(number, wanted=False))
        self.conclude(number, None, reason)
        self.cases.note(number, Afterwards.RELEASED)

    # -- a new monitor -----------------------------------------------------------------

    def take_up(self, pass_id: int | None) -> None:
        """What a monitor that died left half done: each attempt goes on from what its
        entry says."""
        for entry in self.cases.entries():
            if entry.verified is None and not entry.reason:
                self._take_up(self.cases.of(entry.worker_id), entry, pass_id)
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
            self.cases.record(machine.closed(entry, Conclusion(False, why)))
        elif move is GoOn.CLOSE:
            self._close(entry, Conclusion(False, why))
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
    ) -> None:
        """Have the attempts that are under way helped?"""
        for entry in self.cases.open_entries():
            number, case = entry.worker_id, entry.case
            if case is None or number not in snapshots:
                continue
            signs = self._signs(
                entry, case, snapshots[number], assessments[number], now, policy
            )
            conclusion = machine.after_look(entry, signs, now, policy)
            if conclusion is not None and conclusion.propose:
                self.remedies.propose(entry, case)
            if conclusion is not None:
                self._close(entry, conclusion)

    def conclude(self, number: int, verified: bool | None, reason: str) -> None:
        """Closes the attempt on this worker, if there is one, for a reason that is not
        its own."""
        entry = self.cases.of(number)
        if entry is not None:
            self._close(entry, Conclusion(verified, reason))

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
        if entry.trigger == Trigger.ALL_FAILING and case.candidate is None:
            settled = seen.settled and seen.all_failing_since is None
        return Signs(
            settled=settled,
            moving=healing.moving(seen, case.acted_at, now, policy),
            waiting=seen.waits,
            health=assessment.health,
            away=assessment.away,
            arrived=case.candidate is None or self.code_fixes.arrived(entry, case),
        )

    def _settled(self, in_flight: InFlight, seen: WorkerSnapshot) -> bool:
        """Has what the worker hung on its outcome? When it hung at its start: has it
        got beyond?"""
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

    def _close(self, entry: HistoryEntry, conclusion: Conclusion) -> None:
        """In the history first: what it says is the verdict, for the worker and for
        those that wait for it."""
        if self.action_log.dry_run:
            return
        number, candidate = (
            entry.worker_id,
            entry.case.candidate if entry.case is not None else None,
        )
        if candidate is not None and conclusion.verified:
            self.cases.record(machine.promoting(entry))
            conclusion = replace(
                conclusion,
                reason=f"{conclusion.reason}; {self.code_fixes.promote(candidate)}",
            )
        back = candidate is not None and not conclusion.verified
        if back and candidate is not None:
            # Ended before the verdict is written: a monitor that dies in between finds
            # no dropped candidate at work.
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
        if back:
            self._back_to_the_script(number)

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
        """From here on the attempt counts, even if the monitor dies in the next
        line."""
        record = self.memory.record(assessment.worker_id)
        gone = machine.trigger_of(assessment) is Trigger.STOPPED
        stack = "" if gone else self.supervisor.stack(record.worker_id)
        attempt = self.cases.standing(record.worker_id).attempts + 1
        entry = machine.opened(
            assessment,
            seen,
            now,
            self.wall().isoformat(),
            attempt,
            correlated=correlated,
        )
        script = self.code_fixes.script.path.stem
        mark = machine.fingerprint(assessment, seen, stack, script)
        entry = machine.recognised(entry, mark, self.cases.entries())
        entry = replace(entry, evidence=self._keep_evidence(assessment, seen, stack))
        if self.consultation is not None:
            entry = self.consultation.applied(entry, assessment, seen, now)
        if (
            not self.cases.record(entry)
            and entry.case is not None
            and entry.case.candidate is not None
        ):
            # A monitor that ends in mid-trial must find what it was doing.
            entry = self.remedies.only_proposed(
                entry, entry.case, "auto_fix_history.json cannot be written"
            )
            self.cases.record(entry)
        self.memory.remember(replace(record, suspect_since=record.suspect_since or now))
        self.memory.save()
        return entry

    def _start_anew(self, entry: HistoryEntry) -> None:
        """Ends the worker and starts it, on its candidate where there is one."""
        self.supervisor.kill(entry.worker_id)
        if self.supervisor.start(entry.worker_id) is None:
            self._close(entry, Conclusion(False, "the worker could not be started"))
            return
        # What is to be verified begins now: ending the old process took its time.
        self.cases.record(machine.started(entry, self.clock()))

    def _keep_evidence(
        self, assessment: Assessment, seen: WorkerSnapshot, stack: str
    ) -> str | None:
        """What the attempt is based on: the file's name; None when it cannot be
        written, which is said."""
        try:
            return self.evidence.keep(assessment, seen, stack)
        except UNWRITABLE as error:
            self.action_log.once("evidence", str(error))
            return None
