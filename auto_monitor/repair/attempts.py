"""One attempt on one worker: begun, recorded before and after, verified or not, and the end of all attempts."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from auto_monitor import config
from auto_monitor.act.alerts import Alerts
from auto_monitor.act.supervisor import Staff
from auto_monitor.decide import healing
from auto_monitor.decide.diagnosis import Answer, Facts, FixType
from auto_monitor.model import (
    CodeCase,
    CodeChanges,
    FixCase,
    Health,
    HistoryEntry,
    HungOn,
    Stage,
    Trigger,
    Verdict,
    WorkerRecord,
    WorkerSnapshot,
    age,
)
from auto_monitor.record import evidence
from auto_monitor.record.action_log import Journal
from auto_monitor.record.history import History
from auto_monitor.record.memory import Memory
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.ports import Adviser
from common.clock import utc_now
from common.files import UNWRITABLE
from common.sanitize import sanitize_text
from migration.ledger import totals
from migration.model import Phase


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one state directory; `ledger` is asked what has become of the work."""

    staff: Staff
    memory: Memory
    history: History
    journal: Journal
    alerts: Alerts
    clock: Callable[[], datetime]
    state_dir: Path
    ledger: Path
    code_fixes: CodeFixes
    adviser: Adviser | None = None

    def restart(self, verdict: Verdict, seen: WorkerSnapshot, now: datetime) -> None:
        """Recorded, stack taken, process ended and started anew, case opened."""
        number = verdict.worker_id
        answer = self.advice(verdict, seen, now)
        if answer is not None and answer.pending:
            self.journal.once(
                f"asking {number}",
                f"Worker {number} is {verdict.health.value} ({verdict.reason}); the LLM is asked why",
                "asked",
            )
            return
        self.journal.forget(f"asking {number}")
        if not self.journal.act(f"Restarting worker {number}: {verdict.reason}; in hand: {seen.hung_on}"):
            return
        entry = self._open(verdict, seen, now, answer)
        if answer is not None and entry.fix_type == FixType.CODE_FIX and answer.candidate is not None:
            self.code_fixes.begin(number, entry.key, answer.candidate, seen.hung_on, fruitless=verdict.fruitless)
        self.staff.kill(number)
        if self.staff.start(number) is None:
            self.conclude(self.memory.record(number), False, "the worker could not be started")
            return
        self._write_down(replace(entry, applied=True), utc_now())
        begun = self.memory.record(number)
        if begun.case is not None:
            # What is to be verified begins now: ending the old process took its time.
            self.memory.remember(replace(begun, case=replace(begun.case, acted_at=self.clock())))

    def begin(self) -> None:
        """A history where there is none, so that whoever reads it always can."""
        try:
            self.history.begin(utc_now())
        except UNWRITABLE as error:
            self.journal.once("history", str(error))

    def _write_down(self, entry: HistoryEntry, now: datetime) -> None:
        """Records an attempt; that it cannot be recorded is said, and is no reason to leave a worker as it is."""
        try:
            self.history.record(entry, now)
        except UNWRITABLE as error:
            self.journal.once("history", str(error))
        else:
            self.journal.forget("history")

    def _keep_evidence(self, verdict: Verdict, seen: WorkerSnapshot, stack: str) -> str | None:
        """What the attempt is based on: the file's name; None when it cannot be written, which is said."""
        try:
            return evidence.keep(self.state_dir, verdict, seen, stack)
        except UNWRITABLE as error:
            self.journal.once("evidence", str(error))
            return None

    def resume(self, number: int, reason: str) -> None:
        """Starts a worker again that only waited for something; no attempt, and the time of an open one begins anew."""
        if not self.journal.act(f"Starting worker {number}: {reason}") or self.staff.start(number) is None:
            return
        begun = self.memory.record(number)
        if begun.case is not None:
            self.memory.remember(replace(begun, case=replace(begun.case, acted_at=self.clock())))

    def take_up(self) -> None:
        """What a monitor that died left half done: attempts nobody remembers, a candidate that was never started."""
        self._close_unbegun()
        known = {record.case.entry for record in self.memory.records() if record.case is not None}
        for entry in self.history.entries():
            if entry.verified is None and not entry.reason and entry.key not in known:
                left = replace(entry, verified=False, reason="the monitor ended before anything was done")
                self._write_down(left, utc_now())
        code = self.memory.state.code_case
        record = self.memory.record(code.worker_id) if code is not None else None
        if code is None or record is None or record.case is None:
            self.code_fixes.forget()
            return
        if code.stage is Stage.TRYING and not self.staff.runs(record.worker_id, code.candidate.name):
            self.journal.done(f"Worker {record.worker_id}: its candidate was not started yet; it is now")
            self.staff.kill(record.worker_id)
            self.staff.start(record.worker_id)
            self.memory.remember(
                replace(self.memory.record(record.worker_id), case=replace(record.case, acted_at=self.clock()))
            )
            self._rewrite(record.case.entry, lambda entry: replace(entry, applied=True))

    def advice(self, verdict: Verdict, seen: WorkerSnapshot, now: datetime) -> Answer | None:
        """What the LLM says about a worker that hangs or crashed; None when nobody is asked."""
        if self.adviser is None or self.journal.dry_run or not verdict.is_a_riddle:
            return None
        return self.adviser.diagnose(self.facts(verdict, seen, now))

    def facts(self, verdict: Verdict, seen: WorkerSnapshot, now: datetime) -> Facts:
        """What is known about a worker that hangs or crashed. Its stack is taken once, for the question."""
        record = self.memory.record(verdict.worker_id)
        asked = self.adviser is not None and self.adviser.asked(record.worker_id)
        stack = "" if asked else self._stack(record)
        tried = [entry for entry in self.history.entries() if entry.worker_id == record.worker_id]
        earlier = (
            [f"{entry.fix_type}: {entry.reason}" for entry in tried[-record.attempts :]] if record.attempts else []
        )
        return Facts(
            record.worker_id, verdict.reason.split(" for ")[0], minutes(verdict, now),
            seen.phase.value if seen.phase else "unknown", str(seen.hung_on), stack,
            self.memory.state.disk_utilization, earlier, Counter(entry.root_cause for entry in tried),
        )  # fmt: skip

    def _stack(self, record: WorkerRecord) -> str:
        return self.staff.workers.take_stack(record.identity, record.worker_id, config.STACK_SECONDS)

    def _open(self, verdict: Verdict, seen: WorkerSnapshot, now: datetime, answer: Answer | None) -> HistoryEntry:
        """From here on the attempt counts, even if the monitor dies in the next line."""
        record = self.memory.record(verdict.worker_id)
        trigger = trigger_of(verdict)
        stack = "" if trigger is Trigger.STOPPED else self._stack(record)
        cause = f"{verdict.health.value}: {verdict.reason.split(' for ')[0]}; in hand: {seen.hung_on}"
        plain = HistoryEntry(
            timestamp=utc_now().isoformat(),
            worker_id=record.worker_id,
            attempt=record.attempts + 1,
            trigger=trigger.value,
            minutes_stuck=minutes(verdict, now),
            status_before=seen.phase.value if seen.phase else "unknown",
            root_cause=cause,
            description="restart of the worker process",
            evidence=self._keep_evidence(verdict, seen, stack),
        )
        entry = plain if answer is None else self._with_diagnosis(plain, answer)
        occurrences = 1 + sum(other.root_cause == entry.root_cause for other in self.history.entries())
        entry = replace(entry, recurring=occurrences >= 2, occurrences=occurrences)
        self._write_down(entry, utc_now())
        case = FixCase(record.worker_id, trigger, entry.attempt, now, seen.hung_on, entry.key)
        suspect = record.suspect_since or now
        record = self.memory.record(record.worker_id)
        self.memory.remember(
            replace(record, attempts=entry.attempt, last_attempt_at=now, case=case, suspect_since=suspect)
        )
        self.memory.save()
        return entry

    def _with_diagnosis(self, entry: HistoryEntry, answer: Answer) -> HistoryEntry:
        """The entry with what the LLM said, its settings given to the worker; a failure leaves the plain restart."""
        number, found = entry.worker_id, answer.diagnosis
        if self.adviser is not None:
            self.adviser.forget(number)
        entry = replace(entry, llm_used=True, model=answer.model or None, tokens=answer.tokens or None)
        if found is None:
            self.journal.warning("Worker %d: the LLM did not help (%s); it is restarted", number, answer.failure)
            return replace(entry, validation=f"the LLM did not help: {answer.failure}")
        self.journal.info(
            "Worker %d: the LLM says: %s; fix: %s (confidence %.2f): %s",
            number, found.root_cause, found.fix_type.value, found.confidence, found.description,
        )  # fmt: skip
        entry = replace(
            entry, root_cause=found.root_cause, confidence=found.confidence, description=found.description,
        )  # fmt: skip
        match found.fix_type:
            case FixType.CONFIG_FIX:
                return self._configure(entry, found.config_changes)
            case FixType.CODE_FIX:
                return self._try_or_propose(entry, answer)
        return entry

    def _configure(self, entry: HistoryEntry, changes: Mapping[str, int]) -> HistoryEntry:
        """Settings of its own for the worker, from its next start on, kept across restarts."""
        record = self.memory.record(entry.worker_id)
        self.memory.remember(
            replace(
                record,
                parallel_uploads=changes.get("parallel_uploads", record.parallel_uploads),
                batch_size=changes.get("batch_size", record.batch_size),
            )
        )
        self.journal.done(f"Worker {entry.worker_id} gets {dict(changes)} from its next start on")
        return replace(entry, fix_type=FixType.CONFIG_FIX.value, config_changes={**changes})

    def _try_or_propose(self, entry: HistoryEntry, answer: Answer) -> HistoryEntry:
        """A candidate is tried on this worker when that is possible now; else the change is kept for a person."""
        candidate, code = answer.candidate, answer.diagnosis.code if answer.diagnosis else ""
        if candidate is None:
            return self._propose(entry, sanitize_text(code, multiline=True), answer.failure)
        objection = self.code_fixes.objection(candidate)
        if objection:
            return self._propose(entry, candidate.diff, f"proposed only: {objection}")
        self.journal.info("Worker %d: the change of the code:", entry.worker_id)
        for line in candidate.diff.splitlines():
            self.journal.info("  %s", line)
        changes = CodeChanges(preview(candidate.diff), candidate.diff)
        return replace(
            entry, fix_type=FixType.CODE_FIX.value, code_changes=changes, backup=candidate.backup,
            validation=candidate.validation,
        )  # fmt: skip

    def _propose(self, entry: HistoryEntry, code: str, reason: str) -> HistoryEntry:
        """A change of the code is kept for a person; the worker is restarted as it is."""
        name = evidence.propose(self.state_dir, entry.worker_id, entry.root_cause, code)
        self.journal.info(
            "Worker %d: a change of the code is kept in auto_monitor/proposals/%s, not applied (%s): %s",
            entry.worker_id, name, reason, code,
        )  # fmt: skip
        return replace(
            entry, code_changes=CodeChanges(preview(code), code),
            validation=f"{reason}; kept in auto_monitor/proposals/{name}",
        )  # fmt: skip

    def pause(self, number: int, reason: str) -> None:
        """Gives up on a worker: it is stopped, so that others can take its range over, and a person is told."""
        if not self.journal.act(f"Pausing worker {number}: {reason}"):
            return
        self.memory.remember(replace(self.memory.record(number), paused=True, suspect_since=None))
        self.memory.save()
        self.staff.kill(number)
        self.alerts.tell(
            f"Worker {number} is PAUSED: {reason}. The others go on without it. When the cause is mended: "
            f"python auto_monitor/monitor.py --resume {number}"
        )

    def verify(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        verdicts: Mapping[int, Verdict],
        now: datetime,
        policy: healing.HealingPolicy,
    ) -> None:
        """Have the attempts that are under way helped?"""
        for record in self.memory.records():
            if record.case is None or record.worker_id not in snapshots:
                continue
            seen, health = snapshots[record.worker_id], verdicts[record.worker_id].health
            settled = self._settled(record.case.hung_on, seen)
            code = self.code_fixes.of(record.worker_id)
            if record.case.trigger is Trigger.FRUITLESS and code is None:
                settled = seen.settled and seen.fruitless_since is None
            if code is not None and self._judge_code(record, code, settled, health, now, policy):
                continue
            signs = healing.Signs(
                settled, healing.moving(seen, record.case.acted_at, now, policy), seen.phase is Phase.WAITING, health,
                verdicts[record.worker_id].away,
            )  # fmt: skip
            verified = healing.verify(record.case, signs, now, policy)
            if verified is not None:
                end = "the worker has done its part" if health is Health.FINISHED else (
                    f"{record.case.hung_on} is {'' if settled else 'not '}settled, the worker is {health.value}"
                )  # fmt: skip
                self.conclude(record, verified, end)

    def _judge_code(
        self,
        record: WorkerRecord,
        code: CodeCase,
        settled: bool,
        health: Health,
        now: datetime,
        policy: healing.HealingPolicy,
    ) -> bool:
        """What only a code fix can come to: it was being promoted, it skips books, or nobody can tell any more."""
        if code.stage is Stage.PROMOTING:
            self.conclude(record, True, "it was being put in place when the monitor ended")
            return True
        acted_at = record.case.acted_at if record.case else now
        due = health is Health.FINISHED or age(acted_at, now) >= policy.verification
        if settled and due and not self.code_fixes.carried(code):
            self.conclude(record, False, f"{code.hung_on} is settled, but did not arrive")
            return True
        if health is Health.FINISHED:
            self._propose_after_all(code)
            self.conclude(record, None, "inconclusive: the worker has done its part meanwhile")
            return True
        return False

    def _settled(self, hung: HungOn, seen: WorkerSnapshot) -> bool:
        """Has what the worker hung on its outcome? When it hung at its start: has it got beyond?"""
        if hung.pass_id is None or not (hung.files or hung.range):
            return seen.hung_on.range is not None
        try:
            return totals.settled(self.ledger, hung.pass_id, hung.files, hung.range[0] if hung.range else None)
        except totals.UNREADABLE:
            return False

    def conclude(self, record: WorkerRecord, verified: bool | None, reason: str) -> None:
        """Closes an attempt: in the history, in the state, and for those that waited for its verdict."""
        case = record.case
        if case is None or self.journal.dry_run:
            return
        code = self.code_fixes.of(record.worker_id)
        if code is not None and verified:
            reason = f"{reason}; {self.code_fixes.promote(code)}"
        back = code is not None and not verified
        self._rewrite(case.entry, lambda entry: replace(entry, verified=verified, reason=reason, rolled_back=back))
        said = {True: "verified", False: "not verified", None: "closed"}[verified]
        self.journal.done(f"Worker {record.worker_id}: attempt {case.attempt} is {said}: {reason}")
        attempts = 0 if verified else record.attempts
        self.memory.remember(replace(record, case=None, attempts=attempts, suspect_since=None))
        if back and code is not None:
            self.code_fixes.drop(code)
        mass = self.memory.state.mass
        if verified and mass is not None and mass.lead == record.worker_id:
            self.journal.info("The restart of worker %d helped; the others are treated too", mass.lead)
            self.memory.change(mass=replace(mass, released=True))

    def _propose_after_all(self, code: CodeCase) -> None:
        """What could not be judged is left to a person."""
        name = evidence.propose(self.state_dir, code.worker_id, "inconclusive", code.candidate.diff)
        self.journal.info("Worker %d: its code fix is kept in auto_monitor/proposals/%s", code.worker_id, name)

    def _close_unbegun(self) -> None:
        """Code fixes of which nothing but the record was made: there is nothing to be verified."""
        recorded = {
            entry.key
            for entry in self.history.entries()
            if entry.fix_type == FixType.CODE_FIX.value and not entry.applied
        }
        for record in self.memory.records():
            if record.case is None or record.case.entry not in recorded or self.code_fixes.of(record.worker_id):
                continue
            self.conclude(record, False, "the monitor ended before the candidate was started")

    def _rewrite(self, key: str, change: Callable[[HistoryEntry], HistoryEntry]) -> None:
        entry = next((entry for entry in reversed(self.history.entries()) if entry.key == key), None)
        if entry is not None:
            self._write_down(change(entry), utc_now())


def trigger_of(verdict: Verdict) -> Trigger:
    """Why something is to be done about this worker."""
    if verdict.health is not Health.STUCK:
        return Trigger.STOPPED
    return Trigger.FRUITLESS if verdict.fruitless else Trigger.STUCK


def preview(code: str) -> str:
    """The first lines of a change."""
    return "\n".join(code.splitlines()[:10])


def minutes(verdict: Verdict, now: datetime) -> float:
    """For how long, in minutes."""
    return round(age(verdict.since, now).total_seconds() / 60, 1)
