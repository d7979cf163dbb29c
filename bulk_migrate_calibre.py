#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""The worker: one process that moves books from Calibre to a MyBookshelf2 server.

Several may run at once, each with its own --worker-id; they share the work through the
ledger in the state directory. Only policy lives here, in small named methods that a
code fix may rewrite: which books come next, when to wait, what to try again. Sending a
book and proving that it arrived is the business of `migration/`, which a fix may not
touch.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from common import sanitize
from common.errors import told
from common.lazily import tenacity
from migration.commands.worker import worker
from migration.errors import (
    Deferred,
    ExitCode,
    FileMoved,
    LedgerBusy,
    LibraryBusy,
    MachineLost,
    MissingFile,
    Rejected,
    ResponseLost,
    ServerFault,
    ServerNeverAnswered,
    Transient,
)
from migration.model import (
    BookFile,
    Digest,
    FileId,
    Known,
    Outcome,
    Phase,
    Receipt,
    RemoteMatch,
    UploadResult,
    Vocabulary,
)
from migration.state_files import logs
from migration.worker.policy import (
    ROUNDS,
    Lane,
    Next,
    Parts,
    Range,
    Registration,
    Sending,
    Stage,
    TransferObserver,
    Work,
    after_hold,
    name_keys,
    refresh_from_database,
    refuse_unsendable,
)

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent

#: How often a file is tried before it is left pending: once, and three times again.
TRIES = 4
#: Seconds between two log lines that say why the server is not answering.
SAY_AGAIN_SECONDS = 60.0
#: The list of known hashes is refreshed after this many files or seconds, whichever
#: comes first.
REFRESH_FILES, REFRESH_SECONDS = 1000, 600.0
#: An upload that takes longer than this many seconds is logged with its size and
#: slowest stage.
SLOW_UPLOAD_SECONDS = 120.0
#: The most ranges a worker claims, counted from the oldest it still holds. A book that
#: hangs must bring the worker to a standstill: that is what the monitor detects, and no
#: other worker can take over the book while this one is alive.
RANGES_HELD = 4
#: Seconds between the first checks of a worker that has run out of ranges and waits for
#: the other workers; after these, one second each.
FIRST_WAITS = (0.05, 0.1, 0.2, 0.4)


class CalibreMigrator:
    """One worker process.

    Its collaborators are passed to the constructor; `migrate` is the place to start
    reading.
    """

    def __init__(self, parts: Parts) -> None:
        opened, checked = parts.resources, parts.checked
        self.options = opened.options
        self.library = checked.library
        self.client = checked.client
        self.session = checked.client.session
        self.transport = parts.transport
        self.ledger = checked.ledger
        self.tracker = opened.tracker
        self.pool = opened.pool
        self.clock = opened.clock
        self.log = opened.log
        self.publish: Callable[[], None] = opened.publish
        self.byte_limiter = opened.byte_limiter
        self.file_limiter = parts.file_limiter
        self.time_limit = parts.time_limit
        self.hold = parts.hold
        self.current = parts.current
        self.joining = checked.joining
        self.streak = parts.streak
        self.accounting = parts.accounting
        self.api = parts.api
        self.lane: Lane = parts.api
        self.range_books = checked.range_books
        self.spot_check = checked.spot_check
        self.last_look = checked.last_look
        self.conclusion = parts.conclusion
        self.vocabulary = Vocabulary({}, {})
        self.hash_list_complete = False
        self.hashes_seen = 0
        self.last_hash_refresh = self.clock()
        self.processed_at_refresh = 0
        self.found = 0
        self.held: dict[int, Range] = {}
        self.claimed = 0
        self.missed: dict[FileId, bytes] = {}

    @property
    def pass_id(self) -> int:
        """The id of the pass this worker takes part in; 0 before it has joined one."""
        return self.current.id

    # -- the story ---------------------------------------------------------------------

    def migrate(self) -> ExitCode:
        """Migrates this worker's share of the library and returns the exit status.

        Raises Fatal or Stopping.
        """
        highest = self.read_library(self.library.highest_book_id)
        listed = self.read_library(self.library.file_count)
        if not self.joining.join(highest, listed):
            return ExitCode.OK
        self.ask_server(partial(self.spot_check.begin, self.pass_id))
        self.refresh_existing_hashes()
        self.ask_server(lambda: self.last_look.begin(self.pass_id))
        self.pool.meanwhile(self.transport.open, self.publish)
        self.pool.start(self.attempt_book)
        while True:
            while (owned := self.next_range()) is not None:
                self.work_through(owned)
            while self.held:
                self.look_after()
            if not self.reopened_by_last_look():
                return self.conclusion.conclude(
                    limit_reached=self.limit_reached(), time_is_up=self.time_is_up()
                )

    def next_range(self) -> Range | None:
        """Returns the next range of books.

        Returns None when the pass is closed or a limit is reached. While other workers
        still hold the last ranges it waits, ready to take over from one that dies.
        """
        waits = iter(FIRST_WAITS)
        while not self.limit_reached() and not self.time_is_up():
            owned = self.ledger.files.claim_range(self.pass_id, self.end_of_next_range)
            if owned is not None:
                self.at_work()
                return owned
            if self.ledger.passes.is_closed(self.pass_id) or self.ledger.end.is_due(
                self.pass_id
            ):
                return None
            if self.held:
                self.look_after()
            elif self.ledger.files.left.are_all(self.pass_id):
                return None
            else:
                self.tracker.set(status=Phase.WAITING)
                self.tick(next(waits, 1.0))
        return None

    def end_of_next_range(self, after: int) -> int | None:
        """Returns the last book id of the range that starts after `after`.

        Ranges get shorter towards the end, so that no worker is left with most of the
        remaining work.
        """
        share = max(
            5, 2 * self.pool.size, self.ledger.passes.remaining_ids(self.pass_id) // 8
        )
        limit = min(self.options.batch_size, share)
        return self.read_library(lambda: self.library.last_id_of_range(after, limit))

    def work_through(self, owned: Range) -> None:
        """Queues a range's books; returns once the uploaders run short of work.

        Some books may still be in flight then, so the next range is claimed and read
        meanwhile.
        """
        self.held[self.claimed] = owned
        self.claimed += 1
        self.hand_out(self.read_range(owned))
        self.close_ranges()
        while self.held and not self.wants_more():
            self.look_after()

    def hand_out(self, works: Sequence[Work]) -> None:
        """Passes the books to the lane; queues those it leaves to the uploaders."""
        self.pool.queue.load(self.lane.carry(works))

    def wants_more(self) -> bool:
        """Whether to claim another range.

        Never under --limit, which counts files one range after the other.
        """
        room = self.pool.queue.has_room(self.pool.size)
        return (
            room
            and self.claimed - min(self.held) < RANGES_HELD
            and not self.options.limit
        )

    def look_after(self) -> None:
        """Waits for something to change, doing the main thread's chores."""
        self.pool.queue.rest(0.5)
        self.tick(0.0)
        self.show_waiting()
        if self.time_is_up():
            self.pool.queue.drop_waiting()
        self.close_ranges()

    def close_ranges(self) -> None:
        """Closes the ranges whose books are all done.

        A range that cannot be closed is read again; under a limit it is left open. A
        range with a book that stays pending is given up: it keeps the pass open, and
        the next start takes it up.
        """
        for number, owned in list(self.held.items()):
            if self.pool.queue.holds(owned.first, owned.last):
                continue
            if (
                self.limit_reached()
                or self.ledger.files.close_range(owned)
                or self.time_is_up()
            ):
                del self.held[number]
            elif any(
                owned.first <= book_id <= owned.last
                for book_id in self.accounting.left_pending
            ):
                self.ledger.files.left.give_up(owned)
                del self.held[number]
            else:
                works = self.read_range(owned, again=True)
                self.hand_out(works)
                if not works:
                    # There is nothing to do, and yet the range does not close: without
                    # a pause its log lines would fill the disk.
                    self.pool.rest(self.options.retry_first_seconds, self.publish)
        if self.held:
            oldest = self.held[min(self.held)]
            self.tracker.set(range=(oldest.first, oldest.last))

    def read_range(self, owned: Range, *, again: bool = False) -> list[Work]:
        """Reads and registers a range of the library.

        Returns the books with work to do. `again` means that this process has read the
        range before, so only changes are counted.
        """
        self.log.info(logs.querying(owned.first, owned.last))
        listed = self.read_library(
            lambda: self.library.read_files(owned.first, owned.last)
        )
        files = [(file, self.excluded(file)) for file in listed]
        self.ask_server(partial(self.spot_check.ask_range, owned))
        registered = self.ledger.files.register(owned, files)
        counts = registered.moved if again else registered.settled
        new = registered.moved.pending if again else len(registered.todo)
        self.tracker.range_read(owned.first, owned.last, counts, new)
        self.found += max(0, new)
        self.log.info(logs.found(self.found))
        self.log.info(
            logs.processed_batch(
                owned.first, owned.last, len(files), registered.settled
            )
        )
        if registered.gone:
            self.log.info(
                logs.no_longer_listed([str(file) for file in registered.gone])
            )
        for file in listed:
            if file.problem is not None:
                self.log.warning(
                    logs.failed(str(file.id), file.problem.reason, file.problem.message)
                )
        self.range_books.notice(
            owned,
            [file for file, excluded in files if not excluded],
            {file.id.book_id for file in listed},
            self.read_library(partial(self.range_books.without_files, owned)),
            self.vocabulary,
        )
        return self.works(owned, registered)

    def works(self, owned: Range, registered: Registration) -> list[Work]:
        """Returns the books of a range that still need something, with their metadata.

        Settled books are not read at all.
        """
        wanted = registered.unfinished | {file.book_id for file in registered.todo}
        books = self.read_library(
            lambda: self.library.read_books(owned.first, owned.last, wanted)
        )
        works: list[Work] = []
        for book in [
            *books,
            *self.range_books.removed(
                registered.unfinished - {book.id for book in books}
            ),
        ]:
            # A file that has a problem only now was moved or removed after it was
            # listed; its range is read again.
            todo = [
                file
                for file in book.files
                if file.id in registered.todo and file.problem is None
            ]
            todo = todo[: self.allowance(works)]
            if todo or book.id in registered.unfinished:
                suspect = any(file.id in registered.suspects for file in todo)
                metadata = self.range_books.metadata(book, self.vocabulary)
                works.append(Work(book, metadata, todo, alone=suspect))
        return works

    def reopened_by_last_look(self) -> bool:
        """Takes the last look once all ranges are closed, or waits for its worker.

        Returns True when it reopened books, so that there is work again.
        """
        while self.ledger.end.is_due(self.pass_id) and not self.time_is_up():
            self.tracker.set(status=Phase.WAITING)
            look = self.ledger.end.take(self.pass_id)
            if look is None:
                self.tick(1.0)
            else:
                self.pool.rest(self.options.last_look_seconds, self.publish)
                self.ask_server(partial(self.last_look.take, look))
        stopped = self.limit_reached() or self.time_is_up()
        over = self.ledger.passes.is_closed(
            self.pass_id
        ) or self.ledger.files.left.are_all(self.pass_id)
        return not stopped and not over

    # -- while it runs -----------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        """Does the main thread's chores: uploaders, ledger, progress file, server."""
        self.pool.check(seconds)
        self.ledger.check_in_place()
        self.publish()
        if self.refresh_due():
            self.refresh_existing_hashes()
        if self.hold.left() > 0:
            self.wait_as_asked()
        failing = self.streak.failing
        if failing.is_outage:
            self.wait_for_server(f"it fails file after file, {failing.last}")
        elif silent := self.session.silent():
            self.wait_for_server(silent)
        if self.transport.trouble():
            self.wait_for_transport()
        if self.pool.grow(self.transport.hands(), self.attempt_book):
            self.tracker.set(parallel_uploads=self.pool.size)

    def wait_for_server(self, why: str) -> None:
        """Waits out an outage, taking no new file and probing until the server answers.

        Logs the reason at most once a minute, for an outage may last all night.
        """
        self.pool.queue.pause(True)
        said = self.clock.seconds() - SAY_AGAIN_SECONDS
        error: Transient | None = ServerFault(why)
        while error is not None:
            if self.clock.seconds() - said >= SAY_AGAIN_SECONDS:
                said = self.clock.seconds()
                self.log.warning(
                    "The server has trouble, waiting until it answers: %s", error
                )
            self.tracker.set(status=Phase.WAITING)
            self.tracker.failed_with(error)
            self.pool.rest(
                max(self.options.probe_seconds, error.retry_after, self.hold.left()),
                self.publish,
            )
            error = self.pool.meanwhile(self.client.probe, self.publish)
        self.log.info("The server answers again")
        self.streak.ends()
        self.at_work()
        self.pool.queue.pause(False)

    def wait_as_asked(self) -> None:
        """Takes no new file until the time requested with `Retry-After` is over."""
        self.tracker.set(status=Phase.WAITING)
        self.pool.queue.pause(True)
        while (seconds := self.hold.left()) > 0:
            self.pool.rest(min(seconds, self.options.probe_seconds), self.publish)
        self.at_work()
        self.pool.queue.pause(False)

    def wait_for_transport(self) -> None:
        """Takes no new file while the cluster is out of reach; counts no attempt."""
        self.log.warning("%s; waiting", self.transport.trouble())
        self.tracker.set(status=Phase.WAITING)
        self.pool.queue.pause(True)
        while trouble := self.transport.trouble():
            # What it waits for: nobody takes it for a worker that waits for nothing.
            self.tracker.failed_with(MachineLost(trouble, died=False))
            self.pool.rest(1.0, self.publish)
        self.log.info("The cluster is back")
        self.at_work()
        self.pool.queue.pause(False)

    def show_waiting(self) -> None:
        """Sets the status to waiting when all of the worker's books are.

        They may wait for other workers' claims, for a request in flight, or for the
        worker's own rate limits.
        """
        held_back = self.file_limiter.waiting + self.byte_limiter.waiting
        if self.pool.queue.idle() or (
            held_back and held_back >= len(self.pool.queue.active())
        ):
            self.tracker.set(status=Phase.WAITING)
        else:
            self.at_work()

    def at_work(self) -> None:
        """Sets the status of a worker that is not waiting."""
        self.tracker.set(
            status=Phase.MIGRATING if self.tracker.processed else Phase.DISCOVERING
        )

    def read_library(self, read: Callable[[], T]) -> T:
        """Reads from the library, waiting while Calibre has it locked.

        The progress file's heartbeat goes on meanwhile.
        """
        while True:
            try:
                return self.pool.meanwhile(read, self.publish)
            except LibraryBusy as error:
                self.log.warning("%s; waiting for it", error)
                self.tracker.failed_with(error)
                self.tracker.set(status=Phase.WAITING)
                self.pool.rest(self.options.retry_first_seconds, self.publish)
                self.at_work()

    def ask_server(self, ask: Callable[[], T]) -> T:
        """Calls `ask` until the server answers, however long that takes."""
        while True:
            try:
                return self.read_library(ask)
            except Transient as error:
                self.log.warning("%s; waiting until the server answers", error)
                self.tracker.failed_with(error)
                self.tracker.set(status=Phase.WAITING)
                self.pool.rest(
                    max(self.options.probe_seconds, error.retry_after), self.publish
                )

    def check_api_connectivity(self) -> bool:
        """Logs in and reads the server's vocabulary, waiting up to a minute.

        Logs the result. Raises ServerNeverAnswered or LoginRefused.
        """
        deadline = self.clock() + timedelta(seconds=self.options.start_seconds)
        while True:
            try:
                self.pool.meanwhile(self.session.login, self.publish)
                self.vocabulary = self.pool.meanwhile(
                    self.client.vocabulary, self.publish
                )
            except Transient as error:
                self.log.warning(logs.api_connectivity(self.session.server, str(error)))
                if self.clock() >= deadline:
                    raise ServerNeverAnswered(
                        f"{self.session.server} did not answer for "
                        f"{self.options.start_seconds:g} s ({error}); is it "
                        "running, and is --server right?"
                    ) from error
                self.tracker.failed_with(error)
                deadline = max(
                    deadline, self.clock() + timedelta(seconds=error.retry_after)
                )
                self.tracker.set(
                    status=Phase.WAITING if error.retry_after else Phase.INITIALIZING
                )
                self.pool.rest(
                    max(self.options.retry_first_seconds, error.retry_after),
                    self.publish,
                )
            else:
                self.log.info(logs.api_connectivity(self.session.server, ""))
                return True

    def refresh_due(self) -> bool:
        """Whether to refresh what other workers and other users have uploaded."""
        files = self.tracker.processed - self.processed_at_refresh
        return (
            files >= REFRESH_FILES
            or (self.clock() - self.last_hash_refresh).total_seconds()
            >= REFRESH_SECONDS
        )

    def refresh_existing_hashes(self) -> int:
        """Refreshes the hashes the server has; returns how many were new.

        With MBS2_DB_URI they come from the server's own database, incrementally after
        the first time. Without it they are those that all workers of this ledger know,
        and the server is asked about every other file before it is sent.
        """
        if self.options.db_uri:
            try:
                first = not self.hashes_seen
                refresh = partial(
                    refresh_from_database,
                    self.options.db_uri,
                    self.ledger,
                    exactly=first,
                )
                self.pool.meanwhile(refresh, self.publish)
                self.hash_list_complete = True
            except Transient as error:
                self.hash_list_complete = False
                self.log.warning(
                    "Hash refresh from the database failed, asking the server instead: %s",
                    error,
                )
        known = len(self.ledger.hashes)
        new, self.hashes_seen = known - self.hashes_seen, known
        self.last_hash_refresh, self.processed_at_refresh = (
            self.clock(),
            self.tracker.processed,
        )
        self.log.info(logs.hash_refresh(new))
        return new

    def update_existing_hashes(self, proof: Receipt | RemoteMatch) -> Known:
        """Records a file that the server has, for all workers at once. Idempotent."""
        return self.ledger.hashes.learn_one(proof)

    # -- one book ----------------------------------------------------------------------

    def attempt_book(self, work: Work) -> None:
        """Uploads one book in an uploader thread; marks it done or defers it.

        Raises Fatal or Stopping.
        """
        if self.hold.left() > 0:
            self.pool.queue.defer(work, None)
            return
        try:
            self.process_book(work)
        except MachineLost as lost:
            self.machine_lost(work, lost)
        except Deferred as later:
            self.accounting.give_back(work, counted=False)
            self.pool.queue.defer(work, later.until)
        except LedgerBusy as error:
            self.log.warning("Ledger: %s", error)
            self.pool.queue.defer(
                work, self.clock() + timedelta(seconds=self.options.retry_first_seconds)
            )
        except Transient as error:
            if error.retry_after and self.may_be_put_off(work):
                self.put_off(work, error)
            else:
                self.trouble(work, error)
        except Rejected as error:
            # It concerns the book rather than a file: the server refuses its closing
            # steps.
            fault = ServerFault(f"refused: {error}")
            self.trouble(work, fault.with_traceback(error.__traceback__))
        else:
            self.pool.queue.done(work)

    def may_be_put_off(self, work: Work) -> bool:
        """Whether the book may wait because the server asks for time.

        It may not wait for ever while the server accepts other files.
        """
        work.tries, may_wait = after_hold(work.tries, self.tracker.processed)
        return may_wait

    def put_off(self, work: Work, error: Transient) -> None:
        """Holds back all sending for as long as the server asked; counts no failure."""
        self.tracker.failed_with(error)
        self.log.warning(
            "Book %s: %s; nothing new is sent for %g s, as asked",
            work.book.id,
            error,
            error.retry_after,
        )
        self.hold.ask(error.retry_after)
        self.accounting.give_back(work, counted=False)
        self.pool.queue.defer(work, None)

    def machine_lost(self, work: Work, lost: MachineLost) -> None:
        """Resubmits a file whose machine is gone, alone if the file may be to blame.

        If the machine died, the attempt stays counted, as after the death of a whole
        worker: three deaths are enough.
        """
        self.log.warning("Book %s: %s; it is tried again", work.book.id, lost)
        if lost.uploaded:
            self.current.count_orphan()
        if lost.died:
            work.begun, work.alone = None, True
        self.accounting.give_back(work, counted=False)
        self.pool.queue.defer(work, lost.until)

    def process_book(self, work: Work) -> None:
        """Takes one book all the way: earlier attempts' leftovers, its files, the rest.

        The rest is title, cover and rating.
        """
        work.made, work.reopened = None, False
        self.api.reconcile(work)
        try:
            while work.files:
                self.pool.heed_stop()
                file = work.files[0]
                self.accounting.account(work, file, self.process_file(work, file))
        except FileMoved as moved:
            # The book's files stay pending, so the range cannot be closed and is read
            # again.
            self.log.info("Book %s: %s; its range is read again", work.book.id, moved)
            work.files.clear()
        self.api.finish_book(work)

    def process_file(self, work: Work, file: BookFile) -> UploadResult:
        """Sends one file and returns its outcome.

        Raises Transient, Deferred or Fatal, never Rejected: a file fails only by the
        evidence that `migration/` provides.
        """
        self.file_limiter.wait(1)
        try:
            work.begun = file.id
            self.ledger.files.begin(file.id)
            return self.send_with_retries(work, file)
        except MissingFile as error:
            # Only a file that is missing twice at the same path may fail for it;
            # otherwise Calibre has moved it.
            counted = self.missed.get(file.id) == file.path
            self.missed[file.id] = file.path
            if self.accounting.give_back(work, counted=counted) < ROUNDS:
                raise FileMoved(sanitize.for_log(str(error))) from error
            return UploadResult(file.id, Outcome.FAILED, error.evidence)
        except Rejected as error:
            return UploadResult(file.id, Outcome.FAILED, error.evidence)

    def send_with_retries(self, work: Work, file: BookFile) -> UploadResult:
        """Sends a file, trying again after 2, 4 and 8 seconds when the server fails."""
        first = self.options.retry_first_seconds
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(multiplier=first, max=first * 4),
            retry=tenacity.retry_if_exception(self.worth_repeating),
            sleep=lambda seconds: self.pool.sleep(max(seconds, self.hold.left())),
            before_sleep=lambda state: self.log.info(
                "%s: trying again, %s",
                file.id,
                state.outcome.exception() if state.outcome else "",
            ),
            reraise=True,
        )
        return retrying(self.upload_file, work, file)

    def worth_repeating(self, error: BaseException) -> bool:
        """Whether the file may be tried again at once.

        Not after a lost answer, which has to be reconciled first, and not when the
        server asked for time: then the whole worker waits, not this file alone.
        """
        return (
            isinstance(error, Transient)
            and not isinstance(error, ResponseLost | LedgerBusy)
            and not error.retry_after
        )

    def upload_file(self, work: Work, file: BookFile) -> UploadResult:
        """Sends one file unless the server has it.

        Raises Rejected, Transient or Deferred.
        """
        started = self.clock()
        self.refuse_unsendable(file)
        with self.tracker.sending(
            file.id, self.sanitize_filename(os.fsdecode(file.path)), file.size
        ) as sending:
            watch = self.watch(file, sending)
            digest = self.identify(work, file, watch)
            taken = self.ledger.hashes.take(file.id, digest, name_keys(work.metadata))
            if isinstance(taken, Known):
                return UploadResult(file.id, Outcome.DUPLICATE, taken)
            result = self.api.send(
                work,
                file,
                digest,
                taken,
                watch,
                all_hashes_known=self.hash_list_complete,
            )
            seconds = (self.clock() - started).total_seconds()
            if seconds > SLOW_UPLOAD_SECONDS:
                self.tracker.slow()
                self.log.warning(
                    logs.slow_upload(
                        str(file.id), digest.size, seconds, sending.slowest_stage()
                    )
                )
        return replace(result, seconds=seconds)

    def watch(self, file: BookFile, sending: Sending) -> TransferObserver:
        """Returns the callbacks that follow a file while it is read and sent."""
        return TransferObserver(
            lambda stage: self.reach(file, sending, stage),
            sending.sent,
            self.pool.heed_stop,
            sending.read,
        )

    def reach(self, file: BookFile, sending: Sending, stage: Stage) -> None:
        """Records that the file has reached a stage.

        The ledger needs it should the worker die there, and the report of slow uploads
        shows it.
        """
        self.ledger.files.reach(file.id, stage)
        sending.stage(stage.name.lower())

    def refuse_unsendable(self, file: BookFile) -> None:
        """Raises Rejected for a file the server cannot accept, before reading it."""
        refuse_unsendable(file, self.options.max_content_length)

    def identify(self, work: Work, file: BookFile, watch: TransferObserver) -> Digest:
        """Returns SHA-1 and size of the file.

        They are computed once, and again after the file has changed.
        """
        known = work.digests.get(file.id)
        if known is not None:
            return known
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
        return digest

    def trouble(self, work: Work, error: Transient) -> None:
        """Defers a book on which every try failed, or leaves it for a later run."""
        self.tracker.failed_with(error)
        self.log.warning("Book %s is pending: %s", work.book.id, told(error))
        work.digests.clear()
        if self.accounting.failed(work, error) is Next.LEAVE_BOOK:
            self.pool.queue.done(work)
        else:
            self.pool.queue.defer(
                work,
                self.clock() + timedelta(seconds=self.options.retry_first_seconds * 4),
            )

    # -- what is wanted ----------------------------------------------------------------

    def excluded(self, file: BookFile) -> str:
        """Returns why the user does not want this file, or ""."""
        if file.id.format.startswith("ORIGINAL_"):
            return "Calibre's original of a converted file"
        if self.options.formats and file.id.format not in self.options.formats:
            return "format not asked for"
        return ""

    def time_is_up(self) -> bool:
        """Whether --max-duration is over."""
        return self.time_limit.is_up()

    def limit_reached(self) -> bool:
        """Whether this process has taken as many files as --limit allows."""
        return bool(self.options.limit) and self.allowance([]) == 0

    def allowance(self, works: Sequence[Work]) -> int | None:
        """Returns how many more files this process may take; None means no limit."""
        if not self.options.limit:
            return None
        settled = sum(
            self.tracker.count(outcome)
            for outcome in (Outcome.UPLOADED, Outcome.DUPLICATE, Outcome.FAILED)
        )
        return max(
            0, self.options.limit - settled - sum(len(work.files) for work in works)
        )

    @staticmethod
    def sanitize_filename(name: str) -> str:
        """Returns a file name safe in a database, a log line and a progress file.

        Idempotent; never empty.
        """
        return sanitize.sanitize_filename(name)

    @staticmethod
    def sanitize_metadata_string(value: str) -> str:
        """Removes NUL, control and bidi-override characters and lone surrogates.

        Idempotent.
        """
        return sanitize.sanitize_text(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the worker, or another of its commands; returns the exit status."""
    return worker(sys.argv[1:] if argv is None else argv, PROJECT, CalibreMigrator)


if __name__ == "__main__":
    sys.exit(main())
