"""Calibre works on the library while it is being migrated; neither side fails (issue:
must show 4)."""

import os
import subprocess
from pathlib import Path

import pytest

from migration.ledger import totals
from tests.support.environment import needs
from tests.support.libraries.librarykit import Library, epub, epubs
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

# calibredb refuses to run twice at the same time, whatever the libraries.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("calibredb")]
CALIBRE = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}


@pytest.mark.slow
def test_calibredb_adds_two_hundred_books_beside_a_running_migration(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """`calibredb add` of 200 files ends with 0, the worker ends with 0, and a second
    pass brings the new books."""
    needs("calibredb")
    library = Library(tmp_path / "library")
    library.add(*epubs(range(300)))
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    for number in range(200):
        (incoming / f"{number}.epub").write_bytes(
            epub(
                5000 + number,
                title=f"New {number}",
                author=f"New Writer {number}",
                cover=b"",
            )
        )
    worker = workers.start(library.root, shelf, "--batch-size", "5")
    added = subprocess.run(
        [
            "calibredb",
            "add",
            "--duplicates",
            "-r",
            str(incoming),
            "--with-library",
            str(library.root),
        ],
        check=False,
        env=CALIBRE,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert added.returncode == 0, added.stderr
    assert "locked" not in added.stderr
    code, said = workers.finish(worker)
    assert code == 0, said
    code, said = workers.run(library.root, shelf)
    assert code == 0, said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts.discovered, found.counts.pending, found.counts.failed) == (
        500,
        0,
        0,
    )
