"""The worker's process as the script sees it: what it may use freely, and its pass."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from common.clock import SteadyClock
from migration.errors import ExitCode
from migration.ledger.current_pass import CurrentPass
from migration.worker.conclusion import Conclusion
from migration.worker.options import Options
from migration.worker.progress.tracker import Tracker
from migration.worker.resources import Resources
from migration.worker.threads.limits import RateLimiter
from migration.worker.threads.uploader_pool import UploaderPool


@dataclass(frozen=True, slots=True)
class ScriptResources:
    """Options, log, threads and progress: nothing that proves anything."""

    options: Options
    log: logging.Logger
    pool: UploaderPool
    tracker: Tracker
    clock: SteadyClock
    byte_limiter: RateLimiter
    #: Writes the progress file, at most once a second.
    publish: Callable[[], None]


def resources(opened: Resources) -> ScriptResources:
    """Returns what of these is the script's."""
    return ScriptResources(
        opened.options,
        opened.log,
        opened.pool,
        opened.tracker,
        opened.clock,
        opened.byte_limiter,
        opened.progress_file.publish,
    )


@dataclass(frozen=True, slots=True)
class CheckedPass:
    """The pass that this process takes part in; who joins it is `CheckedJoining`."""

    _current: CurrentPass

    @property
    def id(self) -> int:
        """The id of the pass; 0 before it is joined."""
        return self._current.id

    def count_orphan(self) -> None:
        """Counts an upload that is never attached."""
        self._current.count_orphan()


@dataclass(frozen=True, slots=True)
class CheckedConclusion:
    """The end of the worker's part in the pass."""

    _conclusion: Conclusion

    def conclude(self, *, limit_reached: bool, time_is_up: bool) -> ExitCode:
        """Logs how the worker's part ended and returns the exit status."""
        return self._conclusion.conclude(
            limit_reached=limit_reached, time_is_up=time_is_up
        )
