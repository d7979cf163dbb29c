"""When the library is looked at, and when a pass follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide import watching
from auto_monitor.decide.watching import Library, Step, WatchPolicy
from auto_monitor.model import LibrarySeen, WatchRecord
from migration.ledger.totals import Totals
from migration.model import Counts

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = WatchPolicy(timedelta(minutes=15), timedelta(seconds=60))
A, B = LibrarySeen("a"), LibrarySeen("b")
GONE = LibrarySeen(trouble="metadata.db is not there")


def ago(seconds: float) -> datetime:
    """So many seconds before noon."""
    return NOON - timedelta(seconds=seconds)


# Carried, owed, seen, since (seconds ago), refused (seconds ago); what follows at noon.
STEPS = [
    ("as at the last pass", "a", False, A, 9999, None, Step.WAIT),
    ("changed, and quiet", "a", False, B, 60, None, Step.PASS),
    ("changed just now", "a", False, B, 59, None, Step.WAIT),
    ("nothing is known of the last pass", "", False, A, 60, None, Step.PASS),
    ("never looked", "a", False, None, None, None, Step.WAIT),
    ("not there", "a", False, GONE, 9999, None, Step.WAIT),
    ("not there, nothing known", "", False, GONE, 9999, None, Step.WAIT),
    ("a pass nobody works on", "a", True, A, 60, None, Step.PASS),
    ("such a pass, library not there", "a", True, GONE, 60, None, Step.WAIT),
    ("changed, but refused lately", "a", False, B, 9999, 899, Step.WAIT),
    ("changed, refused a look ago", "a", False, B, 9999, 900, Step.PASS),
    ("owed, but refused lately", "a", True, A, 9999, 899, Step.WAIT),
]


@pytest.mark.parametrize(
    ("carried", "owed", "seen", "since", "refused", "expected"),
    [row[1:] for row in STEPS],
    ids=[row[0] for row in STEPS],
)
def test_whether_a_pass_is_run(
    carried: str,
    owed: bool,
    seen: LibrarySeen | None,
    since: float | None,
    refused: float | None,
    expected: Step,
) -> None:
    """Only over a library that can be read, has changed, and is quiet."""
    known = Library(
        carried,
        owed,
        seen,
        None if since is None else ago(since),
        NOON,
        None if refused is None else ago(refused),
    )
    assert watching.step(known, NOON, POLICY) is expected


# What is known, looked at noon; seconds until the next look.
LOOKS = [
    ("nothing yet", Library(), None),
    ("nothing new", Library("a", seen=A, looked_at=NOON), 900),
    ("changed", Library("a", seen=B, looked_at=NOON), 60),
    ("changed, refused", Library("a", seen=B, looked_at=NOON, refused_at=NOON), 900),
    ("not there", Library("a", seen=GONE, looked_at=NOON), 60),
    ("a pass nobody works on", Library("a", owed=True, seen=A, looked_at=NOON), 60),
    (
        "such a pass, refused",
        Library("a", owed=True, seen=A, looked_at=NOON, refused_at=NOON),
        900,
    ),
]


@pytest.mark.parametrize(
    ("known", "seconds"), [row[1:] for row in LOOKS], ids=[row[0] for row in LOOKS]
)
def test_when_it_is_looked_at_next(known: Library, seconds: int | None) -> None:
    """Now, soon, or at the usual time."""
    due = None if seconds is None else NOON + timedelta(seconds=seconds)
    assert watching.next_look(known, POLICY) == due
    assert watching.is_due(known, NOON, POLICY) is (due is None)
    assert watching.is_due(known, due or NOON, POLICY)


NOTES = [
    ("the first look", Library("a"), A, False, NOON, None),
    ("the same", Library("a", seen=B, since=ago(9)), B, False, ago(9), None),
    ("the same, written to", Library("a", seen=B, since=ago(9)), B, True, NOON, None),
    ("changed", Library("a", seen=A, since=ago(9)), B, False, NOON, None),
    ("gone", Library("a", seen=A, since=ago(9)), GONE, False, NOON, None),
    (
        "the same, refused",
        Library("a", seen=B, since=ago(9), refused_at=ago(5)),
        B,
        False,
        ago(9),
        ago(5),
    ),
    (
        "changed, refused",
        Library("a", seen=B, since=ago(9), refused_at=ago(5)),
        A,
        False,
        NOON,
        None,
    ),
]


@pytest.mark.parametrize(
    ("known", "seen", "stirred", "since", "refused"),
    [row[1:] for row in NOTES],
    ids=[row[0] for row in NOTES],
)
def test_what_a_look_adds(
    known: Library,
    seen: LibrarySeen,
    stirred: bool,
    since: datetime,
    refused: datetime | None,
) -> None:
    """Since when it is as it is; a change is a reason to try again."""
    assert watching.noted(known, seen, NOON, stirred=stirred) == Library(
        "a", seen=seen, since=since, looked_at=NOON, refused_at=refused
    )


def test_people_are_told_of_what_lasts() -> None:
    """A file that is being replaced is away for a moment only."""
    known = Library("a", seen=GONE, since=ago(59))
    assert watching.alarm(known, NOON, POLICY) == ""
    known = replace(known, since=ago(60))
    assert watching.alarm(known, NOON, POLICY) == GONE.trouble
    assert watching.alarm(replace(known, seen=A), NOON, POLICY) == ""


def test_after_a_pass_was_opened_or_refused() -> None:
    """What it began with is settled; a refusal keeps what is owed."""
    known = Library("a", owed=True, seen=B, since=ago(70), looked_at=NOON)
    assert watching.opened(known, "b") == Library("b", seen=B, since=ago(70))
    refused = watching.refused(known, NOON, owed=False)
    assert refused == replace(known, refused_at=NOON)
    assert watching.refused(Library("a"), NOON, owed=True) == Library(
        "a", owed=True, looked_at=NOON, refused_at=NOON
    )


# -- the whole of it -------------------------------------------------------------------


class Days:
    """A library, a watch over it, and time in seconds."""

    def __init__(self, policy: WatchPolicy) -> None:
        self.policy = policy
        self.known = Library()
        self.now = NOON
        self.version, self.changed_at = 0, NOON
        self.away = False
        self.passes: list[tuple[int, datetime]] = []

    def second(self, *, stirred: bool) -> None:
        """One round."""
        self.now += timedelta(seconds=1)
        if not (stirred or watching.is_due(self.known, self.now, self.policy)):
            return
        seen = GONE if self.away else LibrarySeen(str(self.version))
        self.known = watching.noted(self.known, seen, self.now, stirred=stirred)
        if watching.step(self.known, self.now, self.policy) is Step.PASS:
            assert not self.away
            assert self.known.carried != seen.mark
            # As far as is known here: what was written since the look before is not.
            self.passes.append((self.version, self.now))
            self.known = watching.opened(self.known, seen.mark)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200), st.sampled_from(["write", "replace", "back", "none"])
        ),
        max_size=20,
    ),
    st.booleans(),
    st.integers(0, 90),
    st.integers(1, 200),
)
def test_every_change_is_carried_within_two_looks(
    happens: list[tuple[int, str]], events: bool, quiet: int, every: int
) -> None:
    """Whatever happens to the file, with events or without; and then all is still."""
    days = Days(WatchPolicy(timedelta(seconds=every), timedelta(seconds=quiet)))
    for seconds, what in happens:
        for _ in range(seconds):
            days.second(stirred=False)
        days.away = what == "replace" or (days.away and what != "back")
        days.version += what in ("write", "back", "replace")
        days.second(stirred=events and what != "none")
    days.away = False
    days.version += 1
    days.second(stirred=events)
    for _ in range(every + quiet + min(every, quiet) + 3):
        days.second(stirred=False)
    assert days.passes[-1][0] == days.version
    settled = len(days.passes)
    for _ in range(3 * every):
        days.second(stirred=False)
    assert len(days.passes) == settled


@given(st.lists(st.integers(0, 59), min_size=1, max_size=30))
def test_no_pass_while_it_is_written_to(pauses: list[int]) -> None:
    """With events, never within a minute of the last one."""
    days = Days(POLICY)
    for seconds in pauses:
        for _ in range(seconds):
            days.second(stirred=False)
        days.version += 1
        days.second(stirred=True)
        assert days.passes == []


# -- in words --------------------------------------------------------------------------

CLOSED = Totals(8, NOON, NOON, Counts(9, 4, 5, 0, 0, 0), 0, {}, {}, 0, 9, 9)
WORDS = [
    (Library("a", seen=A), "no change since pass 8 (4 files new)"),
    (Library("a", seen=GONE), "the library cannot be read: metadata.db is not there"),
    (
        Library("a", seen=B),
        "the library has changed; a pass follows when it has been left alone for 60 s",
    ),
    (Library("a", seen=B, refused_at=NOON), "a pass cannot be run yet"),
    (Library("a", owed=True, seen=A), "the pass goes on soon"),
]


@pytest.mark.parametrize(("known", "text"), WORDS)
def test_what_a_look_found(known: Library, text: str) -> None:
    """In words."""
    newest = f"pass 8 ({watching.came_to(CLOSED)})"
    assert watching.said(known, newest, POLICY) == text


def test_one_line_says_it_all() -> None:
    """For people: when, what, and when again."""
    record = WatchRecord(900.0, found="pass 8 is under way")
    assert watching.sentence(record, NOON) == "watching; pass 8 is under way"
    record = replace(
        record,
        looked_at=ago(180),
        found="no change",
        next_look_at=NOON + timedelta(minutes=12),
        trouble="Everything is wrong",
    )
    assert watching.sentence(record, NOON) == (
        "watching; looked 3 min ago: no change; Everything is wrong; next look at "
        "12:12 UTC"
    )
    one = replace(CLOSED, counts=Counts(9, 1, 5, 0, 2, 1))
    assert watching.came_to(one) == "1 file new, 2 files failed"
    one = replace(CLOSED, updated={"book": 2, "title": 1})
    assert watching.came_to(one) == "4 files new, 2 books changed"
