"""Conflicts over several runs; tests/contract/test_update.py has the table of fields."""

from pathlib import Path

from tests.support.libraries.updatekit import (
    EDITS,
    FAST,
    Server,
    library_of,
)
from tests.support.migration.workerkit import lines_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_a_conflict_is_decided_by_a_later_preference(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """It stands, and is said once; a run that prefers Calibre settles it."""
    library, edit = library_of(tmp_path / "library"), EDITS["title"]
    server = Server(shelf.url, shelf.session())
    workers.run(library.root, shelf, **FAST)
    edit.theirs(server, server.ebooks()[0])
    edit.ours(library)
    for _ in range(2):
        assert workers.run(library.root, shelf, **FAST)[0] == 0
        assert server.ebooks()[0]["title"] == "Theirs"
    said = [line for line in lines_of(workers) if "changed on both sides" in line]
    assert len(said) == 1
    assert workers.run(library.root, shelf, "--prefer", "calibre", **FAST)[0] == 0
    assert server.ebooks()[0]["title"] == "Ours"
