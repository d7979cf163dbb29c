"""A pass is undone by workers that are killed with SIGKILL in the middle of it."""

from pathlib import Path

from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, USERNAME, end
from tests.support.libraries.undokit import READER, TOUCHES, KilledUndo, Undone
from tests.support.libraries.updatekit import FAST
from tests.support.migration.workerkit import counts_of
from tests.support.servers.firstuser import seed
from tests.support.servers.shelf import start_shelf


def test_what_others_touched_stays_and_the_rest_goes_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "shelf"
    seed(data_dir, USERNAME, PASSWORD, users=(READER,))
    shelf = start_shelf(data_dir)
    assert shelf.process is not None
    try:
        world = KilledUndo(tmp_path, shelf, Undone(30, 8, 1, kills=8, seed=3))
        world.prepare()
        code, said = world.undo()
        assert code == 1, said
        assert sum(world.struck.values()) >= 4
        assert world.wrong() == []
        ledger = world.workers.state_dir / LEDGER_NAME
        found = totals.read(ledger)
        assert found is not None
        assert (found.pass_id, found.undoes) == (2, 1)
        assert found.closed_at is not None
        assert sum(found.deleted.values()) == 30 - len(TOUCHES)
        assert totals.proved(ledger, 2)
        # A run sends again what went, and nothing twice.
        code, said = world.workers.run(world.library.root, world.shelf, **FAST)
        assert code == 0, said
        assert counts_of(world.workers).uploaded >= 30 - len(TOUCHES)
        assert world.workers.run(world.library.root, world.shelf, **FAST)[0] == 0
        assert counts_of(world.workers).duplicate == 30
    finally:
        end(shelf.process)


def test_nothing_is_sent_while_an_undo_is_unfinished(tmp_path: Path) -> None:
    """Nor is another one begun; the same command goes on."""
    data_dir = tmp_path / "shelf"
    seed(data_dir, USERNAME, PASSWORD, users=(READER,))
    shelf = start_shelf(data_dir)
    assert shelf.process is not None
    try:
        world = KilledUndo(tmp_path, shelf, Undone(6, 1, 0, kills=0, seed=1))
        world.prepare()
        world.aim_once(("DELETE", "/api/ebooks/"), after=3)
        for command in ((), ("--open-pass",), ("--undo", "2")):
            code, said = world.workers.run(
                world.library.root, world.shelf, *command, **FAST
            )
            assert code == 2, said
            assert "pass-is-open" in said or "nothing-to-undo" in said
        assert world.undo()[0] == 0
        assert world.wrong() == []
    finally:
        end(shelf.process)
