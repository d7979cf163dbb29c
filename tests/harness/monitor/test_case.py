"""One attempt as a state machine: every transition, whole values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import (
    Candidate,
    Case,
    Health,
    HistoryEntry,
    InFlight,
    Stage,
    WorkerRecord,
)
from auto_monitor.repair.case import (
    GoOn,
    Outcome,
    after_look,
    after_restart,
    closed,
    counted,
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
        ENTRY, applied=True, case=replace(CASE, stage=Stage.STARTED, acted_at=LATER)
    )
    assert started(ENTRY, LATER) == running
    assert started(running, LATER) == running
    assert resumed(ENTRY, LATER) == replace(ENTRY, case=replace(CASE, acted_at=LATER))
    halfway = promoting(TRIAL)
    assert halfway == replace(
        TRIAL, case=replace(CASE, candidate=CANDIDATE, stage=Stage.PROMOTING)
    )
    assert started(halfway, NOW) == replace(halfway, applied=True)
    for entry, verified, taken_back in (
        (ENTRY, False, False),
        (TRIAL, True, False),
        (TRIAL, None, True),
    ):
        outcome = Outcome(verified, "why")
        ended = replace(
            entry, verified=verified, reason="why", rolled_back=taken_back, case=None
        )
        assert closed(entry, outcome) == ended
    with pytest.raises(AssertionError):
        promoting(closed(ENTRY, Outcome(True, "why")))


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
        Outcome(True, "books 1-9 is settled, the worker is working"),
    ),
    ("still moving", ENTRY, signs(moving=True), 19, None),
    (
        "nothing",
        ENTRY,
        signs(),
        2,
        Outcome(False, "books 1-9 is not settled, the worker is working"),
    ),
    (
        "died",
        ENTRY,
        signs(health=Health.STOPPED),
        0,
        Outcome(False, "books 1-9 is not settled, the worker is stopped"),
    ),
    (
        "finished",
        ENTRY,
        signs(health=Health.FINISHED),
        0,
        Outcome(True, "the worker has done its part"),
    ),
    ("a trial, too early", TRIAL, signs(settled=True, arrived=False), 1, None),
    (
        "a trial that skips",
        TRIAL,
        signs(settled=True, arrived=False),
        2,
        Outcome(False, "books 1-9 is settled, but did not arrive"),
    ),
    (
        "a trial that helped",
        TRIAL,
        signs(settled=True),
        2,
        Outcome(True, "books 1-9 is settled, the worker is working"),
    ),
    (
        "a trial, finished",
        TRIAL,
        signs(settled=True, health=Health.FINISHED),
        0,
        Outcome(
            None, "inconclusive: the worker has done its part meanwhile", propose=True
        ),
    ),
    (
        "a trial that skips, finished",
        TRIAL,
        signs(settled=True, arrived=False, health=Health.FINISHED),
        0,
        Outcome(False, "books 1-9 is settled, but did not arrive"),
    ),
    (
        "being promoted",
        PROMOTING,
        signs(health=Health.STUCK),
        0,
        Outcome(True, "it was being put in place when the monitor ended"),
    ),
]


@pytest.mark.parametrize(
    ("entry", "seen", "minutes", "outcome"),
    [r[1:] for r in LOOKS],
    ids=[r[0] for r in LOOKS],
)
def test_what_a_look_says(
    entry: HistoryEntry, seen: Signs, minutes: float, outcome: Outcome | None
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


RECORD = WorkerRecord(2, attempts=1, last_attempt_at=NOW - MINUTE)
COUNTS = [
    ("nothing is known", None, RECORD),
    ("the open one is counted", ENTRY, RECORD),
    (
        "the open one is not counted yet",
        replace(ENTRY, attempt=2),
        replace(RECORD, attempts=2, last_attempt_at=NOW),
    ),
    ("verified", replace(ENTRY, case=None, verified=True), replace(RECORD, attempts=0)),
    (
        "an older one was verified",
        replace(ENTRY, attempt=3, case=None, verified=True),
        RECORD,
    ),
    ("failed", replace(ENTRY, case=None, verified=False), RECORD),
]


@pytest.mark.parametrize(
    ("newest", "record"), [r[1:] for r in COUNTS], ids=[r[0] for r in COUNTS]
)
def test_the_count_of_attempts(
    newest: HistoryEntry | None, record: WorkerRecord
) -> None:
    """As the newest entry proves it."""
    assert counted(RECORD, newest) == record
