"""Attempts on workers: begun, recorded before and after, closed. What follows from what
is in `case`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide import healing, recurrence
from auto_monitor.decide.diagnosis import Answer
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import (
    Case,
    Health,
    HistoryEntry,
    InFlight,
    Trigger,
    Verdict,
    WorkerSnapshot,
)
from auto_monitor.ports import Alerts, Clock, Evidence, Ledger
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.cases import Cases
from auto_monitor.record.memory import Memory
from auto_monitor.repair import case as machine
from auto_monitor.repair.case import GoOn, Outcome
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.consultation import Consultation, minutes, phase_of
from auto_monitor.repair.remedy import Remedies
from common.files.json_files import UNWRITABLE
from migration.ledger import totals
from migration.model import Phase


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one state directory. `clock` is the steady clock of decisions,
    `wall` the one people read."""

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    consultation: Consultation
    remedies: Remedies
    code_fixes: CodeFixes
    ledger: Ledger
    evidence: Evidence
    action_log: ActionLog
    alerts: Alerts
    clock: Clock
    wall: Clock

    # -- what healing asks for --------------------------------------------------------

    def restart(self, verdict: Verdict, seen: WorkerSnapshot, now: datetime) -> None:
        """Recorded, stack taken, process ended and started anew; while an answer is
        awaited, only said."""
        number = verdict.worker_id
        answer = (
            None
            if self.action_log.dry_run
            else self.consultation.advice(verdict, seen, now)
        )
        if answer is not None and answer.pending:
            self.action_log.once(
                f"asking {number}",
                f"Worker {number} is {verdict.health.value} ({verdict.reason}); the "
                "LLM is asked why",
                "asked",
            )
            return
        self.action_log.forget(f"asking {number}")
        if not self.action_log.act(
            f"Restarting worker {number}: {verdict.reason}; in hand: {seen.in_flight}"
        ):
            return
        entry = self._opened(verdict, seen, now, answer)
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
        self.memory.remember(
            replace(self.memory.record(number), paused=True, suspect_since=None)
        )
        self.memory.save()
        self.supervisor.kill(number)
        self.alerts.tell(
            f"Worker {number} is PAUSED: {reason}. The others go on without it. When "
            "the cause is mended: "
            f"python auto_monitor/monitor.py --resume {number}"
        )

    # -- a new monitor ----------------------------------------------------------------

    def count(self) -> None:
        """The counts of attempts as the newest entries prove them: the state may have
        been saved before."""
        newest = {entry.worker_id: entry for entry in self.cases.entries()}
        newest |= {entry.worker_id: entry for entry in self.cases.open_entries()}
        for record in self.memory.records():
            self.memory.remember(machine.counted(record, newest.get(record.worker_id)))

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
            self.cases.record(machine.closed(entry, Outcome(False, why)))
        elif move is GoOn.CLOSE:
            self._close(entry, Outcome(False, why))
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
        verdicts: Mapping[int, Verdict],
        now: datetime,
        policy: HealingPolicy,
    ) -> None:
        """Have the attempts that are under way helped?"""
        for entry in self.cases.open_entries():
            number, case = entry.worker_id, entry.case
            if case is None or number not in snapshots:
                continue
            signs = self._signs(
                entry, case, snapshots[number], verdicts[number], now, policy
            )
            outcome = machine.after_look(entry, signs, now, policy)
            if outcome is not None and outcome.propose:
                self.remedies.propose(entry, case)
            if outcome is not None:
                self._close(entry, outcome)

    def conclude(self, number: int, verified: bool | None, reason: str) -> None:
        """Closes the attempt on this worker, if there is one, for a reason that is not
        its own."""
        entry = self.cases.of(number)
        if entry is not None:
            self._close(entry, Outcome(verified, reason))

    def _signs(
        self,
        entry: HistoryEntry,
        case: Case,
        seen: WorkerSnapshot,
        verdict: Verdict,
        now: datetime,
        policy: HealingPolicy,
    ) -> Signs:
        settled = self._settled(case.in_flight, seen)
        if entry.trigger == Trigger.ALL_FAILING and case.candidate is None:
            settled = seen.settled and seen.all_failing_since is None
        return Signs(
            settled=settled,
            moving=healing.moving(seen, case.acted_at, now, policy),
            waiting=seen.phase is Phase.WAITING,
            health=verdict.health,
            away=verdict.away,
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
        except totals.UNREADABLE:
            return False

    def _close(self, entry: HistoryEntry, outcome: Outcome) -> None:
        """In the history first, then in the state, and for those that waited for the
        verdict."""
        if self.action_log.dry_run:
            return
        number, candidate = (
            entry.worker_id,
            entry.case.candidate if entry.case is not None else None,
        )
        if candidate is not None and outcome.verified:
            self.cases.record(machine.promoting(entry))
            outcome = replace(
                outcome,
                reason=f"{outcome.reason}; {self.code_fixes.promote(candidate)}",
            )
        back = candidate is not None and not outcome.verified
        if back and candidate is not None:
            # Ended before the verdict is written: a monitor that dies in between finds
            # no dropped candidate at work.
            self.action_log.done(
                f"Worker {number}: the candidate {candidate.name} is dropped"
            )
            self.supervisor.kill(number)
        self.cases.record(machine.closed(entry, outcome))
        said = {True: "verified", False: "not verified", None: "closed"}[
            outcome.verified
        ]
        self.action_log.done(
            f"Worker {number}: attempt {entry.attempt} is {said}: {outcome.reason}"
        )
        if number in self.memory.state.workers:
            self._forget(number, helped=outcome.verified is True)
        if candidate is not None:
            self.code_fixes.release()
        if back:
            self._back_to_the_script(number)

    def _forget(self, number: int, *, helped: bool) -> None:
        """A verified attempt resets the count; the others treat theirs when the first
        of them was helped."""
        record, correlated = self.memory.record(number), self.memory.state.correlated
        attempts = 0 if helped else record.attempts
        self.memory.remember(replace(record, attempts=attempts, suspect_since=None))
        if helped and correlated is not None and correlated.lead == number:
            self.action_log.info(
                "The restart of worker %d helped; the others are treated too",
                correlated.lead,
            )
            self.memory.change(correlated=replace(correlated, released=True))
        self.memory.save()

    def _back_to_the_script(self, number: int) -> None:
        record = self.memory.record(number)
        if record.wanted and not record.paused:
            self.supervisor.start(number)

    # -- an attempt begins ------------------------------------------------------------

    def _opened(
        self,
        verdict: Verdict,
        seen: WorkerSnapshot,
        now: datetime,
        answer: Answer | None,
    ) -> HistoryEntry:
        """From here on the attempt counts, even if the monitor dies in the next
        line."""
        record, trigger = self.memory.record(verdict.worker_id), trigger_of(verdict)
        stack = "" if trigger is Trigger.STOPPED else self.consultation.stack(record)
        entry = HistoryEntry(
            timestamp=self.wall().isoformat(),
            worker_id=record.worker_id,
            attempt=record.attempts + 1,
            trigger=trigger.value,
            minutes_stuck=minutes(verdict, now),
            status_before=phase_of(seen),
            root_cause=f"{verdict.health.value}: {verdict.what or verdict.reason}; "
            f"in hand: {seen.in_flight}",
            description="restart of the worker process",
            evidence=self._keep_evidence(verdict, seen, stack),
            fingerprint=recurrence.fingerprint(
                verdict, seen, stack, self.code_fixes.script.path.stem
            ),
            case=Case(now, seen.in_flight),
        )
        times = recurrence.occurrences(entry, self.cases.entries())
        entry = replace(entry, recurring=times >= 2, occurrences=times)
        if answer is not None:
            self.consultation.over(record.worker_id)
            entry = self.remedies.applied(entry, answer)
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
        self._count(entry, now)
        return entry

    def _count(self, entry: HistoryEntry, now: datetime) -> None:
        record = self.memory.record(entry.worker_id)
        suspect = record.suspect_since or now
        self.memory.remember(
            replace(
                record,
                attempts=entry.attempt,
                last_attempt_at=now,
                suspect_since=suspect,
            )
        )
        self.memory.save()

    def _start_anew(self, entry: HistoryEntry) -> None:
        """Ends the worker and starts it, on its candidate where there is one."""
        self.supervisor.kill(entry.worker_id)
        if self.supervisor.start(entry.worker_id) is None:
            self._close(entry, Outcome(False, "the worker could not be started"))
            return
        # What is to be verified begins now: ending the old process took its time.
        self.cases.record(machine.started(entry, self.clock()))

    def _keep_evidence(
        self, verdict: Verdict, seen: WorkerSnapshot, stack: str
    ) -> str | None:
        """What the attempt is based on: the file's name; None when it cannot be
        written, which is said."""
        try:
            return self.evidence.keep(verdict, seen, stack)
        except UNWRITABLE as error:
            self.action_log.once("evidence", str(error))
            return None


def trigger_of(verdict: Verdict) -> Trigger:
    """Why something is to be done about this worker."""
    if verdict.health is not Health.STUCK:
        return Trigger.STOPPED
    return Trigger.ALL_FAILING if verdict.all_failing else Trigger.STUCK
