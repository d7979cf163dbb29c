"""CPU (user + system) that the worker needs per uploaded file, as marginal cost.

    python -m benchmarks.speed.client_cpu [--files 1000]

Two fresh migrations of N and 2 N EPUBs of 20 KB to the embedded server, at 3 parallel
uploads; the difference of their CPU times over N is what a further file costs, without
start-up. Goal: at most 8 ms."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, epubs
from tests.support.servers.shelf import Shelf, start_shelf

GOAL_MS = 8.0


def measure(files: int, folder: Path) -> tuple[float, float]:
    """CPU seconds and wall seconds of one worker that uploads so many files."""
    library = Library(folder / "library")
    for start in range(0, files, 500):
        library.add(*epubs(range(start, min(start + 500, files)), padding=20_000))
    shelf = start_shelf(folder / "shelf")
    try:
        return run(library.root, shelf, folder / "state")
    finally:
        end(shelf.process)


def run(library: Path, shelf: Shelf, state_dir: Path) -> tuple[float, float]:
    """Runs the worker and reads what it cost."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [
        sys.executable,
        str(PROJECT / "bulk_migrate_calibre.py"),
        str(library),
        "--server",
        shelf.url,
        "--state-dir",
        str(state_dir),
        "--parallel-uploads",
        "3",
    ]
    subprocess.run(
        command,
        env=clean_environment(MBS2_PASSWORD=PASSWORD),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    wall, after = (
        time.monotonic() - started,
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> int:
    """Prints the figures; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1000, help="N [default: 1000]")
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        few, few_wall = measure(files, Path(one))
        many, many_wall = measure(2 * files, Path(two))
    cost = (many - few) / files * 1000
    print(
        f"{files} files: {few:.2f} s CPU, {few_wall:.1f} s; {2 * files} files: "
        f"{many:.2f} s CPU, {many_wall:.1f} s"
    )
    print(f"marginal CPU per file: {cost:.2f} ms (goal: at most {GOAL_MS:g} ms)")
    return int(cost > GOAL_MS)


if __name__ == "__main__":
    sys.exit(main())
