"""The exit status of a worker process is the one that this program has found.

The worker's script hands it on, and may not: a script that ends early, or with another
status, must not look like one that is done.
"""

import atexit
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from migration.errors import ExitCode

#: Python's own status when what was printed could not be written.
NOT_WRITTEN = 120


class Worker(Protocol):
    """`migration.commands.worker.worker`."""

    __name__: str


class FinalStatus:
    """Of this process."""

    def __init__(self) -> None:
        #: The command line of this process, which ends with the script's arguments.
        self._given = tuple(sys.orig_argv)
        self._begun = False
        self._expected = False

    def expect(self) -> None:
        """Has this process end with 70 unless `worker` is called in it.

        For a program that runs a script as its own (`migration/confinement/launch.py`).
        """
        self._expected = True

    def guard(self, worker: Worker) -> None:
        """Has a script end with 70 that imports `worker` and does not let it end."""
        atexit.register(self._at_exit, worker)

    def begin(self, worker: Worker, argv: Sequence[str]) -> None:
        """Records that `worker` was called.

        Ends a script that calls it for another command, such as --help.
        """
        self._begun = True
        first = len(self._given) - len(argv)
        if self._is_script(worker) and self._given[first:] != tuple(argv):
            sys.stderr.write("The worker's script does not run what was asked for\n")
            _leave(int(ExitCode.INTERNAL))

    def end(self, worker: Worker, code: int) -> int:
        """Ends the process of a script with this status; elsewhere returns it.

        Nothing of the script runs after this, nor what it has registered.
        """
        if self._is_script(worker):
            _leave(code)
        return code

    def _at_exit(self, worker: Worker) -> None:
        if not self._is_script(worker):
            return
        said = "before its worker did" if self._begun else "without doing anything"
        sys.stderr.write(f"The worker's script ended {said}\n")
        _leave(int(ExitCode.INTERNAL))

    def _is_script(self, worker: Worker) -> bool:
        """Whether this process runs a worker's script: its main module imported it."""
        main = vars(sys.modules.get("__main__", sys))
        return self._expected or any(value is worker for value in [*main.values()])


def status_of(error: SystemExit | KeyboardInterrupt) -> int:
    """Returns the exit status that one of these asks for."""
    if isinstance(error, KeyboardInterrupt):
        return int(ExitCode.SIGINT)
    return error.code if isinstance(error.code, int) else int(ExitCode.INTERNAL)


def _leave(code: int) -> NoReturn:
    try:
        for stream in (sys.stdout, sys.stderr):
            if not getattr(stream, "closed", True):
                stream.flush()
        logging.shutdown()
    except BaseException:  # noqa: BLE001
        # Also for a stream that the script has put there.
        code = code or NOT_WRITTEN
    finally:
        os._exit(code)
