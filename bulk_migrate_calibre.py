#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""The worker: one process that moves books from a Calibre library to a MyBookshelf2 server.

Run several, with different --worker-id; they share the work through the ledger in the state directory. The policy of
one book's way lives here, in small named functions that a code fix may rewrite; mechanism and proof (library, wire,
ledger, atomic writes) live in `migration/`, which it may not.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import tenacity

import settings
from common import sanitize
from migration.calibre import cover
from migration.checks import holders
from migration.checks.last_look import LastLook
from migration.checks.spot_check import SpotCheck
from migration.commands import export_map, plan, verify
from migration.errors import (
    AnswerLost,
    ExitCode,
    Fatal,
    FileChanged,
    FileMoved,
    LedgerBusy,
    LibraryBusy,
    MachineLost,
    MigrationError,
    MissingFile,
    PutAside,
    RefusedByServer,
    Rejected,
    ServerFault,
    ServerNeverAnswered,
    StateUnwritable,
    Transient,
    Unlisted,
)
from migration.lanes.api.transfer import Watch, extension_of
from migration.ledger import totals
from migration.ledger.hashes import ExistingHashes
from migration.ledger.ledger import Taken
from migration.ledger.tables import notices
from migration.ledger.tables.books import Asked, BookState, Intention, Step
from migration.ledger.tables.passes import Range
from migration.ledger.tables.registration import Enrolment, Stage
from migration.metadata import ebook_metadata, sendable
from migration.model import (
    Book,
    BookFile,
    BookId,
    Card,
    Digest,
    EbookId,
    FileId,
    Known,
    Outcome,
    Phase,
    Receipt,
    Sighting,
    UploadId,
    UploadResult,
)
from migration.server import postgresql
from migration.server.client import AttachedElsewhere, Extracted
from migration.server.patient import Patience
from migration.server.payloads import Ebook, made, name_keys
from migration.state_files import logs, not_carried
from migration.state_files.names import LEDGER_NAME
from migration.worker.assembly import Parts, assemble, explain_crash, explain_fatal
from migration.worker.options import Options, read_options
from migration.worker.rate_limit import Hold, Pace
from migration.worker.tracker import Sending
from migration.worker.uploader_pool import Crew, Stopping
from migration.worker.work_queue import Work

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent

#: Seconds a request whose answer was lost may still run on the server; reconciling earlier could find too little.
RECONCILE_AFTER = timedelta(seconds=float(os.environ.get("RECONCILE_AFTER_SECONDS", "40")))
#: The first wait before a request is repeated, in seconds; each further one is twice as long.
RETRY_FIRST_SECONDS = float(os.environ.get("RETRY_FIRST_SECONDS", "2"))
#: Tries of one file before it is pending: the first one and three more.
TRIES = 4
#: A file on which the server failed this often while it took others is left pending: this run tries it no more.
ROUNDS = 3
#: A book waits this often because the server asks for time while it takes other files; then its failures count.
MOST_HOLDS = 20
#: Books left pending that are named at the end; the log has named each of them before.
MOST_NAMED = 20
#: Files failing in a row that make it an outage.
OUTAGE_AFTER = 3
#: Seconds between probes of a server that does not answer.
PROBE_SECONDS = float(os.environ.get("PROBE_SECONDS", "15"))
#: While it does not, the log says why this often.
SAY_AGAIN_SECONDS = 60.0
#: Seconds between a pass's last request and the last look at the server: what a network delivers late or a second time
#: has arrived by then.
LAST_LOOK_SECONDS = float(os.environ.get("LAST_LOOK_SECONDS", "3"))
#: Seconds to wait for the server at start.
START_SECONDS = float(os.environ.get("START_SECONDS", "60"))
#: How long --verify waits for an answer: as uploads do, and then for a server that is away at most so many seconds.
PATIENCE = Patience(
    RETRY_FIRST_SECONDS, TRIES, PROBE_SECONDS, float(os.environ.get("VERIFY_PATIENCE_SECONDS", "120")), OUTAGE_AFTER
)
#: The list of known hashes is refreshed after this many files or seconds, whichever comes first.
REFRESH_FILES, REFRESH_SECONDS = 1000, 600.0
#: An upload that takes longer is reported with its size and stage, seconds.
SLOW_UPLOAD_SECONDS = 120.0
#: The average rate is logged after every so many uploads.
RATE_EVERY = 100
#: Up to so many bytes a file is sent without asking first: the upload itself is the question.
ASK_FIRST_BYTES = int(os.environ.get("ASK_FIRST_BYTES", str(256 * 1024)))
#: What is to be done for a book whose ebook has just been made.
ALL_STEPS = Step.TITLE | Step.COVER | Step.RATING | Step.RECORD
#: Ranges a worker claims at most from the oldest it has in hand on: a book that hangs must bring it to a standstill,
#: for that is what the monitor sees; and nobody can take over what hangs while it lives.
RANGES_HELD = 4
#: How long a worker that has nothing left first waits for the others, seconds; then a second each time.
FIRST_WAITS = (0.05, 0.1, 0.2, 0.4)
#: So many bytes may go at once under --bwlimit, or a quarter of a second's worth if that is more.
SMALLEST_BURST = 64 * 1024
#: Seconds for files in hand to end after a signal.
STOP_SECONDS = 7.0


class CalibreMigrator:
    """One worker process. Its collaborators come by constructor; `migrate` is the story."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self.options = options
        self.library = parts.library
        self.client = parts.client
        self.carrier = parts.carrier
        self.ledger = parts.ledger
        self.tracker = parts.tracker
        self.clock = parts.clock
        self.log = parts.log
        self.publish: Callable[[], None] = parts.publish
        self.vocabulary = parts.vocabulary
        self.existing_hashes = ExistingHashes(parts.ledger)
        self.spot_check = SpotCheck(parts.client, parts.ledger, parts.log)
        self.last_look = LastLook(parts.client, parts.ledger, parts.library, parts.log, time.sleep)
        self.hash_list_complete = False
        self.hashes_seen = 0
        self.last_hash_refresh = self.clock()
        self.processed_at_refresh = 0
        self.failing_in_a_row = 0
        self.hold = Hold(time.monotonic)
        self.left_pending: dict[BookId, str] = {}
        self.last_trouble = ""
        self.found = 0
        self.ends_at = (
            self.clock() + timedelta(seconds=self.options.max_duration) if self.options.max_duration else None
        )
        self.crew = Crew(self.turn, self.client.close, self.clock, options.parallel_uploads)
        self.file_pace = Pace(self.options.max_files_per_min / 60, 1.0, time.monotonic, self.pause)
        limit = self.options.bwlimit
        self.byte_pace = Pace(limit, max(limit / 4, SMALLEST_BURST), time.monotonic, self.crew.sleep)
        self.tracker.pace = self.byte_pace.wait
        self.held: dict[int, Range] = {}
        self.missed: dict[FileId, bytes] = {}
        self.claimed = 0
        self.pass_id = 0
        self.rebuilt = False
        self.last_was_there = False

    # -- the story ------------------------------------------------------------------------------------------------

    def migrate(self) -> ExitCode:
        """Sends every book of this worker's share; returns how it ended. Raises Fatal, Stopping."""
        highest = self.read_library(self.library.highest_book_id)
        listed = self.read_library(self.library.file_count)
        may_open = self.ledger.rebuilt or not self.options.join_only
        joined = self.ledger.join_pass(highest, may_open=may_open, listed=listed)
        if joined is None:
            self.log.info("No pass is open and this worker only joins: nothing to do")
            return ExitCode.OK
        self.pass_id = joined
        self.rebuilt = self.ledger.rebuilt
        self.let_requests_settle()
        self.tracker.set(run_id=joined, status=Phase.DISCOVERING)
        self.ask_server(partial(self.spot_check.begin, joined))
        self.refresh_existing_hashes()
        self.ask_server(lambda: self.last_look.begin(joined))
        self.crew.meanwhile(self.carrier.open, self.publish)
        self.crew.start()
        while True:
            while (owned := self.next_range()) is not None:
                self.work_through(owned)
            while self.held:
                self.look_after()
            if not self.reopened_by_last_look():
                return self.conclude()

    def let_requests_settle(self) -> None:
        """After the ledger was lost: waits until no request is under way of which it knows nothing any more."""
        seconds = (self.ledger.settles_at() - self.clock()).total_seconds()
        if seconds > 0:
            self.log.info("The ledger was rebuilt; what was under way may end first, within %.0f s", seconds)
            self.tracker.set(status=Phase.WAITING)
            self.crew.rest(seconds, self.publish)

    def open_pass(self) -> ExitCode:
        """Opens a pass unless one is open; the work is left to workers that join."""
        highest = self.read_library(self.library.highest_book_id)
        listed = self.read_library(self.library.file_count)
        pass_id = self.ledger.join_pass(highest, may_open=True, listed=listed)
        self.log.info("Pass %s is open up to book %d; the library lists %d files", pass_id, highest, listed)
        if pass_id is not None:
            self.ask_server(partial(self.spot_check.begin, pass_id))
        return ExitCode.OK

    def next_range(self) -> Range | None:
        """The next range of books; None when the pass is closed or the limit is reached.

        While other workers still hold the last ranges it waits, to take over from one that dies.
        """
        waits = iter(FIRST_WAITS)
        while not self.limit_reached() and not self.time_is_up():
            owned = self.ledger.claim_range(self.pass_id, self.end_of_next_range)
            if owned is not None:
                self.at_work()
                return owned
            if self.ledger.is_closed(self.pass_id) or self.ledger.end.is_due(self.pass_id):
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
        """The last book id of the range after `after`: shorter ranges towards the end, so that nobody is left alone."""
        share = max(5, 2 * self.crew.size, self.ledger.remaining_ids(self.pass_id) // 8)
        limit = min(self.options.batch_size, share)
        return self.read_library(lambda: self.library.last_id_of_range(after, limit))

    def work_through(self, owned: Range) -> None:
        """Hands a range's books to the uploaders; returns when they run short of books, with some still in hand.

        So the next range is claimed and read while the last books of this one are on their way.
        """
        self.held[self.claimed] = owned
        self.claimed += 1
        self.crew.turns.load(self.read_range(owned))
        self.close_ranges()
        while self.held and not self.wants_more():
            self.look_after()

    def wants_more(self) -> bool:
        """Is it time for a further range? Not under --limit, which counts the files of one range after the other."""
        room = self.crew.turns.has_room(self.crew.size)
        return room and self.claimed - min(self.held) < RANGES_HELD and not self.options.limit

    def look_after(self) -> None:
        """Waits for something to change, and does what the main thread does meanwhile."""
        self.crew.turns.rest(0.5)
        self.tick(0.0)
        self.show_waiting()
        if self.time_is_up():
            self.crew.turns.drop_waiting()
        self.close_ranges()

    def close_ranges(self) -> None:
        """Closes the ranges whose books are through; one that cannot be is read again, a limit leaves it open.

        So does a book that stays pending: the pass stays open with its range, which the next start takes up.
        """
        for number, owned in list(self.held.items()):
            if self.crew.turns.holds(owned.first, owned.last):
                continue
            if self.limit_reached() or self.ledger.close_range(owned) or self.time_is_up():
                del self.held[number]
            elif any(owned.first <= book_id <= owned.last for book_id in self.left_pending):
                self.ledger.left.give_up(owned)
                del self.held[number]
            else:
                works = self.read_range(owned, again=True)
                self.crew.turns.load(works)
                if not works:
                    # Nothing to do, and yet it does not close: without a pause its log lines would fill the disk.
                    self.crew.rest(RETRY_FIRST_SECONDS, self.publish)
        if self.held:
            oldest = self.held[min(self.held)]
            self.tracker.set(range=(oldest.first, oldest.last))

    def read_range(self, owned: Range, *, again: bool = False) -> list[Work]:
        """Reads a range from the library, enters it in the ledger, and returns the books with work to do.

        `again`: this process has read it before, so only what changed since counts.
        """
        self.log.info(logs.querying(owned.first, owned.last))
        listed = self.read_library(lambda: self.library.read_files(owned.first, owned.last))
        files = [(file, self.excluded(file)) for file in listed]
        self.doubt(owned)
        enrolled = self.ledger.enrol(owned, files)
        counts = enrolled.moved if again else enrolled.settled
        new = enrolled.moved.pending if again else len(enrolled.todo)
        self.tracker.range_read(owned.first, owned.last, counts, new)
        self.found += max(0, new)
        self.log.info(logs.found(self.found))
        self.log.info(logs.processed_batch(owned.first, owned.last, len(files), enrolled.settled))
        if enrolled.gone:
            self.log.info(logs.no_longer_listed([str(file) for file in enrolled.gone]))
        for file in listed:
            if file.problem is not None:
                self.log.warning(logs.failed(str(file.id), file.problem.reason, file.problem.message))
        self.notice_listed(
            owned, [file for file, excluded in files if not excluded], {file.id.book_id for file in listed}
        )
        return self.works(owned, enrolled)

    def doubt(self, owned: Range) -> None:
        """When the server has lost files, no file of the range counts as settled before it was asked about."""
        if self.ledger.doubts.verdict(self.pass_id):
            ask = partial(self.spot_check.ask_range, owned.pass_id, owned.first, owned.last)
            self.ask_server(lambda: ask(self.crew.heed_stop, self.tracker.advance))

    def notice_listed(self, owned: Range, files: Sequence[BookFile], books: set[BookId]) -> None:
        """Says what the listing of a range shows that is not as it should be, though nothing fails for it."""
        empty = self.read_library(lambda: self.library.books_without_files(owned.first, owned.last))
        found = [*notices.of_files(files), *self.without_files(owned, empty)]
        for notice in self.ledger.notebook.notice_range(owned, books | set(empty), found):
            # What fails has its line already.
            if notice.kind is not notices.Kind.AMBIGUOUS:
                self.say(notice)

    def without_files(self, owned: Range, empty: Sequence[BookId]) -> list[notices.Notice]:
        """The books of a range that are only metadata, which is written down once.

        Those that are known are not read again.
        """
        known = self.ledger.notebook.noticed(owned.first, owned.last, notices.Kind.WITHOUT_FILES)
        new = [number for number in empty if number not in known]
        found = [known[number] for number in empty if number in known]
        for book in self.read_library(lambda: self.library.read_books(owned.first, owned.last, new)) if new else ():
            fields = not_carried.everything(book, self.card(book))
            record = not_carried.append(self.options.state_dir, book, fields, None)
            self.ledger.notebook.count_fields(self.pass_id, fields)
            found.append(notices.without_files(book, record))
        return found

    def say(self, notice: notices.Notice) -> None:
        """One line in the log."""
        self.log.log(logging.WARNING if notice.kind in notices.WARNINGS else logging.INFO, "%s", notice)

    def works(self, owned: Range, enrolled: Enrolment) -> list[Work]:
        """The books of a range that still need something, with their metadata; the settled ones are not read at all."""
        wanted = enrolled.unfinished | {file.book_id for file in enrolled.todo}
        books = self.read_library(lambda: self.library.read_books(owned.first, owned.last, wanted))
        works: list[Work] = []
        for book in [*books, *self.removed_books(enrolled.unfinished - {book.id for book in books})]:
            # One that has a problem now was moved or removed since it was listed: the range is read again for it.
            todo = [file for file in book.files if file.id in enrolled.todo and file.problem is None]
            todo = todo[: self.allowance(works)]
            if todo or book.id in enrolled.unfinished:
                suspect = any(file.id in enrolled.suspects for file in todo)
                works.append(Work(book, self.card(book), todo, alone=suspect))
        return works

    def removed_books(self, ids: Set[BookId]) -> list[Book]:
        """Books that were removed in Calibre while their ebooks were being made: what there is must be finished."""
        states = [(book_id, self.ledger.book(book_id)) for book_id in sorted(ids)]
        return [Book(book_id, state.title or plain_title(state.working_title)) for book_id, state in states if state]

    def reopened_by_last_look(self) -> bool:
        """Takes the last look at the server when every range is closed, or waits for the worker that takes it.

        True when there is work again: books that the look found unfinished.
        """
        while self.ledger.end.is_due(self.pass_id) and not self.time_is_up():
            self.tracker.set(status=Phase.WAITING)
            look = self.ledger.end.take(self.pass_id)
            if look is None:
                self.tick(1.0)
            else:
                self.crew.rest(LAST_LOOK_SECONDS, self.publish)
                self.ask_server(partial(self.last_look.take, look))
        stopped = self.limit_reached() or self.time_is_up()
        over = self.ledger.is_closed(self.pass_id) or self.ledger.left.are_all(self.pass_id)
        return not stopped and not over

    def conclude(self) -> ExitCode:
        """The end of this worker's part: the summary of the pass and the exit status."""
        pass_totals = totals.read(self.ledger.path, self.pass_id)
        if pass_totals is None:
            return ExitCode.PENDING
        closed = pass_totals.closed_at is not None
        if closed:
            proved = totals.proved(self.ledger.path, self.pass_id)
            say = self.log.error if pass_totals.differences else self.log.info
            say(totals.equation(pass_totals, proved=proved))
            self.say_what_was_lost()
            for kind, number in sorted(pass_totals.noticed.items()):
                self.log.info(notices.sentence(kind, number))
            self.back_up()
        if closed and pass_totals.differences:
            return ExitCode.DIFFERENCE
        if not closed and self.left_pending:
            proved = totals.proved(self.ledger.path, self.pass_id)
            self.tell_left_pending(totals.equation(pass_totals, proved=proved))
            return ExitCode.PENDING
        if not closed and not self.limit_reached():
            if self.time_is_up():
                self.log.info("The time is up (--max-duration); the pass stays open, the next start goes on")
            return ExitCode.PENDING
        failed = pass_totals.counts.failed if closed else self.tracker.count(Outcome.FAILED)
        return ExitCode.SOME_FAILED if failed else ExitCode.OK

    def say_what_was_lost(self) -> None:
        """How many files the server had lost, when it had."""
        lost = self.ledger.doubts.found_lost(self.pass_id)
        if lost:
            self.log.warning("%d files that the server had lost were sent to it again, or failed, in this pass", lost)

    def tell_left_pending(self, equation: str) -> None:
        """Which books are left, and why; the last word of a run that could not do all."""
        self.log.info("%s", equation)
        for what in list(self.left_pending.values())[:MOST_NAMED]:
            self.log.error("Left pending: %s", what)
        self.log.error(
            "Ended with files pending: the server failed on %d books again and again while it took others. Nobody "
            "refused them, so the pass stays open and the next start tries them again; look at the server's log",
            len(self.left_pending),
        )

    def back_up(self) -> None:
        """Copies the ledger of a closed pass; what is proved stays so without a copy."""
        try:
            self.ledger.back_up(self.pass_id)
        except StateUnwritable as error:
            self.log.warning("The ledger has no backup of this pass: %s", error)

    # -- while it runs --------------------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        """What the main thread does all the time: looks after the crew, the ledger, the progress file, the server."""
        self.crew.check(seconds)
        self.ledger.check_in_place()
        self.publish()
        if self.refresh_due():
            self.refresh_existing_hashes()
        if self.hold.left() > 0:
            self.wait_as_asked()
        if self.failing_in_a_row >= OUTAGE_AFTER:
            self.wait_for_server(f"it fails file after file, {self.last_trouble}")
        elif silent := self.client.silent():
            self.wait_for_server(silent)
        if self.carrier.trouble():
            self.wait_for_carrier()
        if self.crew.grow(self.carrier.hands()):
            self.tracker.set(parallel_uploads=self.crew.size)

    def wait_for_server(self, why: str) -> None:
        """An outage: takes no new file, asks each part of the server, goes on by itself when all answer.

        Says why once a minute at most: it may take a night.
        """
        self.crew.turns.pause(True)
        said = time.monotonic() - SAY_AGAIN_SECONDS
        error: Transient | None = ServerFault(why)
        while error is not None:
            if time.monotonic() - said >= SAY_AGAIN_SECONDS:
                said = time.monotonic()
                self.log.warning("The server has trouble, waiting until it answers: %s", error)
            self.tracker.set(status=Phase.WAITING)
            self.tracker.failed_with(error)
            self.crew.rest(max(PROBE_SECONDS, error.retry_after, self.hold.left()), self.publish)
            error = self.crew.meanwhile(self.client.probe, self.publish)
        self.log.info("The server answers again")
        self.failing_in_a_row = 0
        self.at_work()
        self.crew.turns.pause(False)

    def wait_as_asked(self) -> None:
        """Whoever answered asked for time (`Retry-After`): takes no new file until it is over, then goes on."""
        self.tracker.set(status=Phase.WAITING)
        self.crew.turns.pause(True)
        while (seconds := self.hold.left()) > 0:
            self.crew.rest(min(seconds, PROBE_SECONDS), self.publish)
        self.at_work()
        self.crew.turns.pause(False)

    def wait_for_carrier(self) -> None:
        """The cluster is out of reach: takes no new file, counts no attempt, goes on by itself when it is back."""
        self.log.warning("%s; waiting", self.carrier.trouble())
        self.tracker.set(status=Phase.WAITING)
        self.crew.turns.pause(True)
        while self.carrier.trouble():
            self.crew.rest(1.0, self.publish)
        self.log.info("The cluster is back")
        self.at_work()
        self.crew.turns.pause(False)

    def show_waiting(self) -> None:
        """A worker is waiting when all its books are: for others' claims, an answer that is out, or its own limits."""
        held_back = self.file_pace.waiting + self.byte_pace.waiting
        if self.crew.turns.idle() or (held_back and held_back >= len(self.crew.turns.active())):
            self.tracker.set(status=Phase.WAITING)
        else:
            self.at_work()

    def at_work(self) -> None:
        """The status of a worker that is not waiting."""
        self.tracker.set(status=Phase.MIGRATING if self.tracker.processed else Phase.DISCOVERING)

    def read_library(self, read: Callable[[], T]) -> T:
        """Reads from the library, waiting while Calibre has it locked; the progress file goes on beating."""
        while True:
            try:
                return self.crew.meanwhile(read, self.publish)
            except LibraryBusy as error:
                self.log.warning("%s; waiting for it", error)
                self.tracker.set(status=Phase.WAITING)
                self.crew.rest(RETRY_FIRST_SECONDS, self.publish)
                self.at_work()

    def ask_server(self, ask: Callable[[], T]) -> T:
        """Asks the server from the main thread, again and again while it does not answer, however long that takes."""
        while True:
            try:
                return self.read_library(ask)
            except Transient as error:
                self.log.warning("%s; waiting until the server answers", error)
                self.tracker.set(status=Phase.WAITING)
                self.crew.rest(max(PROBE_SECONDS, error.retry_after), self.publish)

    def check_api_connectivity(self) -> bool:
        """Logs in and reads what the server can express, waiting up to a minute; logs the result.

        Raises ServerNeverAnswered, LoginRefused.
        """
        deadline = self.clock() + timedelta(seconds=START_SECONDS)
        while True:
            try:
                self.crew.meanwhile(self.client.login, self.publish)
                self.vocabulary = self.crew.meanwhile(self.client.vocabulary, self.publish)
            except Transient as error:
                self.log.warning(logs.api_connectivity(self.client.server, str(error)))
                if self.clock() >= deadline:
                    raise ServerNeverAnswered(
                        f"{self.client.server} did not answer for {START_SECONDS:g} s ({error}); is it running, and is "
                        "--server right?"
                    ) from error
                deadline = max(deadline, self.clock() + timedelta(seconds=error.retry_after))
                self.tracker.set(status=Phase.WAITING if error.retry_after else Phase.INITIALIZING)
                self.crew.rest(max(RETRY_FIRST_SECONDS, error.retry_after), self.publish)
            else:
                self.log.info(logs.api_connectivity(self.client.server, ""))
                return True

    def refresh_due(self) -> bool:
        """Is it time to learn what other workers and other people have uploaded?"""
        files = self.tracker.processed - self.processed_at_refresh
        return files >= REFRESH_FILES or (self.clock() - self.last_hash_refresh).total_seconds() >= REFRESH_SECONDS

    def refresh_existing_hashes(self) -> int:
        """Learns what the server has, incrementally after the first time; returns how many hashes were new.

        From the server's own database when MBS2_DB_URI is given; without it, what all workers of this ledger know, and
        the server is asked about every other file before it is sent.
        """
        if self.options.db_uri:
            try:
                first = not self.hashes_seen
                refresh = partial(postgresql.refresh, self.options.db_uri, self.ledger, exactly=first)
                self.crew.meanwhile(refresh, self.publish)
                self.hash_list_complete = True
            except Transient as error:
                self.hash_list_complete = False
                self.log.warning("Hash refresh from the database failed, asking the server instead: %s", error)
        known = self.ledger.hash_count()
        new, self.hashes_seen = known - self.hashes_seen, known
        self.last_hash_refresh, self.processed_at_refresh = self.clock(), self.tracker.processed
        self.log.info(logs.hash_refresh(new))
        return new

    def update_existing_hashes(self, proof: Receipt | Sighting) -> Known:
        """Remembers one file the server has, for all workers at once; idempotent."""
        return self.ledger.learn([proof])[1][0]

    # -- one book -------------------------------------------------------------------------------------------------

    def turn(self, work: Work) -> None:
        """One book's turn in an uploader thread: through, put aside, or again later. Raises Fatal, Stopping."""
        if self.hold.left() > 0:
            self.crew.turns.put_aside(work, None)
            return
        try:
            self.process_book(work)
        except MachineLost as lost:
            self.machine_lost(work, lost)
        except PutAside as later:
            self.give_back(work, counted=False)
            self.crew.turns.put_aside(work, later.until)
        except LedgerBusy as error:
            self.log.warning("Ledger: %s", error)
            self.crew.turns.put_aside(work, self.clock() + timedelta(seconds=RETRY_FIRST_SECONDS))
        except Transient as error:
            if error.retry_after and self.may_be_put_off(work):
                self.put_off(work, error)
            else:
                self.trouble(work, error)
        except Rejected as error:
            # Of the book, not of a file: the server does not take its closing steps.
            self.trouble(work, ServerFault(f"refused: {error}"))
        else:
            self.crew.turns.settle(work)

    def may_be_put_off(self, work: Work) -> bool:
        """May the book wait because the server asks for time? Not for ever, when it takes other files meanwhile."""
        processed = self.tracker.processed
        work.holds += processed > work.processed_at_hold
        work.processed_at_hold = processed
        return work.holds < MOST_HOLDS

    def put_off(self, work: Work, error: Transient) -> None:
        """The server, or what stands before it, asks to be left alone: nothing is sent until then, nothing counts."""
        self.tracker.failed_with(error)
        self.log.warning("Book %s: %s; nothing new is sent for %g s, as asked", work.book.id, error, error.retry_after)
        self.hold.ask(error.retry_after)
        self.give_back(work, counted=False)
        self.crew.turns.put_aside(work, None)

    def machine_lost(self, work: Work, lost: MachineLost) -> None:
        """A machine of the cluster died or is out of reach: the file is submitted again, alone if it may be to blame.

        As after the death of a whole worker its attempt stays counted then, so three deaths are enough.
        """
        self.log.warning("Book %s: %s; it is tried again", work.book.id, lost)
        if lost.uploaded:
            self.ledger.tally(self.pass_id, "orphaned", "upload")
        if lost.died:
            work.begun, work.alone = None, True
        self.give_back(work, counted=False)
        self.crew.turns.put_aside(work, lost.until)

    def process_book(self, work: Work) -> None:
        """Takes one book all the way: what was left open, each file, then title, cover and rating."""
        work.made, work.reopened = None, False
        self.reconcile(work)
        try:
            while work.files:
                self.crew.heed_stop()
                file = work.files[0]
                self.account(work, file, self.process_file(work, file))
        except FileMoved as moved:
            # Its files stay pending, so the range cannot be closed and is read again.
            self.log.info("Book %s: %s; its range is read again", work.book.id, moved)
            work.files.clear()
        self.finish_book(work)

    def process_file(self, work: Work, file: BookFile) -> UploadResult:
        """Decides one file's fate; raises Transient, PutAside, Fatal, never Rejected.

        A file fails by the evidence that the substrate gives of it, never without.
        """
        self.file_pace.wait(1)
        try:
            work.begun = file.id
            self.ledger.begin(file.id)
            return self.send_with_retries(work, file)
        except MissingFile as error:
            # Only a file that is missed where it was missed before can come to an end so; Calibre moves the others.
            counted = self.missed.get(file.id) == file.path
            self.missed[file.id] = file.path
            if self.give_back(work, counted=counted) < ROUNDS:
                raise FileMoved(sanitize.for_log(str(error))) from error
            return UploadResult(file.id, Outcome.FAILED, error.evidence)
        except Rejected as error:
            return UploadResult(file.id, Outcome.FAILED, error.evidence)

    def send_with_retries(self, work: Work, file: BookFile) -> UploadResult:
        """Tries a file again after 2, 4 and 8 seconds when the server does not answer or fails."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(multiplier=RETRY_FIRST_SECONDS, max=RETRY_FIRST_SECONDS * 4),
            retry=tenacity.retry_if_exception(self.worth_repeating),
            sleep=lambda seconds: self.crew.sleep(max(seconds, self.hold.left())),
            before_sleep=lambda state: self.log.info(
                "%s: trying again, %s", file.id, state.outcome.exception() if state.outcome else ""
            ),
            reraise=True,
        )
        return retrying(self.upload_file, work, file)

    def worth_repeating(self, error: BaseException) -> bool:
        """May the file be tried again at once? After a lost answer only when it has been reconciled.

        Not when the server asked for time: then the whole worker waits, not this file alone.
        """
        return isinstance(error, Transient) and not isinstance(error, AnswerLost | LedgerBusy) and not error.retry_after

    def upload_file(self, work: Work, file: BookFile) -> UploadResult:
        """Sends one file unless the server has it. Raises Rejected, Transient, PutAside."""
        started = self.clock()
        self.refuse_unsendable(file)
        with self.tracker.sending(file.id, self.sanitize_filename(os.fsdecode(file.path)), file.size) as sending:
            digest = self.identify(work, file, sending)
            taken = self.ledger.take(file.id, digest, name_keys(work.card))
            if isinstance(taken, Known):
                return UploadResult(file.id, Outcome.DUPLICATE, taken)
            result = self.send(work, file, digest, taken, sending)
            seconds = (self.clock() - started).total_seconds()
            if seconds > SLOW_UPLOAD_SECONDS:
                self.tracker.slow()
                self.log.warning(logs.slow_upload(str(file.id), digest.size, seconds, sending.slowest_stage()))
        return replace(result, seconds=seconds)

    def send(self, work: Work, file: BookFile, digest: Digest, taken: Taken, sending: Sending) -> UploadResult:
        """Check, upload, metadata, ebook, attach: the protocol's way of a file the ledger does not know."""
        extension = extension_of(file)
        self.reach(file, sending, Stage.CHECK)
        sighting = self.client.check(digest, extension) if self.must_ask(digest, taken) else None
        carried = sighting or self.carry(work, file, digest, sending)
        self.last_was_there = isinstance(carried, Sighting)
        if isinstance(carried, Sighting):
            self.adopt(work, digest, extension)
            return UploadResult(file.id, Outcome.DUPLICATE, self.update_existing_hashes(carried))
        extracted = self.client.extracted(carried)
        if extracted.digest != digest:
            raise ServerFault(f"the server received other bytes: {extracted.digest.sha1} instead of {digest.sha1}")
        self.reach(file, sending, Stage.EBOOK)
        ebook_id = self.ensure_ebook(work, {**extracted.ids, **taken.ids})
        self.reach(file, sending, Stage.ATTACH)
        return self.attach(work, file, ebook_id, extracted)

    def carry(self, work: Work, file: BookFile, digest: Digest, sending: Sending) -> UploadId | Sighting:
        """Bytes and metadata to the server. A task whose answer is lost may leave an upload there: it is counted."""
        try:
            return self.carrier.carry(file, digest, work.card, self.watch(file, sending))
        except AnswerLost:
            self.ledger.tally(self.pass_id, "orphaned", "upload")
            raise

    def must_ask(self, digest: Digest, taken: Taken) -> bool:
        """Is the server asked about the bytes before they are sent?

        Not when all it has is known. A small file costs less to send than to ask about, for the upload asks the same
        question of the bytes themselves; but where the last answer was "already there", the next may well be too.
        """
        if not taken.fresh or self.rebuilt:
            return True
        if self.hash_list_complete:
            return False
        return digest.size > ASK_FIRST_BYTES or self.last_was_there

    def watch(self, file: BookFile, sending: Sending) -> Watch:
        """Follows a file while it is read and sent, wherever that is done."""
        return Watch(lambda stage: self.reach(file, sending, stage), sending.sent, self.crew.heed_stop)

    def reach(self, file: BookFile, sending: Sending, stage: Stage) -> None:
        """The file gets to a stage: for the ledger, should the worker die there, and for the report of slow uploads."""
        self.ledger.reach(file.id, stage)
        sending.stage(stage.name.lower())

    def refuse_unsendable(self, file: BookFile) -> None:
        """Refuses, before a byte is read or sent, what the server cannot take. Raises Rejected."""
        sendable.refuse_unsendable(file, settings.MAX_CONTENT_LENGTH)

    def identify(self, work: Work, file: BookFile, sending: Sending) -> Digest:
        """SHA-1 and size of the file's bytes; computed once, and again after the file changed."""
        known = work.digests.get(file.id)
        if known is not None:
            return known
        digest = self.carrier.identify(file, self.watch(file, sending))
        work.digests[file.id] = digest
        return digest

    def ensure_ebook(self, work: Work, ids: dict[tuple[str, str], int]) -> EbookId:
        """The book's ebook under its working title: made once, whatever happens in between."""
        state = self.ledger.book(work.book.id) or BookState(work.card.working_title)
        if state.ebook_id is not None:
            reopened = self.reopen(work, state)
            if reopened is not None:
                return reopened
            state = BookState(work.card.working_title)
        found = self.client.find(work.card.working_title) if self.rebuilt else []
        if found:
            self.ledger.save_book(work.book.id, BookState(work.card.working_title, found[0], ALL_STEPS))
            return found[0]
        asked = Intention(Asked.CREATE, self.clock())
        intended = self.ledger.intend(work.book.id, state, asked)
        try:
            ebook_id = self.client.create(intended, work.card, ids, bare=ebook_metadata.too_long_for_paths(work.card))
        except AnswerLost as lost:
            # An id of ours the server no longer knows shows itself as HTTP 500.
            self.ledger.forget_names(name_keys(work.card))
            self.reconcile_soon(work, replace(state, intention=asked), lost)
            raise
        except Rejected:
            self.ledger.save_book(work.book.id, replace(state, intention=None))
            raise
        created = BookState(work.card.working_title, ebook_id, ALL_STEPS)
        self.ledger.save_book(work.book.id, created)
        work.made = made(ebook_id, work.card.working_title, ids)
        return ebook_id

    def adopt(self, work: Work, digest: Digest, extension: str) -> None:
        """After the ledger was lost: the ebook that holds this file under this book's title is this book's."""
        if not self.rebuilt:
            return
        state = self.ledger.book(work.book.id)
        if state is not None and state.ebook_id is not None:
            self.reopen_steps(work, state)
            return
        for title, steps in ((work.card.working_title, ALL_STEPS), (work.card.title, Step.NONE)):
            for ebook_id in self.found_or_warned(work, title):
                ebook = self.client.ebook(ebook_id)
                if ebook is not None and (extension, digest.size) in [source[1:] for source in ebook.sources]:
                    self.ledger.save_book(work.book.id, BookState(work.card.working_title, ebook_id, steps))
                    return

    def found_or_warned(self, work: Work, title: str) -> list[EbookId]:
        """The ebooks with this title; none, with a word in the log, when the server cannot tell.

        Then a file that is there is a duplicate all the same; only which ebook holds it stays unknown.
        """
        try:
            return self.client.find(title)
        except Unlisted as error:
            self.log.warning("Book %s: which ebook is its own is not known: %s", work.book.id, error)
            return []

    def reopen_steps(self, work: Work, state: BookState) -> None:
        """An ebook that the backup of a lost ledger calls finished may have been reopened since."""
        ebook = None if state.ebook_id is None or state.steps else self.client.ebook(state.ebook_id)
        if ebook is not None and ebook.title == state.working_title:
            self.ledger.save_book(work.book.id, replace(state, steps=Step.TITLE))

    def reopen(self, work: Work, state: BookState) -> EbookId | None:
        """Gives an ebook its working title back, so that a further format gets a file name; None when it is gone.

        A title that is not the one we gave is somebody else's work: it is kept, and given back at the end.
        """
        if state.ebook_id is None or work.made is not None or work.reopened:
            return state.ebook_id
        ebook = self.client.ebook(state.ebook_id)
        if ebook is None or not self.is_ours(work, state, ebook):
            return None
        restore = state.restore
        if ebook.title != state.working_title:
            restore = None if ebook.title in self.titles_of_ours(work, state) else ebook.title
        self.ledger.save_book(work.book.id, replace(state, steps=state.steps | Step.TITLE, restore=restore))
        if ebook.title != state.working_title:
            try:
                self.client.change(ebook, work.card, {}, title=state.working_title, bare=False)
            except RefusedByServer as refusal:
                # Somebody else's now: it keeps its title, and the file's name is made of that.
                self.log.info("Book %s: ebook %s keeps its title: %s", work.book.id, ebook.id, refusal)
                self.ledger.save_book(work.book.id, state)
        work.reopened = True
        return ebook.id

    def is_ours(self, work: Work, state: BookState, ebook: Ebook) -> bool:
        """Is it this book's, by its title or a file we sent? A new server has other ebooks under the same numbers."""
        titles = (state.working_title, state.restore, *self.titles_of_ours(work, state))
        return ebook.title in titles or not self.ledger.doubts.sources(work.book.id).isdisjoint(ebook.sources)

    def titles_of_ours(self, work: Work, state: BookState) -> tuple[str, ...]:
        """What we may have called the ebook; an older ledger does not know."""
        return (state.title,) if state.title is not None else (work.card.title, plain_title(state.working_title))

    def attach(self, work: Work, file: BookFile, ebook_id: EbookId, extracted: Extracted) -> UploadResult:
        """Moves the upload into the ebook; the receipt is the proof."""
        state = self.ledger.book(work.book.id) or BookState(work.card.working_title, ebook_id)
        asked = Intention(Asked.ATTACH, self.clock(), extracted.upload_id, file.id.format, extracted.digest)
        intended = self.ledger.intend(work.book.id, state, asked)
        try:
            receipt = self.client.attach(intended, ebook_id)
        except AnswerLost as lost:
            self.reconcile_soon(work, replace(state, intention=asked), lost)
            raise
        except AttachedElsewhere as elsewhere:
            return self.attached_elsewhere(work, file, elsewhere)
        except Rejected:
            self.ledger.save_book(work.book.id, replace(state, intention=None))
            raise
        if work.made is not None:
            work.made = work.made.with_source(receipt.source_id, extension_of(file), file.size, cover=extracted.cover)
        return UploadResult(file.id, Outcome.UPLOADED, receipt)

    def attached_elsewhere(self, work: Work, file: BookFile, elsewhere: AttachedElsewhere) -> UploadResult:
        """Somebody else's ebook got these bytes first: a duplicate, and our upload is left to the server."""
        self.ledger.tally(self.pass_id, "orphaned", "upload")
        known = self.update_existing_hashes(elsewhere.sighting)
        state = self.ledger.book(work.book.id)
        if state is not None:
            self.ledger.save_book(work.book.id, replace(state, intention=None))
        return UploadResult(file.id, Outcome.DUPLICATE, known)

    def reconcile_soon(self, work: Work, state: BookState, lost: AnswerLost) -> None:
        """When the server is certainly through with a request, its fate may be looked up at once."""
        if not lost.still_running and state.intention is not None:
            asked = replace(state.intention, at=self.clock() - RECONCILE_AFTER)
            self.ledger.save_book(work.book.id, replace(state, intention=asked))

    def reconcile(self, work: Work) -> None:
        """Finds out what became of a request whose answer was lost, before anything else is done for the book."""
        state = self.ledger.book(work.book.id)
        if state is None or state.intention is None:
            return
        due = state.intention.at + RECONCILE_AFTER
        if self.clock() < due:
            raise PutAside(f"book {work.book.id}: a request may still be running", due)
        if state.intention.asked is Asked.CREATE:
            found = self.client.find(state.working_title)
            steps = ALL_STEPS if found else state.steps
            done = BookState(state.working_title, found[0] if found else None, steps)
            self.ledger.save_book(work.book.id, done)
        else:
            self.reconcile_attach(work, state, state.intention)

    def reconcile_attach(self, work: Work, state: BookState, asked: Intention) -> None:
        """Did the file arrive in the ebook? Then it is accounted for; else it will be sent again."""
        file = next((file for file in work.files if file.id.format == asked.format), None)
        if state.ebook_id is not None and asked.digest is not None and file is not None:
            try:
                receipt = self.client.attached(state.ebook_id, asked.digest, extension_of(file), asked.upload_id)
            except AttachedElsewhere as elsewhere:
                self.account(work, file, self.attached_elsewhere(work, file, elsewhere))
                return
            if receipt is not None:
                self.account(work, file, UploadResult(file.id, Outcome.UPLOADED, receipt))
                return
            self.ledger.tally(self.pass_id, "orphaned", "upload")
        self.ledger.save_book(work.book.id, replace(state, intention=None))

    def finish_book(self, work: Work) -> None:
        """Closes a book: true title, cover, rating, and a record of what could not be carried. Repeatable."""
        state = self.ledger.book(work.book.id)
        if state is None or state.ebook_id is None:
            self.leave_to_others(work)
            return
        if state.steps is Step.NONE:
            self.ledger.let_go(work.book.id)
            return
        ebook = self.ebook_of(work, state.ebook_id)
        if ebook is not None and not ebook.guessed and not self.is_ours(work, state, ebook):
            ebook = None
        if ebook is None or not ebook.sources:
            # Nothing was attached: an ebook without a file must not stay.
            if ebook is not None:
                self.delete_empty(work, ebook)
            self.leave_to_others(work)
            return
        title, lost, no_cover = self.carry_rest(work, state, ebook)
        card = replace(work.card, not_carried={**work.card.not_carried, **lost})
        record = Step.RECORD in state.steps
        if record:
            not_carried.append(self.options.state_dir, work.book, card.not_carried, ebook.id)
        if record or Step.COVER in state.steps:
            self.notice_book(work, notices.of_book(work.book, no_cover))
        self.ledger.finish_book(
            self.pass_id,
            work.book.id,
            replace(state, steps=Step.NONE, title=title, restore=None),
            names={key: ebook.ids[key] for key in name_keys(card) if key in ebook.ids},
            not_carried=card.not_carried if record else (),
        )

    def delete_empty(self, work: Work, ebook: Ebook) -> None:
        """Deletes the book's ebook without a file, unless the server gave its receipt for one. Raises Transient."""
        if self.ledger.doubts.arrived_in(work.book.id, ebook.id):
            raise ServerFault(
                f"the server shows ebook {ebook.id} without a file although it gave its receipt for one: an old answer "
                "of a cache, or somebody removed the file; in that case delete the ebook there"
            )
        self.client.delete(ebook.id)

    def leave_to_others(self, work: Work) -> None:
        """No ebook of ours came of the book. Where its files were there already, its metadata is written down."""
        files = self.ledger.notebook.files_elsewhere(work.book.id)
        if files:
            holder = holders.find(self.client, self.ledger.notebook, self.options.db_uri, work.book.title, files)
            fields = not_carried.everything(work.book, work.card)
            written = self.ledger.notebook.recorded(work.book.id)
            record = not_carried.append(self.options.state_dir, work.book, fields, holder, written)
            if record not in written:
                self.ledger.notebook.count_fields(self.pass_id, fields)
            self.notice_book(work, [notices.there_already(work.book.id, holder, record)])
        self.ledger.forget_book(work.book.id)

    def notice_book(self, work: Work, found: Sequence[notices.Notice]) -> None:
        """Says what working on the book has shown to be left out."""
        for notice in self.ledger.notebook.notice_book(self.pass_id, work.book.id, found):
            self.say(notice)

    def ebook_of(self, work: Work, ebook_id: EbookId) -> Ebook | None:
        """The book's ebook with its title: as it was made in this turn, or else as the server says it is now.

        What was made and attached in this turn is known without asking. Its version is a guess: when it is wrong the
        server refuses the title and changes nothing, and then it is asked.
        """
        new, work.made = work.made, None
        return new if new is not None and new.id == ebook_id and new.sources else self.client.ebook(ebook_id)

    def give_title(self, work: Work, state: BookState, ebook: Ebook) -> str | None:
        """The true title, or the one somebody else gave before it was reopened; returns the title that is ours.

        An ebook that has no working title any more keeps its title, and one that has authors or a series keeps them:
        they are what a killed worker has given it, or what a person has made of it meanwhile.
        """
        card, kept = work.card, state.title or work.card.title
        bare = ebook_metadata.too_long_for_paths(card) and (ebook.guessed or not ebook.has_people())
        open_ = ebook.title == state.working_title
        if not open_ and not bare:
            return kept
        title = (state.restore or card.title) if open_ else ebook.title
        try:
            self.client.change(ebook, card, dict(ebook.ids), title=title, bare=bare)
        except Rejected as error:
            self.log.warning("Book %s: %s; it gets a plain title", work.book.id, error)
            title = plain_title(card.working_title)
            self.client.change(ebook, card, {}, title=title, bare=False)
            return title
        return title if title == card.title else state.title

    def carry_rest(
        self, work: Work, state: BookState, ebook: Ebook
    ) -> tuple[str | None, dict[str, str], Rejected | None]:
        """Title, rating and cover.

        Returns the title that is ours, what the server refused by field, and why the cover was not carried.
        """
        card, title, refused = work.card, state.title, dict[str, str]()
        if Step.TITLE in state.steps:
            title = self.give_title(work, state, ebook)
            if title == plain_title(card.working_title) != card.title:
                refused["title"] = card.title
        if Step.RATING in state.steps and card.rating is not None:
            try:
                self.client.rate(ebook.id, card.rating)
            except Rejected as error:
                refused["rating"] = sanitize.for_log(str(error))
        refusal = None
        if Step.COVER in state.steps and work.book.cover is not None:
            # Last, so that no step after it has it sent again.
            refusal = self.carry_cover(ebook.id, work.book.cover)
        if refusal is not None:
            refused["cover"] = sanitize.for_log(str(refusal))
        elif work.book.cover_problem is not None:
            refused["cover"] = work.book.cover_problem.message
        return title, refused, refusal

    def carry_cover(self, ebook_id: EbookId, path: bytes) -> Rejected | None:
        """Calibre's cover takes the place of whatever the server found in a file; returns why it did not."""
        try:
            with self.library.open_file(path) as held:
                self.client.set_cover(ebook_id, cover.sendable(held))
        except Rejected as refusal:
            return refusal
        return None

    # -- accounting -----------------------------------------------------------------------------------------------

    def account(self, work: Work, file: BookFile, result: UploadResult) -> None:
        """Ledger first, then progress, then one log line; exactly once per file."""
        if result.outcome is Outcome.DUPLICATE and self.ledger.book(work.book.id) is None:
            # Should the worker die after this file, the next one still writes down what is not carried.
            self.ledger.save_book(work.book.id, BookState(work.card.working_title, steps=Step.RECORD))
        recorded = self.ledger.account(self.pass_id, result)
        work.files.remove(file)
        work.begun = None
        if not recorded:
            return
        self.failing_in_a_row = 0
        count = self.tracker.settled(file.id.book_id, result.outcome, file.size)
        name = f"{file.id} {sanitize.for_log(work.book.title, 120)!r}"
        match result.outcome:
            case Outcome.UPLOADED:
                self.log.info(logs.uploaded(name, file.size, result.seconds))
                if count % RATE_EVERY == 0:
                    self.log.info(logs.average_rate(self.tracker.snapshot().rate_files_per_min))
            case Outcome.DUPLICATE:
                self.log.info(logs.duplicate(name))
            case _:
                self.log.warning(logs.failed(name, result.reason, result.message))

    def trouble(self, work: Work, error: Transient) -> None:
        """The server failed on a book after all tries: later again; left pending when it fails alone and again."""
        self.tracker.failed_with(error)
        self.last_trouble = str(error)
        self.log.warning("Book %s is pending: %s", work.book.id, error)
        alone = self.failing_in_a_row == 0 or isinstance(error, FileChanged)
        if not isinstance(error, FileChanged):
            self.failing_in_a_row += 1
        work.digests.clear()
        if work.begun is None:
            work.stumbles += alone
        rounds = self.give_back(work, counted=alone) if work.begun else work.stumbles
        if rounds >= ROUNDS:
            self.leave_pending(work, error)
        if work.stumbles >= ROUNDS:
            self.crew.turns.settle(work)
        else:
            self.crew.turns.put_aside(work, self.clock() + timedelta(seconds=RETRY_FIRST_SECONDS * 4))

    def leave_pending(self, work: Work, error: Transient) -> None:
        """The server failed on this book again and again while it took others: this run tries its file no more.

        Nobody has refused it, so it stays pending and the pass stays open; what else the book has is finished. When it
        fails outside any file (looking up a lost answer, the closing steps), the whole book is left as it is.
        """
        left = work.files[:] if work.stumbles >= ROUNDS else work.files[:1]
        for file in left:
            work.files.remove(file)
        names = ", ".join(str(file.id) for file in left) or "its last steps"
        said = f"book {work.book.id} ({names}), which failed {ROUNDS} times while the server took others: {error}"
        self.left_pending[work.book.id] = said
        self.log.error("Left pending for this run: %s", said)
        self.ledger.let_go(work.book.id)

    def give_back(self, work: Work, *, counted: bool) -> int:
        """The file that was begun is pending again, its attempt uncounted; returns its failed rounds."""
        rounds = self.ledger.give_back(work.begun, counted=counted) if work.begun else 0
        work.begun = None
        self.ledger.let_go(work.book.id)
        return rounds

    def excluded(self, file: BookFile) -> str:
        """Why the user does not want this file, or ""."""
        if file.id.format.startswith("ORIGINAL_"):
            return "Calibre's original of a converted file"
        if self.options.formats and file.id.format not in self.options.formats:
            return "format not asked for"
        return ""

    def card(self, book: Book) -> Card:
        """The book's metadata as the server accepts it."""
        return ebook_metadata.make_card(
            book,
            self.vocabulary,
            default_language=self.options.default_language,
            library_uuid=self.ledger.first_library,
        )

    def time_is_up(self) -> bool:
        """Has this process worked for as long as it was asked to?"""
        return self.ends_at is not None and self.clock() >= self.ends_at

    def pause(self, seconds: float) -> None:
        """Waits before a file is begun; the book is given back when the time is up meanwhile. Raises Stopping."""
        self.crew.sleep(seconds)
        if self.time_is_up():
            raise PutAside("the time is up", None)

    def limit_reached(self) -> bool:
        """Has this process taken as many files as it was asked to?"""
        return bool(self.options.limit) and self.allowance([]) == 0

    def allowance(self, works: Sequence[Work]) -> int | None:
        """How many more files this process may take; None for no limit."""
        if not self.options.limit:
            return None
        settled = sum(self.tracker.count(outcome) for outcome in (Outcome.UPLOADED, Outcome.DUPLICATE, Outcome.FAILED))
        return max(0, self.options.limit - settled - sum(len(work.files) for work in works))

    @staticmethod
    def sanitize_filename(name: str) -> str:
        """A file name that a database, a log line and a progress file can hold; idempotent, never empty."""
        return sanitize.sanitize_filename(name)

    @staticmethod
    def sanitize_metadata_string(value: str) -> str:
        """A text without NUL, control and bidi-override characters, lone surrogates; idempotent."""
        return sanitize.sanitize_text(value)


def plain_title(working_title: str) -> str:
    """The working title without its mark: for a book whose true title the server refuses."""
    return working_title.rpartition(" ~")[0] or working_title


def run(options: Options) -> ExitCode:
    """One worker from its start to its end, with its progress file and log. Raises nothing deliberate."""
    with assemble(options) as parts:
        migrator = CalibreMigrator(options, parts)
        signals = migrator.crew.stop_on_signals()
        try:
            migrator.check_api_connectivity()
            migrator.read_library(parts.bind)
            if options.open_pass:
                code = migrator.open_pass()
            elif options.verify:
                code = verify.verify(parts, migrator.crew, migrator.read_library, PATIENCE)
            else:
                code = migrator.migrate()
            parts.end(Phase.COMPLETED if code is not ExitCode.PENDING else Phase.STOPPED)
        except Stopping:
            migrator.crew.end(STOP_SECONDS, lambda work: migrator.give_back(work, counted=False))
            parts.end(Phase.STOPPED)
            code = signals()
        except MigrationError as error:
            code = explain_fatal(parts, error)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw must not look like a worker that is done
            code = explain_crash(parts, error)
        return code


def main(argv: Sequence[str] | None = None) -> int:
    """Parses, runs, translates the end into an exit status."""
    options = read_options(sys.argv[1:] if argv is None else argv, PROJECT)
    if options.export_map is not None:
        return int(export(options))
    return int(plan.run(options) if options.dry_run else run(options))


def export(options: Options) -> ExitCode:
    """Writes the map of books to ebooks, from the ledger alone."""
    ledger = options.state_dir / LEDGER_NAME
    if options.export_map is None or not ledger.exists():
        sys.stderr.write(f"{ledger} is not there: nothing was migrated with this --state-dir\n")
        return ExitCode.USAGE
    try:
        rows = export_map.export_map(ledger, options.export_map)
    except MigrationError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, Fatal) else ExitCode.STATE
    sys.stderr.write(f"{rows} files written to {options.export_map}\n")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
