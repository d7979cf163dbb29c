"""How many workers should run. Pure.

The rules are those of the release notes of 2025-11-30: a saturated disk with stuck
workers removes one worker, an idle one adds one, each with its own cooldown, one worker
per decision.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from auto_monitor.model import Opinion, ScalingAction, ScalingDecision, age


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """Numbers of workers, utilisation of the disk in percent, cooldowns."""

    target: int
    lowest: int
    highest: int
    saturated: float
    normal: float
    down_cooldown: timedelta
    up_cooldown: timedelta


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements for one decision.

    `utilization` is the percentage of the busiest disk under the library, None when it
    is not known; `running` and `stuck` are worker ids; `taken` are ids that count
    although they do not run (paused, waiting to be restarted, ended for good);
    `opinion` is the LLM's, OFF when it is not asked.
    """

    utilization: float | None
    running: frozenset[int]
    stuck: frozenset[int]
    taken: frozenset[int]
    desired: int
    last_down_at: datetime | None
    last_up_at: datetime | None
    opinion: Opinion = Opinion.OFF


def decide(seen: Measured, now: datetime, policy: ScalingPolicy) -> ScalingDecision:
    """Decides what to do about the number of workers.

    `desired` stays within the policy and changes by one.
    """
    desired = min(max(seen.desired, policy.lowest), policy.highest)
    if len(seen.running) > desired:
        return ScalingDecision(
            ScalingAction.TRIM,
            desired,
            f"{len(seen.running)} workers run, {desired} are desired",
            max(seen.running),
        )
    if seen.utilization is None:
        return ScalingDecision(
            ScalingAction.KEEP, desired, "the utilisation of the disk is not known"
        )
    if seen.utilization >= policy.saturated and seen.stuck:
        return _relieve(seen, desired, now, policy)
    if seen.utilization < policy.normal and desired < policy.target:
        return _add(seen, desired, now, policy)
    return ScalingDecision(
        ScalingAction.KEEP, desired, f"disk at {seen.utilization:.0f} %"
    )


def _relieve(
    seen: Measured, desired: int, now: datetime, policy: ScalingPolicy
) -> ScalingDecision:
    why = f"disk at {seen.utilization:.0f} %, {_workers(seen.stuck)} stuck"
    if desired <= policy.lowest or len(seen.running) <= policy.lowest:
        return ScalingDecision(
            ScalingAction.KEEP, desired, f"{why}; {policy.lowest} worker must stay"
        )
    if _cooling(seen.last_down_at, now, policy.down_cooldown):
        return ScalingDecision(
            ScalingAction.KEEP,
            desired,
            f"{why}; a worker was stopped a short while ago",
        )
    match seen.opinion:
        case Opinion.DENIES:
            return ScalingDecision(
                ScalingAction.KEEP,
                desired,
                f"{why}; the LLM says the disk is not the cause",
            )
        case Opinion.PENDING:
            return ScalingDecision(
                ScalingAction.ASK, desired, f"{why}; is the disk the cause?"
            )
    return ScalingDecision(
        ScalingAction.DOWN,
        max(policy.lowest, desired - 1),
        f"{why} ({_said(seen.opinion)})",
        max(seen.running),
    )


def _add(
    seen: Measured, desired: int, now: datetime, policy: ScalingPolicy
) -> ScalingDecision:
    why = (
        f"disk at {seen.utilization:.0f} %, {desired} workers desired, "
        f"{policy.target} are the target"
    )
    if desired >= policy.highest:
        return ScalingDecision(
            ScalingAction.KEEP, desired, f"{why}; {policy.highest} is the most"
        )
    if any(
        _cooling(last, now, policy.up_cooldown)
        for last in (seen.last_up_at, seen.last_down_at)
    ):
        return ScalingDecision(
            ScalingAction.KEEP, desired, f"{why}; the number changed a short while ago"
        )
    free = missing_ids(desired + 1, seen.running | seen.taken)
    if not free:
        return ScalingDecision(
            ScalingAction.KEEP, desired, f"{why}; every worker id is taken"
        )
    return ScalingDecision(ScalingAction.UP, desired + 1, why, free[0])


def missing_ids(desired: int, taken: Collection[int]) -> tuple[int, ...]:
    """Returns the lowest free ids that bring the workers to `desired`."""
    wanting = max(0, desired - len(taken))
    free = (
        number for number in range(1, desired + len(taken) + 1) if number not in taken
    )
    return tuple(number for number, _ in zip(free, range(wanting), strict=False))


def surplus_ids(desired: int, wanted: Mapping[int, bool]) -> tuple[int, ...]:
    """Returns the ids, highest first, to be forgotten before any worker is started.

    `wanted` says of each whether it runs. A running worker is never among them: it is
    stopped as any surplus worker is.
    """
    resting = sorted(
        (number for number, runs in wanted.items() if not runs), reverse=True
    )
    return tuple(resting[: max(0, len(wanted) - desired)])


def _cooling(last: datetime | None, now: datetime, cooldown: timedelta) -> bool:
    return last is not None and age(last, now) < cooldown


def _workers(ids: Iterable[int]) -> str:
    names = [str(number) for number in sorted(ids)]
    return ("worker " if len(names) == 1 else "workers ") + ", ".join(names)


def _said(opinion: Opinion) -> str:
    return {
        Opinion.CONFIRMS: "the LLM confirms that the disk is the cause",
        Opinion.UNKNOWN: "the LLM does not know the cause",
        Opinion.FAILED: "the LLM could not be asked",
    }.get(opinion, "no LLM is asked")
