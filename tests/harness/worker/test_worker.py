"""One worker in this process: its decisions together, on a told clock."""

from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from bulk_migrate_calibre import CalibreMigrator
from migration.errors import ExitCode, MissingFile, ServerFault, Transient
from migration.lanes.lane import Work
from migration.model import BookFile, Counts, Digest
from tests.support.libraries.librarykit import Made, epub, epubs
from tests.support.libraries.truth import look
from tests.support.migration.told_worker import NOW, WorkerHarness
from tests.support.migration.workerkit import wait_for
from tests.support.servers.shelf import Shelf

FAULT = ServerFault("HTTP 500")


@pytest.fixture
def make(tmp_path: Path, shelf: Shelf) -> Callable[..., WorkerHarness]:
    """Makes a worker for a library of some EPUBs."""

    def worker(books: int, *options: str) -> WorkerHarness:
        made = WorkerHarness(tmp_path / "worker", shelf.url, *options)
        made.library.add(*epubs(range(books)))
        return made

    return worker


def seconds_passed(worker: WorkerHarness) -> float:
    """By the told clock."""
    return (worker.clock() - NOW).total_seconds()


def fail_on_the_first(worker: WorkerHarness) -> None:
    """The server fails on the first file it is sent, whenever it is sent."""
    refused: list[Digest] = []

    def fail(digest: Digest) -> None:
        refused[:] = refused or [digest]
        if digest == refused[0]:
            raise FAULT

    worker.client.on_upload = fail


def test_every_book_arrives(make: Callable[..., WorkerHarness], tmp_path: Path) -> None:
    """Nothing goes wrong."""
    worker = make(4)
    assert (worker.run(), worker.counts) == (ExitCode.OK, Counts(4, 4))
    truth = look(tmp_path / "shelf")
    assert (truth.ebooks, truth.working_titles, len(truth.hashes)) == (4, 0, 4)


def test_three_failures_in_a_row_are_an_outage(
    make: Callable[..., WorkerHarness],
) -> None:
    """The worker waits, counts nothing against the files after the first, and goes on
    when the server answers."""
    worker = make(5)
    worker.client.fails("upload", *[FAULT] * 12)
    worker.client.fails("probe", *[FAULT] * 8)
    assert (worker.run(), worker.counts) == (ExitCode.OK, Counts(5, 5))
    assert (
        worker.said(
            "The server has trouble, waiting until it answers: it fails file after file, HTTP 500"
        )
        == 1
    )
    assert worker.said("The server answers again") == 1
    # Three files were each tried again after 2, 4 and 8 s; then a probe every 15 s.
    assert seconds_passed(worker) >= 3 * 14 + 8 * 15


def test_a_server_that_asks_for_time_gets_it(
    make: Callable[..., WorkerHarness],
) -> None:
    """Nothing is sent until then, and nothing counts."""
    worker = make(3)
    asked: list[float] = []
    worker.client.fails("upload", ServerFault("HTTP 429", retry_after=120))
    worker.client.on_upload = lambda _digest: asked.append(seconds_passed(worker))
    assert (worker.run(), worker.counts) == (ExitCode.OK, Counts(3, 3))
    assert worker.said("nothing new is sent for 120 s, as asked") == 1
    assert asked[1] - asked[0] >= 120
    assert worker.said("is pending") == 0


def test_a_file_on_which_the_server_fails_again_and_again_is_left_pending(
    make: Callable[..., WorkerHarness],
) -> None:
    """The others arrive, and the pass stays open."""
    worker = make(3)
    fail_on_the_first(worker)
    assert (worker.run(), worker.counts) == (ExitCode.PENDING, Counts(3, 2, pending=1))
    assert (
        worker.said(
            "Left pending: book 1 (1/EPUB), which failed 3 times while the server took others"
        )
        == 1
    )


def test_a_file_that_was_left_pending_is_looked_for_twice_too(
    make: Callable[..., WorkerHarness],
) -> None:
    """Its rounds are of the server's failures, and Calibre moves files."""
    worker = make(3)
    fail_on_the_first(worker)
    assert worker.run() is ExitCode.PENDING
    worker.client.on_upload = lambda _digest: None
    looks: list[BookFile] = []

    def missing_once(file: BookFile) -> None:
        looks.append(file)
        if len(looks) == 1:
            raise MissingFile("Book 0.epub is not there")

    def prepare(_migrator: CalibreMigrator) -> None:
        worker.transport.missing = missing_once

    assert (worker.run(prepare), worker.counts) == (ExitCode.OK, Counts(3, 3))
    assert [file.id.book_id for file in looks] == [1, 1]


def test_a_file_that_stays_missing_fails_with_its_evidence(
    make: Callable[..., WorkerHarness],
) -> None:
    """The range is read again in between: Calibre moves files."""
    worker = make(2)
    looks: list[BookFile] = []

    def missing(file: BookFile) -> None:
        if file.id.book_id == 1:
            looks.append(file)
            raise MissingFile("Book 0.epub is not there")

    def prepare(_migrator: CalibreMigrator) -> None:
        worker.transport.missing = missing

    assert (worker.run(prepare), worker.counts) == (
        ExitCode.SOME_FAILED,
        Counts(2, 1, failed=1),
    )
    # The first look counts for nothing; then three rounds.
    assert len(looks) == 4
    assert worker.said("its range is read again") == 3


@pytest.mark.parametrize("options", [(), ("--limit", "3")])
def test_nothing_of_a_range_is_remembered_when_it_is_over(
    make: Callable[..., WorkerHarness], options: tuple[str, ...]
) -> None:
    """A library has millions of books; one of these is left pending."""
    worker = make(3, *options)
    fail_on_the_first(worker)
    assert worker.run() is ExitCode.PENDING
    assert worker.observed.tried == set()


def test_the_same_bytes_are_sent_once(
    make: Callable[..., WorkerHarness], tmp_path: Path
) -> None:
    """Two books of the same bytes, taken by two uploaders."""
    worker = make(0, "--parallel-uploads", "2")
    same = {"EPUB": epub(7)}
    worker.library.add(Made("One", files=same), Made("Another", files=same))
    assert (worker.run(), worker.counts) == (ExitCode.OK, Counts(2, 1, duplicate=1))
    assert look(tmp_path / "shelf").ebooks == 1


def test_the_limit_ends_the_work(make: Callable[..., WorkerHarness]) -> None:
    """The pass stays open, and that is no failure."""
    worker = make(6, "--limit", "2")
    assert worker.run() is ExitCode.OK
    assert worker.counts.uploaded == 2
    said = (
        "--limit allows are done; the pass stays open with 4 of 6 files to do, the next"
    )
    assert worker.said(said) == 1


def test_the_time_is_up(make: Callable[..., WorkerHarness]) -> None:
    """What is in hand is finished, no further book is begun."""
    worker = make(6, "--max-duration", "60")

    def slow(_digest: Digest) -> None:
        worker.clock.move(40)
        if worker.migrator.time_is_up():
            # Until the main thread has seen it.
            wait_for(lambda: worker.migrator.pool.queue.has_room(1), seconds=30)

    worker.client.on_upload = slow
    assert worker.run() is ExitCode.PENDING
    assert worker.counts.uploaded == 2
    said = (
        "The time is up (--max-duration); the pass stays open with 4 of 6 files to do"
    )
    assert worker.said(said) == 1


@pytest.mark.parametrize("request_", ["create", "attach"])
def test_a_lost_answer_is_looked_up_not_repeated(
    make: Callable[..., WorkerHarness], tmp_path: Path, request_: str
) -> None:
    """And not sooner than a request may still be running."""
    worker = make(2)
    worker.client.loses_answer(request_)
    assert (worker.run(), worker.counts) == (ExitCode.OK, Counts(2, 2))
    assert seconds_passed(worker) >= 40
    truth = look(tmp_path / "shelf")
    assert (truth.ebooks, truth.working_titles, truth.hashes.total()) == (2, 0, 2)


def test_a_file_replaced_while_its_answer_was_lost_is_sent_anew(
    make: Callable[..., WorkerHarness], tmp_path: Path
) -> None:
    """What arrived is the old one: it goes when the new one is there."""
    worker = make(1)
    worker.client.loses_answer("attach")

    def dies(migrator: Any) -> None:
        def trouble(_work: Work, _error: Transient) -> None:
            raise RuntimeError("killed")

        migrator.trouble = trouble

    with pytest.raises(RuntimeError, match="killed"):
        worker.run(dies)
    new = epub(77, padding=900)
    worker.library.file(1).write_bytes(new)
    assert (worker.run(), worker.counts) == (ExitCode.OK, Counts(1, 1))
    truth = look(tmp_path / "shelf")
    assert dict(truth.hashes) == {sha1(new).hexdigest(): 1}
    assert (truth.ebooks, truth.working_titles) == (1, 0)


class WholeRange:
    """A lane that carries a range at once, but for the last book of it, which it finds
    odd."""

    def __init__(self, migrator: CalibreMigrator) -> None:
        self._migrator = migrator
        self.carried: list[int] = []

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        """All but the last."""
        for work in works[:-1]:
            self._migrator.process_book(work)
            self.carried.append(work.book.id)
        return works[-1:]


def test_a_lane_may_carry_a_whole_range(
    make: Callable[..., WorkerHarness], tmp_path: Path
) -> None:
    """What it leaves goes through the API; ledger, accounting and the closing of the
    pass are the same."""
    worker = make(4)
    lanes: list[WholeRange] = []

    def prepare(migrator: CalibreMigrator) -> None:
        lanes.append(WholeRange(migrator))
        migrator.lane = lanes[0]

    assert (worker.run(prepare), worker.counts) == (ExitCode.OK, Counts(4, 4))
    assert lanes[0].carried == [1, 2, 3]
    assert look(tmp_path / "shelf").working_titles == 0
