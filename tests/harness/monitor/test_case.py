"""One attempt as a state machine: every transition, whole values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import (
    Candidate,
    Case,
    CaseStage,
    Health,
    HistoryEntry,
    InFlight,
)
from auto_monitor.repair.case import (
    Conclusion,
    GoOn,
    after_look,
    after_restart,
    closed,
    promoting,
    resumed,
    started,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = HealingPolicy(3, 10 * MINUTE, 2 * MINUTE, 20 * MINUTE, window=5 * MINUTE)
HAND = InFlight(7, (), (1, 9))
CASE = Case(NOW, HAND)
ENTRY = HistoryEntry(
    NOW.isoformat(), 2, 1, "stuck", 5.0, "migrating", "cause", case=CASE
)
CANDIDATE = Candidate("x.py", "backup", "before", "after", "diff", "passed")
TRIAL = replace(ENTRY, fix_type="code_fix", case=replace(CASE, candidate=CANDIDATE))
LATER = NOW + 2 * MINUTE


def test_the_steps_forward() -> None:
    """Each changes what it names and nothing else."""
    running = replace(
        ENTRY, applied=True, case=replace(CASE, stage=CaseStage.STARTED, acted_at=LATER)
    )
    assert started(ENTRY, LATER) == running
    assert started(running, LATER) == running
    assert resumed(ENTRY, LATER) == replace(ENTRY, case=replace(CASE, acted_at=LATER))
    halfway = promoting(TRIAL)
    assert halfway == replace(
        TRIAL, case=replace(CASE, candidate=CANDIDATE, stage=CaseStage.PROMOTING)
    )
    assert started(halfway, NOW) == replace(halfway, applied=True)
    for entry, verified, taken_back in (
        (ENTRY, False, False),
        (TRIAL, True, False),
        (TRIAL, None, True),
    ):
        outcome = Conclusion(verified, "why")
        ended = replace(
            entry, verified=verified, reason="why", rolled_back=taken_back, case=None
        )
        assert closed(entry, outcome) == ended
    with pytest.raises(AssertionError):
        promoting(closed(ENTRY, Conclusion(True, "why")))


def signs(
    settled: bool = False,
    moving: bool = False,
    health: Health = Health.WORKING,
    arrived: bool = True,
) -> Signs:
    """After an attempt."""
    return Signs(settled, moving, False, health, arrived=arrived)


PROMOTING = promoting(TRIAL)
LOOKS = [
    ("too early", ENTRY, signs(settled=True), 1, None),
    (
        "settled",
        ENTRY,
        signs(settled=True),
        2,
        Conclusion(True, "books 1-9 is settled, the worker is working"),
    ),
    ("still moving", ENTRY, signs(moving=True), 19, None),
    (
        "nothing",
        ENTRY,
        signs(),
        2,
        Conclusion(False, "books 1-9 is not settled, the worker is working"),
    ),
    (
        "died",
        ENTRY,
        signs(health=Health.STOPPED),
        0,
        Conclusion(False, "books 1-9 is not settled, the worker is stopped"),
    ),
    (
        "finished",
        ENTRY,
        signs(health=Health.FINISHED),
        0,
        Conclusion(True, "the worker has done its part"),
    ),
    ("a trial, too early", TRIAL, signs(settled=True, arrived=False), 1, None),
    (
        "a trial that skips",
        TRIAL,
        signs(settled=True, arrived=False),
        2,
        Conclusion(False, "books 1-9 is settled, but did not arrive"),
    ),
    (
        "a trial that helped",
        TRIAL,
        signs(settled=True),
        2,
        Conclusion(True, "books 1-9 is settled, the worker is working"),
    ),
    (
        "a trial, finished",
        TRIAL,
        signs(settled=True, health=Health.FINISHED),
        0,
        Conclusion(
            None, "inconclusive: the worker has done its part meanwhile", propose=True
        ),
    ),
    (
        "a trial that skips, finished",
        TRIAL,
        signs(settled=True, arrived=False, health=Health.FINISHED),
        0,
        Conclusion(False, "books 1-9 is settled, but did not arrive"),
    ),
    (
        "being promoted",
        PROMOTING,
        signs(health=Health.STUCK),
        0,
        Conclusion(True, "it was being put in place when the monitor ended"),
    ),
]


@pytest.mark.parametrize(
    ("entry", "seen", "minutes", "outcome"),
    [r[1:] for r in LOOKS],
    ids=[r[0] for r in LOOKS],
)
def test_what_a_look_says(
    entry: HistoryEntry, seen: Signs, minutes: float, outcome: Conclusion | None
) -> None:
    """Row by row."""
    assert after_look(entry, seen, NOW + minutes * MINUTE, POLICY) == outcome


RESTARTS = [
    (
        "recorded, no case",
        replace(ENTRY, case=None),
        False,
        (GoOn.CLOSE, "the monitor ended before anything was done"),
    ),
    (
        "of another pass",
        replace(ENTRY, case=replace(CASE, in_flight=replace(HAND, pass_id=6))),
        False,
        (GoOn.CLOSE, "the pass it belonged to is over"),
    ),
    ("a restart", ENTRY, False, (GoOn.LOOK, "")),
    (
        "at its start, in no pass",
        replace(ENTRY, case=replace(CASE, in_flight=InFlight())),
        False,
        (GoOn.LOOK, ""),
    ),
    ("a candidate not started", TRIAL, False, (GoOn.START, "")),
    ("a candidate that runs", TRIAL, True, (GoOn.LOOK, "")),
    ("being promoted", PROMOTING, False, (GoOn.LOOK, "")),
    (
        "a code fix without its candidate",
        replace(ENTRY, fix_type="code_fix"),
        False,
        (GoOn.CLOSE, "the monitor ended before the candidate was started"),
    ),
    (
        "a code fix that was promoted",
        replace(ENTRY, fix_type="code_fix", applied=True),
        False,
        (GoOn.LOOK, ""),
    ),
]


@pytest.mark.parametrize(
    ("entry", "runs", "goes_on"),
    [r[1:] for r in RESTARTS],
    ids=[r[0] for r in RESTARTS],
)
def test_what_a_new_monitor_does(
    entry: HistoryEntry, runs: bool, goes_on: tuple[GoOn, str]
) -> None:
    """Row by row."""
    assert after_restart(entry, 7, runs_candidate=runs) == goes_on
