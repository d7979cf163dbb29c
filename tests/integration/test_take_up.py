"""What a monitor makes of the attempts that its predecessor left behind: its own parts on a state directory."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auto_monitor.act.alerts import Alerts
from auto_monitor.act.supervisor import Staff
from auto_monitor.model import FixCase, HistoryEntry, HungOn, MonitorState, Trigger, WorkerRecord
from auto_monitor.processes import Command, Workers
from auto_monitor.record import action_log
from auto_monitor.record.history import History, StateFile, history_path, state_path
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts
from auto_monitor.repair.code_fixes import CodeFixes
from tests.conftest import PROJECT
from tests.support.fakes import ToldClock

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRY = HistoryEntry(NOW.isoformat(), 1, 1, "stuck", 5.0, "migrating", "cause", fix_type="code_fix")
CASE = FixCase(1, Trigger.STUCK, 1, NOW, HungOn(), ENTRY.key)
UNBEGUN = replace(ENTRY, verified=False, reason="the monitor ended before the candidate was started")
LEFT = [
    ("a code fix that was only recorded", ENTRY, CASE, UNBEGUN, None),
    # It was put in place, and the monitor ended before it could say so: what it hung on is asked as ever.
    ("a code fix that was promoted", replace(ENTRY, applied=True), CASE, replace(ENTRY, applied=True), CASE),
    ("a restart", replace(ENTRY, fix_type="restart"), CASE, replace(ENTRY, fix_type="restart"), CASE),
    (
        "an attempt nobody remembers",
        ENTRY,
        None,
        replace(ENTRY, verified=False, reason="the monitor ended before anything was done"),
        None,
    ),
]


@pytest.mark.parametrize(("entry", "case", "told", "open_case"), [r[1:] for r in LEFT], ids=[r[0] for r in LEFT])
def test_what_was_left_half_done(
    tmp_path: Path, entry: HistoryEntry, case: FixCase | None, told: HistoryEntry, open_case: FixCase | None
) -> None:
    """Closed when nothing was done, and still an attempt; what was done is left to be verified."""
    history = History(history_path(tmp_path))
    history.begin(NOW)
    history.record(entry, NOW)
    record = WorkerRecord(1, attempts=1, last_attempt_at=NOW, case=case)
    memory = Memory(MonitorState(1, 1, NOW, workers={1: record}), StateFile(state_path(tmp_path)), writes=True)
    script, ledger = tmp_path / "bulk_migrate_calibre.py", tmp_path / "migration_ledger.db"
    workers = Workers(Command(script, tmp_path, "http://s", tmp_path, PROJECT), grace_seconds=1)
    with action_log.opened(tmp_path, console=False, dry_run=False) as say:
        staff, alerts = Staff(workers, memory, say), Alerts("", say)
        fixes = CodeFixes(staff, memory, say, alerts, script, tmp_path, ledger, ToldClock(NOW))
        Attempts(staff, memory, history, say, alerts, lambda: NOW, tmp_path, ledger, fixes).take_up()
    assert history.entries() == [told]
    assert memory.records() == [replace(record, case=open_case)]
