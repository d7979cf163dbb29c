"""Stuck, stopped, finished: whole verdicts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.detection import (
    DetectionPolicy,
    assess,
    explain_exit,
    is_all_failing,
)
from auto_monitor.model import Assessment, Cause, Health, WorkerSnapshot
from auto_monitor.usage import Leak, Resource
from migration.model import Phase

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = DetectionPolicy(timedelta(minutes=5), timedelta(minutes=20))


def ago(minutes: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(minutes=minutes)


def seen(
    phase: Phase | None = Phase.MIGRATING,
    progress: float = 0,
    beat: float = 0,
    settled: bool = True,
    alive: bool = True,
    exit_code: int | None = None,
    repeated: str = "",
    all_failing: float | None = None,
    words: str = "",
) -> WorkerSnapshot:
    """A look at worker 2; ages in minutes."""
    since = None if all_failing is None else ago(all_failing)
    return WorkerSnapshot(
        2,
        alive,
        ago(progress),
        ago(beat),
        phase,
        settled,
        exit_code,
        repeated_range=repeated,
        all_failing_since=since,
        last_words=words,
        error_class=words.partition(":")[0],
    )


S, D, M, W = Phase.INITIALIZING, Phase.DISCOVERING, Phase.MIGRATING, Phase.WAITING
TABLE = [
    ("fresh", seen(), Health.WORKING, 0, "last progress 0 s ago"),
    (
        "just below",
        seen(progress=4.99),
        Health.WORKING,
        4.99,
        "last progress 5.0 min ago",
    ),
    ("just at", seen(progress=5), Health.STUCK, 5, "no progress for 5.0 min"),
    (
        "a loop",
        seen(progress=9, repeated="books 1-9"),
        Health.STUCK,
        9,
        "no progress for 9.0 min, reading books 1-9 again and again",
    ),
    (
        "discovering long",
        seen(D, 19.9, settled=False),
        Health.WORKING,
        19.9,
        "last progress 19.9 min ago",
    ),
    (
        "discovering too long",
        seen(D, 20, settled=False),
        Health.STUCK,
        20,
        "no progress while discovering for 20.0 min",
    ),
    (
        "starting too long",
        seen(S, 21, settled=False),
        Health.STUCK,
        21,
        "no progress while initializing for 21.0 min",
    ),
    (
        "no file yet",
        seen(None, 21, settled=False),
        Health.STUCK,
        21,
        "no progress while starting for 21.0 min",
    ),
    (
        "waiting for hours",
        seen(W, progress=600, beat=0),
        Health.WORKING,
        0,
        "last progress 0 s ago",
    ),
    (
        "frozen while waiting",
        seen(W, progress=600, beat=6),
        Health.STUCK,
        6,
        "no sign of life while waiting for 6.0 min",
    ),
    (
        "beats but does nothing",
        seen(progress=7, beat=0),
        Health.STUCK,
        7,
        "no progress for 7.0 min",
    ),
    (
        "done",
        seen(Phase.COMPLETED, 60, alive=False, exit_code=0),
        Health.FINISHED,
        0,
        "it has done its part",
    ),
    (
        "done, something stands on the server",
        seen(Phase.COMPLETED, 60, alive=False, exit_code=8),
        Health.FINISHED,
        0,
        "it has done its part",
    ),
    (
        "done, some failed",
        seen(Phase.COMPLETED, 60, alive=False, exit_code=1),
        Health.FINISHED,
        0,
        "it has done its part",
    ),
    (
        "done, not our child",
        seen(Phase.COMPLETED, alive=False),
        Health.FINISHED,
        0,
        "it has done its part",
    ),
    (
        "killed",
        seen(alive=False, exit_code=-9),
        Health.STOPPED,
        0,
        "it was ended by signal 9",
    ),
    (
        "stopped by hand",
        seen(Phase.STOPPED, alive=False, exit_code=143),
        Health.STOPPED,
        0,
        "it was stopped by signal 15 after saving",
    ),
    ("vanished", seen(alive=False), Health.STOPPED, 0, "its process vanished"),
    (
        "failed, not our child",
        seen(Phase.FAILED, alive=False),
        Health.STOPPED,
        0,
        "its process vanished",
    ),
    (
        "pending",
        seen(alive=False, exit_code=6),
        Health.STOPPED,
        0,
        "it ended with 6: it ended with files pending, which its log names",
    ),
    (
        "damaged ledger",
        seen(alive=False, exit_code=9),
        Health.STOPPED,
        0,
        "it ended with 9: the ledger was damaged or gone; the next start sets it "
        "aside and rebuilds it",
    ),
    (
        "no library",
        seen(alive=False, exit_code=4),
        Health.ENDED,
        0,
        "it ended with 4: the library cannot be read",
    ),
]


#: What each row that is not well has for a cause, and its words without times; the
#: others have their reason.
CAUSES = {
    "just at": (Cause.NO_PROGRESS, "no progress"),
    "a loop": (Cause.SAME_RANGE_AGAIN, "no progress"),
    "discovering too long": (
        Cause.NO_PROGRESS_AT_START,
        "no progress while discovering",
    ),
    "starting too long": (Cause.NO_PROGRESS_AT_START, "no progress while initializing"),
    "no file yet": (Cause.NO_PROGRESS_AT_START, "no progress while starting"),
    "frozen while waiting": (Cause.NO_SIGN_OF_LIFE, "no sign of life while waiting"),
    "beats but does nothing": (Cause.NO_PROGRESS, "no progress"),
    "killed": (Cause.SIGNAL, None),
    "stopped by hand": (Cause.SIGNAL, None),
    "vanished": (Cause.VANISHED, None),
    "failed, not our child": (Cause.VANISHED, None),
    "pending": (Cause.EXIT_STATUS, None),
    "damaged ledger": (Cause.EXIT_STATUS, None),
    "no library": (Cause.EXIT_STATUS, None),
}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (70, "it ended with 70: OutOfMemory: out of memory"),
        (None, "its process ended: OutOfMemory: out of memory"),
        (-9, "it was ended by signal 9"),
        (
            3,
            "it ended with 3: the server did not answer at its start, or refused the"
            " login",
        ),
    ],
)
def test_what_the_machine_lacked_is_named(code: int | None, reason: str) -> None:
    """An internal error says nothing; a signal and the other statuses speak for
    themselves."""
    found = assess(
        seen(
            Phase.FAILED,
            alive=False,
            exit_code=code,
            words="OutOfMemory: out of memory",
        ),
        NOW,
        POLICY,
    )
    assert (found.health, found.reason, found.crashed) == (
        Health.STOPPED,
        reason,
        code == 70,
    )


@pytest.mark.parametrize(
    ("code", "words", "away"),
    [
        (3, "", True),
        (3, "ServerNeverAnswered: no answer", True),
        (3, "LoginRefused: wrong password", False),
        (None, "ServerNeverAnswered: no answer", True),
        (None, "LoginRefused: wrong password", False),
        (None, "", False),
        (70, "ServerNeverAnswered: no answer", False),
        (-9, "ServerNeverAnswered: no answer", False),
    ],
)
def test_who_found_no_server(code: int | None, words: str, away: bool) -> None:
    """By status, and by its own words where nobody knows the status; a login that is
    refused is another matter."""
    found = assess(
        seen(Phase.FAILED, alive=False, exit_code=code, words=words), NOW, POLICY
    )
    assert (found.health, found.away) == (Health.STOPPED, away)


@pytest.mark.parametrize("code", [70, 1])
def test_its_own_code_failed(code: int) -> None:
    """Status 1 is also Python's own: only a worker that says so has done its part."""
    found = assess(
        seen(Phase.FAILED if code == 70 else M, alive=False, exit_code=code),
        NOW,
        POLICY,
    )
    said = "it ended with 70: an internal error"
    assert found == Assessment(
        2, Health.STOPPED, NOW, said, crashed=True, cause=Cause.EXIT_STATUS, what=said
    )
    assert found.is_a_riddle


def test_every_file_fails() -> None:
    """Twenty minutes are borne; whether the server is away is asked by the one who
    looks."""
    for phase in (W, M):
        assert (
            assess(seen(phase, all_failing=19.9), NOW, POLICY).health is Health.WORKING
        )
        assert assess(seen(phase, all_failing=20), NOW, POLICY) == Assessment(
            2,
            Health.STUCK,
            ago(20),
            "every file has failed for 20.0 min, although the server answers",
            all_failing=True,
            cause=Cause.ALL_FAILING,
            what="every file has failed",
        )
    assert (
        assess(seen(Phase.FAILED, all_failing=600, alive=False), NOW, POLICY).health
        is Health.STOPPED
    )


@pytest.mark.parametrize("fruitless", [19, 20, 31])
def test_file_after_file_fails_for_no_reason(fruitless: int) -> None:
    """Twenty are a case at once."""
    what = "file after file fails, and not by the server"
    well = Assessment(2, Health.WORKING, NOW, "last progress 0 s ago")
    case = Assessment(
        2,
        Health.STUCK,
        NOW,
        f"{what}: {fruitless} in a row",
        all_failing=True,
        cause=Cause.ALL_FAILING,
        what=what,
    )
    found = assess(replace(seen(), fruitless=fruitless), NOW, POLICY)
    assert found == (case if fruitless >= 20 else well)


@pytest.mark.parametrize(
    ("exit_code", "fruitless", "cause", "riddle"),
    [
        (6, 20, Cause.ALL_FAILING, True),
        (6, 19, Cause.EXIT_STATUS, False),
        (3, 20, Cause.EXIT_STATUS, False),
        (-9, 20, Cause.SIGNAL, False),
        (None, 20, Cause.VANISHED, False),
    ],
)
def test_one_that_gives_up_because_file_after_file_fails_has_the_same_trouble(
    exit_code: int | None, fruitless: int, cause: Cause, riddle: bool
) -> None:
    """The cause is asked for, as while it ran; it is gone, so it may be paused."""
    look = replace(seen(alive=False, exit_code=exit_code), fruitless=fruitless)
    verdict = assess(look, NOW, POLICY)
    assert (verdict.health, verdict.cause) == (Health.STOPPED, cause)
    assert (verdict.is_a_riddle, verdict.is_suspect) == (riddle, riddle)
    assert is_all_failing(look, NOW, POLICY) is riddle
    if riddle:
        assert verdict.reason == (
            "file after file fails, and not by the server: 20 in a row, then it ended "
            "with files pending"
        )
        assert verdict.what == assess(replace(look, alive=True), NOW, POLICY).what


@pytest.mark.parametrize(
    ("found", "reason", "cause", "what"),
    [
        (
            Leak(Resource.MEMORY, ago(3), 950_000_000, 1_000_000_000, 20_000_000),
            "its memory grows without end: 950 MB of 1000 MB, 20 MB more a minute",
            Cause.LEAK_OF_MEMORY,
            "its memory grows without end",
        ),
        (
            Leak(Resource.FILES, ago(3), 900, 1024, 7),
            "it opens ever more files: 900 of 1024, 7 more a minute",
            Cause.LEAK_OF_FILES,
            "it opens ever more files",
        ),
    ],
)
def test_a_leak_is_named_while_it_happens(
    found: Leak, reason: str, cause: Cause, what: str
) -> None:
    """Even if the worker gets on, or every file fails because of it."""
    for look in (seen(), replace(seen(), fruitless=99)):
        verdict = assess(replace(look, leak=found), NOW, POLICY)
        assert verdict == Assessment(
            2, Health.STUCK, ago(3), reason, cause=cause, what=what
        )
        assert verdict.leaks


@pytest.mark.parametrize("code", [-9, None])
def test_one_that_the_kernel_has_killed_is_named(code: int | None) -> None:
    """Worth asking for the cause."""
    look = replace(seen(alive=False, exit_code=code), killed_for_memory=True)
    why = "the kernel ended it because there was no memory left"
    cause = Cause.OUT_OF_MEMORY
    assert assess(look, NOW, POLICY) == Assessment(
        2, Health.STOPPED, NOW, why, crashed=True, cause=cause, what=why
    )


@pytest.mark.parametrize("code", [70, None])
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("OutOfMemory", Cause.OUT_OF_MEMORY),
        ("TooManyOpenFiles", Cause.OUT_OF_FILES),
        ("RecursionTooDeep", Cause.ENDLESS_RECURSION),
    ],
)
def test_what_it_died_of_is_the_cause(
    code: int | None, name: str, cause: Cause
) -> None:
    """Not merely its status."""
    look = seen(Phase.FAILED, alive=False, exit_code=code, words=f"{name}: it says so")
    found = assess(look, NOW, POLICY)
    assert (found.health, found.cause) == (Health.STOPPED, cause)
    assert f"{name}: it says so" in found.reason


@freeze_time("1999-01-01")  # nothing but `now` tells the time
@pytest.mark.parametrize(
    ("name", "look", "health", "since", "reason"), TABLE, ids=[r[0] for r in TABLE]
)
def test_verdicts(
    name: str, look: WorkerSnapshot, health: Health, since: float, reason: str
) -> None:
    """Row by row."""
    cause, what = CAUSES.get(name, (Cause.NONE, ""))
    what = reason if what is None else what
    assert assess(look, NOW, POLICY) == Assessment(
        2, health, ago(since), reason, cause=cause, what=what
    )


@pytest.mark.parametrize("code", [2, 4, 5, 7])
def test_what_a_restart_cannot_mend(code: int) -> None:
    """Usage, library, state directory, worker id."""
    assert assess(seen(alive=False, exit_code=code), NOW, POLICY).health is Health.ENDED


@given(
    st.timedeltas(timedelta(0), timedelta(days=400)),
    st.sampled_from(Phase),
    st.booleans(),
)
def test_a_clock_set_back_makes_nobody_stuck(
    back: timedelta, phase: Phase, settled: bool
) -> None:
    """Everything that was seen lies in the future then."""
    assert (
        assess(seen(phase, settled=settled), NOW - back, POLICY).health
        is Health.WORKING
    )


@given(st.integers(-64, 255))
def test_every_exit_has_words(code: int) -> None:
    """Whatever ends a process."""
    assert explain_exit(code)
