#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""The worker: one process that moves books from a Calibre library to a MyBookshelf2
server.

Run several, with different --worker-id; they share the work through the ledger in the
state directory. Only policy lives here, in small named methods that a code fix may
rewrite: which books come next, when to wait, what to try again. What carries a book to
the server and proves that it arrived lives in `migration/`, which a fix may not touch.
"""

import os
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from common import sanitize
from common.errors import told
from common.lazily import tenacity
from migration.checks.last_look import LastLook
from migration.checks.spot_check import SpotCheck
from migration.errors import (
    Deferred,
    ExitCode,
    Fatal,
    FileMoved,
    LedgerBusy,
    LibraryBusy,
    MachineLost,
    MigrationError,
    MissingFile,
    Rejected,
    ResponseLost,
    ServerFault,
    ServerNeverAnswered,
    Transient,
)
from migration.lanes.api.lane import ApiLane, Limits
from migration.lanes.api.transfer import Watch
from migration.lanes.context import Context
from migration.lanes.lane import Lane, Work
from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.ledger.records import Range, Registration, Stage
from migration.ledger.tables import notices
from migration.metadata import ebook_metadata, sendable
from migration.model import (
    Book,
    BookFile,
    BookId,
    Digest,
    EbookMetadata,
    FileId,
    Known,
    Outcome,
    Phase,
    Receipt,
    RemoteMatch,
    UploadResult,
)
from migration.server import postgresql
from migration.server.patient import Patience
from migration.server.payloads import name_keys
from migration.state_files import logs
from migration.state_files.names import LEDGER_NAME
from migration.worker.accounting import Accounting
from migration.worker.assembly import Parts, assemble, explain_crash, explain_fatal
from migration.worker.conclusion import Conclusion
from migration.worker.failing import (
    OUTAGE_AFTER,
    ROUNDS,
    FailureStreak,
    Next,
    after_hold,
)
from migration.worker.options import Options, read_options
from migration.worker.rate_limit import Hold, RateLimiter
from migration.worker.tracker import Sending
from migration.worker.uploader_pool import Stopping

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent

#: Tries of one file before it is pending: the first one and three more.
TRIES = 4
#: While the server does not answer, the log says why this often.
SAY_AGAIN_SECONDS = 60.0
#: The list of known hashes is refreshed after this many files or seconds, whichever
#: comes first.
REFRESH_FILES, REFRESH_SECONDS = 1000, 600.0
#: An upload that takes longer is reported with its size and stage, seconds.
SLOW_UPLOAD_SECONDS = 120.0
#: Ranges a worker claims at most from the oldest it has in hand on: a book that hangs
#: must bring it to a standstill, for that is what the monitor sees; and nobody can take
#: over what hangs while it lives.
RANGES_HELD = 4
#: How long a worker that has nothing left first waits for the others, seconds; then a
#: second each time.
FIRST_WAITS = (0.05, 0.1, 0.2, 0.4)
#: Seconds for files in hand to end after a signal.
STOP_SECONDS = 7.0


class CalibreMigrator:
    """One worker process. Its collaborators come by constructor; `migrate` is the
    story."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self.options = options
        self.library = parts.library
        self.client = parts.client
        self.transport = parts.transport
        self.ledger = parts.ledger
        self.tracker = parts.tracker
        self.clock = parts.clock
        self.log = parts.log
        self.publish: Callable[[], None] = parts.publish
        self.vocabulary = parts.vocabulary
        self.current = CurrentPass(parts.ledger)
        self.streak = FailureStreak()
        self.accounting = Accounting(
            parts.ledger, parts.tracker, self.current, parts.log, self.streak
        )
        self.left_out = LeftOut(
            parts.ledger.notebook, self.current, options.state_dir, parts.log
        )
        context = Context(
            parts.library,
            parts.ledger,
            self.current,
            self.left_out,
            parts.clock,
            parts.log,
            self.accounting.account,
        )
        limits = Limits(
            timedelta(seconds=options.reconcile_after_seconds), options.ask_first_bytes
        )
        learn = self.update_existing_hashes
        self.api = ApiLane(
            context, parts.client, parts.transport, limits, options.db_uri, learn
        )
        self.lane: Lane = self.api
        self.conclusion = Conclusion(
            parts.ledger,
            parts.tracker,
            self.current,
            parts.log,
            self.accounting.left_pending,
        )
        self.spot_check = SpotCheck(parts.client, parts.ledger, parts.log)
        self.last_look = LastLook(
            parts.client, parts.ledger, parts.library, parts.log, parts.pool.sleep
        )
        self.hash_list_complete = False
        self.hashes_seen = 0
        self.last_hash_refresh = self.clock()
        self.processed_at_refresh = 0
        self.hold = Hold(parts.clock.seconds)
        self.found = 0
        self.ends_at = (
            self.clock() + timedelta(seconds=self.options.max_duration)
            if self.options.max_duration
            else None
        )
        self.pool = parts.pool
        self.file_limiter = RateLimiter(
            self.options.max_files_per_min / 60, 1.0, parts.clock.seconds, self.pause
        )
        self.byte_limiter = parts.byte_limiter
        self.held: dict[int, Range] = {}
        self.missed: dict[FileId, bytes] = {}
        self.claimed = 0

    @property
    def pass_id(self) -> int:
        """The pass this worker takes part in; 0 before it has joined one."""
        return self.current.id

    # -- the story ---------------------------------------------------------------------

    def migrate(self) -> ExitCode:
        """Sends every book of this worker's share; returns how it ended. Raises Fatal,
        Stopping."""
        highest = self.read_library(self.library.highest_book_id)
        listed = self.read_library(self.library.file_count)
        may_open = self.ledger.rebuilt or not self.options.join_only
        if not self.current.join(highest, may_open=may_open, listed=listed):
            self.log.info("No pass is open and this worker only joins: nothing to do")
            return ExitCode.OK
        self.let_requests_settle()
        self.tracker.set(run_id=self.pass_id, status=Phase.DISCOVERING)
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

    def let_requests_settle(self) -> None:
        """After the ledger was lost: waits until no request is under way of which it
        knows nothing any more."""
        seconds = (self.ledger.settles_at() - self.clock()).total_seconds()
        if seconds > 0:
            self.log.info(
                "The ledger was rebuilt; what was under way may end first, within %.0f s",
                seconds,
            )
            self.tracker.set(status=Phase.WAITING)
            self.pool.rest(seconds, self.publish)

    def open_pass(self) -> ExitCode:
        """Opens a pass unless one is open; the work is left to workers that join."""
        highest = self.read_library(self.library.highest_book_id)
        listed = self.read_library(self.library.file_count)
        pass_id = self.ledger.passes.join(highest, may_open=True, listed=listed)
        self.log.info(
            "Pass %s is open up to book %d; the library lists %d files",
            pass_id,
            highest,
            listed,
        )
        if pass_id is not None:
            self.ask_server(partial(self.spot_check.begin, pass_id))
        return ExitCode.OK

    def next_range(self) -> Range | None:
        """The next range of books; None when the pass is closed or the limit is
        reached.

        While other workers still hold the last ranges it waits, to take over from one
        that dies."""
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
            elif self.ledger.left.are_all(self.pass_id):
                return None
            else:
                self.tracker.set(status=Phase.WAITING)
                self.tick(next(waits, 1.0))
        return None

    def end_of_next_range(self, after: int) -> int | None:
        """The last book id of the range after `after`: shorter ranges towards the end,
        so that nobody is left alone."""
        share = max(
            5, 2 * self.pool.size, self.ledger.passes.remaining_ids(self.pass_id) // 8
        )
        limit = min(self.options.batch_size, share)
        return self.read_library(lambda: self.library.last_id_of_range(after, limit))

    def work_through(self, owned: Range) -> None:
        """Hands a range's books to the uploaders; returns when they run short of books,
        with some still in hand.

        So the next range is claimed and read while the last books of this one are on
        their way."""
        self.held[self.claimed] = owned
        self.claimed += 1
        self.hand_out(self.read_range(owned))
        self.close_ranges()
        while self.held and not self.wants_more():
            self.look_after()

    def hand_out(self, works: Sequence[Work]) -> None:
        """Lets the lane carry the books of a range; the uploaders take those it leaves,
        one by one."""
        self.pool.queue.load(self.lane.carry(works))

    def wants_more(self) -> bool:
        """Is it time for a further range? Not under --limit, which counts the files of
        one range after the other."""
        room = self.pool.queue.has_room(self.pool.size)
        return (
            room
            and self.claimed - min(self.held) < RANGES_HELD
            and not self.options.limit
        )

    def look_after(self) -> None:
        """Waits for something to change, and does what the main thread does
        meanwhile."""
        self.pool.queue.rest(0.5)
        self.tick(0.0)
        self.show_waiting()
        if self.time_is_up():
            self.pool.queue.drop_waiting()
        self.close_ranges()

    def close_ranges(self) -> None:
        """Closes the ranges whose books are through; one that cannot be is read again,
        a limit leaves it open.

        So does a book that stays pending: the pass stays open with its range, which the
        next start takes up."""
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
                self.ledger.left.give_up(owned)
                del self.held[number]
            else:
                works = self.read_range(owned, again=True)
                self.hand_out(works)
                if not works:
                    # Nothing to do, and yet it does not close: without a pause its log
                    # lines would fill the disk.
                    self.pool.rest(self.options.retry_first_seconds, self.publish)
        if self.held:
            oldest = self.held[min(self.held)]
            self.tracker.set(range=(oldest.first, oldest.last))

    def read_range(self, owned: Range, *, again: bool = False) -> list[Work]:
        """Reads a range from the library, enters it in the ledger, and returns the
        books with work to do.

        `again`: this process has read it before, so only what changed since counts.
        """
        self.log.info(logs.querying(owned.first, owned.last))
        listed = self.read_library(
            lambda: self.library.read_files(owned.first, owned.last)
        )
        files = [(file, self.excluded(file)) for file in listed]
        self.doubt(owned)
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
        self.notice_listed(
            owned,
            [file for file, excluded in files if not excluded],
            {file.id.book_id for file in listed},
        )
        return self.works(owned, registered)

    def doubt(self, owned: Range) -> None:
        """When the server has lost files, no file of the range counts as settled before
        it was asked about."""
        if self.ledger.doubts.verdict(self.pass_id):
            ask = partial(
                self.spot_check.ask_range, owned.pass_id, owned.first, owned.last
            )
            self.ask_server(lambda: ask(self.pool.heed_stop, self.tracker.advance))

    def notice_listed(
        self, owned: Range, files: Sequence[BookFile], books: set[BookId]
    ) -> None:
        """Says what the listing of a range shows that is not as it should be, though
        nothing fails for it."""
        empty = self.read_library(
            lambda: self.library.books_without_files(owned.first, owned.last)
        )
        found = [*notices.of_files(files), *self.without_files(owned, empty)]
        self.left_out.notice_range(owned, books | set(empty), found)

    def without_files(
        self, owned: Range, empty: Sequence[BookId]
    ) -> list[notices.Notice]:
        """The books of a range that are only metadata, which is written down once.

        Those that are known are not read again.
        """
        known = self.ledger.notebook.noticed(
            owned.first, owned.last, notices.Kind.WITHOUT_FILES
        )
        new = [number for number in empty if number not in known]
        found = [known[number] for number in empty if number in known]
        for book in (
            self.read_library(
                lambda: self.library.read_books(owned.first, owned.last, new)
            )
            if new
            else ()
        ):
            found.append(self.left_out.without_files(book, self.metadata(book)))
        return found

    def works(self, owned: Range, registered: Registration) -> list[Work]:
        """The books of a range that still need something, with their metadata; the
        settled ones are not read at all."""
        wanted = registered.unfinished | {file.book_id for file in registered.todo}
        books = self.read_library(
            lambda: self.library.read_books(owned.first, owned.last, wanted)
        )
        works: list[Work] = []
        for book in [
            *books,
            *self.removed_books(registered.unfinished - {book.id for book in books}),
        ]:
            # One that has a problem now was moved or removed since it was listed: the
            # range is read again for it.
            todo = [
                file
                for file in book.files
                if file.id in registered.todo and file.problem is None
            ]
            todo = todo[: self.allowance(works)]
            if todo or book.id in registered.unfinished:
                suspect = any(file.id in registered.suspects for file in todo)
                works.append(Work(book, self.metadata(book), todo, alone=suspect))
        return works

    def removed_books(self, ids: Set[BookId]) -> list[Book]:
        """Books that were removed in Calibre while their ebooks were being made: what
        there is must be finished."""
        states = [(book_id, self.ledger.books.get(book_id)) for book_id in sorted(ids)]
        return [
            Book(
                book_id, state.title or ebook_metadata.plain_title(state.working_title)
            )
            for book_id, state in states
            if state
        ]

    def reopened_by_last_look(self) -> bool:
        """Takes the last look at the server when every range is closed, or waits for
        the worker that takes it.

        True when there is work again: books that the look found unfinished.
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
        over = self.ledger.passes.is_closed(self.pass_id) or self.ledger.left.are_all(
            self.pass_id
        )
        return not stopped and not over

    # -- while it runs -----------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        """What the main thread does all the time: looks after the uploader pool, the
        ledger, the progress file, the server."""
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
        elif silent := self.client.silent():
            self.wait_for_server(silent)
        if self.transport.trouble():
            self.wait_for_transport()
        if self.pool.grow(self.transport.hands(), self.attempt_book):
            self.tracker.set(parallel_uploads=self.pool.size)

    def wait_for_server(self, why: str) -> None:
        """An outage: takes no new file, asks each part of the server, goes on by itself
        when all answer.

        Says why once a minute at most: it may take a night.
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
        """Whoever answered asked for time (`Retry-After`): takes no new file until it
        is over, then goes on."""
        self.tracker.set(status=Phase.WAITING)
        self.pool.queue.pause(True)
        while (seconds := self.hold.left()) > 0:
            self.pool.rest(min(seconds, self.options.probe_seconds), self.publish)
        self.at_work()
        self.pool.queue.pause(False)

    def wait_for_transport(self) -> None:
        """The cluster is out of reach: takes no new file, counts no attempt, goes on by
        itself when it is back."""
        self.log.warning("%s; waiting", self.transport.trouble())
        self.tracker.set(status=Phase.WAITING)
        self.pool.queue.pause(True)
        while self.transport.trouble():
            self.pool.rest(1.0, self.publish)
        self.log.info("The cluster is back")
        self.at_work()
        self.pool.queue.pause(False)

    def show_waiting(self) -> None:
        """A worker is waiting when all its books are: for others' claims, an answer
        that is out, or its own limits."""
        held_back = self.file_limiter.waiting + self.byte_limiter.waiting
        if self.pool.queue.idle() or (
            held_back and held_back >= len(self.pool.queue.active())
        ):
            self.tracker.set(status=Phase.WAITING)
        else:
            self.at_work()

    def at_work(self) -> None:
        """The status of a worker that is not waiting."""
        self.tracker.set(
            status=Phase.MIGRATING if self.tracker.processed else Phase.DISCOVERING
        )

    def read_library(self, read: Callable[[], T]) -> T:
        """Reads from the library, waiting while Calibre has it locked; the progress
        file goes on beating."""
        while True:
            try:
                return self.pool.meanwhile(read, self.publish)
            except LibraryBusy as error:
                self.log.warning("%s; waiting for it", error)
                self.tracker.set(status=Phase.WAITING)
                self.pool.rest(self.options.retry_first_seconds, self.publish)
                self.at_work()

    def ask_server(self, ask: Callable[[], T]) -> T:
        """Asks the server from the main thread, again and again while it does not
        answer, however long that takes."""
        while True:
            try:
                return self.read_library(ask)
            except Transient as error:
                self.log.warning("%s; waiting until the server answers", error)
                self.tracker.set(status=Phase.WAITING)
                self.pool.rest(
                    max(self.options.probe_seconds, error.retry_after), self.publish
                )

    def check_api_connectivity(self) -> bool:
        """Logs in and reads what the server can express, waiting up to a minute; logs
        the result.

        Raises ServerNeverAnswered, LoginRefused.
        """
        deadline = self.clock() + timedelta(seconds=self.options.start_seconds)
        while True:
            try:
                self.pool.meanwhile(self.client.login, self.publish)
                self.vocabulary = self.pool.meanwhile(
                    self.client.vocabulary, self.publish
                )
            except Transient as error:
                self.log.warning(logs.api_connectivity(self.client.server, str(error)))
                if self.clock() >= deadline:
                    raise ServerNeverAnswered(
                        f"{self.client.server} did not answer for "
                        f"{self.options.start_seconds:g} s ({error}); is it "
                        "running, and is --server right?"
                    ) from error
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
                self.log.info(logs.api_connectivity(self.client.server, ""))
                return True

    def refresh_due(self) -> bool:
        """Is it time to learn what other workers and other people have uploaded?"""
        files = self.tracker.processed - self.processed_at_refresh
        return (
            files >= REFRESH_FILES
            or (self.clock() - self.last_hash_refresh).total_seconds()
            >= REFRESH_SECONDS
        )

    def refresh_existing_hashes(self) -> int:
        """Learns what the server has, incrementally after the first time; returns how
        many hashes were new.

        From the server's own database when MBS2_DB_URI is given; without it, what all
        workers of this ledger know, and the server is asked about every other file
        before it is sent."""
        if self.options.db_uri:
            try:
                first = not self.hashes_seen
                refresh = partial(
                    postgresql.refresh, self.options.db_uri, self.ledger, exactly=first
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
        """Remembers one file the server has, for all workers at once; idempotent."""
        return self.ledger.hashes.learn([proof])[1][0]

    # -- one book ----------------------------------------------------------------------

    def attempt_book(self, work: Work) -> None:
        """Uploads one book in an uploader thread; it is done, deferred or retried
        later. Raises Fatal, Stopping."""
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
            # Of the book, not of a file: the server does not take its closing steps.
            self.trouble(work, ServerFault(f"refused: {error}"))
        else:
            self.pool.queue.done(work)

    def may_be_put_off(self, work: Work) -> bool:
        """May the book wait because the server asks for time? Not for ever, when it
        takes other files meanwhile."""
        work.tries, may_wait = after_hold(work.tries, self.tracker.processed)
        return may_wait

    def put_off(self, work: Work, error: Transient) -> None:
        """The server, or what stands before it, asks to be left alone: nothing is sent
        until then, nothing counts."""
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
        """A machine of the cluster died or is out of reach: the file is submitted
        again, alone if it may be to blame.

        As after the death of a whole worker its attempt stays counted then, so three
        deaths are enough."""
        self.log.warning("Book %s: %s; it is tried again", work.book.id, lost)
        if lost.uploaded:
            self.current.count_orphan()
        if lost.died:
            work.begun, work.alone = None, True
        self.accounting.give_back(work, counted=False)
        self.pool.queue.defer(work, lost.until)

    def process_book(self, work: Work) -> None:
        """Takes one book all the way: what was left open, each file, then title, cover
        and rating."""
        work.made, work.reopened = None, False
        self.api.reconcile(work)
        try:
            while work.files:
                self.pool.heed_stop()
                file = work.files[0]
                self.accounting.account(work, file, self.process_file(work, file))
        except FileMoved as moved:
            # Its files stay pending, so the range cannot be closed and is read again.
            self.log.info("Book %s: %s; its range is read again", work.book.id, moved)
            work.files.clear()
        self.api.finish_book(work)

    def process_file(self, work: Work, file: BookFile) -> UploadResult:
        """Decides one file's fate; raises Transient, PutAside, Fatal, never Rejected.

        A file fails by the evidence that the substrate gives of it, never without.
        """
        self.file_limiter.wait(1)
        try:
            work.begun = file.id
            self.ledger.files.begin(file.id)
            return self.send_with_retries(work, file)
        except MissingFile as error:
            # Only a file that is missed where it was missed before can come to an end
            # so; Calibre moves the others.
            counted = self.missed.get(file.id) == file.path
            self.missed[file.id] = file.path
            if self.accounting.give_back(work, counted=counted) < ROUNDS:
                raise FileMoved(sanitize.for_log(str(error))) from error
            return UploadResult(file.id, Outcome.FAILED, error.evidence)
        except Rejected as error:
            return UploadResult(file.id, Outcome.FAILED, error.evidence)

    def send_with_retries(self, work: Work, file: BookFile) -> UploadResult:
        """Tries a file again after 2, 4 and 8 seconds when the server does not answer
        or fails."""
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
        """May the file be tried again at once? After a lost answer only when it has
        been reconciled.

        Not when the server asked for time: then the whole worker waits, not this file
        alone."""
        return (
            isinstance(error, Transient)
            and not isinstance(error, ResponseLost | LedgerBusy)
            and not error.retry_after
        )

    def upload_file(self, work: Work, file: BookFile) -> UploadResult:
        """Sends one file unless the server has it. Raises Rejected, Transient,
        PutAside."""
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

    def watch(self, file: BookFile, sending: Sending) -> Watch:
        """Follows a file while it is read and sent, wherever that is done."""
        return Watch(
            lambda stage: self.reach(file, sending, stage),
            sending.sent,
            self.pool.heed_stop,
        )

    def reach(self, file: BookFile, sending: Sending, stage: Stage) -> None:
        """The file gets to a stage: for the ledger, should the worker die there, and
        for the report of slow uploads."""
        self.ledger.files.reach(file.id, stage)
        sending.stage(stage.name.lower())

    def refuse_unsendable(self, file: BookFile) -> None:
        """Refuses, before a byte is read or sent, what the server cannot take. Raises
        Rejected."""
        sendable.refuse_unsendable(file, self.options.max_content_length)

    def identify(self, work: Work, file: BookFile, watch: Watch) -> Digest:
        """SHA-1 and size of the file's bytes; computed once, and again after the file
        changed."""
        known = work.digests.get(file.id)
        if known is not None:
            return known
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
        return digest

    def trouble(self, work: Work, error: Transient) -> None:
        """The server failed on a book after all tries: later again, unless this run
        leaves it pending."""
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
        """Why the user does not want this file, or ""."""
        if file.id.format.startswith("ORIGINAL_"):
            return "Calibre's original of a converted file"
        if self.options.formats and file.id.format not in self.options.formats:
            return "format not asked for"
        return ""

    def metadata(self, book: Book) -> EbookMetadata:
        """The book's metadata as the server accepts it."""
        return ebook_metadata.make_metadata(
            book,
            self.vocabulary,
            default_language=self.options.default_language,
            library_uuid=self.ledger.identity.first_library,
        )

    def time_is_up(self) -> bool:
        """Has this process worked for as long as it was asked to?"""
        return self.ends_at is not None and self.clock() >= self.ends_at

    def pause(self, seconds: float) -> None:
        """Waits before a file is begun; the book is given back when the time is up
        meanwhile. Raises Stopping."""
        self.pool.sleep(seconds)
        if self.time_is_up():
            raise Deferred("the time is up", None)

    def limit_reached(self) -> bool:
        """Has this process taken as many files as it was asked to?"""
        return bool(self.options.limit) and self.allowance([]) == 0

    def allowance(self, works: Sequence[Work]) -> int | None:
        """How many more files this process may take; None for no limit."""
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
        """A file name that a database, a log line and a progress file can hold;
        idempotent, never empty."""
        return sanitize.sanitize_filename(name)

    @staticmethod
    def sanitize_metadata_string(value: str) -> str:
        """A text without NUL, control and bidi-override characters, lone surrogates;
        idempotent."""
        return sanitize.sanitize_text(value)


def patience_of(options: Options) -> Patience:
    """How long --verify waits for an answer: as uploads do, and then for a server that
    is away."""
    return Patience(
        options.retry_first_seconds,
        TRIES,
        options.probe_seconds,
        options.verify_patience_seconds,
        OUTAGE_AFTER,
    )


def compare(parts: Parts, migrator: CalibreMigrator) -> ExitCode:
    """Library and server, for `--verify`."""
    from migration.commands import verify

    patience = patience_of(migrator.options)
    return verify.verify(parts, migrator.pool, migrator.read_library, patience)


def run(options: Options) -> ExitCode:
    """One worker from its start to its end, with its progress file and log. Raises
    nothing deliberate."""
    with assemble(options) as parts:
        migrator = CalibreMigrator(options, parts)
        signals = migrator.pool.stop_on_signals()
        try:
            migrator.check_api_connectivity()
            migrator.read_library(parts.bind)
            if options.open_pass:
                code = migrator.open_pass()
            elif options.verify:
                code = compare(parts, migrator)
            else:
                code = migrator.migrate()
            parts.end(
                Phase.COMPLETED if code is not ExitCode.PENDING else Phase.STOPPED
            )
        except Stopping:
            migrator.pool.end(
                STOP_SECONDS,
                lambda work: migrator.accounting.give_back(work, counted=False),
            )
            parts.end(Phase.STOPPED)
            code = signals()
        except MigrationError as error:
            code = explain_fatal(parts, error)
        except Exception as error:  # noqa: BLE001
            # What nobody foresaw must not look like a worker that is done.
            code = explain_crash(parts, error)
        return code


def main(argv: Sequence[str] | None = None) -> int:
    """Parses, runs, translates the end into an exit status."""
    options = read_options(sys.argv[1:] if argv is None else argv, PROJECT)
    if options.export_map is not None:
        return int(export(options))
    if options.dry_run:
        from migration.commands import plan

        return int(plan.run(options))
    return int(run(options))


def export(options: Options) -> ExitCode:
    """Writes the map of books to ebooks, from the ledger alone."""
    from migration.commands import export_map

    ledger = options.state_dir / LEDGER_NAME
    if options.export_map is None or not ledger.exists():
        sys.stderr.write(
            f"{ledger} is not there: nothing was migrated with this --state-dir\n"
        )
        return ExitCode.USAGE
    try:
        rows = export_map.export_map(ledger, options.export_map)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        return error.exit_code if isinstance(error, Fatal) else ExitCode.STATE
    sys.stderr.write(f"{rows} files written to {options.export_map}\n")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
