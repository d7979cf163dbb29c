"""What may be done now, and has it helped: whole steps."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.healing import (
    HealingPolicy,
    Signs,
    Surroundings,
    gather,
    hold_back,
    moving,
    suspects,
    treat,
    verify,
)
from auto_monitor.model import (
    Assessment,
    Case,
    Cause,
    CorrelatedFailure,
    HealingDecision,
    Health,
    HistoryEntry,
    InFlight,
    Treatment,
    WorkerRecord,
    WorkerSnapshot,
    WorkerStanding,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = HealingPolicy(3, 10 * MINUTE, 2 * MINUTE, 20 * MINUTE, window=5 * MINUTE)
STUCK = Assessment(2, Health.STUCK, NOW - 6 * MINUTE, "no progress for 6.0 min")
STOPPED = Assessment(2, Health.STOPPED, NOW, "its process vanished")
AWAY = replace(STOPPED, away=True)
GAVE_UP = replace(STOPPED, cause=Cause.ALL_FAILING)
FINE = Assessment(2, Health.WORKING, NOW, "")
RECORD = WorkerRecord(2)


def case(minutes_ago: float) -> Case:
    """An attempt made so long ago."""
    return Case(NOW - minutes_ago * MINUTE, InFlight(1, (), (1, 9)))


def under_way(number: int, minutes_ago: float) -> WorkerStanding:
    """A worker whose last attempt, made so long ago, has no verdict yet."""
    made = HistoryEntry("then", number, 1, "stuck", 6.0, "migrating", "cause")
    return WorkerStanding(1, NOW, entry=replace(made, case=case(minutes_ago)))


def step(treatment: Treatment, reason: str = "") -> HealingDecision:
    """For worker 2."""
    return HealingDecision(2, treatment, reason)


TREATMENTS = [
    ("healthy", FINE, WorkerStanding(), step(Treatment.NONE)),
    (
        "first attempt",
        STUCK,
        WorkerStanding(),
        step(Treatment.RESTART, "no progress for 6.0 min"),
    ),
    (
        "stopped",
        STOPPED,
        WorkerStanding(),
        step(Treatment.RESTART, "its process vanished"),
    ),
    (
        "finished",
        replace(STOPPED, health=Health.FINISHED),
        WorkerStanding(),
        step(Treatment.NONE),
    ),
    (
        "ended for good",
        replace(STOPPED, health=Health.ENDED),
        WorkerStanding(),
        step(Treatment.NONE),
    ),
    ("paused", STUCK, WorkerStanding(paused=True), step(Treatment.NONE)),
    ("scaled down", STOPPED, WorkerStanding(), step(Treatment.NONE)),
    ("paused by a person", STUCK, WorkerStanding(), step(Treatment.NONE)),
    (
        "no server",
        AWAY,
        WorkerStanding(),
        step(Treatment.RESUME, "the server answers again"),
    ),
    (
        "no server, again and again",
        AWAY,
        WorkerStanding(attempts=3, last_attempt_at=NOW),
        step(Treatment.RESUME, "the server answers again"),
    ),
    (
        "no server, after an attempt",
        AWAY,
        WorkerStanding(),
        step(Treatment.RESUME, "the server answers again"),
    ),
    ("no server, paused", AWAY, WorkerStanding(paused=True), step(Treatment.NONE)),
    (
        "under way",
        STUCK,
        WorkerStanding(),
        step(Treatment.NONE, "the last attempt is not verified yet"),
    ),
    (
        "cooling",
        STUCK,
        WorkerStanding(attempts=1, last_attempt_at=NOW - 9.9 * MINUTE),
        step(Treatment.HOLD, "the last attempt was a short while ago"),
    ),
    (
        "cooled",
        STUCK,
        WorkerStanding(attempts=1, last_attempt_at=NOW - 10 * MINUTE),
        step(Treatment.RESTART, "no progress for 6.0 min"),
    ),
    (
        "used up",
        STUCK,
        WorkerStanding(attempts=3, last_attempt_at=NOW - 60 * MINUTE),
        step(Treatment.PAUSE, "3 attempts did not help: no progress for 6.0 min"),
    ),
    (
        "used up, perhaps the server's fault",
        replace(STUCK, all_failing=True),
        WorkerStanding(attempts=3, last_attempt_at=NOW - 60 * MINUTE),
        step(
            Treatment.HOLD,
            "3 attempts did not help; it goes on trying: look at the server's log",
        ),
    ),
]


#: The rows in which the last attempt has no verdict yet, and those of other records.
OPEN = ("no server, after an attempt", "under way")
RECORDS = {
    "scaled down": replace(RECORD, wanted=False),
    "paused by a person": replace(RECORD, paused_by_hand=True),
}


@freeze_time("1999-01-01")
@pytest.mark.parametrize(
    ("name", "verdict", "standing", "result"),
    TREATMENTS,
    ids=[r[0] for r in TREATMENTS],
)
def test_treatments(
    name: str, verdict: Assessment, standing: WorkerStanding, result: HealingDecision
) -> None:
    """One worker by itself."""
    record = RECORDS.get(name, RECORD)
    known = under_way(2, 1) if name in OPEN else standing
    assert treat(verdict, record, known, NOW, POLICY) == result


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_clock_set_back_begins_no_attempt(back: timedelta) -> None:
    """The last one lies in the future then, so it has only just been made."""
    known = WorkerStanding(attempts=1, last_attempt_at=NOW)
    found = treat(STUCK, RECORD, known, NOW - back, POLICY)
    assert found.treatment is Treatment.HOLD


def signs(
    settled: bool,
    moving: bool = False,
    waiting: bool = False,
    health: Health = Health.WORKING,
) -> Signs:
    """After an attempt."""
    return Signs(settled, moving, waiting, health)


VERIFICATIONS = [
    ("too early, although settled", 1.9, signs(True), None),
    ("settled after two minutes", 2, signs(True), True),
    ("nothing moves", 2, signs(False), False),
    ("still moving", 2, signs(False, moving=True), None),
    ("still moving after 19 minutes", 19, signs(False, moving=True), None),
    ("moving for 20 minutes around it", 20, signs(False, moving=True), False),
    ("waiting for the server", 600, signs(False, waiting=True), None),
    ("stuck again", 6, signs(False, moving=True, health=Health.STUCK), False),
    (
        "stuck elsewhere, the first thing is settled",
        6,
        signs(True, health=Health.STUCK),
        True,
    ),
    ("died again at once", 0.1, signs(False, health=Health.STOPPED), False),
    ("ended for good", 0.1, signs(False, health=Health.ENDED), False),
    ("completed meanwhile", 0.1, signs(False, health=Health.FINISHED), True),
    ("the clock was set back", -60, signs(True), None),
]


@pytest.mark.parametrize(
    ("minutes", "found", "result"),
    [r[1:] for r in VERIFICATIONS],
    ids=[r[0] for r in VERIFICATIONS],
)
def test_verification(minutes: float, found: Signs, result: bool | None) -> None:
    """Only settled work is success."""
    assert verify(case(minutes), found, NOW, POLICY) is result


MOVES = [
    ("settled something and moves", True, 1, True),
    ("settled something, long ago moved", True, 30, True),
    ("settled something, before the attempt", True, 41, False),
    ("starts, and moves", False, 1, True),
    ("stands still at its start", False, 2, False),
    ("not seen since", False, 41, False),
]


@pytest.mark.parametrize(
    ("settled", "minutes", "result"), [r[1:] for r in MOVES], ids=[r[0] for r in MOVES]
)
def test_movement_since_the_attempt(
    settled: bool, minutes: float, result: bool
) -> None:
    """The attempt was forty minutes ago; a start that takes long is no failure while it
    moves."""
    seen = WorkerSnapshot(
        2,
        alive=True,
        progress_seen_at=NOW - minutes * MINUTE,
        beat_seen_at=NOW,
        settled=settled,
    )
    assert moving(seen, NOW - 40 * MINUTE, NOW, POLICY) is result


def records(*numbers: int, **more: WorkerRecord) -> dict[int, WorkerRecord]:
    """Plain ones."""
    return {number: WorkerRecord(number) for number in numbers}


def since(*minutes: float) -> dict[int, datetime]:
    """Workers 1, 2, … suspect for so long."""
    return {number: NOW - m * MINUTE for number, m in enumerate(minutes, 1)}


ALL = records(1, 2, 3, 4)
NONE: dict[int, WorkerStanding] = {}
TREATED = {3: under_way(3, 1)}
CORRELATED = CorrelatedFailure(NOW, 1)
GATHERED = [
    ("nobody", {}, NONE, 4, None, None),
    ("one of four", since(0), NONE, 4, None, None),
    ("one of one", since(0), NONE, 1, None, None),
    ("two of four", since(1, 0), NONE, 4, None, CORRELATED),
    ("two of five", since(1, 0), NONE, 5, None, None),
    ("two of four, not together", since(6, 0), NONE, 4, None, None),
    (
        "the one that is treated leads",
        since(1, 1, 1),
        TREATED,
        4,
        None,
        CorrelatedFailure(NOW, 3),
    ),
    ("it goes on", since(9, 9, 9), NONE, 4, CORRELATED, CORRELATED),
    (
        "nobody is treated yet: who has been suspect longest leads",
        since(1, 2),
        NONE,
        4,
        CorrelatedFailure(NOW),
        CorrelatedFailure(NOW, 2),
    ),
    (
        "released it stays so",
        since(9, 9),
        NONE,
        4,
        replace(CORRELATED, released=True),
        replace(CORRELATED, released=True),
    ),
    (
        "the lead is out",
        {2: NOW, 3: NOW},
        NONE,
        4,
        CORRELATED,
        replace(CORRELATED, lead=2),
    ),
    ("it is over", {}, NONE, 4, replace(CORRELATED, released=True), None),
]


@pytest.mark.parametrize(
    ("suspected", "known", "wanted", "before", "result"),
    [r[1:] for r in GATHERED],
    ids=[r[0] for r in GATHERED],
)
def test_workers_that_hang_together(
    suspected: Mapping[int, datetime],
    known: Mapping[int, WorkerStanding],
    wanted: int,
    before: CorrelatedFailure | None,
    result: CorrelatedFailure | None,
) -> None:
    """At least two, at least half, within one window."""
    assert gather(suspected, known, wanted, before, NOW, POLICY) == result


def test_one_that_holds_books_is_treated_before_those_that_wait_for_it() -> None:
    """Whoever became suspect first, and whatever their numbers."""
    suspected = {1: NOW - MINUTE, 2: NOW, 3: NOW}
    found = gather(suspected, {}, 3, None, NOW, POLICY, holding={3})
    assert found is not None
    assert found.lead == 3
    found = gather(suspected, {}, 3, None, NOW, POLICY)
    assert found is not None
    assert found.lead == 1


def test_suspects_are_those_that_hang_or_were_just_treated_for_it() -> None:
    """Not the paused, not the scaled down."""
    known = {
        1: replace(ALL[1], suspect_since=NOW - MINUTE),
        2: replace(ALL[2], paused_by_hand=True),
        3: ALL[3],
        4: ALL[4],
        5: WorkerRecord(5, wanted=False),
        6: WorkerRecord(6),
    }
    verdicts = [
        replace(STUCK, worker_id=1),
        replace(STUCK, worker_id=2),
        replace(FINE, worker_id=3),
        replace(FINE, worker_id=4),
        replace(STUCK, worker_id=5),
        replace(STUCK, worker_id=6),
    ]
    standings = {3: under_way(3, 1), 4: under_way(4, 9), 6: WorkerStanding(paused=True)}
    assert suspects(verdicts, known, standings, NOW, POLICY) == {
        1: NOW - MINUTE,
        3: NOW - MINUTE,
    }


RESTART = step(Treatment.RESTART, "why")
UP = Surroundings(True, True)
HELD = [
    ("alone", STUCK, None, None, UP, RESTART),
    (
        "no server",
        STUCK,
        None,
        None,
        Surroundings(False, True),
        step(
            Treatment.HOLD, "the server does not answer, or did not a short while ago"
        ),
    ),
    ("killed, no server", STOPPED, -9, None, Surroundings(False, True), RESTART),
    (
        "no server at its start",
        STOPPED,
        3,
        None,
        Surroundings(False, True),
        step(
            Treatment.HOLD, "the server does not answer, or did not a short while ago"
        ),
    ),
    ("slow disk, alone", STUCK, None, None, Surroundings(True, False), RESTART),
    (
        "dead disk, many",
        STUCK,
        None,
        CORRELATED,
        Surroundings(True, False),
        step(Treatment.HOLD, "the library's disk does not answer"),
    ),
    (
        "not the lead",
        STUCK,
        None,
        CORRELATED,
        UP,
        step(Treatment.HOLD, "waiting for the verdict on worker 1"),
    ),
    ("the lead", STUCK, None, CorrelatedFailure(NOW, 2), UP, RESTART),
    ("released", STUCK, None, replace(CORRELATED, released=True), UP, RESTART),
    ("killed among many that hang", STOPPED, -9, CORRELATED, UP, RESTART),
    (
        "gave up as the lead did",
        GAVE_UP,
        6,
        CORRELATED,
        UP,
        step(Treatment.HOLD, "waiting for the verdict on worker 1"),
    ),
    ("gave up, and leads", GAVE_UP, 6, CorrelatedFailure(NOW, 2), UP, RESTART),
]


@pytest.mark.parametrize(
    ("verdict", "exit_code", "correlated", "around", "result"),
    [r[1:] for r in HELD],
    ids=[r[0] for r in HELD],
)
def test_what_holds_a_restart_back(
    verdict: Assessment,
    exit_code: int | None,
    correlated: CorrelatedFailure | None,
    around: Surroundings,
    result: HealingDecision,
) -> None:
    """Something other than the worker is wrong, or another one's verdict is out."""
    assert hold_back(RESTART, verdict, exit_code, correlated, around) == result
    pause = step(Treatment.PAUSE)
    assert hold_back(pause, verdict, exit_code, correlated, around) == pause


@pytest.mark.parametrize(
    ("now", "treatment"),
    [(True, Treatment.RESUME), (None, Treatment.RESUME), (False, Treatment.WAIT)],
)
def test_one_that_found_no_server_waits_for_it_and_no_longer(
    now: bool | None, treatment: Treatment
) -> None:
    """Not until it has answered for minutes: that is for those that hang."""
    found = hold_back(
        step(Treatment.RESUME, "why"),
        AWAY,
        3,
        CORRELATED,
        Surroundings(False, False, now),
    )
    assert found.treatment is treatment


def test_one_that_found_no_server_has_shown_nothing() -> None:
    """Its attempt is neither verified nor failed."""
    signs = Signs(settled=True, moving=False, waiting=False, health=Health.STOPPED)
    assert verify(case(60), signs, NOW, POLICY) is False
    assert verify(case(60), replace(signs, away=True), NOW, POLICY) is None


@pytest.mark.parametrize(
    ("ages", "wanted", "lead"),
    [
        ((0, 0), 2, 1),
        ((0, 0), 4, 1),
        ((0, 0), 5, None),
        ((0,), 1, None),
        ((), 2, None),
        ((0, 0.999), 2, 2),
        ((0, 1.0), 2, None),
    ],
)
def test_a_failure_is_correlated_within_one_window(
    ages: tuple[float, ...], wanted: int, lead: int | None
) -> None:
    """At least two, and at least half of the wanted; the one that hangs longest
    leads. Ages are in windows."""
    suspected = {
        number: NOW - POLICY.window * windows for number, windows in enumerate(ages, 1)
    }
    found = gather(suspected, {}, wanted, None, NOW, POLICY)
    assert found == (None if lead is None else CorrelatedFailure(NOW, lead))
