"""The exit status of a worker process is the one that this program has found.

The worker's script hands it on, and may not: a script that ends early, or with another
status, must not look like one that is done.
"""

import atexit
import logging
import os
import sys
from typing import Protocol

from migration.errors import ExitCode


class Worker(Protocol):
    """`migration.commands.worker.worker`."""

    __name__: str


class FinalStatus:
    """Of this process."""

    def __init__(self) -> None:
        self._begun = False
        self._expected = False

    def expect(self) -> None:
        """Has this process end with 70 unless `worker` is called in it.

        For a program that runs a script as its own (`migration/confinement/launch.py`).
        """
        self._expected = True

    def guard(self, worker: Worker) -> None:
        """Has a script end with 70 that never calls `worker`, which it imported."""
        atexit.register(self._at_exit, worker)

    def begin(self) -> None:
        """Records that `worker` was called."""
        self._begun = True

    def end(self, worker: Worker, code: int) -> int:
        """Ends the process of a script with this status; elsewhere returns it."""
        if _is_script(worker):
            raise SystemExit(code)
        return code

    def _at_exit(self, worker: Worker) -> None:
        if self._begun or not (self._expected or _is_script(worker)):
            return
        sys.stderr.write("The worker's script ended without doing anything\n")
        sys.stderr.flush()
        sys.stdout.flush()
        logging.shutdown()
        os._exit(int(ExitCode.INTERNAL))


def _is_script(worker: Worker) -> bool:
    """Whether this process runs a worker's script: its main module imported it."""
    main = sys.modules.get("__main__")
    return getattr(main, worker.__name__, None) is worker
