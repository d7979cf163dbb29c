"""A pass whose audit finds a difference: the LLM is asked, and what was carried wrongly
is carried again in the next pass, whose audit has the last word."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from auto_monitor.decide.diagnosis import NO_WORKER, Answer, FixType
from auto_monitor.model import CaseStage, HistoryEntry
from tests.support.monitor.harness import (
    CANDIDATE,
    OPEN,
    FakeDiagnoser,
    Harness,
)
from tests.support.monitor.trialkit import said

WRONG = {"wrong authors": 2}
FOUND = {4: "wrong authors: the server has 'A', and Calibre 'A & B'"}
TRIED = said(FixType.CODE_FIX, candidate=CANDIDATE, calls=1)


def closed_with(made: Harness, differences: Mapping[str, int]) -> None:
    """The pass that is watched is closed now, and its workers have ended."""
    assert made.ledger.found is not None
    made.ledger.wrong = FOUND if differences else {}
    made.ledger.found = replace(
        made.ledger.found, closed_at=made.clock(), differences=differences
    )
    for number in list(made.processes.alive):
        made.processes.end(number, 0)


def wrong_pass(answer: Answer = TRIED) -> Harness:
    """Pass 7 has ended with a wrong result; the LLM answers so as soon as it is asked."""
    made = Harness(2, diagnoser=FakeDiagnoser(answer))
    assert made.monitor.begin()
    made.rounds(2)
    closed_with(made, WRONG)
    return made


def wrong_again(made: Harness, times: int) -> None:
    """So many further passes end like that, each under a monitor of its own."""
    for number in range(times):
        made.clock.move(3600)
        made.ledger.found = replace(OPEN, pass_id=8 + number, opened_at=made.clock())
        made.new_monitor()
        assert made.monitor.begin()
        made.rounds(2)
        closed_with(made, WRONG)
        assert made.rounds(3)


def the_fix(made: Harness) -> HistoryEntry:
    """The newest case."""
    return made.entries()[-1]


def test_what_was_carried_wrongly_is_carried_again() -> None:
    """Asked once; in place before the next pass is opened; confirmed by its audit."""
    made = wrong_pass(Answer(pending=True))
    assert made.diagnoser is not None
    made.rounds(3)
    (told,) = made.entries()
    assert (told.trigger, told.verified, told.case) == ("wrong_result", False, None)
    assert made.opener.opened == 0
    assert made.reports == []
    # Whatever becomes of it: a monitor that ends now has told it.
    assert len([told for told in made.alerts.told if "2 wrong authors" in told]) == 1
    made.diagnoser.answer = TRIED
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.verified, entry.promoted, made.script.now) == (True, True, "repaired")
    assert entry.case is not None
    assert entry.case.stage is CaseStage.PROBATION
    assert made.opener.opened == 1
    before = len(made.processes.started)
    made.rounds(2)
    assert made.monitor.memory.state.pass_opened_at != OPEN.opened_at
    assert len(made.processes.started) == before + 2
    closed_with(made, {})
    assert made.rounds(3)
    (entry,) = made.entries()
    assert (entry.verified, entry.promoted, entry.case) == (True, True, None)
    assert entry.reason.endswith("the audit of the next pass found nothing")
    assert (made.script.now, len(made.reports)) == ("repaired", 1)
    (facts,) = {one.mark: one for one in made.diagnoser.facts}.values()
    assert (facts.findings, facts.phase) == (FOUND, "completed")


def test_a_fix_that_did_not_help_is_taken_back_and_shown_with_the_next_question() -> (
    None
):
    """The audit of the next pass finds the same again."""
    made = wrong_pass()
    made.rounds(3)
    assert made.opener.opened == 1
    assert made.diagnoser is not None
    made.diagnoser.answer = Answer(failure="no idea")
    closed_with(made, WRONG)
    assert made.rounds(3)
    first, second = made.entries()
    assert (first.verified, first.rolled_back, made.script.now) == (
        False,
        True,
        "shipped",
    )
    assert "the audit of the next pass found wrong authors" in first.reason
    assert (second.verified, second.case) == (False, None)
    (tried,) = made.diagnoser.facts[-1].earlier
    assert tried.change == CANDIDATE.diff
    assert made.opener.opened == 1
    assert any("2 wrong authors" in told for told in made.alerts.told)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(failure="no answer"), id="no answer"),
        pytest.param(said(FixType.RESTART), id="a restart"),
        pytest.param(said(FixType.CODE_FIX, failure="no"), id="refused by the gate"),
        pytest.param(
            replace(TRIED, candidate=replace(CANDIDATE, before="another")),
            id="made from another script",
        ),
    ],
)
def test_without_a_code_fix_the_pass_ends_and_people_are_told(answer: Answer) -> None:
    """No pass is opened, no worker started."""
    made = wrong_pass(answer)
    before = len(made.processes.started)
    assert made.rounds(3)
    entry = the_fix(made)
    assert (entry.verified, entry.promoted, entry.case) == (False, False, None)
    assert (made.script.now, made.opener.opened) == ("shipped", 0)
    assert len(made.processes.started) == before
    assert any("2 wrong authors" in told for told in made.alerts.told)
    assert len(made.reports) == 1


def test_it_is_not_asked_for_ever() -> None:
    """Three answers in a row that did not help are enough."""
    made = wrong_pass(said(FixType.RESTART))
    assert made.rounds(3)
    assert made.diagnoser is not None
    asked = len(made.diagnoser.facts)
    wrong_again(made, 3)
    assert len(made.diagnoser.facts) == 3 * asked
    assert len(made.entries()) == 4


def test_an_llm_that_does_not_answer_has_not_said_anything() -> None:
    """It is asked again, as often as there is a pass."""
    made = wrong_pass(Answer(failure="no answer"))
    assert made.rounds(3)
    assert made.diagnoser is not None
    asked = len(made.diagnoser.facts)
    wrong_again(made, 4)
    assert len(made.diagnoser.facts) == 5 * asked


@pytest.mark.parametrize(
    "differences", [{"not audited": 1}, {"not read back": 2}], ids=["all", "some"]
)
def test_what_could_not_be_read_back_is_told_and_nobody_is_asked(
    differences: Mapping[str, int],
) -> None:
    """It shows nothing, for a fix or against one."""
    made = Harness(2, diagnoser=FakeDiagnoser(TRIED))
    assert made.monitor.begin()
    made.rounds(2)
    closed_with(made, differences)
    assert made.rounds(3)
    assert made.diagnoser is not None
    assert (made.diagnoser.facts, made.script.now) == ([], "shipped")
    assert [entry.trigger for entry in made.entries()] == ["wrong_result"]


def test_what_is_of_no_book_is_told_and_nobody_is_asked() -> None:
    """The gate would have nothing to compare, and put anything in place."""
    made = wrong_pass()
    made.ledger.wrong = {}
    assert made.rounds(3)
    assert made.diagnoser is not None
    assert (made.diagnoser.facts, made.script.now) == ([], "shipped")
    assert [entry.trigger for entry in made.entries()] == ["wrong_result"]


def test_a_fix_waits_for_an_audit_that_can_read() -> None:
    """What was not read back says nothing about it."""
    made = wrong_pass()
    made.rounds(3)
    closed_with(made, {"not audited": 1})
    assert made.rounds(3)
    fix = made.entries()[0]
    assert fix.case is not None
    assert (fix.case.stage, made.script.now) == (CaseStage.PROBATION, "repaired")


@pytest.mark.parametrize("refuses", [True, False])
def test_a_pass_that_cannot_be_opened_is_told(refuses: bool) -> None:
    """The fix stays in place, on probation until the next pass has been audited."""
    made = wrong_pass()
    made.opener.refuses, made.opener.code, made.opener.said = refuses, 3, "no server"
    assert made.rounds(4)
    entry = the_fix(made)
    assert (entry.verified, entry.promoted, made.script.now) == (True, True, "repaired")
    assert entry.case is not None
    assert any("cannot be opened" in line for line in made.said.lines)
    made.clock.move(3600)
    made.ledger.found = replace(OPEN, pass_id=8, opened_at=made.clock())
    made.new_monitor()
    assert made.monitor.begin()
    made.rounds(2)
    closed_with(made, {})
    assert made.rounds(3)
    assert the_fix(made).reason.endswith("found nothing")


def test_a_monitor_that_dies_while_it_puts_the_fix_in_place_goes_on() -> None:
    """The next one finds what was decided."""
    made = wrong_pass()
    made.history.dies_after = made.history.writes + 2
    with pytest.raises(BaseException):  # noqa: B017 - as a kill -9
        made.rounds(3)
    made.history.dies_after = None
    made.clock.move(60)
    made.ledger.found = replace(OPEN, pass_id=8, opened_at=made.clock())
    made.new_monitor()
    assert made.monitor.begin()
    entry = the_fix(made)
    assert (entry.promoted, made.script.now) == (True, "repaired")
    made.rounds(2)
    closed_with(made, {})
    assert made.rounds(3)
    assert the_fix(made).reason.endswith("found nothing")


# -- files that have stopped their worker ------------------------------------------------


def test_a_question_about_a_pass_goes_on_while_it_is_asked() -> None:
    """What becomes of workers drops no question about the pass."""
    made = wrong_pass(Answer(pending=True))
    made.rounds(5)
    assert made.diagnoser is not None
    assert made.diagnoser.about == {NO_WORKER}
    assert made.diagnoser.dropped == []


def lost_pass(answer: Answer) -> Harness:
    """Worker 1 has crashed and is asked about; meanwhile its file was given up, and the
    other worker has come to the end."""
    made = Harness(2, diagnoser=FakeDiagnoser())
    assert made.monitor.begin()
    made.rounds(2)
    made.processes.end(1, 70)
    made.rounds(2)
    assert made.diagnoser is not None
    assert made.diagnoser.asked(1)
    assert made.ledger.found is not None
    made.processes.end(2, 0)
    made.ledger.found = replace(
        made.ledger.found,
        closed_at=made.clock(),
        failed={"stopped its worker 3 times": 1},
    )
    assert not made.rounds(5)
    assert made.opener.opened == 0
    made.diagnoser.answer = answer
    return made


def test_an_answer_that_comes_after_the_pass_is_used_for_what_was_given_up() -> None:
    """In place, on probation while the next pass tries the file again."""
    made = lost_pass(TRIED)
    made.rounds(2)
    (entry,) = made.entries()
    assert (entry.trigger, entry.verified, entry.promoted) == ("stopped", True, True)
    assert entry.reason.startswith("1 files had stopped their worker")
    assert (made.script.now, made.opener.opened) == ("repaired", 1)
    made.rounds(2)
    (entry,) = made.entries()
    assert entry.case is not None
    assert entry.case.stage is CaseStage.PROBATION
    closed_with(made, {})
    assert made.rounds(3)
    (entry,) = made.entries()
    assert (entry.verified, entry.case, made.script.now) == (True, None, "repaired")


def test_the_same_crash_in_the_next_pass_takes_it_back() -> None:
    """And asks again."""
    made = lost_pass(TRIED)
    made.rounds(4)
    assert made.diagnoser is not None
    made.diagnoser.answer = Answer(pending=True)
    made.processes.end(1, 70)
    made.rounds(2)
    entry = made.entries()[0]
    assert (entry.verified, entry.rolled_back, made.script.now) == (
        False,
        True,
        "shipped",
    )


def test_without_a_code_fix_it_ends_as_it_is() -> None:
    """The file stays failed, which is told."""
    made = lost_pass(said(FixType.RESTART))
    assert made.rounds(2)
    (entry,) = made.entries()
    assert (entry.verified, made.opener.opened) == (False, 0)
    assert any("stopped its worker" in told for told in made.alerts.told)
