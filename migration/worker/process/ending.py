"""Reports why a worker ends, in its log, progress file and exit status."""

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import psutil

from common.clock import utc_now
from common.errors import told, with_code
from common.resources import resource_error
from migration.errors import (
    ExitCode,
    FalseClaim,
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

#: What only a worker that came to its end says; no error does.
_AT_THE_END = frozenset(
    {ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.PENDING, ExitCode.DIFFERENCE}
)


def end(opened: Resources, *, done: bool) -> None:
    """Ends a worker that has come to its end, or was asked to stop before it."""
    opened.end(Phase.COMPLETED if done else Phase.STOPPED)


def explained(
    opened: Resources, error: BaseException, signals: Callable[[], ExitCode]
) -> ExitCode:
    """Reports why the worker ends before its end.

    Python's own status would be 1, which tells the monitor that it has done its part.
    """
    try:
        if isinstance(error, MigrationError):
            return explain_fatal(opened, error)
        if isinstance(error, Exception):
            return explain_crash(opened, error)
        said = type(error).__name__
    except BaseException:  # noqa: BLE001 - the error's own text failed, say
        said = "an error that cannot be told"
    if opened.pool.stopping:
        # The second signal.
        return signals()
    return explain_fatal(opened, FalseClaim(f"the worker's script ended by {said}"))


def explain_fatal(opened: Resources, error: MigrationError) -> ExitCode:
    """Reports why the worker ends: log, progress file and exit status."""
    shortage = resource_error(error)
    if shortage is not None:
        # Whatever it was reported as on its way here, neither a book, nor the ledger,
        # nor a directory is to blame.
        return _explain_internal(opened, error, shortage)
    opened.log.critical("%s", told(error))
    if isinstance(error, LedgerCorrupt) and not opened.options.verify:
        _mark(opened)
    _end(opened, error)
    return _without_an_end(error) if isinstance(error, Fatal) else ExitCode.INTERNAL


def explain_crash(opened: Resources, error: Exception) -> ExitCode:
    """Reports an unforeseen error as `explain_fatal` does; the exit status is 70.

    Python's own status would be 1, which tells the monitor that the worker has done its
    part.
    """
    return _explain_internal(opened, error, resource_error(error))


def _without_an_end(error: Fatal) -> ExitCode:
    """Returns an error's status, which may be one that the script has made."""
    code = ExitCode(error.exit_code)
    return ExitCode.INTERNAL if code in _AT_THE_END else code


def _explain_internal(
    opened: Resources, error: Exception, shortage: OutOfResources | None
) -> ExitCode:
    opened.reserve.release()
    opened.log.critical("%s", _unforeseen(error))
    if shortage is not None:
        # Logged last, because people read the last line first; the traceback is in the
        # line before.
        opened.log.critical("%s", told(shortage))
    _end(opened, shortage or error, logs.places_of(error))
    return ExitCode.INTERNAL


def _mark(opened: Resources) -> None:
    """Marks the ledger as damaged, in case it opens normally at the next start."""
    try:
        mark_damaged(opened.options.state_dir, opened.ledger.inode)
    except StateUnwritable as second:
        opened.log.critical("%s", told(second))


def _end(opened: Resources, error: Exception, places: Sequence[str] = ()) -> None:
    """Writes the error to the progress file and gives the claims back.

    Logs what fails.
    """
    opened.tracker.failed_with(error, places)
    try:
        opened.end(Phase.FAILED)
    except (Fatal, Transient) as second:
        opened.log.critical("%s", told(second))


def reason(error: Exception) -> str:
    """Returns the error's message.

    For an unforeseen error, with the place of the fault.
    """
    return told(error) if isinstance(error, MigrationError) else _unforeseen(error)


def _unforeseen(error: Exception) -> str:
    return with_code(logs.internal_error(error), "internal-error")


def leave_word(options: Options, shortage: OutOfResources, log: logging.Logger) -> None:
    """Writes a progress file for a worker that ran out of resources before it began."""
    said = LastError(type(shortage).__name__, str(shortage), utc_now())
    last = replace(first_progress(options), status=Phase.FAILED, last_error=said)
    try:
        progress.write(
            progress.progress_path(options.state_dir, options.worker_id), last
        )
    except MigrationError as second:
        log.critical("%s", told(second))


def refused(error: Exception) -> SystemExit:
    """Reports on stderr why no worker starts; returns the exception to raise."""
    named = resource_error(error) or error
    sys.stderr.write(f"{reason(named)}\n")
    return SystemExit(
        int(named.exit_code) if isinstance(named, Fatal) else int(ExitCode.INTERNAL)
    )


def first_progress(options: Options) -> Progress:
    """Returns the progress of a worker that has not done anything yet."""
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
