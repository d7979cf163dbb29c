"""What waits goes by a clock that cannot be set; times that other processes measure
from survive a reboot."""

import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from auto_monitor.processes import identity_of, running
from common.clock import Stamp, SteadyClock, birth_of
from common.json_value import Json
from migration.server.session import (
    LONGEST_LIFE,
    RENEW_SECONDS,
    USUAL_LIFE,
    renew_after,
)
from tests.support.migration.fakes import ToldClock

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
JUMPS = [timedelta(hours=-1), timedelta(hours=1), timedelta(days=-1), timedelta(days=1)]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_setting_the_clock_changes_no_age(jump: timedelta) -> None:
    """Neither in this process nor in one that starts afterwards, with another idea of
    what time it is."""
    seconds = [100.0]
    before = SteadyClock(lambda: NOW, lambda: seconds[0], "boot")
    stamp = before.stamp(before())
    seconds[0] += 30
    assert before() == NOW + timedelta(seconds=30)
    after = SteadyClock(
        lambda: NOW + jump + timedelta(seconds=30), lambda: seconds[0], "boot"
    )
    assert after() - after.since(stamp) == timedelta(seconds=30)
    assert before() - before.since(stamp) == timedelta(seconds=30)


def test_what_happened_before_a_reboot_counts_from_when_it_is_met() -> None:
    """Once, and not anew at each look."""
    before = ToldClock(NOW, "first boot")
    stamp = before.stamp(before() - timedelta(hours=5))
    after = ToldClock(NOW, "second boot")
    assert after.moment(stamp) is None
    assert after.since(stamp) == NOW
    after.move(50)
    assert after.since(stamp) == NOW


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-24T00:00:00+00:00", "this boot", "this boot x", "this boot 99999999"],
)
def test_a_stamp_that_cannot_be_is_met_just_now(text: str) -> None:
    """Of an older version, torn, or of the future."""
    clock = ToldClock(NOW)
    assert clock.since(text) == NOW


def test_the_real_clock_runs_and_its_stamps_are_those_of_the_machine() -> None:
    """Two clocks of one boot agree."""
    one = SteadyClock()
    stamp = one.stamp(one())
    assert Stamp.parse(stamp).seconds == pytest.approx(time.monotonic(), abs=5)
    two = SteadyClock()
    assert abs((two() - two.since(stamp)).total_seconds()) < 5


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_process_is_known_again_after_the_clock_was_set(
    jump: timedelta,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system moves the time of its start by as much as the clock; by what it is
    known now it does not."""
    me = psutil.Process()
    known = identity_of(me.pid)
    assert known is not None
    boot = psutil.boot_time()
    monkeypatch.setattr(
        "psutil._pslinux.boot_time", lambda: boot + jump.total_seconds()
    )
    moved = identity_of(me.pid)
    assert moved is not None
    assert abs((moved.started - known.started - jump).total_seconds()) < 1
    assert running(known, lambda _arguments: True) is not None
    assert (
        running(
            type(known)(known.pid, known.started, "another boot 1"),
            lambda _arguments: True,
        )
        is None
    )
    # What an older version wrote down has only the wall clock.
    assert (
        running(type(known)(known.pid, known.started), lambda _arguments: True) is None
    )


def test_nobody_has_the_birth_of_a_process_that_is_not_there() -> None:
    """No pid is 0."""
    assert birth_of(0) == ""


HOUR = 3600.0
TOKENS: list[tuple[str, dict[str, Json], float]] = [
    ("its own life", {"iat": 5_000, "exp": 5_000 + 2 * HOUR}, 2 * HOUR - RENEW_SECONDS),
    ("by our clock", {"exp": 1_000 + 2 * HOUR}, 2 * HOUR - RENEW_SECONDS),
    ("a server hours behind", {"exp": 1_000 - 5 * HOUR}, USUAL_LIFE - RENEW_SECONDS),
    ("a server a day ahead", {"exp": 1_000 + 28 * HOUR}, LONGEST_LIFE - RENEW_SECONDS),
    ("short", {"iat": 0, "exp": 60}, 30),
    ("says nothing", {}, USUAL_LIFE - RENEW_SECONDS),
    ("nonsense", {"exp": "soon"}, USUAL_LIFE - RENEW_SECONDS),
    ("not a number", {"exp": float("nan")}, USUAL_LIFE - RENEW_SECONDS),
    ("for ever", {"exp": float("inf")}, LONGEST_LIFE - RENEW_SECONDS),
]


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [case[1:] for case in TOKENS],
    ids=[case[0] for case in TOKENS],
)
def test_when_a_token_is_renewed(claims: dict[str, Json], seconds: float) -> None:
    """Before it expires, and never with each request."""
    assert renew_after(claims, now=1_000.0) == seconds
