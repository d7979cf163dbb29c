"""The cases of the 2025-11-26 seed: no stale duplicate check, sanitising, retries,
connectivity, performance lines."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migration.ledger import totals
from migration.model import Counts, Phase
from migration.state_files import logs, progress
from tests.support.environment import end
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.workerkit import counts_of, lines_of, wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf, start_shelf

pytestmark = pytest.mark.integration


def test_a_second_pass_reports_130_of_130_while_others_upload(
    tmp_path: Path, shelf: Shelf
) -> None:
    """130 settled files are all duplicates on a second pass, while two other workers
    upload beside it."""
    settled, busy = Library(tmp_path / "settled"), Library(tmp_path / "busy")
    settled.add(*epubs(range(130)))
    busy.add(*epubs(range(1000, 1120)))
    one, two = Workers(tmp_path / "one"), Workers(tmp_path / "two")
    assert one.run(settled.root, shelf)[0] == 0
    beside = [
        two.start(busy.root, shelf, "--worker-id", str(number), "--batch-size", "10")
        for number in (1, 2)
    ]
    try:
        code, said = one.run(settled.root, shelf)
        assert code == 0, said
        assert counts_of(one) == Counts(discovered=130, duplicate=130)
        assert [two.finish(process)[0] for process in beside] == [0, 0]
    finally:
        for process in [*one.running, *two.running]:
            end(process)
    found = totals.read(two.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(discovered=120, uploaded=120)


def test_a_file_another_worker_has_just_uploaded_is_not_sent_again(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """The same bytes under forty books, two workers: one upload, thirty-nine
    duplicates."""
    library = Library(tmp_path / "library")
    library.add(
        *(Made(title=f"Copy {number}", files={"EPUB": epub(7)}) for number in range(40))
    )
    running = [
        workers.start(
            library.root, shelf, "--worker-id", str(number), "--batch-size", "5"
        )
        for number in (1, 2)
    ]
    assert [workers.finish(process)[0] for process in running] == [0, 0]
    # The first pass: one that starts after its end opens a second, in which everything
    # is there already.
    found = totals.read(workers.state_dir / "migration_ledger.db", 1)
    assert found is not None
    assert found.counts == Counts(discovered=40, uploaded=1, duplicate=39)
    with shelf.session() as session:
        assert session.get(f"{shelf.url}/api/ebooks", timeout=20).json()["total"] == 1


def test_an_outage_is_waited_for_and_costs_nothing(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """The server dies in the middle: `waiting`, then the run goes on by itself and
    every file arrives."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(60)))
    shelf = shelves(tmp_path / "shelf", "--delay-ms", "20")
    fast = {
        "RETRY_FIRST_SECONDS": "0.05",
        "PROBE_SECONDS": "0.2",
        "RECONCILE_AFTER_SECONDS": "1",
    }
    process = workers.start(library.root, shelf, "--batch-size", "30", **fast)
    path = progress.progress_path(workers.state_dir, 1)
    wait_for(
        lambda: (seen := progress.read(path)) is not None and seen.counts.uploaded >= 5
    )
    assert shelf.process is not None
    shelf.process.kill()
    shelf.process.wait(10)
    wait_for(
        lambda: (
            (seen := progress.read(path)) is not None and seen.status is Phase.WAITING
        )
    )
    again = start_shelf(tmp_path / "shelf", port=int(shelf.url.rpartition(":")[2]))
    try:
        code, said = workers.finish(process)
        assert code == 0, said
        with again.session() as session:
            listed = session.get(
                f"{again.url}/api/ebooks", params={"page_size": 100}, timeout=20
            ).json()
    finally:
        end(again.process)
    assert listed["total"] == 60
    assert {item["title"] for item in listed["items"]} == {
        f"Book {number}" for number in range(60)
    }
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(discovered=60, uploaded=60)


def test_sigterm_saves_and_ends_within_ten_seconds(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """Exit status 143, status `stopped`; the next worker goes on and nothing is there
    twice."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(80)))
    shelf = shelves(tmp_path / "shelf", "--delay-ms", "30")
    process = workers.start(library.root, shelf)
    path = progress.progress_path(workers.state_dir, 1)
    wait_for(
        lambda: (seen := progress.read(path)) is not None and seen.counts.uploaded >= 3
    )
    process.terminate()
    code, said = workers.finish(process, timeout=10)
    assert code == 143, said
    ended = progress.read(path)
    assert ended is not None
    assert ended.status is Phase.STOPPED
    assert workers.run(library.root, shelf, RECONCILE_AFTER_SECONDS="1")[0] == 0
    with shelf.session() as session:
        assert session.get(f"{shelf.url}/api/ebooks", timeout=20).json()["total"] == 80
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts.discovered, found.counts.uploaded, found.counts.pending) == (
        80,
        80,
        0,
    )
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        assert (
            db.execute("SELECT COUNT(*) FROM ebook WHERE title LIKE '%~%'").fetchone()[
                0
            ]
            == 0
        )


def test_a_library_that_calibre_has_locked_is_waited_for(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """A running worker waits, however long, and goes on by itself."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(40)))
    process = workers.start(
        library.root,
        shelf,
        "--batch-size",
        "5",
        LIBRARY_BUSY_SECONDS="0.2",
        RETRY_FIRST_SECONDS="0.1",
    )
    wait_for(lambda: any("Uploaded" in line for line in _lines_so_far(workers)))
    with closing(library.connect()) as calibre:
        calibre.isolation_level = None
        calibre.execute("PRAGMA busy_timeout = 20000")
        calibre.execute("BEGIN EXCLUSIVE")
        wait_for(
            lambda: any("waiting for it" in line for line in _lines_so_far(workers))
        )
        calibre.execute("ROLLBACK")
    code, said = workers.finish(process)
    assert code == 0, said
    assert counts_of(workers) == Counts(discovered=40, uploaded=40)


def _lines_so_far(workers: Workers) -> list[str]:
    return lines_of(workers) if logs.log_path(workers.state_dir, 1).exists() else []
