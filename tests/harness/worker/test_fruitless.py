"""A script that fails file after file for no reason: the worker counts it, whatever the
script makes of it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bulk_migrate_calibre import CalibreMigrator
from migration.errors import ServerFault, Transient
from migration.lanes.lane import Work
from migration.model import BookFile, UploadResult
from tests.support.libraries.librarykit import epubs
from tests.support.migration.told_worker import WorkerHarness
from tests.support.network.proxy import Answer, Decision, Do, Proxy
from tests.support.servers.shelf import Shelf

FAILS = Answer(500, '{"message": "Internal Server Error"}', "application/json")


class Enough(Exception):
    """The test has seen enough."""


def drops_every_book(migrator: CalibreMigrator) -> None:
    """As one that swallows its own error does: its ranges are read for ever."""
    calls = iter(range(25))

    def process(work: Work) -> None:
        """Nothing at all."""
        if next(calls, None) is None:
            raise Enough

    migrator.process_book = process  # type: ignore[method-assign]


def blames_the_server(migrator: CalibreMigrator) -> None:
    """Which was never asked."""
    calls = iter(range(20))

    def process(work: Work, file: BookFile) -> UploadResult:
        """No file gets as far as the server."""
        if next(calls, None) is None:
            raise Enough
        raise ServerFault("the server fails")

    migrator.process_file = process  # type: ignore[method-assign]


@pytest.mark.parametrize("breaks", [drops_every_book, blames_the_server])
def test_files_that_fail_without_a_reason_are_counted(
    tmp_path: Path, shelf: Shelf, breaks: Callable[[CalibreMigrator], None]
) -> None:
    """Far more than once each, before anything else ends the worker."""
    worker = WorkerHarness(tmp_path / "worker", shelf.url)
    worker.library.add(*epubs(range(8)))
    with suppress(Enough):
        worker.run(breaks)
    assert worker.migrator.tracker.snapshot().fruitless >= 20


def test_what_the_server_explains_is_not(tmp_path: Path, shelf: Shelf) -> None:
    """It fails on the first uploads, and takes all of them in the end."""
    failures, seen = iter(range(8)), []

    def decide(method: str, path: str) -> Decision:
        """Fails on eight uploads."""
        is_upload = method == "POST" and path.startswith("/api/upload")
        return FAILS if is_upload and next(failures, None) is not None else Do.PASS

    def follow(migrator: CalibreMigrator) -> None:
        trouble = migrator.trouble

        def told(work: Work, error: Transient) -> None:
            """Notes the count after each failure."""
            trouble(work, error)
            seen.append(migrator.tracker.snapshot().fruitless)

        migrator.trouble = told  # type: ignore[method-assign]

    proxy = Proxy(shelf.url, decide)
    worker = WorkerHarness(tmp_path / "worker", proxy.url)
    worker.library.add(*epubs(range(6)))
    worker.run(follow)
    proxy.stop()
    assert worker.counts.uploaded == 6
    assert set(seen) == {0}
