"""Random interleavings of claim, upload, crash and takeover never break the equation or
upload anything twice.

The server of this model has no unique constraint and carries out requests up to 39 s
after their client died."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from migration.errors import Deferred, StoppedItsWorker
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.ledger.records import Asked, BookState, Intention, Range, Step
from migration.model import (
    BookFile,
    BookId,
    Digest,
    EbookId,
    FileId,
    Known,
    Outcome,
    Receipt,
    SourceId,
    UploadResult,
)
from migration.state_files.owner import this_process
from tests.support.migration.fakes import told_clock

pytestmark = pytest.mark.integration

BOOKS, BYTES = 8, 5
SETTLE = timedelta(seconds=40)
FILES = [
    BookFile(FileId(BookId(number), "EPUB"), b"x", 10, 1)
    for number in range(1, BOOKS + 1)
]


def digest(file: BookFile) -> Digest:
    """Several books hold the same bytes."""
    return Digest(f"{file.id.book_id % BYTES:040x}", 10)


class Living:
    """Who is alive in the model."""

    def __init__(self) -> None:
        self.owners: set[str] = set()


class ModelLedger(Ledger):
    """The real ledger, told by the model who is alive."""

    living: Living

    def _is_alive(self, owner: str) -> bool:
        return owner in self.living.owners


@dataclass
class Worker:
    """One worker process of the model."""

    owner: str
    ledger: ModelLedger
    owned: Range
    todo: set[FileId]
    in_flight: BookFile | None = None


@dataclass
class Server:
    """What the server holds, and what it will still do for clients that are gone."""

    sources: list[tuple[Digest, int]] = field(default_factory=list)
    late: list[tuple[datetime, Digest, int]] = field(default_factory=list)

    def has(self, wanted: Digest) -> bool:
        """Its check."""
        return any(held == wanted for held, _book in self.sources)

    def settle(self, now: datetime) -> None:
        """Late requests are carried out."""
        for entry in [entry for entry in self.late if entry[0] <= now]:
            self.late.remove(entry)
            self.sources.append(entry[1:])


class Migration(RuleBasedStateMachine):
    """Up to three workers on one ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = datetime(2026, 11, 24, tzinfo=UTC)
        self.living = Living()
        self.server = Server()
        self.workers: list[Worker] = []
        self.born = 0

    def teardown(self) -> None:
        """Everything can be finished from any state, and then it is all there once."""
        for worker in list(self.workers):
            self.end(worker)
        self.now += SETTLE
        self.server.settle(self.now)
        self.finish()
        held = [held for held, _book in self.server.sources]
        failed = {FileId(BookId(book), kind) for book, kind in self.failed()}
        assert set(held) >= {digest(file) for file in FILES if file.id not in failed}
        shutil.rmtree(self.folder)

    def failed(self) -> list[tuple[int, str]]:
        """Files given up because three workers died on them, which is the only reason
        here."""
        with closing(sqlite3.connect(self.folder / "migration_ledger.db")) as db:
            return db.execute(
                "SELECT book_id, format FROM files WHERE outcome = 'failed' AND "
                "reason = 'stopped its worker 3 times'"
            ).fetchall()

    def finish(self) -> None:
        """One more worker does what is left."""
        for _ in range(BOOKS * 6):
            found = totals.read(self.folder / "migration_ledger.db")
            if found is not None and found.closed_at is not None:
                return
            if not self.workers:
                self.start()
            for worker in list(self.workers):
                for file in FILES:
                    if file.id in worker.todo:
                        self.take(worker, file)
                        self.deliver(worker)
                self.close(worker)
        raise AssertionError("it never ends")

    def end(self, worker: Worker) -> None:
        """The process is gone."""
        self.workers.remove(worker)
        self.living.owners.discard(worker.owner)
        worker.ledger.close()

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def start(self) -> None:
        """A worker starts, joins the pass, claims a range and registers its files."""
        self.born += 1
        owner = replace(this_process(self.born), started=f"model-{self.born}")
        ledger = ModelLedger(self.folder, owner, told_clock(lambda: self.now), SETTLE)
        ledger.living = self.living
        self.living.owners.add(str(owner))
        pass_id = ledger.passes.join(BOOKS, may_open=self.born == 1)
        owned = (
            None
            if pass_id is None
            else ledger.files.claim_range(pass_id, lambda after: after + 3)
        )
        if owned is None:
            self.living.owners.discard(str(owner))
            ledger.close()
            return
        listed = [
            file for file in FILES if owned.first <= file.id.book_id <= owned.last
        ]
        registered = ledger.files.register(owned, [(file, "") for file in listed])
        for book in registered.unfinished - {file.book_id for file in registered.todo}:
            ledger.books.forget(book)
        self.workers.append(Worker(str(owner), ledger, owned, set(registered.todo)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """A worker takes one of its files."""
        worker = data.draw(st.sampled_from(self.workers))
        files = [file for file in FILES if file.id in worker.todo]
        if files:
            self.take(worker, data.draw(st.sampled_from(files)))

    def take(self, worker: Worker, file: BookFile) -> None:
        """Reconciles, claims, and sends the request that attaches the file."""
        if worker.in_flight is not None:
            return
        ledger, book = worker.ledger, file.id.book_id
        state = ledger.books.get(book)
        if state is not None and state.intention is not None:
            if self.now < state.intention.at + SETTLE:
                return
            if (digest(file), book) in self.server.sources:
                self.account(worker, file)
                return
            ledger.books.save(book, replace(state, intention=None))
        try:
            ledger.files.begin(file.id)
        except StoppedItsWorker as error:
            ledger.files.account(
                worker.owned.pass_id,
                UploadResult(file.id, Outcome.FAILED, error.evidence),
            )
            ledger.books.forget(book)
            worker.todo.discard(file.id)
            return
        try:
            taken = ledger.hashes.take(file.id, digest(file), [])
        except Deferred:
            ledger.files.give_back(file.id, counted=False)
            return
        if isinstance(taken, Known):
            self.duplicate(worker, file, taken)
            return
        if not taken.fresh and self.server.has(digest(file)):
            _new, known = ledger.hashes.learn(
                [Receipt(digest(file), EbookId(1), SourceId(1))]
            )
            self.duplicate(worker, file, known[0])
            return
        asked = Intention(Asked.ATTACH, self.now, None, "EPUB", digest(file))
        ledger.books.intend(book, BookState("w", EbookId(book), Step.TITLE), asked)
        worker.in_flight = file

    def duplicate(self, worker: Worker, file: BookFile, known: Known) -> None:
        """Somebody else's bytes; an ebook that was made for nothing is deleted."""
        worker.ledger.files.account(
            worker.owned.pass_id, UploadResult(file.id, Outcome.DUPLICATE, known)
        )
        worker.ledger.books.forget(file.id.book_id)
        worker.todo.discard(file.id)

    @precondition(lambda self: any(worker.in_flight for worker in self.workers))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The server answers one of the requests in flight."""
        self.deliver(
            data.draw(
                st.sampled_from([worker for worker in self.workers if worker.in_flight])
            )
        )

    def deliver(self, worker: Worker) -> None:
        """The server acts, the worker accounts."""
        file = worker.in_flight
        if file is not None:
            self.server.sources.append((digest(file), file.id.book_id))
            self.account(worker, file)

    def account(self, worker: Worker, file: BookFile) -> None:
        """The receipt is recorded and the book finished."""
        receipt = Receipt(
            digest(file), EbookId(file.id.book_id), SourceId(file.id.book_id)
        )
        worker.ledger.files.account(
            worker.owned.pass_id, UploadResult(file.id, Outcome.UPLOADED, receipt)
        )
        done = BookState("w", EbookId(file.id.book_id))
        worker.ledger.books.finish(
            worker.owned.pass_id, file.id.book_id, done, names={}, not_carried=()
        )
        worker.todo.discard(file.id)
        worker.in_flight = None

    @precondition(lambda self: self.workers)
    @rule(
        data=st.data(), late=st.integers(min_value=0, max_value=39), acts=st.booleans()
    )
    def crash(self, data: st.DataObject, late: int, acts: bool) -> None:
        """A worker dies; its request may still be carried out, up to 39 s later."""
        worker = data.draw(st.sampled_from(self.workers))
        file = worker.in_flight
        if file is not None and acts:
            state = worker.ledger.books.get(file.id.book_id)
            assert state is not None
            assert state.intention is not None
            due = max(self.now, state.intention.at + timedelta(seconds=late))
            if due < state.intention.at + SETTLE:
                self.server.late.append((due, digest(file), file.id.book_id))
        self.end(worker)

    @rule(seconds=st.sampled_from([1, 20, 40, 3600]))
    def wait(self, seconds: int) -> None:
        """Time goes by; a request takes at most 39 s, also that of a living worker."""
        self.now += timedelta(seconds=seconds)
        self.server.settle(self.now)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def close_a_range(self, data: st.DataObject) -> None:
        """A worker that is through closes its range and ends."""
        self.close(data.draw(st.sampled_from(self.workers)))

    def close(self, worker: Worker) -> None:
        """Only what is settled can be closed."""
        if not worker.todo and worker.ledger.files.close_range(worker.owned):
            self.end(worker)

    @invariant()
    def the_equation_holds(self) -> None:
        """Counters and rows agree, always."""
        found = totals.read(self.folder / "migration_ledger.db")
        if found is not None:
            assert found.counts.balanced()
            assert totals.proved(self.folder / "migration_ledger.db", found.pass_id)

    @invariant()
    def nothing_is_there_twice(self) -> None:
        """No bytes in two sources, without any unique constraint on the server."""
        held = [held for held, _book in self.server.sources]
        assert len(held) == len(set(held))


TestMigration = Migration.TestCase
TestMigration.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
