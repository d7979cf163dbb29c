"""A script that goes in circles with a real server: the worker does not look busy."""

from pathlib import Path

import pytest

from bulk_migrate_calibre import CalibreMigrator
from migration.lanes.lane import Work
from migration.model import BookFile, UploadResult
from tests.support.libraries.librarykit import epubs
from tests.support.migration.told_worker import WorkerHarness
from tests.support.servers.shelf import Shelf


class Enough(Exception):
    """The test has seen enough."""


def test_the_same_file_sent_for_ever_is_one_piece_of_work(
    tmp_path: Path, shelf: Shelf
) -> None:
    """Opened anew each time, all its bytes sent, its stages reached: only the first
    round counts."""
    worker = WorkerHarness(tmp_path / "worker", shelf.url, "--parallel-uploads", "1")
    worker.library.add(*epubs([1]))
    steps: list[int] = []

    def breaks(migrator: CalibreMigrator) -> None:
        tracker = migrator.tracker

        def process(work: Work, file: BookFile) -> UploadResult:
            """Sends, and forgets that it has."""
            for _ in range(4):
                work.begun = file.id
                migrator.ledger.files.begin(file.id)
                with tracker.sending(file.id, "x.epub", file.size) as sending:
                    watch = migrator.watch(file, sending)
                    digest = migrator.transport.identify(file, watch)
                    migrator.transport.carry(file, digest, work.metadata, watch)
                steps.append(tracker.snapshot().steps or 0)
            raise Enough

        migrator.process_file = process  # type: ignore[method-assign]

    with pytest.raises(Enough):
        worker.run(breaks)
    first = steps[0]
    assert first >= 4
    assert steps == [first] * 4
