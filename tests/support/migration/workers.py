"""Workers as processes."""

import subprocess
import sys
from pathlib import Path

from tests.support.environment import PROJECT, clean_environment
from tests.support.servers.shelf import Shelf


class Workers:
    """Runs the worker as a process, as a user does."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        #: What is run as the worker.
        self.script = PROJECT / "bulk_migrate_calibre.py"
        self.running: list[subprocess.Popen[str]] = []

    def start(
        self, library: Path, shelf: Shelf, *options: str, **environment: str
    ) -> "subprocess.Popen[str]":
        """Starts a worker and returns at once."""
        command = [
            sys.executable,
            str(self.script),
            str(library),
            "--server",
            shelf.url,
            "--state-dir",
            str(self.state_dir),
            *options,
        ]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=clean_environment(MBS2_PASSWORD=shelf.password, **environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.running.append(process)
        return process

    def run(
        self, library: Path, shelf: Shelf, *options: str, **environment: str
    ) -> tuple[int, str]:
        """Runs a worker to its end; returns its exit status and what it said."""
        process = self.start(library, shelf, *options, **environment)
        return self.finish(process)

    @staticmethod
    def finish(
        process: "subprocess.Popen[str]", timeout: float = 240
    ) -> tuple[int, str]:
        """Waits for a worker; returns its exit status and what it said."""
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out + err
