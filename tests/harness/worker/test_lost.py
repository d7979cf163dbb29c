"""What was lost between two runs, the ledger or an ebook, and what the next one makes
of it."""

from pathlib import Path

import pytest

from migration.model import Counts
from tests.support.libraries.editedkit import TITLE, add_format, ebook, edit, library_of
from tests.support.libraries.librarykit import Library, epub
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import FAST, counts_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

QUICK = {**FAST, "RECONCILE_AFTER_SECONDS": "0.1"}


def lose_ledger(workers: LocalWorkers) -> None:
    """The ledger and its backup are gone."""
    for path in workers.state_dir.glob("migration_ledger*"):
        path.unlink()


@pytest.mark.parametrize("edited", [False, True], ids=["as it was", "edited"])
def test_a_lost_ledger_finds_its_ebooks_again(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, edited: bool
) -> None:
    """What is there is a duplicate; a further format goes to the ebook of its book,
    when that still has the title."""
    library = library_of(tmp_path)
    assert workers.run(library.root, shelf, **QUICK)[0] == 0
    if edited:
        edit(shelf, title="The Art of Reading")
    lose_ledger(workers)
    code, said = workers.run(library.root, shelf, **QUICK)
    assert (code, counts_of(workers)) == (0, Counts(1, 0, 1)), said
    data = add_format(library, "TXT")
    code, said = workers.run(library.root, shelf, **QUICK)
    assert code == 0, said
    assert troubles(look(shelf.data_dir), [epub(1), data]) == []
    assert look(shelf.data_dir).ebooks == (2 if edited else 1)


def test_an_unfinished_ebook_is_found_by_its_working_title(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Its closing steps are done after all."""
    library = library_of(tmp_path)
    assert workers.run(library.root, shelf, **QUICK)[0] == 0
    uuid = str(library.sql("SELECT uuid FROM library_id")[0][0])
    mark = uuid.replace("-", "")[:8]
    edit(shelf, title=f"Die Kunst des Lesens ~{mark}-1")
    lose_ledger(workers)
    code, said = workers.run(library.root, shelf, **QUICK)
    assert code == 0, said
    assert ebook(shelf)["title"] == TITLE


def test_an_ebook_that_somebody_deleted_is_made_anew(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """For the format that came later."""
    library: Library = library_of(tmp_path)
    assert workers.run(library.root, shelf, **QUICK)[0] == 0
    with shelf.session() as session:
        number = ebook(shelf)["id"]
        assert session.delete(f"{shelf.url}/api/ebooks/{number}", timeout=20).ok
    add_format(library, "TXT")
    code, said = workers.run(library.root, shelf, **QUICK)
    assert code == 0, said
    assert (ebook(shelf)["title"], ebook(shelf)["id"] != number) == (TITLE, True)
    assert look(shelf.data_dir).ebooks == 1
