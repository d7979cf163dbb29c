"""What becomes of a code fix: kept, dropped, left to a person, taken back."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from auto_monitor.decide.diagnosis import FixType
from migration.model import BookId, FileId, Phase
from tests.support.monitor.harness import CANDIDATE, FILE, FakeDiagnoser, Harness
from tests.support.monitor.trialkit import begun, cured, done, fixed, said

SHIPPED = "bulk_migrate_calibre.py"


def paused(made: Harness) -> None:
    """By a person."""
    made.monitor.parts.attempts.conclude(1, None, "a person paused the worker")


def incomparable(made: Harness) -> None:
    """What arrived cannot be compared, for as long as a trial may take."""
    made.comparer.fails = "what it carried cannot be compared: no server"
    cured(made)


NOT_JUDGED: list[tuple[str, Callable[[Harness], None], float, str]] = [
    (
        "another worker has carried it",
        lambda made: done(made, "by another"),
        1,
        "inconclusive: another worker has carried file 12/EPUB",
    ),
    ("a person pauses its worker", paused, 0, "a person paused the worker"),
    (
        "what it carried cannot be compared",
        incomparable,
        20,
        "inconclusive: what it carried cannot be compared: no server",
    ),
]


@pytest.mark.parametrize(
    ("happens", "minutes", "reason"),
    [r[1:] for r in NOT_JUDGED],
    ids=[r[0] for r in NOT_JUDGED],
)
def test_a_candidate_nobody_can_judge_is_left_to_a_person(
    happens: Callable[[Harness], None], minutes: float, reason: str
) -> None:
    """Not thrown away, and not kept either."""
    made = fixed()
    made.rounds(5)
    happens(made)
    made.rounds(minutes)
    entry = made.entries()[0]
    assert (entry.verified, entry.rolled_back, entry.reason) == (None, True, reason)
    assert (made.evidence.proposed, made.script.now) == ([CANDIDATE.diff], "shipped")


def pass_closed(made: Harness) -> None:
    """By another worker, in this moment."""
    assert made.ledger.found is not None
    made.ledger.found = replace(made.ledger.found, closed_at=made.clock())


def closed_meanwhile(made: Harness) -> None:
    """What hung gets on, and there is nothing left to do."""
    cured(made)
    pass_closed(made)


def elsewhere(made: Harness) -> None:
    """It has arrived, and the worker hangs in another place."""
    made.ledger.outcomes[FILE] = "uploaded"
    made.processes.stack = 'File "bulk_migrate_calibre.x.py", line 1 in next_range'


def crashes_elsewhere(made: Harness) -> None:
    """It has arrived, and the worker ends with an error."""
    made.ledger.outcomes[FILE] = "uploaded"
    made.processes.end(1, 70)


KEPT: list[tuple[str, Callable[[Harness], None]]] = [
    ("it has done its part", lambda made: done(made, "uploaded")),
    ("it hangs again, elsewhere", elsewhere),
    ("it crashes, elsewhere", crashes_elsewhere),
    ("the pass is closed meanwhile", closed_meanwhile),
]


@pytest.mark.parametrize("happens", [r[1] for r in KEPT], ids=[r[0] for r in KEPT])
def test_what_has_arrived_counts_whatever_happens_then(
    happens: Callable[[Harness], None],
) -> None:
    """The fix is promoted; what happens then is a case of its own."""
    made = fixed()
    made.rounds(5)
    happens(made)
    made.rounds(1)
    entry = made.entries()[0]
    assert (entry.verified, entry.promoted, made.script.now) == (True, True, "repaired")


def test_a_closed_pass_waits_for_the_comparison() -> None:
    """What a trial has carried is compared before the monitor ends."""
    made = fixed()
    made.rounds(5)
    made.comparer.found = None
    cured(made)
    made.processes.end(1, 0)
    made.observer.phases[1] = Phase.COMPLETED
    pass_closed(made)
    assert not made.rounds(3)
    made.comparer.found = ""
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.verified, entry.case, made.script.now) == (True, None, "repaired")


def test_what_arrived_before_the_trial_does_not_count() -> None:
    """The worker hangs with nothing in hand, after its range: what it carried before
    says nothing about the candidate."""
    made = fixed()
    made.ledger.outcomes[FILE] = "uploaded"
    made.rounds(5)
    (entry,) = made.entries()
    assert entry.case is not None
    assert entry.case.awaited == ()
    made.rounds(5)
    (entry, *_) = made.entries()
    assert (entry.verified, made.script.now) == (False, "shipped")


def test_the_next_file_tells_where_none_was_in_hand() -> None:
    """Of the range it was in."""
    made = fixed()
    made.ledger.outcomes[FILE] = "uploaded"
    made.rounds(5)
    made.observer.hangs.clear()
    made.ledger.outcomes[FileId(BookId(13), "EPUB")] = "uploaded"
    made.rounds(2)
    (entry,) = made.entries()
    assert (entry.verified, made.script.now) == (True, "repaired")


def test_where_a_dropped_candidate_hung_is_kept() -> None:
    """For the next question."""
    made = fixed()
    made.processes.stack = 'File "bulk_migrate_calibre.x.py", line 7 in reach'
    made.rounds(8)
    entry = made.entries()[0]
    assert (entry.verified, entry.stack) == (False, made.processes.stack)


def test_the_same_change_is_not_tried_twice() -> None:
    """It was dropped: refused with the reason, the worker restarted as it is."""
    made = fixed()
    made.rounds(25)
    first, second, *_ = made.entries()
    assert (first.fix_type, first.verified) == ("code_fix", False)
    assert (second.fix_type, second.script_after) == ("restart", None)
    assert "the same change was tried at" in str(second.validation)
    assert "has not arrived, the worker is stuck" in str(second.validation)


# -- alike workers, probation ----------------------------------------------------------


def test_alike_workers_wait_for_the_verdict() -> None:
    """Nobody is restarted on the script that is known to be bad, no attempt is used up;
    promoted, they start with it at once, unasked."""
    diagnoser = FakeDiagnoser(said(FixType.CODE_FIX, candidate=CANDIDATE))
    made = begun(4, diagnoser)
    made.hang(1)
    made.rounds(5)
    made.hang(3)
    made.processes.end(4, 70)
    started = len(made.processes.started)
    made.rounds(1)
    del made.observer.hangs[1]
    made.ledger.outcomes[FILE] = "uploaded"
    asked = len(diagnoser.facts)
    assert len(made.processes.started) == started
    made.rounds(4)
    assert made.processes.started[started:] == [(4, SHIPPED), (3, SHIPPED)]
    assert (made.script.now, len(diagnoser.facts)) == ("repaired", asked)
    assert [entry.worker_id for entry in made.entries()] == [1]
    assert {made.monitor.memory.record(n).script for n in (3, 4)} == {"repaired"}


def promoted() -> Harness:
    """A code fix on probation, in all four workers."""
    made = begun(4, FakeDiagnoser(said(FixType.CODE_FIX, candidate=CANDIDATE)))
    made.processes.stack = 'File "bulk_migrate_calibre.py", line 7 in reach'
    made.hang(1)
    made.rounds(5)
    cured(made)
    made.rounds(2)
    assert (made.script.now, made.entries()[0].promoted) == ("repaired", True)
    for number in (2, 3, 4):
        made.processes.end(number, -9)
    made.rounds(12)
    made.ledger.outcomes.clear()
    return made


def test_the_same_trouble_again_takes_a_code_fix_back() -> None:
    """By itself: recorded, told, the attempt counts."""
    made = promoted()
    made.hang(2)
    made.rounds(5)
    entry = next(entry for entry in made.entries() if entry.fix_type == "code_fix")
    assert made.script.now == "shipped"
    assert (entry.verified, entry.promoted, entry.rolled_back, entry.case) == (
        False,
        True,
        True,
        None,
    )
    assert entry.reason.endswith("taken back: worker 2 has the same trouble again")
    assert "is taken back: worker 2 has the same trouble" in made.alerts.told[-1]
    before = len(made.entries())
    made.rounds(1)
    assert made.processes.started[-1] == (2, SHIPPED)
    assert made.monitor.memory.record(2).script == "shipped"
    assert len(made.entries()) == before


def other_place(made: Harness) -> None:
    """It hangs in another function."""
    made.processes.stack = 'File "bulk_migrate_calibre.py", line 9 in next_range'


def next_pass(made: Harness) -> None:
    """Its pass is over."""
    made.monitor.parts.attempts.end_with_pass(7, {})


def third_script(made: Harness) -> None:
    """Somebody pulled a new version; who hangs still runs ours."""
    made.script.now = "pulled"


STAYS: list[tuple[str, Callable[[Harness], None], str]] = [
    ("another place", other_place, "repaired"),
    ("its pass is over", next_pass, "repaired"),
    ("somebody pulled a new version", third_script, "pulled"),
]


@pytest.mark.parametrize(
    ("happens", "script"), [r[1:] for r in STAYS], ids=[r[0] for r in STAYS]
)
def test_other_trouble_takes_nothing_back(
    happens: Callable[[Harness], None], script: str
) -> None:
    """The code fix stays, and so does what somebody else has put in place."""
    made = promoted()
    happens(made)
    made.hang(2)
    made.rounds(6)
    assert made.script.now == script
    assert not made.entries()[0].rolled_back


def test_a_code_fix_that_somebody_took_back_is_recorded() -> None:
    """While no monitor ran: by the script that is in place."""
    made = promoted()
    made.script.now = "shipped"
    made.new_monitor().begin()
    entry = made.entries()[0]
    assert (entry.rolled_back, entry.verified, entry.case) == (True, False, None)
    assert entry.reason.endswith("the script before it is in place again")
