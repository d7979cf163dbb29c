"""The ledger's files damaged, taken away or locked up: what is damage and what is not,
and what comes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries.librarykit import library_of
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import FAST, wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


def overwrite(path: Path) -> None:
    """Other bytes, in place."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)


def test_a_worker_whose_ledger_is_damaged_ends_with_9_and_the_next_makes_up_for_it(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """In the middle of a pass; --verify in between leaves the damaged ledger where it
    is."""
    library, contents = library_of(tmp_path, 25)
    shelf = shelves(tmp_path / "shelf", "--delay-ms", "20")
    process = workers.start(library.root, shelf, **FAST)
    path = progress.progress_path(workers.state_dir, 1)
    wait_for(
        lambda: (seen := progress.read(path)) is not None and seen.counts.uploaded >= 3
    )
    ledger = workers.state_dir / LEDGER_NAME

    def ended() -> bool:
        """Written over again and again: SQLite puts the pages back that it has."""
        overwrite(ledger)
        return process.poll() is not None

    wait_for(ended)
    code, said = workers.finish(process)
    assert code == 9, said
    assert "at the next start it is" in said
    overwrite(workers.state_dir / LEDGER_NAME)
    code, said = workers.run(library.root, shelf, "--verify", **FAST)
    assert code == 9, said
    assert list(workers.state_dir.glob("migration_ledger.2*.db")) == []
    code, said = workers.run(library.root, shelf, "--join-only", **FAST)
    assert code == 0, said
    assert "was set aside as" in said
    assert troubles(look(shelf.data_dir), contents) == []
