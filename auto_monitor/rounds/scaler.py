"""The part of a round that changes the number of workers, by at most one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide import scaling
from auto_monitor.decide.ending import RUNNING
from auto_monitor.decide.scaling import Measured, ScalingPolicy
from auto_monitor.model import (
    Assessment,
    Health,
    Opinion,
    ScalingAction,
    ScalingDecision,
    WorkerSnapshot,
    age,
)
from auto_monitor.ports import DiskMeter
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts

#: How much earlier than necessary a measurement of the disk is started.
MEASURED_AHEAD = timedelta(seconds=2)


@dataclass(slots=True)
class Scaler:
    """Changes the number of workers.

    `every` is the interval between two decisions; `measuring` is how long iostat takes.
    """

    supervisor: Supervisor
    memory: Memory
    attempts: Attempts
    meter: DiskMeter
    action_log: ActionLog
    policy: ScalingPolicy
    every: timedelta
    measuring: timedelta
    last_at: datetime | None = None

    def scale(
        self,
        assessments: Mapping[int, Assessment],
        snapshots: Mapping[int, WorkerSnapshot],
        now: datetime,
    ) -> set[int]:
        """Decides and acts when it is time to; returns the ids it acted on."""
        if not self.is_due(now):
            return set()
        self.last_at = now
        utilization = self.meter.utilization()
        self._note_meter(self.meter.trouble)
        self.memory.change(disk_utilization=utilization)
        decision = self._decide(utilization, assessments, snapshots, now)
        self.action_log.once(
            "scaling",
            f"Scaling: {decision.action.value}; {decision.reason}",
            decision.action.value,
        )
        if (
            decision.action in (ScalingAction.KEEP, ScalingAction.ASK)
            or decision.worker_id is None
        ):
            self.memory.change(desired=decision.desired)
            return set()
        self._carry_out(decision, decision.worker_id, now)
        return {decision.worker_id}

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to check the number of workers."""
        return self.last_at is None or age(self.last_at, now) >= self.every

    def prepare(self, next_look: datetime, left: timedelta) -> None:
        """Starts a measurement longer than a check may take, for the next check.

        The next check is at `next_look`, `left` from now.
        """
        if left <= self.measuring + MEASURED_AHEAD and self.is_due(next_look):
            self.meter.begin()

    def _note_meter(self, trouble: str) -> None:
        if trouble:
            self.action_log.once(
                f"iostat {trouble}",
                f"iostat gives no figure: {trouble}; the kernel's counters are used instead",
            )

    def _decide(
        self,
        utilization: float | None,
        assessments: Mapping[int, Assessment],
        snapshots: Mapping[int, WorkerSnapshot],
        now: datetime,
    ) -> ScalingDecision:
        """Returns the decision.

        The LLM is asked for its opinion only when a worker would be stopped.
        """
        consultation = self.attempts.consultation
        measured = self._measured(
            utilization, assessments, asked=consultation is not None
        )
        decision = scaling.decide(measured, now, self.policy)
        if decision.action is not ScalingAction.ASK or consultation is None:
            return decision
        number = min(measured.stuck)
        opinion = consultation.disk_is_the_cause(
            assessments[number], snapshots[number], now
        )
        return scaling.decide(replace(measured, opinion=opinion), now, self.policy)

    def _measured(
        self,
        utilization: float | None,
        assessments: Mapping[int, Assessment],
        *,
        asked: bool,
    ) -> Measured:
        running = frozenset(
            number
            for number, assessment in assessments.items()
            if assessment.health in RUNNING
        )
        state = self.memory.state
        return Measured(
            utilization=utilization,
            running=running,
            stuck=frozenset(
                number
                for number, assessment in assessments.items()
                if assessment.health is Health.STUCK
            ),
            taken=frozenset(record.worker_id for record in self.memory.wanted())
            - running,
            desired=state.desired,
            last_down_at=state.last_scale_down_at,
            last_up_at=state.last_scale_up_at,
            opinion=Opinion.PENDING if asked else Opinion.OFF,
        )

    def _carry_out(self, decision: ScalingDecision, number: int, now: datetime) -> None:
        """Stops or starts the worker of the decision."""
        if decision.action is ScalingAction.UP:
            if self.action_log.act(f"Starting worker {number}: {decision.reason}"):
                self.supervisor.start(number)
                self.memory.change(desired=decision.desired, last_scale_up_at=now)
            return
        trial = self.attempts.cases.trial()
        if trial is not None and trial.worker_id == number:
            self.action_log.once(
                "scaling a trial",
                f"Worker {number} tries a code fix: it is not stopped",
            )
            return
        if not self.action_log.act(f"Stopping worker {number}: {decision.reason}"):
            return
        self.supervisor.kill(number)
        self.attempts.let_go(number, "the worker was scaled down")
        if decision.action is ScalingAction.DOWN:
            self.memory.change(desired=decision.desired, last_scale_down_at=now)
