"""Whole situations of a monitor: no process, no file, no socket, no waiting."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from auto_monitor.decide.diagnosis import FixType
from auto_monitor.model import Candidate, CaseStage, HistoryEntry, Opinion, Trigger
from migration.model import Phase
from tests.support.monitor.harness import (
    CANDIDATE,
    FILE,
    NOON,
    OPEN,
    Died,
    FakeDiagnoser,
    Harness,
    cases_of,
)
from tests.support.monitor.trialkit import begun, cured, done, fixed, said

SHIPPED, TRIED = "bulk_migrate_calibre.py", CANDIDATE.name


def verdicts(entries: list[HistoryEntry]) -> list[tuple[int, int, bool | None]]:
    """Worker, attempt, verdict."""
    return [(entry.worker_id, entry.attempt, entry.verified) for entry in entries]


# -- one worker ------------------------------------------------------------------------


def test_a_stuck_worker_is_restarted_and_its_attempt_verified() -> None:
    """After five minutes; verified when its file has arrived, two minutes after the
    start."""
    made = begun()
    made.hang(2)
    made.rounds(4)
    assert made.entries() == []
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.trigger, entry.applied, entry.verified) == ("stuck", True, None)
    assert entry.root_cause == "stuck: no progress; in hand: file 12/EPUB"
    assert (made.processes.stopped, made.processes.started[-1]) == ([2], (2, SHIPPED))
    cured(made)
    made.rounds(1)
    assert made.entries()[0].verified is None
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.verified, entry.case) == (True, None)
    assert made.monitor.parts.cases.standing(2).attempts == 0


def test_three_attempts_and_it_is_paused_and_a_person_told() -> None:
    """Ten minutes lie between two; the trouble is the same one each time, whatever file
    it meets."""
    made = begun()
    made.hang(2)
    made.rounds(60)
    assert verdicts(made.entries()) == [(2, 1, False), (2, 2, False), (2, 3, False)]
    assert [entry.occurrences for entry in made.entries()] == [1, 2, 3]
    times = [entry.timestamp for entry in made.entries()]
    assert times == [
        (NOON.replace(minute=minute)).isoformat() for minute in (5, 15, 25)
    ]
    assert made.monitor.parts.cases.standing(2).paused
    (told,) = made.alerts.told
    assert told.startswith("Worker 2 is PAUSED: 3 attempts did not help")
    assert sorted(made.processes.alive) == [1, 3, 4]


EXITS = [
    ("killed", -9, "", 1, [(2, 1)]),
    ("crashed", 70, "OutOfMemory", 1, [(2, 1)]),
    ("found no server", 3, "ServerNeverAnswered", 1, []),
    ("the library cannot be read", 4, "", 0, []),
    ("has done its part", 0, "", 0, []),
]


@pytest.mark.parametrize(
    ("exit_code", "error", "starts", "attempts"),
    [r[1:] for r in EXITS],
    ids=[r[0] for r in EXITS],
)
def test_a_worker_that_ends(
    exit_code: int, error: str, starts: int, attempts: list[tuple[int, int]]
) -> None:
    """Started again when that can help; an attempt only when it is to blame."""
    made = begun()
    if exit_code == 0:
        made.observer.phases[2] = Phase.COMPLETED
    made.observer.error_class[2] = error
    made.processes.end(2, exit_code)
    made.rounds(1)
    assert len(made.processes.started) == 4 + starts
    assert [(entry.worker_id, entry.attempt) for entry in made.entries()] == attempts


def test_a_worker_that_cannot_be_started_is_said_and_its_attempt_has_failed() -> None:
    """Nothing is left open."""
    made = begun()
    made.hang(2)
    made.processes.refuses = True
    made.rounds(5)
    (entry,) = made.entries()
    assert (entry.verified, entry.reason) == (False, "the worker could not be started")


def test_a_server_that_is_away_is_nobodys_fault() -> None:
    """All hang, nobody is restarted; it is when the server has been back for a
    while."""
    made = begun()
    made.hang(1, 2, 3, 4)
    made.server.here = False
    made.rounds(60)
    assert made.entries() == []
    made.server.here = True
    made.rounds(1)
    assert [entry.worker_id for entry in made.entries()] == [1]


def test_one_that_found_no_server_starts_as_soon_as_it_answers() -> None:
    """Said while it waits; no attempt."""
    made = begun()
    made.server.here, made.server.settled = False, False
    made.processes.end(2, 3)
    made.rounds(5)
    assert 2 not in made.processes.alive
    waits = "Waiting for http://server (connection refused); worker 2 starts as soon as it answers"
    assert made.said.lines.count(waits) == 5
    made.server.here = True
    made.rounds(1)
    assert 2 in made.processes.alive
    assert made.entries() == []


def test_every_file_fails_while_the_server_answers() -> None:
    """Twenty minutes, a restart, never paused; while the server is away it is
    excused."""
    made = begun(1)
    made.observer.failing[1] = made.clock()
    made.server.here = False
    made.rounds(25)
    assert made.entries() == []
    made.server.here = True
    made.rounds(90)
    assert {entry.trigger for entry in made.entries()} == {"all_failing"}
    assert len(made.entries()) == 3
    assert not made.monitor.parts.cases.standing(1).paused
    assert any(
        "it goes on trying: look at the server's log" in line
        for line in made.said.lines
    )


def test_workers_that_give_up_while_the_llm_is_asked_wait_for_its_answer() -> None:
    """Every file of four workers fails, and they end before the answer is there. That
    is no other trouble: one question, no attempt until it is answered, one trial."""
    diagnoser = FakeDiagnoser()
    made = begun(4, diagnoser)
    made.observer.fruitless |= dict.fromkeys((1, 2, 3, 4), 24)
    made.rounds(1)
    assert diagnoser.about == {1}
    for number in (2, 1, 4, 3):
        made.processes.end(number, 6)
        made.rounds(2)
    assert (made.entries(), diagnoser.about, diagnoser.dropped) == ([], {1}, [])
    assert made.processes.alive == {}
    diagnoser.answer = said(FixType.CODE_FIX, candidate=CANDIDATE)
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.worker_id, entry.trigger) == (1, Trigger.ALL_FAILING)
    assert made.processes.started[4:] == [(1, TRIED)]
    made.observer.fruitless.clear()
    cured(made)
    made.rounds(3)
    assert made.entries()[0].promoted
    assert sorted(made.processes.alive) == [1, 2, 3, 4]


def test_workers_that_give_up_again_and_again_are_paused_at_last() -> None:
    """Without an LLM: gone, unlike one that goes on trying."""
    made = begun(1)
    for _ in range(4):
        made.observer.fruitless[1] = 24
        made.processes.end(1, 6)
        made.rounds(1)
        made.observer.fruitless[1] = 3
        made.rounds(12)
    assert [entry.trigger for entry in made.entries()] == [Trigger.ALL_FAILING] * 3
    assert made.monitor.parts.cases.standing(1).paused


# -- several workers -------------------------------------------------------------------


def test_workers_that_hang_together_are_one_question() -> None:
    """The first is treated alone; the others when that helped."""
    made = begun()
    made.hang(2, 3, 4)
    made.rounds(5)
    assert [entry.worker_id for entry in made.entries()] == [2]
    assert (
        "3 of 4 workers hang together; worker 2 is treated alone first"
        in made.said.lines
    )
    made.rounds(1)
    assert len(made.entries()) == 1
    del made.observer.hangs[2]
    made.ledger.outcomes[FILE] = "uploaded"
    made.rounds(1)
    assert [entry.worker_id for entry in made.entries()] == [2, 3, 4]
    assert made.entries()[0].verified is True


def test_a_dead_disk_is_not_the_workers_fault() -> None:
    """Many hang, and the library cannot be read."""
    made = begun()
    made.hang(1, 2, 3)
    made.disk.there = False
    made.rounds(30)
    assert made.entries() == []


def test_a_saturated_disk_takes_one_away_and_an_idle_one_gives_it_back() -> None:
    """One at a time, each with its own pause."""
    made = begun()
    made.disk.busy = 97
    made.hang(1)
    made.rounds(5)
    assert (made.monitor.memory.state.desired, sorted(made.processes.alive)) == (
        3,
        [1, 2, 3],
    )
    assert (
        "Stopping worker 4: disk at 97 %, worker 1 stuck (no LLM is asked)"
        in made.done.lines
    )
    made.rounds(4)
    assert made.monitor.memory.state.desired == 3
    cured(made)
    made.disk.busy = 5
    made.rounds(10)
    assert (made.monitor.memory.state.desired, sorted(made.processes.alive)) == (
        4,
        [1, 2, 3, 4],
    )


@pytest.mark.parametrize(
    ("opinion", "desired"),
    [
        (Opinion.CONFIRMS, 3),
        (Opinion.UNKNOWN, 3),
        (Opinion.FAILED, 3),
        (Opinion.DENIES, 4),
        (Opinion.PENDING, 4),
    ],
)
def test_the_llm_is_asked_before_a_worker_is_taken_away(
    opinion: Opinion, desired: int
) -> None:
    """Until it answers nobody is."""
    made = begun(diagnoser=FakeDiagnoser(opinion=opinion))
    made.disk.busy = 97
    made.hang(1)
    made.rounds(5)
    assert made.monitor.memory.state.desired == desired


# -- what the LLM says -----------------------------------------------------------------


def test_an_answer_that_takes_long_is_waited_for() -> None:
    """Nothing is done meanwhile; then the restart has its diagnosis."""
    diagnoser = FakeDiagnoser()
    made = begun(1, diagnoser)
    made.hang(1)
    made.rounds(12)
    assert made.entries() == []
    assert diagnoser.facts[0].reason == "no progress"
    diagnoser.answer = said(FixType.RESTART)
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.root_cause, entry.llm_used, entry.tokens) == (
        "it waits for ever",
        True,
        100,
    )
    assert diagnoser.about == set()


def test_an_llm_that_does_not_answer_is_said_once() -> None:
    """In the log and for --status; and when it answers again."""
    diagnoser = FakeDiagnoser(trouble=None)
    made = begun(1, diagnoser)
    kept: list[str | None] = []
    for trouble in (None, "HTTP 503", "HTTP 503", "", ""):
        diagnoser.trouble = trouble
        made.rounds(1)
        kept.append(made.monitor.memory.state.llm)
    line = (
        "The LLM does not answer: HTTP 503. Until it does, workers are restarted "
        "without its diagnosis"
    )
    assert kept == [None, "HTTP 503", "HTTP 503", "", ""]
    assert [made.said.lines.count(one) for one in (line, "The LLM answers again")] == [
        1,
        1,
    ]


def test_settings_of_its_own_stay_with_a_worker() -> None:
    """Also at its next starts."""
    made = begun(1, FakeDiagnoser(said(FixType.CONFIG_FIX)))
    made.hang(1)
    made.rounds(5)
    assert made.processes.settings[1] == (1, None)
    assert made.entries()[0].config_changes == {"parallel_uploads": 1}
    cured(made)
    made.rounds(12)
    made.processes.end(1, -9)
    made.rounds(1)
    assert (len(made.processes.started), made.processes.settings[1]) == (3, (1, None))


def test_a_candidate_that_helps_is_promoted() -> None:
    """Tried by this worker alone, its books kept for it; then everybody's script."""
    made = fixed()
    made.rounds(5)
    assert made.processes.started[-1] == (1, TRIED)
    assert (made.script.now, made.reservations.kept) == (
        "shipped",
        {1: {1, FILE.book_id}},
    )
    cured(made)
    made.rounds(2)
    (entry,) = made.entries()
    assert (entry.verified, entry.promoted, entry.rolled_back, made.script.now) == (
        True,
        True,
        False,
        "repaired",
    )
    assert entry.case is not None
    assert (entry.is_open, entry.case.stage) == (False, CaseStage.PROBATION)
    assert (entry.script_before, entry.script_after) == ("shipped", "repaired")
    assert "is now the repaired one; backup backup" in entry.reason
    assert made.reservations.kept == {}
    assert made.alerts.told[-1].startswith("The program's code was changed: ")
    assert made.alerts.diffs[-1] == CANDIDATE.diff


def test_what_a_candidate_carried_is_compared_before_it_is_promoted() -> None:
    """The verdict waits for the comparison, which another process makes."""
    made = fixed()
    made.rounds(5)
    made.comparer.found = None
    cured(made)
    made.rounds(3)
    (entry,) = made.entries()
    assert (entry.verified, made.script.now) == (None, "shipped")
    assert set(made.comparer.asked) == {(entry.key, 7, 1)}
    made.comparer.found = ""
    made.rounds(1)
    (entry,) = made.entries()
    assert (entry.verified, made.script.now) == (True, "repaired")


def test_a_pass_with_a_wrong_result_promotes_nothing_and_is_a_case() -> None:
    """Told and recorded; nobody is restarted for it."""
    made = fixed()
    made.rounds(5)
    made.comparer.found = None
    cured(made)
    made.rounds(1)
    assert made.ledger.found is not None
    made.ledger.wrong = {1: "wrong title: x", 2: "wrong title: y"}
    made.ledger.found = replace(
        made.ledger.found, closed_at=made.clock(), differences={"wrong title": 2}
    )
    before = len(made.processes.started)
    made.rounds(2)
    tried, case = made.entries()
    assert (tried.verified, tried.rolled_back, made.script.now) == (
        False,
        True,
        "shipped",
    )
    assert tried.reason == "the audit of the pass found wrong title"
    assert (case.trigger, case.verified, case.applied) == ("wrong_result", False, False)
    assert case.reason.startswith(
        "wrong result: the audit of pass 7 found 2 wrong title; told"
    )
    assert len(made.processes.started) == before
    assert any("2 wrong title" in told for told in made.alerts.told)


def differs(made: Harness) -> None:
    """What hung gets on, but not everything was sent as it is in Calibre."""
    made.comparer.found = "what it carried differs from Calibre: x"
    cured(made)


DROPPED: list[tuple[str, Callable[[Harness], None], bool | None, str]] = [
    (
        "it hangs again",
        lambda made: None,
        False,
        "file 12/EPUB has not arrived, the worker is stuck",
    ),
    (
        "it skips the book",
        lambda made: cured(made, "skipped"),
        False,
        "file 12/EPUB is settled, but did not arrive",
    ),
    (
        "what it carried differs",
        differs,
        False,
        "what it carried differs from Calibre: x",
    ),
    (
        "it dies",
        lambda made: made.processes.end(1, 70),
        False,
        "file 12/EPUB has not arrived, the worker is stopped",
    ),
    (
        "it does its part, and this was none of it",
        lambda made: done(made, ""),
        False,
        "file 12/EPUB has not arrived, and there is nothing left to do",
    ),
]


@pytest.mark.parametrize(
    ("happens", "verified", "reason"),
    [r[1:] for r in DROPPED],
    ids=[r[0] for r in DROPPED],
)
def test_a_candidate_that_does_not_help_is_dropped(
    happens: Callable[[Harness], None], verified: bool | None, reason: str
) -> None:
    """The worker goes back to the script in place, which has not changed."""
    made = fixed()
    made.rounds(5)
    happens(made)
    made.rounds(5)
    entry = made.entries()[0]
    assert (entry.verified, entry.rolled_back, entry.reason) == (verified, True, reason)
    assert (made.script.now, made.reservations.kept) == ("shipped", {})
    assert made.processes.started[-1] == (1, SHIPPED)


def answered(made: Harness, candidate: Candidate) -> None:
    """The LLM's answer is another one."""
    assert made.diagnoser is not None
    made.diagnoser.answer = said(FixType.CODE_FIX, candidate=candidate)


OBJECTIONS: list[tuple[str, Callable[[Harness], None]]] = [
    (
        "bulk_migrate_calibre.py was changed since the fix was made",
        lambda made: answered(made, replace(CANDIDATE, before="older")),
    ),
    ("the candidate is gone", lambda made: setattr(made.script, "there", False)),
]


@pytest.mark.parametrize(
    ("objection", "happens"), OBJECTIONS, ids=[r[0] for r in OBJECTIONS]
)
def test_a_candidate_that_may_not_be_tried_is_proposed(
    objection: str, happens: Callable[[Harness], None]
) -> None:
    """The worker is restarted as it is."""
    made = fixed()
    happens(made)
    made.rounds(5)
    (entry,) = made.entries()
    assert entry.fix_type == "restart"
    assert (
        entry.validation
        == f"proposed only: {objection}; kept in auto_monitor/proposals/proposal.json"
    )
    assert made.processes.started[-1] == (1, SHIPPED)


def test_a_proposal_that_cannot_be_kept_is_an_attempt_all_the_same() -> None:
    """It stays in the history; the worker is restarted, and the LLM not asked again."""
    made = fixed()
    made.script.there = False
    made.evidence.full = True
    made.rounds(5)
    (entry,) = made.entries()
    assert (entry.fix_type, entry.applied) == ("restart", True)
    assert entry.validation is not None
    assert "it cannot be kept" in entry.validation
    assert made.processes.started[-1] == (1, SHIPPED)


def test_without_a_history_nothing_is_tried() -> None:
    """A monitor that ends in mid-trial would not find what it was doing; the worker is
    restarted all the same."""
    made = fixed()
    made.history.full = True
    made.rounds(5)
    assert made.processes.started[-1] == (1, SHIPPED)
    assert (made.evidence.proposed, made.reservations.kept) == ([CANDIDATE.diff], {})
    assert made.monitor.parts.cases.standing(1).attempts == 1
    made.history.full = False
    cured(made)
    made.rounds(2)
    assert verdicts(made.entries()) == [(1, 1, True)]


def test_a_script_that_was_pulled_during_the_trial_stays() -> None:
    """The repair helped; a person is told where it is."""
    made = fixed()
    made.rounds(5)
    made.script.now = "pulled"
    cured(made)
    made.rounds(2)
    assert made.script.now == "pulled"
    assert "nothing was overwritten" in made.alerts.told[0]


# -- a monitor that dies ---------------------------------------------------------------


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_monitor_that_is_killed_at_any_step_is_taken_up(writes: int) -> None:
    """At each write of the history the next one goes on: one attempt, one promotion,
    one verdict."""
    made = fixed()
    made.history.dies_after = writes
    died = False
    for minute in range(14):
        try:
            made.rounds(1)
        except Died:
            died = True
            made.history.dies_after = None
            made.new_monitor().begin()
        if minute == 5:
            cured(made)
    assert died
    assert made.script.now == "repaired"
    assert [entry.verified for entry in made.entries()].count(True) == 1
    assert None not in [entry.verified for entry in made.entries()]
    assert made.reservations.kept == {}


Cure = Callable[[Harness, int], None]


def killed_at(made: Harness, write: int, minutes: int, cure: Cure) -> bool:
    """Runs so many minutes; the monitor is killed after this write and started anew.
    False when there were fewer writes."""
    made.writes.dies_after = write
    died = False
    for minute in range(1, minutes + 1):
        try:
            made.rounds(1)
        except Died:
            died = True
            made.writes.dies_after = None
            made.new_monitor().begin()
        cure(made, minute)
    return died


def never(made: Harness, minute: int) -> None:
    """Nothing helps."""


def after_six(made: Harness, minute: int) -> None:
    """A restart helped."""
    if minute == 6:
        cured(made)


def the_first_one_first(made: Harness, minute: int) -> None:
    """It is helped after six minutes, the others when they have been treated too."""
    if minute == 6:
        del made.observer.hangs[2]
        made.ledger.outcomes[FILE] = "uploaded"
    if minute == 11:
        cured(made)


def a_stuck_worker() -> Harness:
    """It hangs for ever: three attempts, then it is paused."""
    made = begun()
    made.hang(2)
    return made


def many_stuck_workers() -> Harness:
    """They hang together."""
    made = begun()
    made.hang(2, 3, 4)
    return made


def one_with_settings() -> Harness:
    """It gets settings of its own."""
    made = begun(1, FakeDiagnoser(said(FixType.CONFIG_FIX)))
    made.hang(1)
    return made


def given_up(made: Harness) -> None:
    """Three attempts, one pause, and a person was told."""
    assert [entry.attempt for entry in made.entries()] == [1, 2, 3]
    assert made.monitor.parts.cases.standing(2).paused
    assert any("Worker 2 is PAUSED" in text for text in made.alerts.told)
    assert sorted(made.processes.alive) == [1, 3, 4]


def all_helped(made: Harness) -> None:
    """The lead first, the others after it; nobody twice."""
    assert sorted(verdicts(made.entries())) == [(n, 1, True) for n in (2, 3, 4)]
    (lead,) = (entry for entry in made.entries() if entry.correlated)
    assert lead == made.entries()[0]
    assert sorted(made.processes.alive) == [1, 2, 3, 4]


def has_its_settings(made: Harness) -> None:
    """At every start since, also the next one."""
    made.processes.end(1, -9)
    made.rounds(20)
    assert made.processes.settings[1] == (1, None)
    assert made.entries()[0].config_changes == {"parallel_uploads": 1}


def is_repaired(made: Harness) -> None:
    """One promotion, one verdict, nothing kept for anybody."""
    assert made.script.now == "repaired"
    assert [entry.verified for entry in made.entries()].count(True) == 1
    assert None not in [entry.verified for entry in made.entries()]
    assert made.reservations.kept == {}
    assert sorted(made.processes.alive) == [1]


def again_after_ten(made: Harness, minute: int) -> None:
    """A code fix helped, and then the same trouble came again."""
    if minute == 6:
        cured(made)
    if minute == 10:
        made.ledger.outcomes.clear()
        made.hang(1)


def is_taken_back(made: Harness) -> None:
    """Once, and recorded; the same change is not tried again."""
    (fix,) = (entry for entry in made.entries() if entry.fix_type == "code_fix")
    assert (made.script.now, fix.promoted, fix.rolled_back) == ("shipped", True, True)
    assert (fix.verified, fix.case) == (False, None)
    assert "taken back: " in fix.reason
    assert None not in [entry.verified for entry in made.entries()]
    assert made.reservations.kept == {}
    assert made.monitor.parts.cases.standing(1).paused


KILLED: list[
    tuple[str, Callable[[], Harness], int, Cure, Callable[[Harness], None]]
] = [
    ("three attempts and a pause", a_stuck_worker, 60, never, given_up),
    ("many together", many_stuck_workers, 20, the_first_one_first, all_helped),
    ("settings of its own", one_with_settings, 14, after_six, has_its_settings),
    ("a code fix", fixed, 14, after_six, is_repaired),
    ("a code fix on probation", fixed, 60, again_after_ten, is_taken_back),
]


@pytest.mark.parametrize(
    ("happens", "minutes", "cure", "holds"),
    [r[1:] for r in KILLED],
    ids=[r[0] for r in KILLED],
)
def test_a_monitor_that_is_killed_between_any_two_writes_leaves_one_story(
    happens: Callable[[], Harness],
    minutes: int,
    cure: Cure,
    holds: Callable[[Harness], None],
) -> None:
    """After each change of a file, a process, the script: what follows is what would
    have followed."""
    for write in range(1, 200):
        made = happens()
        if not killed_at(made, made.writes.done + write, minutes, cure):
            break
        holds(made)
    assert 5 < write < 199


def test_a_new_monitor_goes_on_with_attempts_cooldown_and_pauses() -> None:
    """Nobody is restarted twice, and who was paused stays so."""
    made = begun()
    made.hang(2)
    made.rounds(6)
    assert made.new_monitor().begin()
    assert len(made.processes.started) == 5
    made.rounds(54)
    assert verdicts(made.entries()) == [(2, 1, False), (2, 2, False), (2, 3, False)]
    assert made.new_monitor().begin()
    made.rounds(30)
    assert 2 not in made.processes.alive
    assert len(made.entries()) == 3


def test_the_case_is_in_the_history_alone() -> None:
    """The stage a trial is in is there at every step."""
    made = fixed()
    made.rounds(5)
    (entry,) = made.entries()
    assert entry.case is not None
    assert (entry.case.stage, entry.case.candidate) == (CaseStage.STARTED, CANDIDATE)
    made.clock.move(1)
    made.state_file.kept = None
    assert made.new_monitor().begin()
    assert cases_of(made.monitor.parts.cases) == {1: entry.case}


# -- the end ---------------------------------------------------------------------------

CLOSED = replace(OPEN, closed_at=NOON)


def test_a_closed_pass_ends_with_0() -> None:
    """At once when nobody runs; else they get half a minute to end by themselves."""
    made = begun()
    made.ledger.found = CLOSED
    assert made.rounds(2)
    assert (made.monitor.exit_code, made.processes.alive, len(made.reports)) == (
        0,
        {},
        1,
    )
    assert made.alerts.told[0].startswith("Pass 7 closed: discovered 100")
    assert made.state_file.kept is not None
    assert made.state_file.kept.ended == "completed"
    assert made.pages == ["completed"]


def test_every_worker_ended_for_good() -> None:
    """Their status is the monitor's."""
    made = begun(2)
    made.processes.end(1, 4)
    made.processes.end(2, 4)
    assert made.rounds(2)
    assert made.monitor.exit_code == 4
    assert (made.pages, made.reports) == (["failed"], [])


def test_the_time_is_up() -> None:
    """Who works goes on; when nobody does, the pass stays open."""
    made = begun(2)
    made.processes.time_up = True
    assert not made.rounds(3)
    made.hang(1, 2)
    assert made.rounds(6)
    assert made.monitor.exit_code == 6
    assert made.processes.alive == {}
    assert (made.pages, len(made.reports)) == (["out of time"], 1)


def test_every_worker_has_done_what_the_limit_allows() -> None:
    """The pass stays open, and nobody is started again; the same as they did: 0."""
    made = begun(2)
    made.processes.end(1, 0)
    assert not made.rounds(2)
    made.processes.end(2, 0)
    assert made.rounds(2)
    assert (made.monitor.exit_code, len(made.processes.started)) == (0, 2)
    assert (made.pages, len(made.reports)) == (["limit reached"], 1)
    assert any("--limit" in line for line in made.said.lines)


def test_the_last_worker_closes_the_pass_while_it_is_looked_at() -> None:
    """Then it has ended well, whatever was read of the ledger before."""
    made = begun(1)
    made.processes.end(1, 0)
    newest, made.ledger.found = made.ledger.found, CLOSED
    seen = [newest]
    made.monitor.totals = lambda: seen.pop() if seen else CLOSED  # type: ignore[method-assign]
    assert not made.rounds(1)
    assert made.rounds(1)
    assert made.pages == ["completed"]


def test_somebody_stops_it() -> None:
    """The page says so; a report would take too long."""
    made = begun(1)
    made.monitor.stopped()
    assert (made.pages, made.reports) == (["stopped"], [])


def test_no_pass_is_open() -> None:
    """Nothing is started."""
    made = Harness()
    made.ledger.found = None
    assert not made.monitor.begin()
    assert made.processes.started == []


def test_a_dry_run_touches_nothing() -> None:
    """It only says what it would do."""
    made = begun()
    made.hang(2)
    before, kept = len(made.processes.started), made.state_file.kept
    made.new_monitor(dry_run=True).begin()
    made.rounds(10)
    made.monitor.stopped()
    assert made.pages == []
    assert len(made.processes.started) == before
    assert (made.entries(), made.state_file.kept, made.processes.stopped) == (
        [],
        kept,
        [],
    )
    assert any(
        line.startswith("Would do: Restarting worker 2") for line in made.said.lines
    )


def test_a_code_fix_of_an_earlier_version_is_told_once() -> None:
    """An alert; the next monitor only shows it, until the file is gone; another one is
    told again."""
    made = begun()
    made.script.kept = ["worker.py.aaa.before-update"]
    made.rounds(3)
    (told,) = made.alerts.told
    assert "./migrate apply worker.py.aaa.before-update tries it" in told
    assert made.monitor.memory.state.changed_script == told
    made.new_monitor().begin()
    made.rounds(2)
    assert made.alerts.told == [told]
    made.script.kept.append("worker.py.bbb.before-update")
    made.rounds(2)
    assert len(made.alerts.told) == 2
    made.script.kept = []
    made.rounds(2)
    assert made.monitor.memory.state.changed_script == ""
    assert len(made.alerts.told) == 2
