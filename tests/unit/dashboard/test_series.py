"""Rates and the estimate from cumulative counters."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.record.samples import Sample
from dashboard.reading.series import KEPT, Estimate, SampleSeries, estimate, rates

START = datetime(2026, 11, 24, tzinfo=UTC)


def sample(seconds: float, settled: int, *, pass_id: int = 1, size: int = 0) -> Sample:
    """One moment."""
    return Sample(
        START + timedelta(seconds=seconds), pass_id, settled, size, 50.0, 4, 4
    )


def test_rates_are_differences_over_time() -> None:
    """Files per minute and bytes per second; files that are pending again are nothing
    done, not less than nothing."""
    found = rates(
        [sample(0, 0), sample(30, 100, size=6_000_000), sample(60, 90, size=6_000_000)]
    )
    assert [(rate.files_per_min, rate.bytes_per_second) for rate in found] == [
        (200, 200_000),
        (0, 0),
    ]


def test_one_sample_is_no_rate() -> None:
    """Nor is none."""
    assert rates([]) == rates([sample(0, 5)]) == []


@given(st.lists(st.integers(1, 50), min_size=2, max_size=400), st.integers(2, 60))
def test_however_many_samples_no_file_is_lost_and_the_chart_stays_small(
    steps: list[int], points: int
) -> None:
    """The rates times their time are the files, to the last one."""
    taken = [sample(0, 0)]
    for step in steps:
        taken.append(
            sample(
                (taken[-1].at - START).total_seconds() + step,
                taken[-1].settled + step * 3,
            )
        )
    found = rates(taken, points)
    assert 1 <= len(found) <= points
    times = [START, *(rate.at for rate in found)]
    files = sum(
        rate.files_per_min * (after - before).total_seconds() / 60
        for rate, before, after in zip(found, times, times[1:], strict=False)
    )
    assert files == pytest.approx(taken[-1].settled)


def test_the_history_is_bounded_and_a_new_pass_begins_anew() -> None:
    """First and last sample stay whatever is thinned."""
    history = SampleSeries(sample(second, second) for second in range(3 * KEPT))
    kept = history.samples()
    assert len(kept) <= KEPT
    assert (kept[0].settled, kept[-1].settled) == (0, 3 * KEPT - 1)
    history.add(sample(9, 9))
    assert history.samples() == kept, "older than the last one"
    history.add(sample(10**6, 1, pass_id=2))
    assert [one.pass_id for one in history.samples()] == [2]


def test_samples_since_a_time_begin_with_the_one_before() -> None:
    """So that the first rate is whole."""
    history = SampleSeries(sample(second, second) for second in (0, 10, 20, 30))
    assert [one.settled for one in history.samples(START + timedelta(seconds=15))] == [
        10,
        20,
        30,
    ]


EVEN = [sample(second, second * 2) for second in range(0, 601, 10)]
NOW = START + timedelta(seconds=600)


@pytest.mark.parametrize(
    ("taken", "left", "expected"),
    [
        # a steady rate: a tenth to each side
        (EVEN, 1200, Estimate(600, 600 / 1.1, 600 / 0.9)),
        (EVEN, 0, Estimate(0, 0, 0)),
        ([], 10, None),
        (EVEN[:1], 10, None),
        (EVEN[:3], 10, None),  # 20 seconds: too early to say
        # nothing moves
        ([sample(second, 7) for second in range(0, 601, 10)], 10, None),
    ],
)
def test_the_estimate(
    taken: list[Sample], left: int, expected: Estimate | None
) -> None:
    """Nothing is said before enough is known."""
    found = estimate(taken, left, NOW)
    if expected is None or found is None:
        assert found is expected
    else:
        assert (found.expected, found.earliest, found.latest) == pytest.approx(
            (expected.expected, expected.earliest, expected.latest)
        )


def test_an_uneven_rate_makes_the_estimate_less_sure() -> None:
    """The span grows with how far the windows lie apart."""
    uneven = [
        sample(second, second * 2 + (80 if second % 200 > 100 else 0) * second // 100)
        for second in range(0, 601, 10)
    ]
    even, rough = estimate(EVEN, 1200, NOW), estimate(uneven, 1200, NOW)
    assert even is not None
    assert rough is not None
    assert rough.earliest <= rough.expected <= rough.latest
    assert rough.latest / rough.earliest > even.latest / even.earliest
