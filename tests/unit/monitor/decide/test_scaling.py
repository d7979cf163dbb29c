"""How many workers: whole decisions, and what holds for all of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.scaling import (
    Measured,
    ScalingPolicy,
    decide,
    missing_ids,
    surplus_ids,
)
from auto_monitor.model import Opinion, ScalingAction, ScalingDecision

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = ScalingPolicy(4, 1, 8, 90, 50, timedelta(minutes=5), timedelta(minutes=10))
FOUR = frozenset({1, 2, 3, 4})
SATURATED = Measured(95, FOUR, frozenset({2}), frozenset(), 4, None, None)
IDLE = Measured(10, frozenset({1, 2}), frozenset(), frozenset(), 2, None, None)


def ago(minutes: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(minutes=minutes)


def down(said: str) -> ScalingDecision:
    """Worker 4 is stopped."""
    return ScalingDecision(
        ScalingAction.DOWN, 3, f"disk at 95 %, worker 2 stuck ({said})", 4
    )


def keep(desired: int, reason: str) -> ScalingDecision:
    """Nothing is done."""
    return ScalingDecision(ScalingAction.KEEP, desired, reason)


TABLE = [
    ("no LLM", SATURATED, down("no LLM is asked")),
    (
        "ask first",
        replace(SATURATED, opinion=Opinion.PENDING),
        ScalingDecision(
            ScalingAction.ASK, 4, "disk at 95 %, worker 2 stuck; is the disk the cause?"
        ),
    ),
    (
        "confirms",
        replace(SATURATED, opinion=Opinion.CONFIRMS),
        down("the LLM confirms that the disk is the cause"),
    ),
    (
        "does not know",
        replace(SATURATED, opinion=Opinion.UNKNOWN),
        down("the LLM does not know the cause"),
    ),
    (
        "fails",
        replace(SATURATED, opinion=Opinion.FAILED),
        down("the LLM could not be asked"),
    ),
    (
        "denies",
        replace(SATURATED, opinion=Opinion.DENIES),
        keep(4, "disk at 95 %, worker 2 stuck; the LLM says the disk is not the cause"),
    ),
    (
        "exactly saturated",
        replace(SATURATED, utilization=90),
        ScalingDecision(
            ScalingAction.DOWN, 3, "disk at 90 %, worker 2 stuck (no LLM is asked)", 4
        ),
    ),
    ("nobody stuck", replace(SATURATED, stuck=frozenset()), keep(4, "disk at 95 %")),
    ("below saturation", replace(SATURATED, utilization=89.9), keep(4, "disk at 90 %")),
    (
        "cooling",
        replace(SATURATED, last_down_at=ago(4.9)),
        keep(4, "disk at 95 %, worker 2 stuck; a worker was stopped a short while ago"),
    ),
    ("cooled", replace(SATURATED, last_down_at=ago(5)), down("no LLM is asked")),
    (
        "last worker",
        replace(SATURATED, running=frozenset({3}), stuck=frozenset({3}), desired=1),
        keep(1, "disk at 95 %, worker 3 stuck; 1 worker must stay"),
    ),
    (
        "not known",
        replace(SATURATED, utilization=None),
        keep(4, "the utilisation of the disk is not known"),
    ),
    (
        "room for one",
        IDLE,
        ScalingDecision(
            ScalingAction.UP, 3, "disk at 10 %, 2 workers desired, 4 are the target", 3
        ),
    ),
    ("no room at 50", replace(IDLE, utilization=50), keep(2, "disk at 50 %")),
    (
        "up cooling",
        replace(IDLE, last_up_at=ago(9.9)),
        keep(
            2,
            "disk at 10 %, 2 workers desired, 4 are the target; the number changed a "
            "short while ago",
        ),
    ),
    (
        "up after down cooling",
        replace(IDLE, last_down_at=ago(9.9)),
        keep(
            2,
            "disk at 10 %, 2 workers desired, 4 are the target; the number changed a "
            "short while ago",
        ),
    ),
    (
        "up cooled",
        replace(IDLE, last_up_at=ago(10), last_down_at=ago(11)),
        ScalingDecision(
            ScalingAction.UP, 3, "disk at 10 %, 2 workers desired, 4 are the target", 3
        ),
    ),
    (
        "paused id is not taken again",
        replace(IDLE, running=frozenset({1}), taken=frozenset({2})),
        ScalingDecision(
            ScalingAction.UP, 3, "disk at 10 %, 2 workers desired, 4 are the target", 3
        ),
    ),
    ("at the target", replace(IDLE, running=FOUR, desired=4), keep(4, "disk at 10 %")),
    (
        "too many run",
        replace(IDLE, running=FOUR | {9}, desired=4),
        ScalingDecision(ScalingAction.TRIM, 4, "5 workers run, 4 are desired", 9),
    ),
]


@freeze_time("1999-01-01")
@pytest.mark.parametrize(
    ("seen", "decision"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_decisions(seen: Measured, decision: ScalingDecision) -> None:
    """Row by row."""
    assert decide(seen, NOW, POLICY) == decision


IDS = st.frozensets(st.integers(1, 12), max_size=10)
MEASURED = st.builds(
    Measured,
    utilization=st.none() | st.floats(0, 100),
    running=IDS,
    stuck=IDS,
    taken=IDS,
    desired=st.integers(-3, 20),
    last_down_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    last_up_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    opinion=st.sampled_from(Opinion),
)


@given(MEASURED)
def test_always_between_one_and_eight_and_one_step_at_a_time(seen: Measured) -> None:
    """Whatever was measured or remembered."""
    decision = decide(seen, NOW, POLICY)
    assert 1 <= decision.desired <= 8
    if 1 <= seen.desired <= 8:
        assert abs(decision.desired - seen.desired) <= 1
    if decision.action in (ScalingAction.DOWN, ScalingAction.TRIM):
        assert decision.worker_id in seen.running
    if decision.action is ScalingAction.UP:
        assert decision.worker_id not in seen.running | seen.taken


@given(MEASURED, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_clock_set_back_does_nothing(seen: Measured, back: timedelta) -> None:
    """A change that lies in the future has only just been made."""
    seen = replace(seen, last_down_at=NOW, last_up_at=NOW, running=frozenset({1}))
    assert decide(seen, NOW - back, POLICY).action is ScalingAction.KEEP


@given(st.integers(0, 8), IDS)
def test_missing_ids_are_the_lowest_free_ones(
    desired: int, taken: frozenset[int]
) -> None:
    """As many as bring the number up to the desired one."""
    missing = missing_ids(desired, taken)
    assert len(missing) == max(0, desired - len(taken))
    assert not set(missing) & taken
    assert all(
        number in taken or number in missing
        for number in range(1, max(missing, default=0))
    )


@pytest.mark.parametrize(
    ("desired", "wanted", "surplus"),
    [
        (2, {1: False, 2: False, 3: False, 4: False}, (4, 3)),
        (2, {1: True, 2: True, 3: True, 4: True}, ()),
        (2, {1: False, 2: True, 3: True, 4: False}, (4, 1)),
        (1, {1: False, 2: True}, (1,)),
        (6, {1: False, 2: False}, ()),
        (2, {}, ()),
    ],
    ids=[
        "a start",
        "all run",
        "two run",
        "the one that runs stays",
        "more than before",
        "nobody yet",
    ],
)
def test_who_is_forgotten_when_fewer_are_desired(
    desired: int, wanted: dict[int, bool], surplus: tuple[int, ...]
) -> None:
    """Of those that do not run the highest; the others are stopped as any worker too
    many."""
    assert surplus_ids(desired, wanted) == surplus
