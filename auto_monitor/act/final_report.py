"""The report at the end of a pass, written by a process with limited time."""

import subprocess
import sys
from pathlib import Path

from auto_monitor.record.action_log import ActionLog
from common.sanitize import for_log
from migration.state_files import reports

#: Reports that are kept, each of one pass.
KEPT = 20


def write_report(
    state_dir: Path, project: Path, action_log: ActionLog, seconds: float
) -> None:
    """Writes `STATE_DIR/report/`, and keeps it for this pass; a failure is only logged."""
    if seconds <= 0:
        return
    command = [
        sys.executable,
        "-m",
        "dashboard",
        "--state-dir",
        str(state_dir),
        "--report",
        str(state_dir / reports.FOLDER),
        "--keep",
        str(KEPT),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        action_log.warning("There is no report of the pass: %s", for_log(str(error)))
        return
    if done.returncode:
        action_log.warning("There is no report of the pass: %s", for_log(done.stderr))
    else:
        action_log.info("%s", for_log(done.stdout))
