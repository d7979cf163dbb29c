"""Asking why a worker hangs: what is known goes to whoever is asked, and the answer
comes when it is there."""

from dataclasses import dataclass
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide import recurrence
from auto_monitor.decide.diagnosis import Answer, Facts
from auto_monitor.model import Verdict, WorkerRecord, WorkerSnapshot, age
from auto_monitor.ports import Diagnoser
from auto_monitor.record.cases import Cases
from auto_monitor.record.memory import Memory


@dataclass(frozen=True, slots=True)
class Consultation:
    """`diagnoser` is None when nobody is asked; `stack_seconds` is how long a worker
    gets to tell its stack."""

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    stack_seconds: float
    diagnoser: Diagnoser | None = None

    def advice(
        self, verdict: Verdict, seen: WorkerSnapshot, now: datetime
    ) -> Answer | None:
        """What is said about a worker that hangs or crashed; None when nobody is
        asked."""
        if self.diagnoser is None or not verdict.is_a_riddle:
            return None
        return self.diagnoser.diagnose(self.facts(verdict, seen, now))

    def facts(self, verdict: Verdict, seen: WorkerSnapshot, now: datetime) -> Facts:
        """What is known about a worker that hangs or crashed. Its stack is taken once,
        for the question."""
        record = self.memory.record(verdict.worker_id)
        asked = self.diagnoser is not None and self.diagnoser.asked(record.worker_id)
        tried = [
            entry
            for entry in self.cases.entries()
            if entry.worker_id == record.worker_id
        ]
        last = tried[-record.attempts :] if record.attempts else []
        return Facts(
            worker_id=record.worker_id,
            reason=verdict.what or verdict.reason,
            minutes_stuck=minutes(verdict, now),
            phase=phase_of(seen),
            in_hand=str(seen.in_flight),
            stack="" if asked else self.stack(record),
            disk_utilization=self.memory.state.disk_utilization,
            earlier=[f"{entry.fix_type}: {entry.reason}" for entry in last],
            causes=recurrence.causes(tried),
        )

    def stack(self, record: WorkerRecord) -> str:
        """Where the worker is now; "" when it does not say."""
        return self.supervisor.workers.take_stack(
            record.identity, record.worker_id, self.stack_seconds
        )

    def over(self, worker_id: int) -> None:
        """The answer was used, or the trouble is another one now."""
        if self.diagnoser is not None:
            self.diagnoser.forget(worker_id)


def phase_of(seen: WorkerSnapshot) -> str:
    """The phase in a word."""
    return seen.phase.value if seen.phase else "unknown"


def minutes(verdict: Verdict, now: datetime) -> float:
    """For how long, in minutes."""
    return round(age(verdict.since, now).total_seconds() / 60, 1)
