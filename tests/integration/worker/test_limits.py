"""Limits of time, files and bandwidth, over real workers and a real monitor. Orders and
counts, never seconds."""

import re
import threading
import time
from pathlib import Path

import psutil
import pytest

from migration.ledger import totals
from migration.model import Phase
from migration.state_files import progress
from tests.support.libraries.librarykit import Library, Made, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.monitor.watchkit import Watch
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


def test_a_worker_whose_time_is_up_finishes_what_it_has_in_hand(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """Exit 6, the pass stays open, no book half done; the next start does the rest, and
    nothing is there twice."""
    library = Library(tmp_path / "library")
    books = epubs(range(40))
    library.add(*books)
    code, said = workers.run(
        library.root, shelf, "--max-duration", "3", "--max-files-per-min", "600"
    )
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (code, found.closed_at) == (6, None), said
    assert "The time is up" in said
    assert 0 < found.counts.uploaded < 40
    truth = look(shelf.data_dir)
    assert (truth.working_titles, truth.ebooks_without_source) == (0, 0)
    assert workers.run(library.root, shelf)[0] == 0
    assert troubles(look(shelf.data_dir), [book.files["EPUB"] for book in books]) == []


def test_a_throttled_worker_says_that_it_waits(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """So the monitor, which judges a waiting worker by its beat, does not take it for
    stuck."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(5)))
    worker = workers.start(library.root, shelf, "--max-files-per-min", "1")
    path = progress.progress_path(workers.state_dir, 1)

    def waits() -> bool:
        seen = progress.read(path)
        return (
            seen is not None
            and seen.counts.uploaded == 1
            and seen.status is Phase.WAITING
        )

    wait_for(waits)
    worker.terminate()
    assert workers.finish(worker)[0] == 143


def test_a_limit_of_the_bandwidth_is_kept(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """No moment has seen more bytes than the limit allows since the first."""
    limit, size = 400 * 1024, 300 * 1024
    library = Library(tmp_path / "library")
    library.add(
        *(Made(files={"TXT": bytes([65 + number]) * size}) for number in range(4))
    )
    worker = workers.start(library.root, shelf, "--bwlimit", "400K")
    path = progress.progress_path(workers.state_dir, 1)
    began, wrong = None, []
    while worker.poll() is None:
        now, seen = time.monotonic(), progress.read(path)
        if seen is None or not (seen.current or seen.bytes_uploaded):
            continue
        began = began or now - 1.5
        sent = seen.bytes_uploaded + sum(file.bytes_sent for file in seen.current)
        # The progress file is up to a second old; a block of each file may be counted
        # before it leaves.
        if sent > limit * (now - began) + limit / 4 + 3 * 256 * 1024:
            wrong.append((now - began, sent))
        threading.Event().wait(0.02)
    assert worker.returncode == 0
    assert wrong == []


def test_a_worker_is_as_nice_as_it_was_told(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """WORKER_NICE and WORKER_IONICE of the environment, as the monitor hands them
    on."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(5)))
    worker = workers.start(
        library.root,
        shelf,
        "--max-files-per-min",
        "1",
        WORKER_NICE="7",
        WORKER_IONICE="best-effort:6",
    )
    process, path = (
        psutil.Process(worker.pid),
        progress.progress_path(workers.state_dir, 1),
    )
    wait_for(
        lambda: (seen := progress.read(path)) is not None and seen.counts.uploaded == 1
    )
    assert process.nice() == 7
    if hasattr(process, "ionice"):
        assert (process.ionice().ioclass, process.ionice().value) == (
            psutil.IOPRIO_CLASS_BE,
            6,
        )
    worker.terminate()
    assert workers.finish(worker)[0] == 143


def test_the_monitor_starts_nobody_anew_when_the_time_is_up(
    tmp_path: Path, shelf: Shelf
) -> None:
    """Two workers end with 6, the monitor with them; it says why, and a further start
    finishes the pass."""
    watch = Watch(tmp_path, shelf)
    watch.more |= {"MIGRATE_MAX_DURATION": "6s", "MAX_FILES_PER_MIN": "60"}
    try:
        watch.open_pass()
        monitor = watch.start("--workers", "2")
        monitor.communicate(timeout=120)
        log = (watch.state / "monitor.log").read_text("utf-8")
        assert monitor.returncode == 6, log
        assert "The time is up" in log
        assert len(re.findall("Starting worker", log)) == 2
        found = totals.read(watch.state / "migration_ledger.db")
        assert found is not None
        assert found.closed_at is None
        assert found.counts.uploaded > 0
        for name in ("MIGRATE_MAX_DURATION", "MAX_FILES_PER_MIN"):
            del watch.more[name]
        watch.run("--workers", "2")
        watch.all_arrived_once()
    finally:
        for process in watch.running:
            process.kill()
