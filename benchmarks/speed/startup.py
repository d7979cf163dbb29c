"""CPU seconds (user + system) of a program's start, beside those of a bare Python.

    python -m benchmarks.speed.startup [--times 7]

The least of so many runs: whatever else the machine does can only add. Every program
reads its command line and ends; one worker also goes through a library without a book.
Goal: 0.25 s for that worker.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Table
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library
from tests.support.servers.shelf import start_shelf

GOAL_SECONDS = 0.25
PROGRAMS = {
    "worker": ["bulk_migrate_calibre.py", "--help"],
    "monitor": ["auto_monitor/monitor.py", "--help"],
    "dashboard": ["-m", "dashboard", "--help"],
    "embedded server": ["-m", "bookshelf", "--help"],
    "start.sh's part": ["-m", "deploy.launch", "--help"],
}


def children() -> float:
    """CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cost(arguments: Sequence[str], times: int, **environment: str) -> float:
    """The least CPU time of a Python with these arguments."""
    found = []
    for _ in range(times):
        before = children()
        subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=clean_environment(**environment),
            capture_output=True,
            timeout=120,
            check=True,
        )
        found.append(children() - before)
    return min(found)


def idle_worker(times: int) -> float:
    """A worker with a server, and a library without a book."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shelf = start_shelf(folder / "shelf")
        try:
            library = Library(folder / "library")
            command = [
                "bulk_migrate_calibre.py",
                str(library.root),
                "--server",
                shelf.url,
            ]
            state = ["--state-dir", str(folder / "state")]
            return cost(
                [*command, *state], times, MBS2_PASSWORD=PASSWORD, LAST_LOOK_SECONDS="0"
            )
        finally:
            end(shelf.process)


def main() -> int:
    """Prints the table; 1 when the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    times = parser.parse_args().times
    table = Table("Start-up, CPU seconds")
    bare = cost(["-c", "pass"], times)
    table.add("bare Python", f"{bare:.3f} s", "", None)
    for name, arguments in PROGRAMS.items():
        seconds = cost(arguments, times)
        table.add(name, f"{seconds:.3f} s, {seconds / bare:.0f} times", "", None)
    idle = idle_worker(times)
    what = f"{idle:.3f} s, {idle / bare:.0f} times"
    table.add("worker, nothing to do", what, f"{GOAL_SECONDS} s", idle <= GOAL_SECONDS)
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
