"""Opens the library, waiting while Calibre has it locked."""

import logging
import os
import time
from pathlib import Path

from migration.calibre.library import CalibreLibrary
from migration.calibre.lock_wait import LockWait
from migration.errors import (
    LibraryBusy,
)
from migration.model import Phase
from migration.state_files import progress
from migration.worker.options import Options
from migration.worker.progress.tracker import Tracker


def open_library(
    options: Options, tracker: Tracker, progress_path: Path, log: logging.Logger
) -> CalibreLibrary:
    """Opens the library, waiting while Calibre has it locked, with a visible status.

    A worker waits without limit; --verify and --open-pass, for which a person may be
    waiting, only `library_lock_seconds`.
    """
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

    # What a confined worker writes must be read by nobody else.
    folder = Path(os.environ.get("WORKER_FOLDER", options.state_dir))
    private = folder / "migration_library_copy"
    awaited = options.verify or options.open_pass or options.undo is not None
    wait = LockWait(
        say, beat, seconds=options.library_lock_seconds if awaited else None
    )
    try:
        library = wait.read(
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
