"""The total of a pass, and failed files that are tried again: over real ledgers, old
ones included."""

import subprocess
import sys
from pathlib import Path

import pytest

from migration.commands import failures
from migration.ledger import totals
from migration.model import BookId, FileId
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PROJECT
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
BAD = Made(title="<script>alert(1)</script>", files={"EPUB": b""})


def test_one_failed_file_is_tried_again_and_the_equation_holds(
    tmp_path: Path, workers: Workers, shelf: Shelf
) -> None:
    """By the process the monitor starts; the file has been mended meanwhile, the other
    one has not."""
    library = Library(tmp_path / "library")
    first, second, *_ = library.add(BAD, BAD, *epubs(range(2)))
    assert workers.run(library.root, shelf)[0] == 1
    ledger = workers.state_dir / LEDGER_NAME
    found = failures.failed_files(ledger, 1, None, 10)
    assert [row.file for row in found] == [
        FileId(BookId(first), "EPUB"),
        FileId(BookId(second), "EPUB"),
    ]
    assert [
        row.file for row in failures.failed_files(ledger, 1, found[0].file, 10)
    ] == [found[1].file]
    titles = failures.titles(library.root, [BookId(first), BookId(99)])
    assert titles == {first: "<script>alert(1)</script>"}
    library.file(first).write_bytes(epub(50))
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "migration.commands.retry",
                "--state-dir",
                str(workers.state_dir),
            ),
            *(f"{first}:EPUB", "77:PDF"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 files are pending again\n"), (
        done.stderr
    )
    assert workers.run(library.root, shelf)[0] == 1
    after = totals.read(ledger)
    assert after is not None
    assert (
        after.pass_id,
        after.counts.uploaded,
        after.counts.failed,
        dict(after.failed),
    ) == (2, 1, 1, {"empty": 1})
    assert totals.proved(ledger, 2)
