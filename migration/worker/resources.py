"""The open resources of one worker process: files, connections, threads."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from common.clock import SteadyClock
from common.resources import Reserve
from migration.calibre.library import CalibreLibrary
from migration.lanes.api.transfer import Transport
from migration.ledger.ledger import Ledger
from migration.model import Phase
from migration.server.client import BookshelfClient
from migration.worker.options import Options
from migration.worker.progress.progress_file import ProgressFile
from migration.worker.progress.tracker import Tracker
from migration.worker.threads.limits import RateLimiter
from migration.worker.threads.uploader_pool import UploaderPool


@dataclass(frozen=True, slots=True)
class ScriptResources:
    """What of them the script may use freely: nothing that proves anything."""

    options: Options
    log: logging.Logger
    pool: UploaderPool
    tracker: Tracker
    clock: SteadyClock
    byte_limiter: RateLimiter
    #: Writes the progress file, at most once a second.
    publish: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Resources:
    """The same for every command; `clock` is the steady one."""

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

    def publish(self, *, now: bool = False) -> None:
        """Writes the progress file, at most once a second."""
        self.progress_file.publish(now=now)

    def for_script(self) -> ScriptResources:
        """Returns what is the script's."""
        return ScriptResources(
            self.options,
            self.log,
            self.pool,
            self.tracker,
            self.clock,
            self.byte_limiter,
            self.progress_file.publish,
        )

    def end(self, phase: Phase) -> None:
        """Gives back what is unfinished and writes the final progress."""
        self.ledger.files.release_ranges()
        self.tracker.set(status=phase)
        self.publish(now=True)

    def close(self) -> None:
        """Ends idle uploaders; releases the cluster, the ledger and the library."""
        self.pool.queue.stop()
        self.transport.close()
        self.ledger.close()
        self.library.close()
