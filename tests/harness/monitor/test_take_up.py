"""What a monitor makes of the attempts that its predecessor left behind: its own parts
on a state directory."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auto_monitor import config
from auto_monitor.assembly import MonitorParts, put_together
from auto_monitor.cli.command_line import Settings
from auto_monitor.model import (
    Afterwards,
    Candidate,
    Case,
    CaseStage,
    CorrelatedFailure,
    HistoryEntry,
    InFlight,
    MonitorState,
    WorkerRecord,
    WorkerStanding,
)
from auto_monitor.record import action_log
from auto_monitor.record.history import HistoryFile, history_path
from auto_monitor.record.state_file import MonitorStateFile, state_path
from migration.model import BookId, FileId
from tests.support.migration.fakes import ToldClock
from tests.support.monitor.harness import cases_of

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
OLD_WORKER: dict[str, object] = {
    "worker_id": 1,
    "wanted": True,
    "identity": None,
    "exit_code": None,
    "attempts": 1,
    "last_attempt_at": NOW.isoformat(),
    "paused": False,
    "by_hand": False,
    "suspect_since": None,
    "parallel_uploads": None,
    "batch_size": None,
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


def taken_up(folder: Path, act: Callable[[MonitorParts], None]) -> None:
    """A monitor that finds what is in the state directory, as far as its attempts
    go."""
    settings = Settings(
        folder, "http://s", folder, folder / "bulk_migrate_calibre.py", 1, 60, 300
    )
    with action_log.opened(folder, console=False, dry_run=False) as say:
        parts = put_together(
            settings,
            config.policies(settings.threshold, settings.target),
            say,
            ToldClock(NOW),
        )
        left = parts.state_file.read()
        assert left is not None
        parts.cases.load(NOW, parts.state_file.taken_over)
        parts.cases.begin()
        parts.memory.state = left
        parts.attempts.take_up(7)
        act(parts)


def written(
    folder: Path, worker: dict[str, object] | None = None, **older: object
) -> None:
    """The state as the version before this one wrote it, or (without `worker`) as this
    one does."""
    file = MonitorStateFile(state_path(folder))
    file.write(MonitorState(1, 1, NOW, workers={1: WorkerRecord(1)}))
    if worker is not None:
        value = json.loads(file.path.read_bytes()) | {"schema": 1, "mass": None}
        value["workers"]["1"] = OLD_WORKER | worker
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
    history = HistoryFile(history_path(tmp_path))
    history.begin(NOW)
    history.record(entry if older else replace(entry, case=case), NOW)
    written(tmp_path, ({"case": OLD_CASE} if case else {}) if older else None)

    def act(parts: MonitorParts) -> None:
        found = parts.cases.standing(1)
        assert (found.attempts, found.last_attempt_at, found.paused) == (1, NOW, False)
        assert cases_of(parts.cases) == ({} if open_case is None else {1: open_case})

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
    """Attempts, a paused worker, its settings, the trial of a code fix; once in the
    history, it is read from there."""
    history = HistoryFile(history_path(tmp_path))
    history.record(replace(ENTRY, applied=True), NOW)
    worker = {"paused": True, "batch_size": 50, "case": OLD_CASE}
    written(tmp_path, worker, code_case=OLD_TRIAL)
    case = Case(NOW, InFlight(), CaseStage.PROMOTING, CANDIDATE, lost_before=3)
    entry = replace(
        ENTRY,
        applied=True,
        case=case,
        config_changes={"batch_size": 50},
        afterwards=Afterwards.PAUSED,
    )
    stands = WorkerStanding(1, NOW, paused=True, batch_size=50, entry=entry)

    def act(parts: MonitorParts) -> None:
        assert parts.cases.standing(1) == stands
        assert not parts.memory.record(1).paused_by_hand
        parts.memory.save()

    taken_up(tmp_path, act)
    assert history.entries() == [entry]
    kept = json.loads(state_path(tmp_path).read_bytes())
    assert (kept["schema"], set(kept["workers"]["1"])) == (2, OURS)
    assert "code_case" not in kept
    taken_up(tmp_path, act)
    assert history.entries() == [entry]


OURS = {
    "worker_id",
    "script",
    "wanted",
    "identity",
    "exit_code",
    "suspect_since",
    "suspect_of",
    "paused_by_hand",
}
EARLIER = NOW - timedelta(minutes=3)
PAST = (NOW - timedelta(days=2)).isoformat()
FAILED = replace(ENTRY, fix_type="restart", verified=False, reason="x")
STANDS: list[tuple[str, list[HistoryEntry], dict[str, object], WorkerStanding, int]] = [
    ("as the history says", [FAILED], {}, WorkerStanding(1, NOW), 1),
    (
        "given up",
        [FAILED],
        {"attempts": 1, "paused": True},
        WorkerStanding(1, NOW, paused=True),
        1,
    ),
    (
        "paused by a person",
        [FAILED],
        {"paused": True, "by_hand": True},
        WorkerStanding(1, NOW),
        1,
    ),
    (
        "resumed since",
        [FAILED],
        {"attempts": 0, "last_attempt_at": None},
        WorkerStanding(),
        1,
    ),
    (
        "the history was lost",
        [],
        {"attempts": 2, "last_attempt_at": EARLIER.isoformat(), "batch_size": 50},
        WorkerStanding(2, EARLIER, batch_size=50),
        1,
    ),
    (
        "settings of another pass",
        [
            replace(FAILED, timestamp=PAST, config_changes={"batch_size": 10}),
            FAILED,
        ],
        {},
        WorkerStanding(1, NOW),
        2,
    ),
    (
        "nothing is known",
        [],
        {"attempts": 0, "last_attempt_at": None},
        WorkerStanding(),
        0,
    ),
]


@pytest.mark.parametrize(
    ("entries", "worker", "stands", "left"),
    [r[1:] for r in STANDS],
    ids=[r[0] for r in STANDS],
)
def test_where_a_worker_stood_in_the_version_before(
    tmp_path: Path,
    entries: list[HistoryEntry],
    worker: dict[str, object],
    stands: WorkerStanding,
    left: int,
) -> None:
    """It stands there still, by the history alone; taken over once, whoever dies before
    the state is written."""
    history = HistoryFile(history_path(tmp_path))
    history.begin(NOW)
    for entry in entries:
        history.record(entry, NOW)
    written(tmp_path, worker)

    def act(parts: MonitorParts) -> None:
        assert parts.cases.standing(1) == stands
        by_hand = worker.get("by_hand") is True
        assert parts.memory.record(1).paused_by_hand is by_hand
        assert len(history.entries()) == left

    taken_up(tmp_path, act)
    taken_up(tmp_path, act)


def test_who_led_those_that_hung_together_leads_them_still(tmp_path: Path) -> None:
    """Its attempt is marked, and whether it helped is asked of the history."""
    history = HistoryFile(history_path(tmp_path))
    history.record(replace(ENTRY, verified=True, reason="x"), NOW)
    together = {"since": EARLIER.isoformat(), "lead": 1, "released": True}
    written(tmp_path, {"attempts": 0}, mass=together)

    def act(parts: MonitorParts) -> None:
        since = parts.memory.state.correlated_since
        found = CorrelatedFailure(EARLIER, 1, released=True)
        assert parts.cases.correlated(since) == found

    taken_up(tmp_path, act)
    assert history.entries()[0].correlated


def test_names_of_the_version_before_are_replaced(tmp_path: Path) -> None:
    """In the history and in the state."""
    case = {
        "acted_at": NOW.isoformat(),
        "hung_on": {"pass_id": 7, "files": [[1, "EPUB"]], "range": [1, 9]},
    }
    entry = {
        "timestamp": NOW.isoformat(),
        "worker_id": 1,
        "attempt": 1,
        "trigger": "fruitless",
        "minutes_stuck": 5.0,
        "status_before": "migrating",
        "root_cause": "x",
        "case": case,
    }
    history_path(tmp_path).write_text(json.dumps([entry]))
    written(
        tmp_path,
        {
            "case": OLD_CASE
            | {"trigger": "fruitless", "attempt": 2, "entry": f"{NOW.isoformat()} 1 2"}
        },
    )

    def act(parts: MonitorParts) -> None:
        assert [(entry.trigger, entry.attempt) for entry in parts.cases.entries()] == [
            ("all_failing", 1),
            ("all_failing", 2),
        ]
        (first, _second) = parts.cases.entries()
        assert first.case is not None
        file = FileId(BookId(1), "EPUB")
        assert first.case.in_flight == InFlight(7, (file,), (1, 9))

    taken_up(tmp_path, act)


def test_an_old_attempt_without_its_entry_goes_on(tmp_path: Path) -> None:
    """The history was damaged and set aside: the case is kept under its key."""
    written(tmp_path, {"case": OLD_CASE})
    taken_up(tmp_path, lambda parts: None)
    (entry,) = HistoryFile(history_path(tmp_path)).entries()
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
    HistoryFile(history_path(tmp_path)).record(entry, NOW)
    written(tmp_path, {"attempts": attempts})

    def act(parts: MonitorParts) -> None:
        found = parts.cases.standing(1)
        assert (found.attempts, found.last_attempt_at) == (counted, NOW)

    taken_up(tmp_path, act)
