"""Why a worker ends, in its log, its progress file and its exit status."""

import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime

import psutil

from common.clock import utc_now
from common.errors import told, with_code
from common.resources import resource_error
from migration.errors import (
    ExitCode,
    Fatal,
    LedgerCorrupt,
    MigrationError,
    OutOfResources,
    StateUnwritable,
    Transient,
)
from migration.ledger.recovery import mark_damaged
from migration.model import LastError, Phase, Progress
from migration.state_files import logs, progress
from migration.worker.options import Options
from migration.worker.resources import Resources


def explain_fatal(opened: Resources, error: MigrationError) -> ExitCode:
    """Says why the worker ends, in the log, the progress file and the exit status."""
    shortage = resource_error(error)
    if shortage is not None:
        # Whatever it was taken for on its way here: neither a book, nor the ledger, nor
        # a directory is to blame.
        return _explain_internal(opened, error, shortage)
    opened.log.critical("%s", told(error))
    if isinstance(error, LedgerCorrupt) and not opened.options.verify:
        _mark(opened)
    _end(opened, error)
    return error.exit_code if isinstance(error, Fatal) else ExitCode.INTERNAL


def explain_crash(opened: Resources, error: Exception) -> ExitCode:
    """An error nobody foresaw, a fault of the program: said as `explain_fatal` does;
    the status is its own, 70.

    Python's own status would be 1, by which the monitor knows a worker that has done
    its part."""
    return _explain_internal(opened, error, resource_error(error))


def _explain_internal(
    opened: Resources, error: Exception, shortage: OutOfResources | None
) -> ExitCode:
    opened.reserve.release()
    opened.log.critical("%s", _unforeseen(error))
    if shortage is not None:
        # Last, because the last line is the one people look at; its place is in the
        # line before.
        opened.log.critical("%s", told(shortage))
    _end(opened, shortage or error)
    return ExitCode.INTERNAL


def _mark(opened: Resources) -> None:
    """Lets the next start know that the ledger is damaged, should it open without
    showing it."""
    try:
        mark_damaged(opened.options.state_dir, opened.ledger.inode)
    except StateUnwritable as second:
        opened.log.critical("%s", told(second))


def _end(opened: Resources, error: Exception) -> None:
    """The error in the progress file, the claims given back; what cannot be done any
    more is said."""
    opened.tracker.failed_with(error)
    try:
        opened.end(Phase.FAILED)
    except (Fatal, Transient) as second:
        opened.log.critical("%s", told(second))


def reason(error: Exception) -> str:
    """Why there is no worker: a sentence of ours, or a fault of ours with its place."""
    return told(error) if isinstance(error, MigrationError) else _unforeseen(error)


def _unforeseen(error: Exception) -> str:
    return with_code(logs.internal_error(error), "internal-error")


def leave_word(options: Options, shortage: OutOfResources, log: logging.Logger) -> None:
    """A worker that could not begin for want of something says so in its progress file,
    as one that ran does."""
    said = LastError(type(shortage).__name__, str(shortage), utc_now())
    last = replace(first_progress(options), status=Phase.FAILED, last_error=said)
    try:
        progress.write(
            progress.progress_path(options.state_dir, options.worker_id), last
        )
    except MigrationError as second:
        log.critical("%s", told(second))


def refused(error: Exception) -> SystemExit:
    """Says on stderr why there is no worker; what to raise."""
    named = resource_error(error) or error
    sys.stderr.write(f"{reason(named)}\n")
    return SystemExit(
        int(named.exit_code) if isinstance(named, Fatal) else int(ExitCode.INTERNAL)
    )


def first_progress(options: Options) -> Progress:
    """What a worker shows before it has done anything."""
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
