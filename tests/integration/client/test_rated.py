"""A worker that has lost its ledger, on a server whose ebooks are rated and whose
look-up by title fails for them."""

from pathlib import Path

import pytest

from migration.ledger import totals
from tests.support.environment import end
from tests.support.network.answercells import differences, migrate, small_library
from tests.support.servers.shelf import start_shelf


@pytest.mark.parametrize("lost", ["deleted", "damaged"])
def test_a_worker_without_its_ledger_ends_and_finds_everything_there(
    lost: str, tmp_path: Path
) -> None:
    """Every file is a duplicate, no ebook is made, no title changed; one more format
    goes to the ebook of its book."""
    shelf = start_shelf(tmp_path / "shelf", "--rated-index-fails")
    try:
        library, state = small_library(tmp_path / "library", seed=7), tmp_path / "state"
        assert migrate(library.root, shelf, state)[0] == 0
        lose(state, damaged=lost == "damaged")
        code, said = migrate(library.root, shelf, state)
        assert code == 0, said
        found = totals.read(state / "migration_ledger.db")
        assert found is not None
        assert (
            found.counts.duplicate,
            found.counts.uploaded,
            found.counts.pending,
        ) == (3, 0, 0)
        assert differences(library, shelf, 0) == []
        if lost == "damaged":
            library.sql(
                "INSERT INTO data (book, format, uncompressed_size, name) VALUES (2, "
                "'RTF', 9, 'file')"
            )
            library.file(2, "RTF").write_bytes(b"{\\rtf1 x}")
            assert migrate(library.root, shelf, state)[0] == 0
            assert differences(library, shelf, 0) == []
    finally:
        end(shelf.process)


def lose(state: Path, *, damaged: bool) -> None:
    """The ledger and its backup are gone, or the ledger is no database any more and has
    no backup."""
    for path in state.glob("migration_ledger*"):
        path.unlink()
    if damaged:
        (state / "migration_ledger.db").write_bytes(b"no database at all " * 500)
