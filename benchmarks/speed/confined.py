"""A migration under the confinement of a changed script, against one without it.

    python -m benchmarks.speed.confined [--files 300] [--pairs 5]

Fresh migrations of N EPUBs of 20 KB to the embedded server at 3 parallel uploads, in
pairs, by turns with and without the launcher, whose start is in the figures. CPU time
of the worker and its broker, and wall time. The goal is for CPU, by the median of the
pairs: wall time says how busy the machine is.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Table
from migration.confinement.start import LAUNCHER
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, epubs
from tests.support.servers.shelf import start_shelf

#: What the launcher and its broker may add, in seconds of CPU, and per file.
GOAL_START, GOAL_SHARE = 1.5, 1.05


def measure(library: Path, folder: Path, *, confined: bool) -> tuple[float, float]:
    """CPU and wall seconds of one migration of the library."""
    shelf = start_shelf(folder / "shelf")
    before, began = _cpu(), time.monotonic()
    try:
        subprocess.run(
            [
                sys.executable,
                *([str(LAUNCHER)] if confined else []),
                str(PROJECT / "bulk_migrate_calibre.py"),
                str(library),
                *("--server", shelf.url, "--state-dir", str(folder / "state")),
                *("--worker-id", "1", "--parallel-uploads", "3"),
            ],
            env=clean_environment(MBS2_PASSWORD=PASSWORD),
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return _cpu() - before, time.monotonic() - began
    finally:
        end(shelf.process)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def pair(library: Path, number: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both migrations, the confined one first every other time."""
    found = {}
    for confined in (False, True) if number % 2 else (True, False):
        with tempfile.TemporaryDirectory() as folder:
            found[confined] = measure(library, Path(folder), confined=confined)
    return found[False], found[True]


def main() -> int:
    """Prints the figures; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=300, help="N [default: 300]")
    parser.add_argument("--pairs", type=int, default=5, help="pairs [default: 5]")
    given = parser.parse_args()
    table = Table("A migration under confinement")
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder) / "library")
        library.add(*epubs(range(given.files), padding=20_000))
        found = [pair(library.root, number) for number in range(given.pairs)]
    free = statistics.median(one[0] for one, _other in found)
    more = statistics.median(other[0] - one[0] for one, other in found)
    wall = statistics.median(other[1] / one[1] for one, other in found)
    most = GOAL_START + free * (GOAL_SHARE - 1)
    table.add(f"CPU of {given.files} files without", f"{free:.2f} s", "", None)
    table.add(
        "more CPU with it, start included",
        f"{more:+.2f} s",
        f"at most {most:.2f} s",
        more <= most,
    )
    table.add("wall time with it", f"{wall:.2f} times", "", None)
    table.show()
    return int(table.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
