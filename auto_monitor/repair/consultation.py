"""Asking an LLM why a worker hangs.

The evidence is sent, and the answer is used when it is there.
"""

from dataclasses import dataclass
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide.diagnosis import Facts
from auto_monitor.model import Assessment, HistoryEntry, Opinion, WorkerSnapshot
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
        """Whether a question about a worker that hangs or crashed is still open."""
        if not assessment.is_a_riddle:
            return False
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
        asked = self.diagnoser.asked(number)
        tried = [e for e in self.cases.entries() if e.worker_id == number]
        attempts = self.cases.standing(number).attempts
        last = tried[-attempts:] if attempts else []
        return Facts(
            worker_id=number,
            reason=assessment.what or assessment.reason,
            minutes_stuck=machine.minutes(assessment, now),
            phase=machine.phase_of(seen),
            in_hand=str(seen.in_flight),
            stack="" if asked else self.supervisor.stack(number),
            disk_utilization=self.memory.state.disk_utilization,
            earlier=[f"{entry.fix_type}: {entry.reason}" for entry in last],
            causes=machine.causes(tried),
        )
