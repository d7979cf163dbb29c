"""A monitor with its workers, as processes; thresholds are seconds here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil

from migration.ledger import totals
from migration.state_files import progress
from tests.support.environment import PASSWORD, PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import wait_for
from tests.support.servers.shelf import Shelf

SHORT = {
    "CHECK_INTERVAL_SECONDS": "0.5",
    "STUCK_THRESHOLD_SECONDS": "5",
    "DISCOVERY_THRESHOLD_SECONDS": "8",
    "COOLDOWN_SECONDS": "2",
    "SUCCESS_VERIFICATION_SECONDS": "2.5",
    "VERIFICATION_AT_MOST_SECONDS": "60",
    "KILL_GRACE_SECONDS": "1",
    "STACK_SECONDS": "1",
    "IOSTAT_SECONDS": "1",
    "CLOSING_SECONDS": "5",
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1.5",
    "PROBE_ANSWER_SECONDS": "2",
    "TASK_SECONDS": "1.5",
}
BOOKS = 60


class Watch:
    """A monitor with its workers on a state directory of its own."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.library = Library(folder / "library")
        self.library.add(*epubs(range(BOOKS)))
        self.shelf = shelf
        self.more = dict(SHORT)
        self.running: list[subprocess.Popen[str]] = []

    def environment(self) -> dict[str, str]:
        """For monitor and workers."""
        return clean_environment(
            MBS2_PASSWORD=PASSWORD,
            MBS2_SERVER=self.shelf.url,
            CALIBRE_LIBRARY=str(self.library.root),
            STATE_DIR=str(self.state),
            BATCH_SIZE="10",
            **self.more,
        )

    def open_pass(self) -> None:
        """As start.sh does."""
        subprocess.run(
            [sys.executable, str(PROJECT / "bulk_migrate_calibre.py"), "--open-pass"],
            env=self.environment(),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def start(self, *options: str) -> "subprocess.Popen[str]":
        """A monitor in the background; its words go to a file."""
        process = subprocess.Popen(
            [
                sys.executable,
                str(PROJECT / "auto_monitor" / "monitor.py"),
                "--stop-workers",
                *options,
            ],
            env=self.environment(),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
        )
        self.running.append(process)
        return process

    def run(self, *options: str) -> str:
        """A monitor to the end of the pass; returns what it said."""
        process = self.start(*options)
        _out, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        return said

    def command(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """`monitor.py --status` and its like."""
        return subprocess.run(
            [sys.executable, str(PROJECT / "auto_monitor" / "monitor.py"), *options],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def history(self) -> list[dict[str, object]]:
        """The attempts."""
        path = self.state / "auto_fix_history.json"
        return list(json.loads(path.read_bytes())) if path.exists() else []

    def worker(self, number: int) -> psutil.Process:
        """Worker N's process, once it has settled something."""
        path = progress.progress_path(self.state, number)
        wait_for(
            lambda: (
                (seen := progress.read(path)) is not None and seen.counts.uploaded > 0
            )
        )
        seen = progress.read(path)
        assert seen is not None
        return psutil.Process(seen.pid)

    def all_arrived_once(self, *, again: bool = False) -> None:
        """Every file, by hash; the equation. `again`: later passes found it there."""
        assert (
            troubles(
                look(self.shelf.data_dir),
                [epub(number, title=f"Book {number}") for number in range(BOOKS)],
            )
            == []
        )
        found = totals.read(self.state / "migration_ledger.db")
        assert found is not None
        assert found.counts.discovered == BOOKS
        assert again or found.counts.uploaded == BOOKS
        assert totals.proved(self.state / "migration_ledger.db", found.pass_id)

    def patched(self, function: str, fault: str) -> None:
        """The worker's script is a copy in which a function first does something bad,
        once in all."""
        text = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
        pattern = re.compile(
            rf"(    def {function}\(self.*?\n        \"\"\".*?\"\"\"\n)", re.DOTALL
        )
        broken, count = pattern.subn(
            lambda match: match[1] + f"        if _first():\n            {fault}\n",
            text,
        )
        assert count == 1
        script = self.state / "bulk_migrate_calibre.py"
        script.write_text(
            broken.replace("class CalibreMigrator:", FIRST + "class CalibreMigrator:"),
            "utf-8",
        )
        self.more |= {
            "WORKER_SCRIPT": str(script),
            "FAULT_MARKER": str(self.state / "marker"),
        }


FIRST = '''
def _first() -> bool:
    """Is this the first time in any process?"""
    try:
        os.close(os.open(os.environ["FAULT_MARKER"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


'''


IOSTAT = """#!/bin/sh
util=$(cat "$UTIL_FILE")
echo '{"sysstat": {"hosts": [{"statistics": [{"disk": ['
for disk in $(ls /sys/block); do echo "{\\"disk_device\\": \\"$disk\\", \\"util\\": $util},"; done
echo '{"disk_device": "none", "util": 0}]}]}]}}'
"""
