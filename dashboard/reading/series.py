"""Rates over time from cumulative counters, and an estimate of the end. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean, stdev

from auto_monitor.record.samples import Sample

#: The most points in a chart, and the most samples that are kept.
POINTS, KEPT = 240, 1800
#: How far back the estimate looks, its number of equal windows, and their shortest
#: length.
LOOK_BACK, WINDOWS, SHORTEST_WINDOW = timedelta(minutes=30), 8, timedelta(seconds=5)


class SampleSeries:
    """The samples of one pass, bounded by thinning older ones.

    Counters are cumulative, so nothing is lost by it.
    """

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._samples: list[Sample] = []
        for sample in sorted(samples, key=lambda sample: sample.at):
            self.add(sample)

    def add(self, sample: Sample) -> None:
        """Adds a sample.

        Another pass starts over; a sample that is not newer than the last is left out.
        """
        kept = self._samples
        if kept and kept[-1].pass_id != sample.pass_id:
            kept.clear()
        if kept and sample.at <= kept[-1].at:
            return
        kept.append(sample)
        if len(kept) > KEPT:
            older = kept[: KEPT * 2 // 3]
            kept[: len(older)] = older[:1] + older[1::2]

    def samples(self, since: datetime | None = None) -> list[Sample]:
        """Returns the samples, oldest first.

        With `since`, those from then on and the one before.
        """
        if since is None:
            return list(self._samples)
        first = next(
            (i for i, sample in enumerate(self._samples) if sample.at >= since),
            len(self._samples),
        )
        return self._samples[max(0, first - 1) :]


@dataclass(frozen=True, slots=True)
class Rate:
    """What was done between two moments, and the state at the second."""

    at: datetime
    files_per_min: float
    bytes_per_second: float
    disk: float | None
    desired: int | None
    running: int


def rates(samples: Sequence[Sample], points: int = POINTS) -> list[Rate]:
    """Returns at most `points` rates over equal intervals.

    Files that became pending again count as nothing done.
    """
    if len(samples) < 2:
        return []
    step = (samples[-1].at - samples[0].at) / points
    picked = [samples[0]]
    for sample in samples[1:]:
        if sample.at - picked[-1].at >= step:
            picked.append(sample)
    if picked[-1] is not samples[-1]:
        # What is left over belongs to the last interval.
        picked[-1 if len(picked) > 1 else 1 :] = [samples[-1]]
    return [_rate(before, after) for before, after in pairwise(picked)]


def _rate(before: Sample, after: Sample) -> Rate:
    seconds = max((after.at - before.at).total_seconds(), 0.001)
    return Rate(
        after.at,
        max(0, after.settled - before.settled) * 60 / seconds,
        max(0, after.bytes_uploaded - before.bytes_uploaded) / seconds,
        after.disk,
        after.desired,
        after.running,
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds to the end, between `earliest` and `latest` as the rate has varied."""

    expected: float
    earliest: float
    latest: float


def estimate(samples: Sequence[Sample], left: int, now: datetime) -> Estimate | None:
    """Estimates when `left` files will be done at the last half hour's rate.

    The rate is taken in windows of equal length. Their spread shows how certain the
    estimate is: two standard errors of their mean on each side, but at least a tenth,
    since the past says no more about the future.
    """
    recent = [sample for sample in samples if sample.at >= now - LOOK_BACK]
    if len(recent) < 2 or left < 0:
        return None
    length = (recent[-1].at - recent[0].at) / WINDOWS
    windows = [rate.files_per_min for rate in rates(recent, WINDOWS)]
    if length < SHORTEST_WINDOW or len(windows) < WINDOWS // 2:
        return None
    mean = fmean(windows)
    if mean <= 0:
        return None
    spread = max(2 * stdev(windows) / len(windows) ** 0.5, mean / 10)
    slow, fast = max(mean - spread, mean / 10), mean + spread
    return Estimate(left / mean * 60, left / fast * 60, left / slow * 60)
