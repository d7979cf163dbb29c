"""Writes the progress file of one worker, at most once a second."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from common.files.system_errors import reason_of, set_aside_if_directory
from migration.errors import StateUnwritable
from migration.state_files import progress
from migration.worker.progress.tracker import Tracker


class ProgressFile:
    """The progress file, which the monitor and the dashboard read."""

    def __init__(
        self,
        path: Path,
        tracker: Tracker,
        clock: Callable[[], datetime],
        log: logging.Logger,
        *,
        needed: bool,
    ) -> None:
        """Unless `needed`, an unwritable file is reported once, then ignored."""
        self._path = path
        self._tracker = tracker
        self._clock = clock
        self._log = log
        self._needed = needed
        self._last: datetime | None = None
        self._told = False

    def publish(self, *, now: bool = False) -> None:
        """Writes the file, unless that was done within the last second.

        Raises StateUnwritable.
        """
        moment = self._clock()
        if now or self._last is None or (moment - self._last).total_seconds() >= 1:
            self._last = moment
            self._write()

    def _write(self) -> None:
        try:
            aside = set_aside_if_directory(self._path)
            if aside is not None:
                self._log.warning(
                    "%s was a directory, not a file; it is now %s",
                    self._path,
                    aside.name,
                )
            progress.write(self._path, self._tracker.snapshot())
        except (OSError, StateUnwritable) as error:
            reason = (
                str(error)
                if isinstance(error, StateUnwritable)
                else f"{self._path}: {reason_of(error)}"
            )
            if self._needed:
                raise StateUnwritable(reason) from error
            if not self._told:
                self._told = True
                self._log.warning("Going on without a progress file: %s", reason)
