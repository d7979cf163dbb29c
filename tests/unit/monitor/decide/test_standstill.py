"""All workers wait: for nothing, or for something."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.detection import DetectionPolicy, assess
from auto_monitor.decide.standstill import all_wait
from auto_monitor.model import Assessment, Cause, Health, WorkerSnapshot
from migration.model import Phase

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = DetectionPolicy(5 * MINUTE, 20 * MINUTE)


def waits(number: int, quiet: float | None, **more: object) -> WorkerSnapshot:
    """A worker that waits, quiet for so many minutes."""
    return WorkerSnapshot(
        number,
        alive=more.pop("alive", True) is True,
        progress_seen_at=NOW,
        beat_seen_at=NOW - MINUTE * float(str(more.pop("beat", 0))),
        phase=Phase.WAITING,
        quiet_since=None if quiet is None else NOW - MINUTE * quiet,
        **more,  # type: ignore[arg-type]
    )


def found(
    *seen: WorkerSnapshot, policy: DetectionPolicy = POLICY
) -> Mapping[int, Assessment]:
    """The new verdicts."""
    snapshots = {one.worker_id: one for one in seen}
    verdicts = {n: assess(one, NOW, policy) for n, one in snapshots.items()}
    return all_wait(snapshots, verdicts, NOW, policy)


def test_all_of_them_for_nothing() -> None:
    """Since the last of them was heard of; one that has ended is none of them."""
    what = "it waits, as every worker does, for nothing"
    verdict = Assessment(
        1,
        Health.STUCK,
        NOW - 5 * MINUTE,
        f"{what} for 5.0 min, although the server answers",
        cause=Cause.ALL_WAITING,
        what=what,
    )
    ended = waits(3, 1, alive=False, exit_code=0)
    seen = found(waits(1, 5), waits(2, 60), ended)
    assert seen[1] == verdict
    assert sorted(seen) == [1, 2]


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([waits(1, 4.9), waits(2, 60)], id="one was heard of lately"),
        pytest.param([waits(1, -10), waits(2, 60)], id="the server asked for time"),
        pytest.param([waits(1, None), waits(2, 60)], id="one works"),
        pytest.param([waits(1, 60, beat=6), waits(2, 60)], id="one is stuck"),
        pytest.param([waits(1, 60, alive=False)], id="nobody lives"),
        pytest.param([], id="there is nobody"),
    ],
)
def test_for_something(seen: list[WorkerSnapshot]) -> None:
    """Nothing is found."""
    assert found(*seen) == {}


@pytest.mark.parametrize(
    ("policy", "minutes"),
    [
        (DetectionPolicy(timedelta(seconds=5), MINUTE), 2.0),
        (POLICY, 5.0),
        (DetectionPolicy(MINUTE, MINUTE, settling=10 * MINUTE), 10.0),
    ],
)
def test_after_what_time(policy: DetectionPolicy, minutes: float) -> None:
    """What workers wait for is said once a minute; a setting may want longer."""
    assert found(waits(1, minutes - 0.01), policy=policy) == {}
    assert list(found(waits(1, minutes), policy=policy)) == [1]


@given(st.lists(st.one_of(st.none(), st.floats(-900, 900)), max_size=6))
def test_all_or_nobody(quiet: list[float | None]) -> None:
    """Whatever each of them does."""
    seen = [waits(n, one) for n, one in enumerate(quiet)]
    stands = bool(quiet) and all(one is not None and one >= 5 for one in quiet)
    assert set(found(*seen)) == (set(range(len(quiet))) if stands else set())
