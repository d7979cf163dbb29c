"""What it costs to read back what a pass has changed.

    python -m benchmarks.speed.audit [--books 500] [--sampled 5000] [--quick]

The demo's library, a library of 500 books, and a sample out of a larger one, each
migrated to an embedded server and then audited by the worker's own child process.
Wall time from its start to its end, its memory, and what a book costs besides its start.
"""

import argparse
import sys
import tempfile
import threading
import time
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

GOAL_SECONDS, GOAL_MB = 10.0, 120.0
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


def measured(
    root: Path, shelf: Shelf, state: Path, audit: str
) -> tuple[float, float, int]:
    """Seconds, MB and books of one audit that finds nothing."""
    not_audited_yet(state)
    order = order_for_root(root, shelf, state, audit)
    chosen = 0
    with Memory() as memory:
        begun = time.monotonic()
        for message in AuditChild(order, 600.0, lambda: None).messages():
            assert not isinstance(message, Finding), message
            if isinstance(message, Begun):
                chosen = message.chosen
        seconds = time.monotonic() - begun
    return seconds, memory.most, chosen


def order_for_root(root: Path, shelf: Shelf, state: Path, audit: str) -> Order:
    """The order for a library that nobody built here."""
    library = Library.__new__(Library)
    library.root = root
    return order_for(library, shelf, state, audit=audit)


def migrated(root: Path, folder: Path) -> tuple[Shelf, Path]:
    """The library on a server of its own; the server is ended by the caller."""
    shelf, state = start_shelf(folder / "shelf"), folder / "state"
    workers = Workers(state)
    code, said = workers.run(root, shelf, **FAST)
    assert code in (0, 1), said
    return shelf, state


def row(table: Table, name: str, root: Path, audit: str, *, judged: bool) -> None:
    """Migrates and audits one library."""
    with tempfile.TemporaryDirectory() as made:
        shelf, state = migrated(root, Path(made))
        try:
            seconds, megabytes, books = measured(root, shelf, state, audit)
        finally:
            end(shelf.process)
    each = 1000 * seconds / max(books, 1)
    said = f"{seconds:.2f} s, {each:.1f} ms a book, {megabytes:.0f} MB"
    good = seconds <= GOAL_SECONDS and megabytes <= GOAL_MB if judged else None
    goal = f"{GOAL_SECONDS:.0f} s, {GOAL_MB:.0f} MB" if judged else ""
    table.add(f"{name}: {books} books read back", said, goal, good)


def main() -> int:
    """Prints the table; 1 when the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=500)
    parser.add_argument("--sampled", type=int, default=5000)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    books, sampled = (50, 600) if given.quick else (given.books, given.sampled)
    table = Table("Reading back what a pass has changed")
    row(table, "the demo", PROJECT / "demo" / "library", "all", judged=False)
    with tempfile.TemporaryDirectory() as made:
        library = Library(Path(made) / "library")
        library.add(*epubs(range(books)))
        row(table, "all", library.root, "all", judged=True)
        library.add(*epubs(range(books, sampled)))
        row(table, f"a sample of {sampled}", library.root, "auto", judged=False)
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
