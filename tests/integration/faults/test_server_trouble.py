"""Trouble of the server's parts in the middle of a migration: nothing fails for it,
nothing is lost or there twice."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migration.ledger import totals
from migration.model import Counts
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration

FAST = {
    "RETRY_FIRST_SECONDS": "0.1",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1.5",
    "LAST_LOOK_SECONDS": "0.5",
}
BOOKS = 30


def sources(shelf: Shelf) -> int:
    """How many files have arrived."""
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        return int(db.execute("SELECT COUNT(*) FROM source").fetchone()[0])


def write(path: Path, words: str) -> None:
    """Switches trouble on, or off."""
    new = path.with_suffix(".new")
    new.write_text(words, "utf-8")
    new.replace(path)


def waits(workers: Workers) -> bool:
    """Has a worker said that it waits for the server? One may also be `waiting` for the
    books of the other."""
    logs = workers.state_dir.glob("migration_worker*.log")
    return any("waiting until it answers" in log.read_text("utf-8") for log in logs)


def run_through(
    words: str,
    tmp_path: Path,
    shelves: Callable[..., Shelf],
    workers: Workers,
    **environment: str,
) -> str:
    """Two workers, trouble in mid-run; everything must be there exactly once. Returns
    what the workers said."""
    library = Library(tmp_path / "library")
    contents = [epub(number) for number in range(BOOKS)]
    library.add(
        *(
            Made(title=f"Книга {n}", files={"EPUB": data}, rating=6)
            for n, data in enumerate(contents)
        )
    )
    switch = tmp_path / "trouble"
    shelf = shelves(
        tmp_path / "shelf", "--trouble", str(switch), "--task-ms", "150", "--permissive"
    )
    options = {**FAST, **environment}
    running = [
        workers.start(
            library.root, shelf, "--worker-id", number, "--batch-size", "5", **options
        )
        for number in "12"
    ]

    wait_for(lambda: sources(shelf) >= 6)
    write(switch, words)
    assert sources(shelf) < BOOKS, "the trouble came too late to be any"
    if ":" not in words:
        # The others count, and end by themselves.
        wait_for(lambda: waits(workers))
        write(switch, "")

    ends = [workers.finish(process) for process in running]
    assert [code for code, _said in ends] == [0, 0], ends
    assert troubles(look(shelf.data_dir), contents) == []
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(BOOKS, BOOKS, 0, 0, 0, 0)
    return "".join(said for _code, said in ends)


@pytest.mark.parametrize(
    "words",
    [
        "database",
        "engine",
        "app",
        "insert:2 update:6",
        "insert-kept:2 deadlock:2 update-kept:1",
    ],
)
def test_everything_arrives_once_whatever_trouble_the_server_has(
    words: str, tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """Exit status 0, and the server holds every file exactly once under its true
    title."""
    run_through(words, tmp_path, shelves, workers)


def test_a_part_that_answers_nothing_is_an_outage_of_that_part(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """The web server answers meanwhile; the workers say for whom they wait, and go
    on."""
    said = run_through("engine-hangs", tmp_path, shelves, workers, SILENT_SECONDS="0.5")
    assert "waiting until it answers: the task engine has answered nothing" in said
    assert "The server answers again" in said
