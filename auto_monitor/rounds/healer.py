"""The part of a round that treats workers: at most one treatment for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from auto_monitor.decide import healing
from auto_monitor.decide.detection import DetectionPolicy, is_all_failing
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.model import (
    CorrelatedFailure,
    Step,
    Treatment,
    Verdict,
    WorkerSnapshot,
)
from auto_monitor.ports import DiskProbe, ServerProbe
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts

#: What is waited for is said so often; a little less than the minute that may lie
#: between two looks.
SAID_AGAIN = timedelta(seconds=50)


@dataclass(frozen=True, slots=True)
class Healer:
    """Treats workers. `server` and `disk` are asked before one is blamed; `server_url`
    names the server in messages."""

    attempts: Attempts
    memory: Memory
    action_log: ActionLog
    server: ServerProbe
    disk: DiskProbe
    policy: HealingPolicy
    server_url: str
    probe_seconds: float

    def excuse(
        self,
        snapshots: dict[int, WorkerSnapshot],
        now: datetime,
        policy: DetectionPolicy,
    ) -> dict[int, WorkerSnapshot]:
        """Who meets only failures of the server is excused while the server is really
        away."""
        asked = any(is_all_failing(seen, now, policy) for seen in snapshots.values())
        if not asked or (self.server.answers_now(now) and self.server.has_settled(now)):
            return snapshots
        return {
            number: replace(seen, all_failing_since=None)
            for number, seen in snapshots.items()
        }

    def heal(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        verdicts: Mapping[int, Verdict],
        now: datetime,
    ) -> None:
        """Decides about all of them together, then does it one by one."""
        records, cases = self.memory.state.workers, self.attempts.cases.by_worker()
        steps = [
            healing.treat(verdict, records[number], cases.get(number), now, self.policy)
            for number, verdict in verdicts.items()
        ]
        correlated = self._correlated(verdicts, now)
        around = healing.Surroundings()
        if any(
            step.treatment in (Treatment.RESTART, Treatment.RESUME) for step in steps
        ):
            around = self._surroundings(now)
        steps = [
            healing.hold_back(
                step,
                verdicts[step.worker_id],
                snapshots[step.worker_id].exit_code,
                correlated,
                around,
            )
            for step in steps
        ]
        self._say_who_waits(
            [step.worker_id for step in steps if step.treatment is Treatment.WAIT], now
        )
        for step in steps:
            self._carry_out(
                step, verdicts[step.worker_id], snapshots[step.worker_id], now
            )

    def _correlated(
        self, verdicts: Mapping[int, Verdict], now: datetime
    ) -> CorrelatedFailure | None:
        """Do half of the workers or more hang together? Remembered until none of them
        does."""
        records, before = self.memory.state.workers, self.memory.state.correlated
        cases = self.attempts.cases.by_worker()
        suspected = healing.suspects(
            list(verdicts.values()), records, cases, now, self.policy
        )
        wanted = sum(not record.paused for record in self.memory.wanted())
        correlated = healing.gather(suspected, cases, wanted, before, now, self.policy)
        if correlated is not None and before is None:
            self.action_log.warning(
                "%d of %d workers hang together; worker %d is treated alone first",
                len(suspected),
                wanted,
                correlated.lead,
            )
        self.memory.change(correlated=correlated)
        return correlated

    def _surroundings(self, now: datetime) -> healing.Surroundings:
        """Do the server and the disk answer? Asked only before a worker is started
        again."""
        here = self.server.answers_now(now)
        disk_answers = self.disk.answers(self.probe_seconds)
        return healing.Surroundings(
            here and self.server.has_settled(now), disk_answers, here
        )

    def _say_who_waits(self, waiting: Sequence[int], now: datetime) -> None:
        """Says every minute why workers are not there that should be."""
        if not waiting:
            self.action_log.forget("waiting")
            return
        who = ", ".join(map(str, waiting))
        self.action_log.often(
            "waiting",
            f"Waiting for {self.server_url} ({self.server.trouble}); worker {who} "
            "starts as soon as it answers",
            now,
            SAID_AGAIN,
        )

    def _carry_out(
        self, step: Step, verdict: Verdict, seen: WorkerSnapshot, now: datetime
    ) -> None:
        key = f"hold {step.worker_id}"
        if step.treatment is Treatment.HOLD:
            self.action_log.once(
                key, f"Worker {step.worker_id} is left alone for now: {step.reason}"
            )
            return
        self.action_log.forget(key)
        if step.treatment is Treatment.RESTART:
            self.attempts.restart(verdict, seen, now)
        elif step.treatment is Treatment.RESUME:
            self.attempts.resume(step.worker_id, step.reason)
        elif step.treatment is Treatment.PAUSE:
            self.attempts.pause(step.worker_id, step.reason)
