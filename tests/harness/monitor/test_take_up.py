"""What a monitor makes of the attempts that its predecessor left behind: its own parts
on a state directory."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auto_monitor.assembly import Parts, policies, put_together
from auto_monitor.cli.command_line import Settings
from auto_monitor.model import (
    Candidate,
    Case,
    HistoryEntry,
    InFlight,
    MonitorState,
    Stage,
    WorkerRecord,
)
from auto_monitor.record import action_log
from auto_monitor.record.history import History, StateFile, history_path, state_path
from tests.support.migration.fakes import ToldClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRY = HistoryEntry(
    NOW.isoformat(), 1, 1, "stuck", 5.0, "migrating", "cause", fix_type="code_fix"
)
CASE = Case(NOW, InFlight())
#: The same as versions before this one kept it in monitor_state.json.
OLD_CASE = {
    "worker_id": 1,
    "trigger": "stuck",
    "attempt": 1,
    "acted_at": NOW.isoformat(),
    "hung_on": {"pass_id": None, "files": [], "range": None},
    "entry": ENTRY.key,
}
UNBEGUN = replace(
    ENTRY, verified=False, reason="the monitor ended before the candidate was started"
)
LEFT = [
    ("a code fix that was only recorded", ENTRY, CASE, UNBEGUN, None),
    # It was put in place, and the monitor ended before it could say so: what it hung on
    # is asked as ever.
    (
        "a code fix that was promoted",
        replace(ENTRY, applied=True),
        CASE,
        replace(ENTRY, applied=True),
        CASE,
    ),
    (
        "a restart",
        replace(ENTRY, fix_type="restart"),
        CASE,
        replace(ENTRY, fix_type="restart"),
        CASE,
    ),
    (
        "an attempt nobody remembers",
        ENTRY,
        None,
        replace(
            ENTRY, verified=False, reason="the monitor ended before anything was done"
        ),
        None,
    ),
]


def taken_up(folder: Path, act: Callable[[Parts], None]) -> None:
    """A monitor that finds what is in the state directory, as far as its attempts
    go."""
    settings = Settings(
        folder, "http://s", folder, folder / "bulk_migrate_calibre.py", 1, 60, 300
    )
    with action_log.opened(folder, console=False, dry_run=False) as say:
        parts = put_together(settings, policies(settings), say, ToldClock(NOW))
        left = parts.state_file.read()
        assert left is not None
        parts.cases.load(NOW, parts.state_file.left_open())
        parts.cases.begin()
        parts.memory.state = left
        parts.attempts.count()
        parts.attempts.take_up(7)
        act(parts)


def written(folder: Path, record: WorkerRecord, **older: object) -> None:
    """The state, with fields that only an older version has."""
    file = StateFile(state_path(folder))
    file.write(MonitorState(1, 1, NOW, workers={1: record}))
    value = json.loads(file.path.read_bytes())
    if "case" in older:
        value["workers"]["1"]["case"] = older.pop("case")
    file.path.write_text(json.dumps(value | older))


@pytest.mark.parametrize(
    "older", [True, False], ids=["of the version before", "of this version"]
)
@pytest.mark.parametrize(
    ("entry", "case", "told", "open_case"),
    [r[1:] for r in LEFT],
    ids=[r[0] for r in LEFT],
)
def test_what_was_left_half_done(
    tmp_path: Path,
    older: bool,
    entry: HistoryEntry,
    case: Case | None,
    told: HistoryEntry,
    open_case: Case | None,
) -> None:
    """Closed when nothing was done, and still an attempt; what was done is left to be
    verified."""
    history = History(history_path(tmp_path))
    history.begin(NOW)
    history.record(entry if older else replace(entry, case=case), NOW)
    record = WorkerRecord(1, attempts=1, last_attempt_at=NOW)
    written(tmp_path, record, **({"case": OLD_CASE} if older and case else {}))

    def act(parts: Parts) -> None:
        assert parts.memory.records() == [record]
        assert parts.cases.by_worker() == ({} if open_case is None else {1: open_case})

    taken_up(tmp_path, act)
    assert history.entries() == [replace(told, case=open_case)]


CANDIDATE = Candidate(
    "bulk_migrate_calibre.x.py", "backup", "before", "after", "diff", "passed"
)
OLD_TRIAL = {
    "worker_id": 1,
    "entry": ENTRY.key,
    "hung_on": OLD_CASE["hung_on"],
    "lost_before": 3,
    "stage": "promoting",
    "fruitless": False,
    "candidate": {
        name: getattr(CANDIDATE, name) for name in Candidate.__dataclass_fields__
    },
}


def test_an_upgrade_in_mid_run_loses_nothing(tmp_path: Path) -> None:
    """Attempts, cooldown, a paused worker, the trial of a code fix; once in the
    history, it is read from there."""
    history = History(history_path(tmp_path))
    history.record(replace(ENTRY, applied=True), NOW)
    record = WorkerRecord(
        1,
        attempts=2,
        last_attempt_at=NOW - timedelta(minutes=3),
        paused=True,
        batch_size=50,
    )
    written(tmp_path, record, case=OLD_CASE, code_case=OLD_TRIAL)
    case = Case(NOW, InFlight(), Stage.PROMOTING, CANDIDATE, lost_before=3)

    def act(parts: Parts) -> None:
        assert parts.memory.records() == [record]
        assert parts.cases.by_worker() == {1: case}
        parts.memory.save()

    taken_up(tmp_path, act)
    assert history.entries() == [replace(ENTRY, applied=True, case=case)]
    assert "code_case" not in json.loads(state_path(tmp_path).read_bytes())
    taken_up(tmp_path, act)


def test_an_old_attempt_without_its_entry_goes_on(tmp_path: Path) -> None:
    """The history was damaged and set aside: the case is kept under its key."""
    written(tmp_path, WorkerRecord(1, attempts=1, last_attempt_at=NOW), case=OLD_CASE)
    taken_up(tmp_path, lambda parts: None)
    (entry,) = History(history_path(tmp_path)).entries()
    assert (entry.key, entry.case, entry.trigger) == (ENTRY.key, CASE, "stuck")


@pytest.mark.parametrize(
    ("newest", "attempts", "counted"),
    [
        ("begun, and the state did not know", 0, 1),
        ("begun", 1, 1),
        ("verified, and the state did not know", 1, 0),
        ("failed", 1, 1),
    ],
)
def test_attempts_are_what_the_history_proves(
    tmp_path: Path, newest: str, attempts: int, counted: int
) -> None:
    """The monitor died between writing the one and the other."""
    entry = replace(ENTRY, fix_type="restart", case=CASE)
    if "begun" not in newest:
        entry = replace(
            entry, case=None, verified=newest.startswith("verified"), reason="x"
        )
    History(history_path(tmp_path)).record(entry, NOW)
    written(tmp_path, WorkerRecord(1, attempts=attempts, last_attempt_at=NOW))

    def act(parts: Parts) -> None:
        assert parts.memory.record(1) == WorkerRecord(
            1, attempts=counted, last_attempt_at=NOW
        )

    taken_up(tmp_path, act)
