"""What Calibre's own settings and its work beside us make of a library, read from real
metadata.db files."""

import json
import signal
from pathlib import Path

import pytest

from migration.ledger import totals
from migration.model import Counts
from migration.state_files import logs
from tests.support.libraries.calibreside import (
    NOWHERE,
    locked,
    remove_format,
    rename,
    restored,
)
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library."""
    return Library(tmp_path / "library")


def lines_of(workers: Workers) -> list[str]:
    """Worker 1's log so far."""
    path = logs.log_path(workers.state_dir, 1)
    return path.read_text("utf-8").splitlines() if path.exists() else []


def counts_of(workers: Workers) -> Counts:
    """The newest pass's equation, borne out by the rows."""
    ledger = workers.state_dir / "migration_ledger.db"
    found = totals.read(ledger)
    assert found is not None
    assert totals.proved(ledger, found.pass_id)
    return found.counts


def test_what_calibre_does_between_listing_and_sending_fails_nothing(
    library: Library, shelf: Shelf, workers: Workers
) -> None:
    """Renamed books arrive from where they are now; what was removed leaves the pass,
    with a word."""
    # The first range has seven of sixty books.
    library.add(
        *epubs(range(1, 7)),
        Made(title="Two", files={"EPUB": epub(90), "TXT": b"some text"}),
    )
    library.add(*epubs(range(8, 61)))
    process = workers.start(
        library.root, shelf, "--parallel-uploads", "1", "--batch-size", "1000"
    )
    wait_for(lambda: any("Uploaded" in line for line in lines_of(workers)))
    process.send_signal(signal.SIGSTOP)
    sent = sum("Uploaded" in line for line in lines_of(workers))
    # A book that is open already is sent with what was read of it.
    assert sent < 4, "the machine was too slow to stop it in time"
    rename(5, "Renamed (5)")(library)
    library.sql("UPDATE books SET title = 'A New Title' WHERE id = 5")
    remove_format(7, "TXT")(library)
    library.file(6).unlink()
    library.sql("DELETE FROM books WHERE id = 6")
    process.send_signal(signal.SIGCONT)
    code, said = workers.finish(process)
    assert code == 0, said
    assert "WARNING" not in said
    assert "No longer listed by Calibre, so no longer counted: 6/EPUB, 7/TXT" in said
    assert counts_of(workers) == Counts(discovered=59, uploaded=59)
    titles = {
        ebook["title"]
        for ebook in shelf.session()
        .get(f"{shelf.url}/api/ebooks?page_size=100")
        .json()["items"]
    }
    assert "A New Title" in titles
    assert "Book 5" not in titles
    shown = json.loads(
        (workers.state_dir / "migration_progress_worker1.json").read_text()
    )
    assert (shown["counts"]["pending"], shown["counts"]["discovered"]) == (0, 59)


def test_a_restored_library_is_adopted_and_its_unfinished_books_are_found(
    library: Library, shelf: Shelf, workers: Workers
) -> None:
    """Refused with the way out, then gone on with: nothing twice, and no working title
    left."""
    library.add(*epubs(range(30)))
    process = workers.start(library.root, shelf, "--parallel-uploads", "3")
    wait_for(lambda: sum("Uploaded" in line for line in lines_of(workers)) > 3)
    process.kill()
    workers.finish(process)
    restored(library)
    code, said = workers.run(library.root, shelf)
    assert (code, "start once with --adopt-library" in said) == (2, True), said
    code, said = workers.run(
        library.root, shelf, "--adopt-library", RECONCILE_AFTER_SECONDS="0.5"
    )
    assert code == 0, said
    assert "by uuid" in said
    counts = counts_of(workers)
    assert (counts.discovered, counts.failed, counts.pending) == (30, 0, 0)
    assert counts.uploaded + counts.duplicate == 30
    ebooks = (
        shelf.session().get(f"{shelf.url}/api/ebooks?page_size=100").json()["items"]
    )
    assert sorted(ebook["title"] for ebook in ebooks) == sorted(
        f"Book {number}" for number in range(30)
    )
    code, said = workers.run(library.root, shelf)
    assert code == 0, said


def test_a_lock_at_the_start_is_waited_for(
    library: Library, shelf: Shelf, workers: Workers
) -> None:
    """The progress file says so and goes on beating; then everything is as ever."""
    library.add(*epubs(range(3)))
    progress_file = workers.state_dir / "migration_progress_worker1.json"
    with locked(library):
        process = workers.start(library.root, shelf, LIBRARY_BUSY_SECONDS="0.2")
        wait_for(progress_file.exists)
        shown = json.loads(progress_file.read_text())
        assert (shown["status"], shown["last_error"]["class"]) == (
            "waiting",
            "LibraryBusy",
        )
        wait_for(
            lambda: (
                json.loads(progress_file.read_text())["updated_at"]
                != shown["updated_at"]
            )
        )
    code, said = workers.finish(process)
    assert code == 0, said
    assert (
        "is locked by another program, perhaps Calibre at work; waiting for it" in said
    )
    assert counts_of(workers) == Counts(discovered=3, uploaded=3)


def test_ctrl_c_ends_the_waiting(library: Library, workers: Workers) -> None:
    """At once, although SQLite itself would wait on; and the progress file has the last
    word."""
    progress_file = workers.state_dir / "migration_progress_worker1.json"
    with locked(library):
        process = workers.start(library.root, NOWHERE, LIBRARY_BUSY_SECONDS="0.2")
        wait_for(progress_file.exists)
        process.send_signal(signal.SIGINT)
        code, said = workers.finish(process, timeout=30)
    assert code == 130, said
    assert "Traceback" not in said
    assert json.loads(progress_file.read_text())["status"] == "stopped"
