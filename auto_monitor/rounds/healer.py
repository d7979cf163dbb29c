"""The part of a round that treats workers: at most one treatment for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from auto_monitor.decide import detection, healing, standstill
from auto_monitor.decide.detection import DetectionPolicy
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.model import (
    Assessment,
    CorrelatedFailure,
    HealingDecision,
    Treatment,
    WorkerSnapshot,
    rests,
)
from auto_monitor.ports import DiskProbe, ServerProbe
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts

#: How often waiting is logged: a little more often than the minute that may lie between
#: two checks.
SAID_AGAIN = timedelta(seconds=50)


@dataclass(frozen=True, slots=True)
class Healer:
    """Treats workers.

    `server` and `disk` are checked before a worker is blamed; `server_url` names the
    server in messages.
    """

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
        """Excuses workers whose files all fail, while the server is really away."""
        asked = any(
            detection.is_all_failing(seen, now, policy) for seen in snapshots.values()
        )
        if not asked or (self.server.answers_now(now) and self.server.has_settled(now)):
            return snapshots
        return {
            number: replace(seen, all_failing_since=None, fruitless=0)
            for number, seen in snapshots.items()
        }

    def assess(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        now: datetime,
        policy: DetectionPolicy,
    ) -> dict[int, Assessment]:
        """Returns the verdict on each worker, and on all that wait for each other.

        The server is asked only then: while it is away there is something to wait for.
        """
        assessments = {
            number: detection.assess(seen, now, policy)
            for number, seen in snapshots.items()
        }
        found = standstill.all_wait(snapshots, assessments, now, policy)
        answers = found and self.server.answers_now(now)
        if not answers or not self.server.has_settled(now):
            return assessments
        return {**assessments, **found}

    def heal(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        assessments: Mapping[int, Assessment],
        now: datetime,
    ) -> None:
        """Decides about all workers together, then treats them one by one."""
        decisions = self._decisions(assessments, now)
        correlated = self._correlated(snapshots, assessments, now)
        around = healing.Surroundings()
        if any(
            decision.treatment in (Treatment.RESTART, Treatment.RESUME)
            for decision in decisions
        ):
            around = self._surroundings(now)
        decisions = [
            healing.hold_back(
                decision,
                assessments[decision.worker_id],
                snapshots[decision.worker_id].exit_code,
                correlated,
                around,
            )
            for decision in decisions
        ]
        waiting = [d.worker_id for d in decisions if d.treatment is Treatment.WAIT]
        self._say_who_waits(waiting, now)
        for decision in decisions:
            self._carry_out(
                decision,
                assessments[decision.worker_id],
                snapshots[decision.worker_id],
                now,
                correlated,
            )

    def _decisions(
        self, assessments: Mapping[int, Assessment], now: datetime
    ) -> list[HealingDecision]:
        """Decides about each worker by itself, and by the trial of a code fix."""
        records, cases = self.memory.state.workers, self.attempts.cases
        on_trial = cases.trial()
        trying = None if on_trial is None else on_trial.worker_id
        outdated = self.attempts.supervisor.outdated
        decisions = (
            healing.treat(
                assessment,
                records[number],
                cases.standing(number),
                now,
                self.policy,
                outdated=outdated(records[number]),
            )
            for number, assessment in assessments.items()
        )
        return [
            healing.wait_for_trial(decision, assessments[decision.worker_id], trying)
            for decision in decisions
        ]

    def _correlated(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        assessments: Mapping[int, Assessment],
        now: datetime,
    ) -> CorrelatedFailure | None:
        """Detects that half of the workers or more hang together.

        Since when is remembered until none of them hangs.
        """
        cases = self.attempts.cases
        before, standings = (
            cases.correlated(self.memory.state.correlated_since),
            cases.standings(),
        )
        suspected = healing.suspects(
            list(assessments.values()),
            self.memory.state.workers,
            standings,
            now,
            self.policy,
        )
        wanted = sum(
            not rests(one, cases.standing(one.worker_id))
            for one in self.memory.wanted()
        )
        holding = {n for n in suspected if self.attempts.holds(snapshots[n])}
        correlated = healing.gather(
            suspected, standings, wanted, before, now, self.policy, holding
        )
        if correlated is not None and before is None:
            self.action_log.warning(
                "%d of %d workers hang together; worker %d is treated alone first",
                len(suspected),
                wanted,
                correlated.lead,
            )
        self.memory.change(
            correlated_since=None if correlated is None else correlated.since
        )
        return correlated

    def _surroundings(self, now: datetime) -> healing.Surroundings:
        """Checks server and disk.

        This is done only before a worker is started again.
        """
        here = self.server.answers_now(now)
        disk_answers = self.disk.answers(self.probe_seconds)
        return healing.Surroundings(
            here and self.server.has_settled(now), disk_answers, here
        )

    def _say_who_waits(self, waiting: Sequence[int], now: datetime) -> None:
        """Logs, once a minute, why workers that should run do not."""
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
        self,
        decision: HealingDecision,
        assessment: Assessment,
        seen: WorkerSnapshot,
        now: datetime,
        correlated: CorrelatedFailure | None,
    ) -> None:
        key = f"hold {decision.worker_id}"
        if decision.treatment is Treatment.HOLD:
            self.action_log.once(
                key,
                f"Worker {decision.worker_id} is left alone for now: {decision.reason}",
            )
            return
        self.action_log.forget(key)
        if decision.treatment is Treatment.RESTART:
            leads = (
                correlated is not None
                and not correlated.released
                and correlated.lead == decision.worker_id
            )
            self.attempts.restart(assessment, seen, now, correlated=leads)
        elif decision.treatment is Treatment.RESUME:
            self.attempts.resume(decision.worker_id, decision.reason)
        elif decision.treatment is Treatment.PAUSE:
            self.attempts.pause(decision.worker_id, decision.reason)
