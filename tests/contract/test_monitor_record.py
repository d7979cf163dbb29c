"""What the monitor asks of its durable record: the history and the state, on the files
and on the fakes that the harness plugs in."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auto_monitor.model import (
    Afterwards,
    Candidate,
    Case,
    CaseStage,
    CodeChanges,
    HistoryEntry,
    Identity,
    InFlight,
    MonitorState,
    WorkerRecord,
)
from auto_monitor.ports import UNWRITABLE, History, StateFile
from auto_monitor.record.history import HistoryFile
from auto_monitor.record.state_file import MonitorStateFile
from migration.model import BookId, FileId
from tests.support.monitor.harness import FakeHistory, FakeStateFile

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRY = HistoryEntry(NOW.isoformat(), 2, 1, "stuck", 6.1, "migrating", "no progress")
CANDIDATE = Candidate("x.py", "backup", "before", "after", "diff", "passed")
HAND = InFlight(7, (FileId(BookId(1), "EPUB"),), (1, 9))
WHOLE = replace(
    ENTRY,
    attempt=2,
    fix_type="code_fix",
    confidence=0.5,
    code_changes=CodeChanges("a", "b"),
    config_changes={"batch_size": 10},
    case=Case(NOW, HAND, CaseStage.STARTED, CANDIDATE, 3),
    correlated=True,
    afterwards=Afterwards.RELEASED,
)


@pytest.fixture(params=["fake", "file"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], History]:
    """The same one again and again, as one monitor after the other opens it."""
    fake = FakeHistory()
    path = tmp_path / "state" / "auto_fix_history.json"
    return lambda: fake if request.param == "fake" else HistoryFile(path)


@pytest.fixture(params=["fake", "file"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], StateFile]:
    """The same one again and again."""
    fake = FakeStateFile()
    path = tmp_path / "state" / "monitor_state.json"
    return lambda: fake if request.param == "fake" else MonitorStateFile(path)


def test_a_history_begins_empty(history: Callable[[], History]) -> None:
    """Before and after somebody has begun it; beginning again forgets nothing."""
    assert history().entries() == []
    history().begin(NOW)
    assert history().entries() == []
    history().record(ENTRY, NOW)
    history().begin(NOW)
    assert history().entries() == [ENTRY]


def test_entries_come_back_as_they_were_in_their_order(
    history: Callable[[], History],
) -> None:
    """Every field, oldest first, for whoever comes next."""
    history().record(ENTRY, NOW)
    history().record(WHOLE, NOW + timedelta(minutes=1))
    assert history().entries() == [ENTRY, WHOLE]


def test_an_entry_is_rewritten_in_its_place(history: Callable[[], History]) -> None:
    """By its key: what one worker was tried when, and for which time."""
    for entry in (ENTRY, WHOLE, replace(ENTRY, verified=True, reason="it moves")):
        history().record(entry, NOW)
    assert history().entries() == [
        replace(ENTRY, verified=True, reason="it moves"),
        WHOLE,
    ]
    history().record(replace(ENTRY, worker_id=3), NOW)
    assert [entry.worker_id for entry in history().entries()] == [2, 2, 3]


def test_what_was_read_is_not_what_is_kept(history: Callable[[], History]) -> None:
    """A reader may do with its list what it likes."""
    history().record(ENTRY, NOW)
    history().entries().clear()
    assert history().entries() == [ENTRY]


def test_a_history_that_cannot_be_written_says_so_and_keeps_what_it_had(
    history: Callable[[], History],
) -> None:
    """One of the errors that whoever can go on without the file catches."""
    history().record(ENTRY, NOW)
    made = history()
    if isinstance(made, FakeHistory):
        made.full = True
    else:
        assert isinstance(made, HistoryFile)
        made = HistoryFile(made.path / "below a file")
    with pytest.raises(UNWRITABLE):
        made.record(WHOLE, NOW)
    if isinstance(made, FakeHistory):
        made.full = False
    assert history().entries() == [ENTRY]


STATE = MonitorState(
    3,
    4,
    NOW,
    disk_utilization=63.5,
    last_scale_down_at=NOW,
    pass_opened_at=NOW,
    correlated_since=NOW,
    workers={
        2: WorkerRecord(2, identity=Identity(5, NOW, "birth"), suspect_since=NOW),
        3: WorkerRecord(3, wanted=False, exit_code=-9, paused_by_hand=True),
    },
)


def test_there_is_no_state_before_the_first(state: Callable[[], StateFile]) -> None:
    """And no warning about it."""
    assert state().read() is None
    assert state().load(NOW) == (None, "")
    assert state().taken_over([ENTRY]) == []


def test_the_state_is_read_as_it_was_written(state: Callable[[], StateFile]) -> None:
    """The last one; this version keeps nothing in it that belongs to the history."""
    state().write(replace(STATE, desired=1))
    state().write(STATE)
    assert state().read() == STATE
    assert state().load(NOW) == (STATE, "")
    assert state().taken_over([ENTRY]) == []
