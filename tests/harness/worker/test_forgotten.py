"""Bytes that the server is found to have lost while a worker is at a file with them."""

from pathlib import Path
from typing import Any

from migration.errors import ExitCode
from migration.lanes.lane import Work
from migration.model import BookFile, Counts, Outcome, UploadResult
from tests.support.libraries.librarykit import epubs
from tests.support.migration.auditkit import ledger_sql
from tests.support.migration.told_worker import WorkerHarness
from tests.support.servers.shelf import Shelf

BOOKS = 3


def test_a_file_whose_bytes_are_forgotten_before_it_is_accounted_is_tried_again(
    tmp_path: Path, shelf: Shelf
) -> None:
    """It says what it was told; another worker has found since that they are lost."""
    worker = WorkerHarness(tmp_path / "worker", shelf.url)
    worker.library.add(*epubs(range(BOOKS)))
    assert worker.run() is ExitCode.OK
    worker.library.add(*epubs([2]))
    claimed: list[Outcome] = []

    def forgotten(it: Any) -> None:
        process_file = it.process_file

        def meanwhile(work: Work, file: BookFile) -> UploadResult:
            result: UploadResult = process_file(work, file)
            claimed.append(result.outcome)
            if len(claimed) == 1:
                forget = ("DELETE FROM hashes", ())
                ledger_sql(worker.options.state_dir, forget)
            return result

        it.process_file = meanwhile

    assert worker.run(forgotten) is ExitCode.OK
    assert claimed == [Outcome.DUPLICATE] * 2
    assert worker.counts == Counts(BOOKS + 1, duplicate=BOOKS + 1)
