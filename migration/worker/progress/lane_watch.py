"""What a worker shows of its direct lane, and the limits that hold it up."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from common.errors import told
from migration.errors import Deferred, Transient
from migration.lanes.lane import Work
from migration.ledger.records import Stage
from migration.model import FileId, Phase
from migration.worker.progress.tracker import Sending, Tracker
from migration.worker.threads.limits import RateLimiter, TimeLimit
from migration.worker.threads.uploader_pool import Stopping, UploaderPool

#: Seconds that a batch in hand is given after a signal.
STOP_SECONDS = 4.0
#: Seconds between two log lines that say why the lane waits.
SAY_AGAIN_SECONDS = 60.0


@dataclass(slots=True)
class LaneWatch:
    """Used by the main thread.

    `account` counts and logs files that arrived; `seconds` is a steady clock.
    """

    tracker: Tracker
    pool: UploaderPool
    log: logging.Logger
    publish: Callable[[], None]
    seconds: Callable[[], float]
    account: Callable[[Work, Collection[FileId], float], None]
    bytes_limiter: RateLimiter
    file_limiter: RateLimiter
    time_limit: TimeLimit
    wait_seconds: float
    _shown: ExitStack = field(default_factory=ExitStack)
    _sending: Sending | None = None
    _stopped_at: float | None = None
    _said_at: float | None = None

    def may_begin(self, works: Sequence[Work]) -> bool:
        if self.pool.stopping or self.time_limit.is_up():
            return False
        files = [file for work in works for file in work.files]
        size = sum(file.size for file in files)
        try:
            self.pool.meanwhile(lambda: self._wait_turn(len(files), size), self.publish)
        except (Deferred, Stopping):
            return False
        if self.tracker.snapshot().status is Phase.WAITING:
            self.tracker.set(status=Phase.MIGRATING)
        return True

    def _wait_turn(self, files: int, size: int) -> None:
        self.file_limiter.wait(files)
        self.bytes_limiter.wait(size)

    def begin(self, works: Sequence[Work]) -> None:
        """Shows the batch by its first file."""
        self.end()
        files = [file for work in works for file in work.files]
        name = PurePosixPath(files[0].path.decode("utf-8", "replace")).name
        self._sending = self._shown.enter_context(
            self.tracker.sending(files[0].id, name, sum(file.size for file in files))
        )
        self._sending.stage(Stage.UPLOAD.name.lower())

    def end(self) -> None:
        self._sending = None
        self._shown.close()

    def moved(self, count: int) -> None:
        """Shows that so many bytes of the batch were placed."""
        if self._sending is not None:
            self._sending.read(count)

    def look(self) -> None:
        """Shows that the worker lives; ends the wait for a batch after a signal.

        Raises Stopping.
        """
        self.publish()
        if not self.pool.stopping:
            return
        now = self.seconds()
        if self._stopped_at is None:
            self._stopped_at = now
        if now - self._stopped_at >= STOP_SECONDS:
            raise Stopping

    def arrived(self, work: Work, files: Collection[FileId], seconds: float) -> None:
        self.account(work, files, seconds)

    def trouble(self, error: Transient) -> None:
        self.end()
        self.tracker.failed_with(error)
        self.tracker.set(status=Phase.WAITING)
        now = self.seconds()
        if self._said_at is None or now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            self.log.warning("The direct lane waits: %s", told(error))
        self.pool.rest(self.wait_seconds, self.publish)

    def wait(self, seconds: float) -> None:
        self.pool.rest(seconds, self.publish)
