"""Limits: never above them over any time, never slower than they allow."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings.kinds import parse_bandwidth, parse_duration
from migration.errors import Deferred
from migration.worker.threads.limits import Hold, RateLimiter, TimeLimit, bucket

amounts = st.lists(
    st.tuples(st.floats(0, 50), st.floats(0, 30)), min_size=1, max_size=60
)


@given(rate=st.floats(0.1, 1000), burst=st.floats(1, 100), steps=amounts)
def test_no_time_sees_more_than_the_limit_allows(
    rate: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    """Whoever waits as told: between any two starts goes at most a burst and what the
    time gives."""
    state, now, went = bucket(rate, burst, 0.0), 0.0, []
    for amount, pause in steps:
        now += pause
        state, seconds = state.take(amount, now)
        now += seconds
        went.append((now, amount))
    for first in range(len(went)):
        for last in range(first, len(went)):
            span = went[last][0] - went[first][0]
            # What went first was let through when it was paid for, so it may itself be
            # larger than a burst.
            passed = sum(amount for _at, amount in went[first + 1 : last + 1])
            assert passed <= burst + rate * span + 1e-6 * (1 + passed)


@given(
    rate=st.floats(0.1, 1000),
    amounts=st.lists(st.floats(0, 50), min_size=1, max_size=40),
)
def test_nobody_waits_longer_than_the_limit_asks(
    rate: float, amounts: list[float]
) -> None:
    """All at once: the last leaves when everything has been paid for, and no later."""
    state, waits = bucket(rate, 1.0, 0.0), []
    for amount in amounts:
        state, seconds = state.take(amount, 0.0)
        waits.append(seconds)
    assert waits[-1] == pytest.approx(max(0.0, (sum(amounts) - 1.0) / rate))


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """What went by before counts once."""
    state, _ = bucket(1, 1, 100.0).take(1, 100.0)
    state, seconds = state.take(1, 50.0)
    assert seconds == 1.0
    assert state.at == 100.0


class Clock:
    """Time moves only by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Moves on."""
        self.now += seconds
        self.slept += seconds


def test_nobody_sleeps_long_at_once() -> None:
    """Whoever waits hears of the end soon."""
    clock, pieces = Clock(), []

    def sleep(seconds: float) -> None:
        pieces.append(seconds)
        assert limiter.waiting == 1
        clock.sleep(seconds)

    limiter = RateLimiter(1.0, 1.0, clock, sleep)
    limiter.wait(1)
    limiter.wait(2.25)
    assert sum(pieces) == pytest.approx(2.25)
    assert max(pieces) == 0.5
    assert limiter.waiting == 0


def test_a_pace_sleeps_in_pieces_and_without_a_limit_not_at_all() -> None:
    """60 files a minute: the first at once, each further one a second later."""
    clock = Clock()
    limiter = RateLimiter(1.0, 1.0, clock, clock.sleep)
    for _ in range(4):
        limiter.wait(1)
    assert clock.slept == pytest.approx(3.0)
    free = RateLimiter(0.0, 1.0, clock, clock.sleep)
    free.wait(10**9)
    assert clock.slept == pytest.approx(3.0)
    assert (free.waiting, limiter.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("0", 0),
        ("off", 0),
        ("10", 10240),
        ("100B", 100),
        ("512K", 524288),
        ("512k", 524288),
        ("1.5M", 1572864),
        ("2G", 2 * 1024**3),
        ("1Mi", 1048576),
    ],
)
def test_bandwidths(text: str, bytes_per_second: float) -> None:
    """As rclone's `--bwlimit`: KiB without a suffix."""
    assert parse_bandwidth(text) == bytes_per_second


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("45s", 45),
        ("30m", 1800),
        ("1h30m", 5400),
        ("2d", 172800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Seconds without a unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "1T", "M", "1e3", "inf", "nan", "1 M B", "٣M"]
)
def test_what_is_no_bandwidth(text: str) -> None:
    """Refused, never guessed."""
    with pytest.raises(ValueError, match="is not a bandwidth"):
        parse_bandwidth(text)


@pytest.mark.parametrize("text", ["", "-1", "1w", "h", "m30", "1m1h", "inf"])
def test_what_is_no_duration(text: str) -> None:
    """Refused, never guessed."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.text(max_size=20))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    """Never anything else, never negative."""
    for parse in (parse_bandwidth, parse_duration):
        try:
            assert 0 <= parse(text) < float("inf")
        except ValueError as error:
            assert "is not a" in str(error)


def test_the_longest_hold_counts_and_ends() -> None:
    """Whoever asks for less later does not shorten it."""
    now = 100.0
    hold = Hold(lambda: now)
    assert hold.left() == 0
    hold.ask(30)
    hold.ask(5)
    assert hold.left() == 30
    now = 120.0
    assert hold.left() == 10
    hold.ask(900)
    assert hold.left() == 900
    now = 1020.5
    assert hold.left() == 0


@pytest.mark.parametrize(
    ("limit", "after", "up"),
    [(0, 10**9, False), (10, 9, False), (10, 10, True), (10, 11, True)],
)
def test_the_time_is_up(limit: float, after: float, up: bool) -> None:
    """From its end on, also for a book that waited; without a limit never."""
    now = [datetime(2026, 11, 24, 12, tzinfo=UTC)]

    def sleep(seconds: float) -> None:
        now[0] += timedelta(seconds=seconds)

    limited = TimeLimit(limit, lambda: now[0], sleep)
    try:
        limited.pause(after)
    except Deferred as late:
        assert str(late) == "the time is up"
        assert up
    assert limited.is_up() is up
