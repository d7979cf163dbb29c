"""The verdict on a candidate: what has arrived since its trial began."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.trial import (
    Arrival,
    Judged,
    Since,
    TrialSigns,
    arrival,
    verdict,
)
from auto_monitor.model import Case, Health, InFlight
from migration.model import Fate

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = HealingPolicy(3, 10 * MINUTE, 2 * MINUTE, 20 * MINUTE, window=5 * MINUTE)
CASE = Case(NOW, InFlight(7, (), (1, 9)))

ARRIVALS = [
    ("its file has arrived", Since((Fate.ARRIVED,)), Arrival.ARRIVED),
    ("all of its files", Since((Fate.ARRIVED, Fate.ARRIVED)), Arrival.ARRIVED),
    ("one is still pending", Since((Fate.ARRIVED, Fate.PENDING)), Arrival.NOT_YET),
    ("one is skipped", Since((Fate.ARRIVED, Fate.LOST)), Arrival.LOST),
    ("one is skipped, one pending", Since((Fate.LOST, Fate.PENDING)), Arrival.LOST),
    ("another worker had it", Since((Fate.BY_ANOTHER,)), Arrival.BY_ANOTHER),
    (
        "the server refuses one, the other has arrived",
        Since((Fate.REFUSED, Fate.ARRIVED)),
        Arrival.ARRIVED,
    ),
    ("the server refuses it", Since((Fate.REFUSED,)), Arrival.NOT_YET),
    (
        "the server refuses it, the next one has arrived",
        Since((Fate.REFUSED,), next_file=True),
        Arrival.ARRIVED,
    ),
    ("none in hand, none since", Since(), Arrival.NOT_YET),
    ("only the end was left, and came", Since(closed=True), Arrival.ARRIVED),
    ("closed, but one is lost", Since((Fate.LOST,), closed=True), Arrival.LOST),
    ("none in hand, the next one", Since(next_file=True), Arrival.ARRIVED),
    (
        "the range is read over and over",
        Since(next_file=True, again=True),
        Arrival.NOT_YET,
    ),
    ("all failed, fewer now", Since(fewer_lost=True), Arrival.ARRIVED),
    ("all failed, and do", Since((Fate.LOST,), fewer_lost=False), Arrival.NOT_YET),
    (
        "all failed, what was in hand has arrived",
        Since((Fate.ARRIVED,), fewer_lost=False),
        Arrival.ARRIVED,
    ),
]


@pytest.mark.parametrize(
    ("since", "found"), [r[1:] for r in ARRIVALS], ids=[r[0] for r in ARRIVALS]
)
def test_what_arrived(since: Since, found: Arrival) -> None:
    """Row by row."""
    assert arrival(since) is found


WHAT = "books 1-9"
WORKING, STUCK, STOPPED, ENDED, FINISHED = (
    Health.WORKING,
    Health.STUCK,
    Health.STOPPED,
    Health.ENDED,
    Health.FINISHED,
)
KEEP = Judged(True, f"{WHAT} has arrived")
LOST = Judged(False, f"{WHAT} is settled, but did not arrive")
NOTHING_LEFT = Judged(False, f"{WHAT} has not arrived, and there is nothing left to do")


def keep(health: Health) -> Judged:
    """It has arrived, and now it has other trouble."""
    return Judged(True, f"{WHAT} has arrived; the worker is {health.value} elsewhere")


def drop(health: Health) -> Judged:
    """It has not."""
    return Judged(False, f"{WHAT} has not arrived, the worker is {health.value}")


VERDICTS = [
    ("arrived, too early", TrialSigns(Arrival.ARRIVED, WORKING), 1, None),
    ("arrived", TrialSigns(Arrival.ARRIVED, WORKING), 2, KEEP),
    ("arrived, hangs elsewhere", TrialSigns(Arrival.ARRIVED, STUCK), 1, keep(STUCK)),
    (
        "arrived, crashes elsewhere",
        TrialSigns(Arrival.ARRIVED, STOPPED),
        0,
        keep(STOPPED),
    ),
    ("arrived, ended", TrialSigns(Arrival.ARRIVED, ENDED), 0, keep(ENDED)),
    ("arrived, finished", TrialSigns(Arrival.ARRIVED, FINISHED), 0, KEEP),
    ("arrived, closed", TrialSigns(Arrival.ARRIVED, WORKING, over=True), 0, KEEP),
    ("skipped, too early", TrialSigns(Arrival.LOST, WORKING), 1, None),
    ("skipped", TrialSigns(Arrival.LOST, WORKING), 2, LOST),
    ("skipped, finished", TrialSigns(Arrival.LOST, FINISHED), 0, LOST),
    (
        "another worker's",
        TrialSigns(Arrival.BY_ANOTHER, WORKING),
        2,
        Judged(None, f"inconclusive: another worker has carried {WHAT}"),
    ),
    ("no ledger", TrialSigns(Arrival.UNKNOWN, STUCK), 19, None),
    (
        "no ledger for too long",
        TrialSigns(Arrival.UNKNOWN, WORKING),
        20,
        Judged(None, "inconclusive: the ledger cannot be read"),
    ),
    ("not yet, finished", TrialSigns(Arrival.NOT_YET, FINISHED), 0, NOTHING_LEFT),
    (
        "not yet, closed",
        TrialSigns(Arrival.NOT_YET, STUCK, over=True),
        0,
        NOTHING_LEFT,
    ),
    ("hangs at once", TrialSigns(Arrival.NOT_YET, STUCK), 1, None),
    ("hangs", TrialSigns(Arrival.NOT_YET, STUCK), 2, drop(STUCK)),
    ("crashes", TrialSigns(Arrival.NOT_YET, STOPPED), 0, drop(STOPPED)),
    ("no server", TrialSigns(Arrival.NOT_YET, STOPPED, away=True), 9, None),
    ("ends for good", TrialSigns(Arrival.NOT_YET, ENDED), 0, drop(ENDED)),
    ("starts slowly", TrialSigns(Arrival.NOT_YET, WORKING), 19, None),
    ("too slowly", TrialSigns(Arrival.NOT_YET, WORKING), 20, drop(WORKING)),
    ("waits", TrialSigns(Arrival.NOT_YET, WORKING, waiting=True), 59, None),
    (
        "waits too long",
        TrialSigns(Arrival.NOT_YET, WORKING, waiting=True),
        60,
        Judged(None, f"inconclusive: {drop(WORKING).reason}, it waits"),
    ),
]


@pytest.mark.parametrize(
    ("signs", "minutes", "judged"),
    [r[1:] for r in VERDICTS],
    ids=[r[0] for r in VERDICTS],
)
def test_the_verdict(signs: TrialSigns, minutes: int, judged: Judged | None) -> None:
    """Row by row."""
    assert verdict(CASE, signs, NOW + minutes * MINUTE, POLICY) == judged


SIGNS = st.builds(
    TrialSigns,
    st.sampled_from(Arrival),
    st.sampled_from(Health),
    away=st.booleans(),
    waiting=st.booleans(),
    over=st.booleans(),
)


@given(SIGNS, st.integers(0, 100))
def test_only_arrival_is_success(signs: TrialSigns, minutes: int) -> None:
    """And what has arrived is never thrown away."""
    judged = verdict(CASE, signs, NOW + minutes * MINUTE, POLICY)
    if judged is not None:
        assert (judged.helped is True) == (signs.arrival is Arrival.ARRIVED)


@given(SIGNS, st.integers(0, 100))
def test_a_pass_that_is_over_leaves_no_trial(signs: TrialSigns, minutes: int) -> None:
    """There is a verdict at once."""
    if signs.over or signs.health is Health.FINISHED:
        assert verdict(CASE, signs, NOW + minutes * MINUTE, POLICY) is not None


@pytest.mark.parametrize(
    ("minutes", "health", "over", "expected"),
    [
        (3, Health.WORKING, False, None),
        (
            20,
            Health.WORKING,
            False,
            Judged(False, "it still grows, the worker is working"),
        ),
        (3, Health.STUCK, False, Judged(False, "it still grows, the worker is stuck")),
        (1, Health.WORKING, False, None),
        (
            3,
            Health.WORKING,
            True,
            Judged(None, "inconclusive: the pass has ended before it stopped growing"),
        ),
    ],
)
def test_a_leak_that_goes_on_is_not_repaired_by_files_that_arrive(
    minutes: int, health: Health, over: bool, expected: Judged | None
) -> None:
    """They arrived before, too."""
    signs = TrialSigns(Arrival.ARRIVED, health, over=over, leaks=True)
    assert verdict(CASE, signs, NOW + minutes * MINUTE, POLICY) == expected
