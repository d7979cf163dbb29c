"""Leaks are foreseen near the limit, and growth that ends is none."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.leaking import LOOKS, grows, leak, was_killed_for_memory
from auto_monitor.usage import Leak, Resource, Usage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMIT = 1000
FILES, MEMORY = Resource.FILES, Resource.MEMORY


def looks(*used: float) -> list[Usage]:
    """One a minute, of open files."""
    return [
        Usage(
            NOW + timedelta(minutes=minute),
            files=round(number),
            files_limit=LIMIT,
        )
        for minute, number in enumerate(used)
    ]


def line(start: float, step: float, count: int = LOOKS) -> list[float]:
    """Growth that does not slow down."""
    return [start + step * n for n in range(count)]


def curve(to: float, slows: float, count: int = 60) -> list[float]:
    """Growth towards a plateau, each step that part of the one before."""
    return [to * (1 - slows**n) for n in range(count)]


AT = NOW + timedelta(minutes=LOOKS - 1)
TABLE = [
    ("a leak", line(750, 20), Leak(FILES, AT, 970, LIMIT, 20)),
    ("a leak, with garbage", [*line(850, 0, 4), *line(880, 0, 4), *line(930, 0, 4)],
     Leak(FILES, AT, 930, LIMIT, 7)),
    ("far from the limit", line(100, 50), None),
    ("too few looks", line(850, 10, LOOKS - 1), None),
    ("much, and always as much", line(950, 0), None),
    ("hardly any growth", line(940, 0.9), None),
    ("it gets less", line(990, -5), None),
    ("a saw", [900, 950, 990] * 4, None),
    ("it has stopped", [*line(700, 50, 6), *line(950, 0, 6)], None),
    ("it will stop below the limit", curve(920, 0.9, 27)[-LOOKS:], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "used", "expected"), TABLE, ids=[row[0] for row in TABLE]
)
def test_what_is_a_leak(name: str, used: list[float], expected: Leak | None) -> None:
    """Whole values."""
    assert leak(looks(*used), FILES, None) == expected
    assert leak(looks(*used), MEMORY, None) is None


def test_what_was_seen_ends_only_well_below() -> None:
    """Where a leak pauses, or is collected for a moment, it is the same one."""
    seen = Leak(FILES, NOW, 900, LIMIT, 20)
    kept = Leak(FILES, NOW, 720, LIMIT, 20)
    assert leak(looks(*line(720, 0)), FILES, seen) == kept
    assert leak(looks(*line(690, 0)), FILES, seen) is None


@given(
    st.floats(0, LIMIT * 0.98),
    st.floats(0.3, 0.99),
    st.integers(1, 200),
)
def test_growth_towards_a_plateau_is_never_a_leak(
    to: float, slows: float, seen: int
) -> None:
    """However fast, however high, whenever one looks."""
    usages = looks(*curve(to, slows, seen))
    assert leak(usages[-LOOKS:], FILES, None) is None


@given(st.lists(st.integers(0, round(LIMIT * 0.849)), max_size=40))
def test_below_the_limit_nothing_is_a_leak(used: list[int]) -> None:
    """Whatever happens there."""
    assert leak(looks(*used)[-LOOKS:], FILES, None) is None


@given(st.floats(3, 60), st.integers(0, 500))
def test_steady_growth_is_seen_before_the_end(step: float, start: int) -> None:
    """If there are enough looks on the way."""
    used = [one for one in line(start, step, 400) if one < LIMIT]
    found = [
        leak(looks(*used[max(0, at - LOOKS) : at]), FILES, None)
        for at in range(1, len(used) + 1)
    ]
    assert (found[-1] is not None) == (len(used) >= LOOKS)


def test_what_grows_at_all() -> None:
    """For the verdict on a repair: far from the limit, too."""
    assert grows(looks(*line(100, 10)), FILES)
    assert not grows(looks(*line(100, 0)), FILES)
    assert not grows(looks(*line(100, 10, 3)), FILES)
    assert grows([], FILES) is None
    assert grows(looks(*line(100, 10))[:5], FILES) is None


LAST = Usage(NOW, memory=950, memory_limit=LIMIT, kills=3)
FAR = Usage(NOW, memory=300, memory_limit=LIMIT)


@pytest.mark.parametrize(
    ("exit_code", "last", "kills_now", "expected"),
    [
        (-9, LAST, 4, True),
        (137, LAST, 4, True),
        (None, LAST, 4, True),
        (-9, LAST, 3, False),
        (None, LAST, 3, False),
        (-15, LAST, 4, False),
        (70, LAST, 4, False),
        (0, LAST, 4, False),
        (-9, LAST, None, True),
        (None, LAST, None, False),
        (-9, FAR, None, False),
        (-9, None, 4, False),
    ],
)
def test_who_was_killed_for_memory(
    exit_code: int | None, last: Usage | None, kills_now: int | None, expected: bool
) -> None:
    """By the kernel's count; where there is none, by what was in use."""
    assert was_killed_for_memory(exit_code, last, kills_now) == expected
