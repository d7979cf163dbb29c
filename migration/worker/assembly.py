"""Opens a worker's resources, in the order in which they can fail, and closes them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from common.clock import SteadyClock, utc_now
from common.resources import resource_error
from migration.ledger.ledger import Ledger
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.session import Session, task_urls
from migration.state_files import logs, progress
from migration.worker.options import Options, password_of
from migration.worker.process import opening
from migration.worker.process.ending import first_progress, leave_word, reason, refused
from migration.worker.process.library import open_library
from migration.worker.process.start import Started, start
from migration.worker.progress.progress_file import ProgressFile
from migration.worker.progress.tracker import Tracker
from migration.worker.resources import Resources
from migration.worker.threads.limits import RateLimiter
from migration.worker.threads.uploader_pool import UploaderPool
from migration.worker.threads.work_queue import WorkQueue

#: The burst allowed under --bwlimit, in bytes, unless a quarter of a second's worth is
#: more.
SMALLEST_BURST = 64 * 1024


@contextmanager
def assemble(options: Options) -> Iterator[Resources]:
    """Yields the resources of a worker and closes them at the end.

    Exits with the error's status when one of them cannot be opened.
    """
    started = start(options)
    log = started.log
    try:
        opened = _open(options, started)
    except Exception as error:
        shortage = resource_error(error)
        started.reserve.release()
        log.critical("%s", reason(shortage or error))
        if shortage is not None:
            leave_word(options, shortage, log)
        started.lock.release()
        raise refused(shortage or error) from error
    try:
        yield opened
    finally:
        opened.close()
        started.reserve.release()
        started.lock.release()
        logging.shutdown()


def _session(options: Options) -> Session:
    """Returns a session that has not logged in yet.

    Raises Misconfigured without a password.
    """
    return Session(
        HttpTransport(options.server, options.answer_seconds),
        options.username,
        password_of(options),
        task_urls(options.server, options.ws_url),
        options,
    )


def _open(options: Options, started: Started) -> Resources:
    """Opens the resources; from then on the worker has a progress file."""
    clock, log = SteadyClock(), started.log
    session = _session(options)
    client = BookshelfClient(session)
    pool = UploaderPool(WorkQueue(clock), session.close, options.parallel_uploads)
    burst = max(options.bwlimit / 4, SMALLEST_BURST)
    byte_limiter = RateLimiter(options.bwlimit, burst, clock.seconds, pool.sleep)
    tracker = Tracker(first_progress(options), utc_now, clock, byte_limiter.wait)
    path = progress.progress_path(options.state_dir, options.worker_id)
    progress_file = ProgressFile(path, tracker, clock, log, needed=not options.verify)
    library = open_library(options, tracker, path, log)
    transport = opening.open_transport(options, library, client, log)
    # A dead worker's request may go on running on the server for this long; its claims
    # are left alone meanwhile.
    settle = timedelta(seconds=options.reconcile_after_seconds)
    ledger = opening.open_ledger_of(
        options,
        lambda: Ledger(
            options.state_dir,
            started.owner,
            clock,
            settle,
            library=library,
            on_wait=progress_file.publish,
        ),
        log,
    )
    log.info(
        logs.starts(options.worker_id, started.owner.pid, library.root, options.server)
    )
    opened = Resources(
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
        started.reserve,
    )
    # The monitor must be able to tell a worker that hangs at its start from one that
    # never started.
    opened.publish(now=True)
    return opened
