"""Puts one worker process together from its options, in the order in which things can go wrong, and takes it apart."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from migration import logs, priority, progress, stacks
from migration.adoption import adopt
from migration.carrier import Carrier, LocalCarrier
from migration.client import BookshelfClient, task_urls
from migration.errors import ExitCode, Fatal, LedgerCorrupt, MigrationError, Misconfigured, StateUnwritable, Transient
from migration.ledger import Ledger
from migration.library import CalibreLibrary
from migration.model import Phase, Progress, Vocabulary
from migration.options import Options, password_of
from migration.owner import WorkerLock, this_process
from migration.rescue import mark_damaged, open_ledger
from migration.tracker import Tracker
from migration.wire import Wire

#: Seconds one query waits for Calibre to let go of metadata.db; Calibre itself waits 10.
LIBRARY_BUSY_SECONDS = float(os.environ.get("LIBRARY_BUSY_SECONDS", "10"))

#: How long a dead worker's request may still run on the server: what it claimed is left alone for so long.
SETTLE = timedelta(seconds=float(os.environ.get("RECONCILE_AFTER_SECONDS", "40")))


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(tz=UTC)


@dataclass(slots=True)
class Parts:
    """The collaborators of one worker."""

    options: Options
    library: CalibreLibrary
    client: BookshelfClient
    carrier: Carrier
    ledger: Ledger
    tracker: Tracker
    log: logging.Logger
    progress_path: Path
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary({}, {}))
    last_published: datetime | None = None

    @staticmethod
    def clock() -> datetime:
        """The worker's clock."""
        return utc_now()

    def bind(self) -> None:
        """Ties the ledger to this library, server and user; retries what failed when asked to.

        A restored library is adopted first when that was asked for. Raises WrongLedger, LibraryBusy.
        """
        if self.options.adopt_library:
            self.log.info("%s", adopt(self.ledger, self.library))
        self.ledger.bind(library=self.library.uuid, server=self.client.server, user=self.client.user_id)
        if self.options.retry_failed:
            self.log.info("%d failed files are pending again", self.ledger.retry_failed())

    def publish(self, *, now: bool = False) -> None:
        """Writes the progress file, at most once a second."""
        moment = self.clock()
        if now or self.last_published is None or (moment - self.last_published).total_seconds() >= 1:
            self.last_published = moment
            progress.write(self.progress_path, self.tracker.snapshot())

    def end(self, phase: Phase) -> None:
        """The last words: gives back what is unfinished, writes the final progress."""
        self.ledger.release_ranges()
        self.tracker.set(status=phase)
        self.publish(now=True)


@contextmanager
def assemble(options: Options) -> Iterator[Parts]:
    """The parts of a worker, closed at the end. Exits with the error's status when one cannot be made."""
    try:
        options.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(StateUnwritable(f"cannot make {options.state_dir}: {error.strerror}")) from error
    try:
        priority.lower(options.nice, options.ionice)
        log = logs.configure(options.state_dir, options.worker_id, console=True, as_json=options.log_json)
        logs.mask(options.password)
        owner = this_process(options.worker_id)
        lock = WorkerLock(options.state_dir, owner)
        stacks.write_on_signal(options.state_dir, options.worker_id)
    except MigrationError as error:
        raise _refused(error) from error
    try:
        tracker = Tracker(_first_progress(options), utc_now)
        path = progress.progress_path(options.state_dir, options.worker_id)
        client = BookshelfClient(
            Wire(options.server), options.username, password_of(options), task_urls(options.server, options.ws_url)
        )
        library = CalibreLibrary(
            options.library,
            options.state_dir / "migration_library_copy",
            busy_timeout_seconds=LIBRARY_BUSY_SECONDS,
        )
        carrier = _carrier(options, library, client, log)
        ledger = open_ledger(options.state_dir, lambda: Ledger(options.state_dir, owner, utc_now, SETTLE), log)
    except MigrationError as error:
        log.critical("%s", error)
        lock.release()
        raise _refused(error) from error
    log.info("Worker %d starts: %s -> %s", options.worker_id, library.root, options.server)
    try:
        parts = Parts(options, library, client, carrier, ledger, tracker, log, path)
        ledger.call_while_waiting(parts.publish)
        ledger.ask_library(library.listed, library.origins)
        # Whoever watches must be able to tell a worker that hangs at its start from one that never started.
        parts.publish(now=True)
        yield parts
    finally:
        carrier.close()
        ledger.close()
        library.close()
        lock.release()
        logging.shutdown()


def _carrier(options: Options, library: CalibreLibrary, client: BookshelfClient, log: logging.Logger) -> Carrier:
    """What does the heavy work: this process, or a Dask cluster. Raises Misconfigured."""
    if not options.cluster:
        return LocalCarrier(library, client, options.parallel_uploads)
    try:
        # Only here: Dask is an option, and importing it costs every worker a second and 60 MB.
        from migration.cluster import DaskCarrier, Plan
    except ImportError as error:
        raise Misconfigured(
            f"--cluster needs Dask ({error}); install it: .venv/bin/pip install -r requirements-cluster.txt"
        ) from error
    plan = Plan(
        options.cluster,
        options.cluster_library or options.library.expanduser().resolve(),
        task_urls(options.server, options.ws_url),
        ship=options.ship_files,
    )
    return DaskCarrier(plan, library, client, log)


def explain_fatal(parts: Parts, error: MigrationError) -> ExitCode:
    """Says why the worker ends, in the log, the progress file and the exit status."""
    parts.log.critical("%s", error)
    parts.tracker.failed_with(error)
    if isinstance(error, LedgerCorrupt):
        mark_damaged(parts.options.state_dir)
    try:
        parts.end(Phase.FAILED)
    except (Fatal, Transient) as second:
        parts.log.critical("%s", second)
    return error.exit_code if isinstance(error, Fatal) else ExitCode.INTERNAL


def explain_crash(parts: Parts, error: Exception) -> ExitCode:
    """An error nobody foresaw, a fault of the program: said as `explain_fatal` does; the status is its own, 70.

    Python's own status would be 1, by which the monitor knows a worker that has done its part.
    """
    parts.log.critical(logs.internal_error(error))
    parts.tracker.failed_with(error)
    try:
        parts.end(Phase.FAILED)
    except (Fatal, Transient) as second:
        parts.log.critical("%s", second)
    return ExitCode.INTERNAL


def _refused(error: MigrationError) -> SystemExit:
    sys.stderr.write(f"{error}\n")
    return SystemExit(int(error.exit_code) if isinstance(error, Fatal) else int(ExitCode.INTERNAL))


def _first_progress(options: Options) -> Progress:
    now = utc_now()
    process = psutil.Process()
    return Progress(
        worker_id=options.worker_id,
        pid=process.pid,
        pid_started_at=datetime.fromtimestamp(process.create_time(), tz=UTC),
        status=Phase.INITIALIZING,
        started_at=now,
        updated_at=now,
        library=str(options.library),
        server=options.server,
        last_progress_at=now,
        parallel_uploads=options.parallel_uploads,
        batch_size=options.batch_size,
    )
