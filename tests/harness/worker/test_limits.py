"""Limits of time, files and bandwidth, over real workers and a real monitor. Orders and
counts, never seconds."""

from pathlib import Path

from migration.ledger import totals
from migration.model import Counts
from tests.support.libraries.librarykit import Library, epubs
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_a_limit_of_files_counts_files_not_books(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """It is no --limit: everything arrives, only slower."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    assert workers.run(library.root, shelf, "--max-files-per-min", "6000")[0] == 0
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(discovered=3, uploaded=3)
