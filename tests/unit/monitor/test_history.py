"""The history and the state: valid at every instant, nothing forgotten."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.model import (
    Case,
    CodeChanges,
    HistoryEntry,
    MonitorState,
    WorkerRecord,
    WorkerStanding,
)
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases, HistoryFile, standings_in
from auto_monitor.record.state_file import MonitorStateFile, not_after
from tests.support.environment import PROJECT
from tests.support.monitor.harness import cases_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRY = HistoryEntry(NOW.isoformat(), 2, 1, "stuck", 6.1, "migrating", "no progress")
LOG = logging.getLogger(__name__)
TIMES = st.datetimes(timezones=st.just(UTC))


def test_an_entry_is_added_once_and_rewritten(tmp_path: Path) -> None:
    """One entry per attempt."""
    history = HistoryFile(tmp_path / "auto_fix_history.json")
    history.begin(NOW)
    assert json.loads(history.path.read_bytes()) == []
    history.record(ENTRY, NOW)
    history.begin(NOW)
    history.record(replace(ENTRY, attempt=2), NOW)
    changed = replace(
        ENTRY,
        verified=True,
        code_changes=CodeChanges("a", "b"),
        config_changes={"batch_size": 10},
    )
    history.record(changed, NOW)
    assert history.entries() == [changed, replace(ENTRY, attempt=2)]
    keys = set(json.loads(history.path.read_bytes())[0])
    promised = """timestamp worker_id attempt trigger minutes_stuck status_before
        root_cause fix_type confidence description code_changes config_changes backup
        script_before script_after applied validation verified promoted rolled_back
        reason llm_used model tokens calls recurring occurrences evidence fingerprint
        stack case correlated afterwards"""
    assert keys == set(promised.split())


def test_the_newest_stay_and_older_ones_move(tmp_path: Path) -> None:
    """Into a dated file; none is lost, none is there twice."""
    history = HistoryFile(tmp_path / "auto_fix_history.json", newest=10)
    for number in range(25):
        history.record(replace(ENTRY, attempt=number), NOW)
    assert [entry.attempt for entry in history.entries()] == list(range(15, 25))
    old = json.loads((tmp_path / "auto_fix_history.2026-11-24.json").read_bytes())
    assert [entry["attempt"] for entry in old] == list(range(15))


def test_what_is_no_history_is_set_aside(tmp_path: Path) -> None:
    """Not overwritten."""
    history = HistoryFile(tmp_path / "auto_fix_history.json")
    history.path.write_text("{ broken")
    assert history.entries() == []
    history.record(ENTRY, NOW)
    assert history.entries() == [ENTRY]
    assert (
        tmp_path / "auto_fix_history.damaged-20261124T120000.json"
    ).read_text() == "{ broken"


WRITER = """
import sys
from pathlib import Path
from datetime import datetime, UTC
from auto_monitor.record.history import HistoryFile
from auto_monitor.model import HistoryEntry
history = HistoryFile(Path(sys.argv[1]), newest=20)
number = 0
while True:
    number += 1
    entry = HistoryEntry(str(number), 1, number, "stuck", 1.0, "migrating", "x" * 2000)
    history.record(entry, datetime.now(tz=UTC))
    print(number, flush=True)
"""


def test_it_is_valid_at_every_instant_while_its_writer_is_killed(
    tmp_path: Path,
) -> None:
    """Read in a loop while writers die by SIGKILL."""
    path = tmp_path / "auto_fix_history.json"
    reads = 0
    for _round in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(12):
            assert writer.stdout.readline()
            assert isinstance(json.loads(path.read_bytes()), list)
            reads += 1
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()
        assert isinstance(json.loads(path.read_bytes()), list)
    assert reads == 60


CASES = st.builds(Case, acted_at=TIMES)
RECORDS = st.builds(
    WorkerRecord, worker_id=st.integers(1, 8), suspect_since=st.none() | TIMES
)
STATES = st.builds(
    MonitorState,
    heartbeat_at=TIMES,
    correlated_since=st.none() | TIMES,
    last_scale_up_at=st.none() | TIMES,
    disk_utilization=st.none() | st.floats(0, 100),
    workers=st.dictionaries(st.integers(1, 8), RECORDS, max_size=3),
)


@given(STATES)
def test_the_state_is_read_as_it_was_written(
    tmp_path_factory: object, state: MonitorState
) -> None:
    """Every value there can be."""
    file = MonitorStateFile(Path(str(tmp_path_factory.mktemp("state"))) / "s.json")  # type: ignore[attr-defined]
    file.write(state)
    assert file.read() == state


@given(CASES)
def test_an_open_attempt_is_read_as_it_was_written(
    tmp_path_factory: object, case: Case
) -> None:
    """Every case there can be; and no time of it lies in the future for the monitor
    that goes on."""
    history = HistoryFile(Path(str(tmp_path_factory.mktemp("history"))) / "h.json")  # type: ignore[attr-defined]
    entry = replace(ENTRY, case=case)
    history.record(entry, NOW)
    assert history.entries() == [entry]
    assert standings_in(history.path) == {2: WorkerStanding(attempts=1, entry=entry)}
    cases = Cases(history, ActionLog(LOG, LOG, dry_run=False))
    cases.load(NOW)
    assert cases_of(cases) == {2: replace(case, acted_at=min(case.acted_at, NOW))}
    assert cases.standing(2).last_attempt_at == NOW


@given(STATES)
def test_nothing_in_a_loaded_state_lies_in_the_future(state: MonitorState) -> None:
    """The clock may have been set back while no monitor ran."""
    loaded = not_after(state, NOW)
    times = [
        loaded.heartbeat_at,
        loaded.last_scale_up_at,
        loaded.correlated_since,
        *(record.suspect_since for record in loaded.workers.values()),
    ]
    assert all(moment is None or moment <= NOW for moment in times)


def test_a_damaged_state_is_set_aside_and_said(tmp_path: Path) -> None:
    """Only what the history does not say is forgotten, loudly."""
    file = MonitorStateFile(tmp_path / "monitor_state.json")
    assert file.load(NOW) == (None, "")
    file.path.write_text('{"desired": "many"}')
    state, warning = file.load(NOW)
    assert state is None
    assert "monitor_state.damaged-20261124T120000.json" in warning
    assert "which workers a person paused is forgotten" in warning
    ahead = MonitorState(4, 4, NOW + timedelta(hours=1))
    file.write(ahead)
    assert file.load(NOW) == (replace(ahead, heartbeat_at=NOW), "")
