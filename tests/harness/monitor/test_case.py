"""One attempt as a state machine: every transition, whole values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auto_monitor.decide.changed import tried_before
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.decide.trial import Arrival, TrialSigns
from auto_monitor.model import (
    Assessment,
    Candidate,
    Case,
    CaseStage,
    Cause,
    Health,
    HistoryEntry,
    InFlight,
    WorkerSnapshot,
)
from auto_monitor.repair.case import (
    CaseOutcome,
    GoOn,
    after_look,
    after_restart,
    after_trial,
    closed,
    is_again,
    is_on_probation,
    probation_over,
    promoting,
    resumed,
    started,
    taken_back,
)
from migration.errors import FalseClaim

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
    for entry, verified, back in (
        (ENTRY, False, False),
        (TRIAL, True, False),
        (TRIAL, None, True),
    ):
        outcome = CaseOutcome(verified, "why")
        ended = replace(
            entry, verified=verified, reason="why", rolled_back=back, case=None
        )
        assert closed(entry, outcome) == ended
    with pytest.raises(AssertionError):
        promoting(closed(ENTRY, CaseOutcome(True, "why")))


def signs(
    settled: bool = False,
    moving: bool = False,
    health: Health = Health.WORKING,
) -> Signs:
    """After an attempt."""
    return Signs(settled, moving, False, health)


PROMOTING = promoting(TRIAL)
LOOKS = [
    ("too early", ENTRY, signs(settled=True), 1, None),
    (
        "settled",
        ENTRY,
        signs(settled=True),
        2,
        CaseOutcome(True, "books 1-9 is settled, the worker is working"),
    ),
    ("still moving", ENTRY, signs(moving=True), 19, None),
    (
        "nothing",
        ENTRY,
        signs(),
        2,
        CaseOutcome(False, "books 1-9 is not settled, the worker is working"),
    ),
    (
        "died",
        ENTRY,
        signs(health=Health.STOPPED),
        0,
        CaseOutcome(False, "books 1-9 is not settled, the worker is stopped"),
    ),
    (
        "finished",
        ENTRY,
        signs(health=Health.FINISHED),
        0,
        CaseOutcome(True, "the worker has done its part"),
    ),
]


@pytest.mark.parametrize(
    ("entry", "seen", "minutes", "outcome"),
    [r[1:] for r in LOOKS],
    ids=[r[0] for r in LOOKS],
)
def test_what_a_look_says(
    entry: HistoryEntry, seen: Signs, minutes: float, outcome: CaseOutcome | None
) -> None:
    """Row by row."""
    assert after_look(entry, seen, NOW + minutes * MINUTE, POLICY) == outcome


TRIALS = [
    ("too early", TRIAL, TrialSigns(Arrival.LOST, Health.WORKING), 1, None),
    (
        "it skips",
        TRIAL,
        TrialSigns(Arrival.LOST, Health.WORKING),
        2,
        CaseOutcome(False, "books 1-9 is settled, but did not arrive"),
    ),
    (
        "it helped",
        TRIAL,
        TrialSigns(Arrival.ARRIVED, Health.WORKING),
        2,
        CaseOutcome(True, "books 1-9 has arrived"),
    ),
    (
        "it skips, finished",
        TRIAL,
        TrialSigns(Arrival.LOST, Health.FINISHED),
        0,
        CaseOutcome(False, "books 1-9 is settled, but did not arrive"),
    ),
    (
        "being promoted",
        PROMOTING,
        TrialSigns(Arrival.UNKNOWN, Health.STUCK),
        0,
        CaseOutcome(True, "it was being put in place when the monitor ended"),
    ),
]


@pytest.mark.parametrize(
    ("entry", "seen", "minutes", "outcome"),
    [r[1:] for r in TRIALS],
    ids=[r[0] for r in TRIALS],
)
def test_what_a_look_says_of_a_trial(
    entry: HistoryEntry, seen: TrialSigns, minutes: float, outcome: CaseOutcome | None
) -> None:
    """Row by row; tests/unit/monitor/decide/test_trial.py has them all."""
    assert after_trial(entry, seen, NOW + minutes * MINUTE, POLICY) == outcome


AGAIN = replace(PROMOTING, fingerprint="f", reason="it has arrived")
ON_PROBATION = closed(AGAIN, CaseOutcome(True, "it has arrived", promoted=True))


def test_a_code_fix_that_is_in_place_is_on_probation() -> None:
    """Until its pass is over, or it is taken back: then its attempt did not help."""
    assert (ON_PROBATION.verified, ON_PROBATION.promoted) == (True, True)
    assert is_on_probation(ON_PROBATION)
    assert not ON_PROBATION.is_open
    over = probation_over(ON_PROBATION)
    assert over == replace(ON_PROBATION, case=None)
    back = taken_back(ON_PROBATION, "again")
    assert back == replace(
        over,
        verified=False,
        rolled_back=True,
        reason="it has arrived; taken back: again",
    )
    assert not any(map(is_on_probation, (over, back, PROMOTING, ENTRY)))


SEEN = WorkerSnapshot(3, True, NOW, NOW, in_flight=HAND)
LOOP = Assessment(3, Health.STUCK, NOW, "", cause=Cause.SAME_RANGE_AGAIN)
HANGS = replace(LOOP, cause=Cause.NO_PROGRESS)
ENDED = Assessment(3, Health.STOPPED, NOW, "", crashed=True)
CLAIMED = replace(SEEN, alive=False, error_class=FalseClaim.__name__)
SAME = [
    ("the same fingerprint", "f", HANGS, SEEN, True),
    ("another", "g", HANGS, SEEN, False),
    ("none", "", HANGS, SEEN, False),
    ("its range over and over: what crashed is left out", "g", LOOP, SEEN, True),
    (
        "another range over and over",
        "g",
        LOOP,
        replace(SEEN, in_flight=InFlight(7, (), (10, 20))),
        False,
    ),
    ("a false claim about its range: left out, too", "g", ENDED, CLAIMED, True),
    (
        "a false claim about another range",
        "g",
        ENDED,
        replace(CLAIMED, in_flight=InFlight(7, (), (10, 20))),
        False,
    ),
    (
        "another error in its range: the next fault",
        "g",
        ENDED,
        replace(CLAIMED, error_class="IndexError"),
        False,
    ),
]


@pytest.mark.parametrize(
    ("mark", "assessment", "seen", "again"),
    [r[1:] for r in SAME],
    ids=[r[0] for r in SAME],
)
def test_whether_it_is_the_same_trouble(
    mark: str, assessment: Assessment, seen: WorkerSnapshot, again: bool
) -> None:
    """Row by row."""
    assert is_again(ON_PROBATION, mark, assessment, seen) is again


DROPPED = replace(
    closed(TRIAL, CaseOutcome(False, "it hangs")),
    script_after="after",
    timestamp="then",
)
TRIED = [
    ("never", [ENTRY], ""),
    (
        "dropped",
        [DROPPED],
        "the same change was tried at then and taken back: it hangs",
    ),
    ("not judged", [replace(DROPPED, verified=None)], ""),
    ("on trial now", [replace(TRIAL, script_after="after")], ""),
    (
        "in place",
        [replace(ON_PROBATION, script_after="after", timestamp="then")],
        "the same change was put in place at then",
    ),
    (
        "dropped, and then another",
        [DROPPED, replace(DROPPED, script_after="b")],
        "the same change was tried at then and taken back: it hangs",
    ),
]


@pytest.mark.parametrize(
    ("entries", "said"), [r[1:] for r in TRIED], ids=[r[0] for r in TRIED]
)
def test_what_became_of_the_same_change(entries: list[HistoryEntry], said: str) -> None:
    """Row by row."""
    assert tried_before("after", entries) == said


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
    (
        "of another pass, being promoted",
        replace(
            PROMOTING,
            case=replace(
                CASE,
                candidate=CANDIDATE,
                stage=CaseStage.PROMOTING,
                in_flight=replace(HAND, pass_id=6),
            ),
        ),
        False,
        (GoOn.PROMOTE, "it was being put in place when the monitor ended"),
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
