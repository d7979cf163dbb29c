"""What a script on trial has carried is compared by a process of the shipped code."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from auto_monitor.act.comparer import ProcessComparer
from auto_monitor.ports import Incomparable
from auto_monitor.processes import WorkerCommand
from migration.state_files.owner import lock_path
from tests.support.environment import PROJECT
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import ebook_of, patch
from tests.support.migration.workerkit import FAST, wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

OWNER = "boot|namespace|7|99|1"


@pytest.fixture
def comparer(tmp_path: Path, shelf: Shelf, workers: Workers) -> ProcessComparer:
    """Of a pass that is open again; worker 1 has the first two of its three books."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    path = workers.state_dir / "migration_ledger.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE passes SET closed_at = NULL")
        db.execute("DELETE FROM ranges")
        db.execute("INSERT INTO ranges VALUES (1, 1, 2, ?, NULL)", (OWNER,))
    lock_path(workers.state_dir, 1).write_text(OWNER)
    environment = {"MBS2_PASSWORD": shelf.password, "MBS2_USERNAME": shelf.username}
    return ProcessComparer(
        WorkerCommand(
            workers.script,
            library.root,
            shelf.url,
            workers.state_dir,
            PROJECT,
            environment,
            None,
        )
    )


def verdict(
    comparer: ProcessComparer, trial: str, besides: tuple[int, ...] = ()
) -> str:
    """Asks until there is one; the first answer is never waited for."""
    found: list[str | None] = [comparer.differences(trial, 1, 1, besides)]

    def is_known() -> bool:
        if found[-1] is None:
            found.append(comparer.differences(trial, 1, 1, besides))
        return found[-1] is not None

    wait_for(is_known)
    return found[-1] or ""


def test_what_differs_is_said(comparer: ProcessComparer, shelf: Shelf) -> None:
    """Of the worker's own books, not of others."""
    assert verdict(comparer, "first") == ""
    state = comparer.command.state_dir
    patch(shelf, ebook_of(state, 3), title="Another's")
    assert verdict(comparer, "second") == ""
    patch(shelf, ebook_of(state, 1), title="Planted")
    said = verdict(comparer, "third")
    assert said.startswith("what it carried differs from Calibre: wrong title: ebook")
    assert "of book 1: the server has 'Planted'" in said


def test_nothing_carried_is_nothing_to_compare(comparer: ProcessComparer) -> None:
    """At once, without a process."""
    assert comparer.differences("trial", 9, 1) == ""
    lock_path(comparer.command.state_dir, 2).write_text("boot|namespace|8|99|2")
    assert comparer.differences("trial", 1, 2) == ""


def test_what_still_runs_is_ended(comparer: ProcessComparer) -> None:
    """By a monitor that stops."""
    before = set(psutil.Process().children())
    assert comparer.differences("trial", 1, 1) is None
    [child] = set(psutil.Process().children()) - before
    comparer.close()
    assert not child.is_running()
    comparer.close()


def test_what_cannot_be_compared_is_no_success(
    comparer: ProcessComparer, tmp_path: Path
) -> None:
    """With the reason; the next question tries again."""
    database = tmp_path / "library" / "metadata.db"
    away = database.rename(database.with_name("away"))
    with pytest.raises(Incomparable) as caught:
        verdict(comparer, "trial")
    assert str(caught.value).startswith("what it carried cannot be compared: ")
    assert "metadata.db" in str(caught.value)
    away.rename(database)
    assert verdict(comparer, "trial") == ""


def test_what_was_carried_before_the_trial_is_left_out(
    comparer: ProcessComparer, shelf: Shelf
) -> None:
    """It is not the candidate's."""
    patch(shelf, ebook_of(comparer.command.state_dir, 1), title="Planted")
    assert verdict(comparer, "other", besides=(1,)) == ""
    assert "of book 1" in verdict(comparer, "own", besides=(2,))
