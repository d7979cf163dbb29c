"""The monitor's own files damaged, replaced, not writable: said, and nobody is paused
or left alone for it."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auto_monitor.model import HistoryEntry
from auto_monitor.record.history import HistoryFile
from tests.support.environment import PROJECT
from tests.support.monitor.watchkit import Watch

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRY = HistoryEntry(NOW.isoformat(), 2, 1, "stuck", 6.1, "migrating", "no progress")


AS_NOBODY = """
import os, sys
from datetime import datetime, UTC
from pathlib import Path
from auto_monitor.record.history import HistoryFile
from auto_monitor.model import HistoryEntry
from common.files.json_files import StateUnwritable
os.setgid(65534); os.setuid(65534)
now = datetime.now(tz=UTC)
history = HistoryFile(Path(sys.argv[1]))
try:
    history.record(HistoryEntry("t", 1, 1, "stuck", 1.0, "migrating", "x"), now)
except StateUnwritable as error:
    print(error)
"""


def test_a_history_that_may_not_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    """Wrong rights are no damage: what is in it comes back with them."""
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    folder = tmp_path / "state"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    history = HistoryFile(folder / "auto_fix_history.json")
    history.record(ENTRY, NOW)
    history.path.chmod(0)
    before = history.path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(history.path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout=60,
    )
    assert "cannot be read: Permission denied; make it readable" in done.stdout, (
        done.stderr
    )
    assert history.path.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [history.path.name]


NO_PLACE = """
import os

def replace(source, target, _real=os.replace):
    if os.path.basename(target) in ("monitor_state.json", "auto_fix_history.json"):
        raise OSError(28, "No space left on device")
    _real(source, target)

os.replace = replace
"""


def test_files_that_cannot_be_written_pause_nobody(
    watch: Watch, tmp_path: Path
) -> None:
    """No room for state and history, no place for evidence: a frozen worker is
    restarted, the pass comes to its end."""
    (tmp_path / "sitecustomize.py").write_text(NO_PLACE)
    watch.more |= {"PYTHONPATH": str(tmp_path), "MAX_FIX_ATTEMPTS": "1"}
    (watch.state / "auto_monitor").write_text("in its place")
    monitor = watch.start("--workers", "1")
    frozen = watch.worker(1)
    frozen.send_signal(signal.SIGSTOP)
    _out, said = monitor.communicate(timeout=120)
    log = (watch.state / "monitor.log").read_text()
    assert monitor.returncode == 0, said
    assert "PAUSED" not in log
    assert (
        log.count(
            "monitor_state.json: No space left on device; free some space on its disk"
        )
        == 1
    )
    assert log.count("auto_fix_history.json: No space left on device") == 1
    assert "Restarting worker 1" in log
    assert not (watch.state / "monitor_state.json").exists()
    assert not frozen.is_running()
    watch.all_arrived_once()
