"""What it costs to read back what a pass has changed.

    python -m benchmarks.speed.audit [--books 500] [--sampled 2000] [--quick]

The demo's library, a library of 500 books, and a sample out of a larger one, each
migrated to an embedded server and then audited by the worker's own child process.
Wall and CPU time from its start to its end, and its memory. The goal is for CPU: wall
time says how busy the machine is. `--sampled 0` leaves the sample out.
"""

import argparse
import resource
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.table import Table
from migration.audit.child import AuditChild
from migration.audit.findings import Finding
from migration.audit.messages import Begun, Order
from tests.support.environment import PROJECT, end
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import not_audited_yet, order_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf, start_shelf

GOAL_CPU_SECONDS, GOAL_MB = 5.0, 120.0
#: Seconds that a migration may take.
PATIENCE = 3600.0
FAST = {"AUDIT": "off", "LAST_LOOK_SECONDS": "0"}


class Memory:
    """The most memory that a child of this process has used, in MB."""

    def __init__(self) -> None:
        self.most = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for child in psutil.Process().children():
                try:
                    if "migration.audit" in child.cmdline():
                        self.most = max(self.most, child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue


def cpu() -> float:
    """CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, slots=True)
class Cost:
    """What one audit took."""

    seconds: float
    cpu: float
    megabytes: float
    books: int


def measured(root: Path, shelf: Shelf, state: Path, audit: str) -> Cost:
    """The cost of one audit that finds nothing."""
    not_audited_yet(state)
    order = order_for_root(root, shelf, state, audit)
    chosen = 0
    with Memory() as memory:
        begun, before = time.monotonic(), cpu()
        for message in AuditChild(order, 600.0, lambda: None).messages():
            assert not isinstance(message, Finding), message
            if isinstance(message, Begun):
                chosen = message.chosen
        cost = time.monotonic() - begun, cpu() - before
    return Cost(*cost, memory.most, chosen)


def order_for_root(root: Path, shelf: Shelf, state: Path, audit: str) -> Order:
    """The order for a library that nobody built here."""
    library = Library.__new__(Library)
    library.root = root
    return order_for(library, shelf, state, audit=audit)


def migrated(root: Path, folder: Path) -> tuple[Shelf, Path]:
    """The library on a server of its own; the server is ended by the caller."""
    shelf, state = start_shelf(folder / "shelf"), folder / "state"
    workers = Workers(state)
    code, said = workers.finish(workers.start(root, shelf, **FAST), PATIENCE)
    assert code in (0, 1), said
    return shelf, state


def row(table: Table, name: str, root: Path, audit: str, *, judged: bool) -> None:
    """Migrates and audits one library."""
    with tempfile.TemporaryDirectory() as made:
        shelf, state = migrated(root, Path(made))
        try:
            cost = measured(root, shelf, state, audit)
        finally:
            end(shelf.process)
    said = f"{cost.seconds:.1f} s, {cost.cpu:.1f} s of CPU, {cost.megabytes:.0f} MB"
    good = cost.cpu <= GOAL_CPU_SECONDS and cost.megabytes <= GOAL_MB
    goal = f"{GOAL_CPU_SECONDS:.0f} s of CPU, {GOAL_MB:.0f} MB" if judged else ""
    what = f"{name}: {cost.books} books read back"
    table.add(what, said, goal, good if judged else None)


def main() -> int:
    """Prints the table; 1 when the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=500)
    parser.add_argument("--sampled", type=int, default=2000)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    books, sampled = (50, 600) if given.quick else (given.books, given.sampled)
    table = Table("Reading back what a pass has changed")
    row(table, "the demo", PROJECT / "demo" / "library", "all", judged=False)
    with tempfile.TemporaryDirectory() as made:
        library = Library(Path(made) / "library")
        library.add(*epubs(range(books)))
        row(table, "all", library.root, "all", judged=True)
        if not sampled:
            return table.show()
        library.add(*epubs(range(books, sampled)))
        row(table, f"a sample of {sampled}", library.root, "auto", judged=False)
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
