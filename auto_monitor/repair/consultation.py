"""Asking an LLM why a worker hangs.

The evidence is sent, and the answer is used when it is there.
"""

from dataclasses import dataclass
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide.diagnosis import Facts
from auto_monitor.model import (
    Assessment,
    HistoryEntry,
    Opinion,
    WorkerSnapshot,
    age,
)
from auto_monitor.ports import Diagnoser
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory
from auto_monitor.repair import case as machine
from auto_monitor.repair.remedy import Remedies


@dataclass(frozen=True, slots=True)
class Consultation:
    """Exists only if there is a diagnoser to ask."""

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    remedies: Remedies
    diagnoser: Diagnoser

    def awaits(
        self, assessment: Assessment, seen: WorkerSnapshot, now: datetime
    ) -> bool:
        """Whether a question about a worker that hangs or crashed is still open.

        While another worker tries a code fix, which may help here too, none is asked.
        """
        if not assessment.is_a_riddle:
            return False
        trial = self.cases.trial()
        if trial is not None and trial.worker_id != assessment.worker_id:
            return True
        return self.diagnoser.diagnose(self._facts(assessment, seen, now)).pending

    def applied(
        self,
        entry: HistoryEntry,
        assessment: Assessment,
        seen: WorkerSnapshot,
        now: datetime,
    ) -> HistoryEntry:
        """Returns the attempt with the consequence of the answer."""
        if not assessment.is_a_riddle:
            return entry
        answer = self.diagnoser.diagnose(self._facts(assessment, seen, now))
        self.over(entry.worker_id)
        return self.remedies.applied(entry, answer)

    def answered(self, entry: HistoryEntry, facts: Facts) -> HistoryEntry | None:
        """Returns a case with the consequence of its answer; None while it is pending."""
        answer = self.diagnoser.diagnose(facts)
        if answer.pending:
            return None
        self.over(facts.worker_id)
        return self.remedies.applied(entry, answer)

    def disk_is_the_cause(
        self, assessment: Assessment, seen: WorkerSnapshot, now: datetime
    ) -> Opinion:
        """Whether the saturated disk is the reason why this worker hangs."""
        return self.diagnoser.disk_is_the_cause(self._facts(assessment, seen, now))

    def over(self, worker_id: int) -> None:
        """Drops the answer: it was used, or the trouble has changed."""
        self.diagnoser.forget(worker_id)

    def _facts(
        self, assessment: Assessment, seen: WorkerSnapshot, now: datetime
    ) -> Facts:
        """Gathers what is known about a worker that hangs or crashed.

        Its stack is taken once, for the question.
        """
        number = assessment.worker_id
        stack = seen.crash
        if not seen.crash and not self.diagnoser.asked(number):
            stack = self.supervisor.stack(number)
        script = self.remedies.code_fixes.script.path.stem
        mark = machine.fingerprint(assessment, seen, stack, script)
        entries = self.cases.entries()
        own = [entry for entry in entries if entry.worker_id == number]
        return Facts(
            worker_id=number,
            reason=assessment.what or assessment.reason,
            minutes_stuck=machine.minutes(assessment, now),
            phase=machine.phase_of(seen),
            in_hand=str(seen.in_flight),
            stack="" if seen.crash else stack,
            disk_utilization=self.memory.state.disk_utilization,
            earlier=machine.tried(
                entries, own, mark, self.cases.standing(number).attempts
            ),
            causes=machine.causes(
                entry
                for entry in entries
                if entry.fingerprint == mark or entry.worker_id == number
            ),
            mark=mark,
            error=seen.last_words,
            crash=seen.crash,
            beat_age=age(seen.beat_seen_at, now).total_seconds(),
            progress_age=age(seen.progress_seen_at, now).total_seconds(),
        )
