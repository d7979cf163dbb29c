"""Puts one worker process together from its options, in the order in which things can
go wrong, and takes it apart."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from common.clock import SteadyClock, utc_now
from common.errors import told, with_code
from common.files.json_files import make_state_dir
from common.files.system_errors import reason_of, set_aside_if_directory
from common.resources import Reserve, resource_error
from common.settings.setting import part
from common.settings.worker import Waits
from migration.calibre.library import CalibreLibrary
from migration.calibre.lock_wait import Patience
from migration.checks.adoption import adopt
from migration.errors import (
    ClusterUnusable,
    ExitCode,
    Fatal,
    LedgerCorrupt,
    LibraryBusy,
    MigrationError,
    OutOfResources,
    StateUnwritable,
    Transient,
)
from migration.lanes.api.transfer import LocalTransport, Transport
from migration.ledger.ledger import Ledger
from migration.ledger.recovery import mark_damaged, open_ledger
from migration.model import LastError, Phase, Progress, Vocabulary
from migration.server.client import BookshelfClient, task_urls
from migration.server.transport import HttpTransport
from migration.state_files import logs, not_carried, progress
from migration.state_files.owner import Owner, WorkerLock, lock_path, this_process
from migration.worker import priority, stacks
from migration.worker.options import Options, password_of
from migration.worker.progress_file import ProgressFile
from migration.worker.rate_limit import RateLimiter
from migration.worker.tracker import Tracker
from migration.worker.uploader_pool import UploaderPool
from migration.worker.work_queue import WorkQueue

#: So many bytes may go at once under --bwlimit, or a quarter of a second's worth if
#: that is more.
SMALLEST_BURST = 64 * 1024


@dataclass(slots=True)
class Parts:
    """The collaborators of one worker; `clock` is the steady one."""

    options: Options
    library: CalibreLibrary
    client: BookshelfClient
    transport: Transport
    ledger: Ledger
    tracker: Tracker
    log: logging.Logger
    progress_file: ProgressFile
    pool: UploaderPool
    byte_limiter: RateLimiter
    clock: SteadyClock
    reserve: Reserve
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary({}, {}))

    def bind(self) -> None:
        """Ties the ledger to this library, server and user; retries what failed when
        asked to.

        A restored library is adopted first when that was asked for. Raises WrongLedger,
        LibraryBusy."""
        if self.options.adopt_library:
            self.log.info("%s", adopt(self.ledger, self.library))
        self.ledger.identity.bind(
            library=self.library.uuid,
            server=self.client.server,
            user=self.client.user_id,
        )
        if self.options.retry_failed:
            self.log.info(
                "%d failed files are pending again", self.ledger.files.retry_failed()
            )

    def publish(self, *, now: bool = False) -> None:
        """Writes the progress file, at most once a second."""
        self.progress_file.publish(now=now)

    def end(self, phase: Phase) -> None:
        """The last words: gives back what is unfinished, writes the final progress."""
        self.ledger.files.release_ranges()
        self.tracker.set(status=phase)
        self.publish(now=True)


@contextmanager
def assemble(options: Options) -> Iterator[Parts]:
    """The parts of a worker, closed at the end. Exits with the error's status when one
    cannot be made."""
    try:
        make_state_dir(options.state_dir)
    except OSError as error:
        raise _refused(
            StateUnwritable(f"cannot make {options.state_dir}: {error.strerror}")
        ) from error
    try:
        moved = _clear_the_way(options)
        priority.lower(options.nice, options.ionice)
        log = logs.configure(
            options.state_dir, options.worker_id, console=True, as_json=options.log_json
        )
        logs.mask(options.password)
        for line in moved:
            log.warning(line)
        owner = this_process(options.worker_id)
        lock = WorkerLock(options.state_dir, owner)
        stacks.write_on_signal(options.state_dir, options.worker_id)
        reserve = Reserve()
    except Exception as error:
        # Whatever it is: Python's own status would be 1, by which the monitor knows a
        # worker that has done its part.
        raise _refused(error) from error
    try:
        parts = _put_together(options, owner, log, reserve)
    except Exception as error:
        shortage = resource_error(error)
        reserve.release()
        log.critical("%s", _reason(shortage or error))
        if shortage is not None:
            _leave_word(options, shortage, log)
        lock.release()
        raise _refused(shortage or error) from error
    try:
        yield parts
    finally:
        parts.transport.close()
        parts.ledger.close()
        parts.library.close()
        lock.release()
        logging.shutdown()


def _put_together(
    options: Options, owner: Owner, log: logging.Logger, reserve: Reserve
) -> Parts:
    """The parts; whoever watches can see them from then on."""
    clock = SteadyClock()
    client = BookshelfClient(
        HttpTransport(options.server, options.answer_seconds),
        options.username,
        password_of(options),
        task_urls(options.server, options.ws_url),
        options,
    )
    pool = UploaderPool(WorkQueue(clock), client.close, options.parallel_uploads)
    byte_limiter = RateLimiter(
        options.bwlimit,
        max(options.bwlimit / 4, SMALLEST_BURST),
        clock.seconds,
        pool.sleep,
    )
    tracker = Tracker(_first_progress(options), utc_now, clock, byte_limiter.wait)
    path = progress.progress_path(options.state_dir, options.worker_id)
    progress_file = ProgressFile(path, tracker, clock, log, needed=not options.verify)
    library = _open_library(options, tracker, path, log)
    transport = _transport(options, library, client, log)
    # A dead worker's request may still run on the server for so long: what it claimed
    # is left alone meanwhile.
    settle = timedelta(seconds=options.reconcile_after_seconds)
    ledger = _ledger(
        options,
        lambda: Ledger(
            options.state_dir,
            owner,
            clock,
            settle,
            library=library,
            on_wait=progress_file.publish,
        ),
        log,
    )
    log.info(logs.starts(options.worker_id, owner.pid, library.root, options.server))
    parts = Parts(
        options,
        library,
        client,
        transport,
        ledger,
        tracker,
        log,
        progress_file,
        pool,
        byte_limiter,
        clock,
        reserve,
    )
    # Whoever watches must be able to tell a worker that hangs at its start from one
    # that never started.
    parts.publish(now=True)
    return parts


def _open_library(
    options: Options, tracker: Tracker, progress_path: Path, log: logging.Logger
) -> CalibreLibrary:
    """The library; while Calibre has it locked it is waited for, visibly, as in the
    middle of a run.

    Without end by a worker, for as long as a person can be asked to wait by everything
    else."""
    last = 0.0

    def say(sentence: str) -> None:
        log.warning("%s", sentence)
        tracker.failed_with(LibraryBusy(sentence))
        tracker.set(status=Phase.WAITING)

    def beat() -> None:
        nonlocal last
        waiting = tracker.snapshot().status is Phase.WAITING
        if waiting and time.monotonic() - last >= 1:
            last = time.monotonic()
            progress.write(progress_path, tracker.snapshot())

    private = options.state_dir / "migration_library_copy"
    awaited = options.verify or options.open_pass
    patience = Patience(
        say, beat, seconds=options.library_lock_seconds if awaited else None
    )
    try:
        library = patience.read(
            lambda: CalibreLibrary(
                options.library,
                private,
                busy_timeout_seconds=options.library_busy_seconds,
            )
        )
    except SystemExit:
        tracker.set(status=Phase.STOPPED)
        progress.write(progress_path, tracker.snapshot())
        raise
    tracker.set(status=Phase.INITIALIZING)
    return library


def _clear_the_way(options: Options) -> list[str]:
    """Moves directories away that stand where this worker's files belong; says which.
    Raises StateUnwritable."""
    moved = []
    own = (
        place(options.state_dir, options.worker_id)
        for place in (logs.log_path, stacks.stack_path, lock_path)
    )
    for path in (*own, options.state_dir / not_carried.NAME):
        try:
            aside = set_aside_if_directory(path)
        except OSError as error:
            raise StateUnwritable(
                f"cannot move the directory {path} away: {reason_of(error)}"
            ) from error
        if aside is not None:
            moved.append(f"{path} was a directory, not a file; it is now {aside.name}")
    return moved


def _ledger(
    options: Options, make: Callable[[], Ledger], log: logging.Logger
) -> Ledger:
    """The ledger, rebuilt when need be; whoever only compares leaves a damaged one as
    it is. Raises Fatal."""
    return (
        make()
        if options.verify and not options.recheck
        else open_ledger(options.state_dir, make, log)
    )


def _transport(
    options: Options,
    library: CalibreLibrary,
    client: BookshelfClient,
    log: logging.Logger,
) -> Transport:
    """What does the heavy work: this process, or a Dask cluster. Raises
    Misconfigured."""
    if not options.cluster:
        return LocalTransport(library, client, options.parallel_uploads)
    try:
        # Only here: Dask is an option, and importing it costs every worker a second and
        # 60 MB.
        from migration.cluster.coordinator import DaskTransport, Plan
    except ImportError as error:
        raise ClusterUnusable(
            f"--cluster needs Dask ({error}); install it: .venv/bin/pip install -r "
            "requirements-cluster.txt"
        ) from error
    plan = Plan(
        options.cluster,
        options.cluster_library or options.library.expanduser().resolve(),
        task_urls(options.server, options.ws_url),
        ship=options.ship_files,
        waits=part(Waits, options),
    )
    return DaskTransport(plan, library, client, log)


def explain_fatal(parts: Parts, error: MigrationError) -> ExitCode:
    """Says why the worker ends, in the log, the progress file and the exit status."""
    shortage = resource_error(error)
    if shortage is not None:
        # Whatever it was taken for on its way here: neither a book, nor the ledger, nor
        # a directory is to blame.
        return _explain_internal(parts, error, shortage)
    parts.log.critical("%s", told(error))
    if isinstance(error, LedgerCorrupt) and not parts.options.verify:
        _mark(parts)
    _end(parts, error)
    return error.exit_code if isinstance(error, Fatal) else ExitCode.INTERNAL


def explain_crash(parts: Parts, error: Exception) -> ExitCode:
    """An error nobody foresaw, a fault of the program: said as `explain_fatal` does;
    the status is its own, 70.

    Python's own status would be 1, by which the monitor knows a worker that has done
    its part."""
    return _explain_internal(parts, error, resource_error(error))


def _explain_internal(
    parts: Parts, error: Exception, shortage: OutOfResources | None
) -> ExitCode:
    parts.reserve.release()
    parts.log.critical("%s", _unforeseen(error))
    if shortage is not None:
        # Last, because the last line is the one people look at; its place is in the
        # line before.
        parts.log.critical("%s", told(shortage))
    _end(parts, shortage or error)
    return ExitCode.INTERNAL


def _mark(parts: Parts) -> None:
    """Lets the next start know that the ledger is damaged, should it open without
    showing it."""
    try:
        mark_damaged(parts.options.state_dir, parts.ledger.inode)
    except StateUnwritable as second:
        parts.log.critical("%s", told(second))


def _end(parts: Parts, error: Exception) -> None:
    """The error in the progress file, the claims given back; what cannot be done any
    more is said."""
    parts.tracker.failed_with(error)
    try:
        parts.end(Phase.FAILED)
    except (Fatal, Transient) as second:
        parts.log.critical("%s", told(second))


def _reason(error: Exception) -> str:
    """Why there is no worker: a sentence of ours, or a fault of ours with its place."""
    return told(error) if isinstance(error, MigrationError) else _unforeseen(error)


def _unforeseen(error: Exception) -> str:
    return with_code(logs.internal_error(error), "internal-error")


def _leave_word(
    options: Options, shortage: OutOfResources, log: logging.Logger
) -> None:
    """A worker that could not begin for want of something says so in its progress file,
    as one that ran does."""
    said = LastError(type(shortage).__name__, str(shortage), utc_now())
    last = replace(_first_progress(options), status=Phase.FAILED, last_error=said)
    try:
        progress.write(
            progress.progress_path(options.state_dir, options.worker_id), last
        )
    except MigrationError as second:
        log.critical("%s", told(second))


def _refused(error: Exception) -> SystemExit:
    named = resource_error(error) or error
    sys.stderr.write(f"{_reason(named)}\n")
    return SystemExit(
        int(named.exit_code) if isinstance(named, Fatal) else int(ExitCode.INTERNAL)
    )


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
