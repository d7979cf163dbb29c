"""Opening a pass, by a worker that checks library, server and ledger first.

`./start.sh` waits for it; under `--watch` the monitor does it between two looks.
"""

import subprocess
import time
from pathlib import Path

from auto_monitor.ports import Opened
from auto_monitor.processes import WorkerCommand
from common.sanitize import for_log

#: Seconds to wait for a real server before reporting that it does not answer.
CHECK_SECONDS = "15"
#: Seconds for all checks before a pass is open, besides the wait for Calibre.
OPEN_SECONDS = 30.0
#: Seconds to end after SIGTERM.
END_SECONDS = 10.0
#: The status of one that had to be killed: as if the server did not answer.
TOOK_TOO_LONG = 3


class OpeningProcess:
    """The worker that opens the next pass, one at a time."""

    def __init__(self, command: WorkerCommand, *, lock_seconds: float) -> None:
        """`lock_seconds` is how long it may wait for a library that Calibre locks."""
        self._command = command
        self._seconds = lock_seconds + OPEN_SECONDS
        self._child: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0

    @property
    def runs(self) -> bool:
        """Whether it was started and its end has not been asked for."""
        return self._child is not None

    @property
    def over(self) -> bool:
        """Whether it has ended, or its time is over."""
        ended = self._child is not None and self._child.poll() is not None
        return ended or time.monotonic() >= self._deadline

    @property
    def _output(self) -> Path:
        return self._command.state_dir / "migration_worker1.out"

    def start(self) -> None:
        """Starts it. Raises OSError."""
        around = {"START_SECONDS": CHECK_SECONDS, **self._command.surroundings()}
        with self._output.open("wb") as said:
            self._child = subprocess.Popen(
                self._command.opening_line(),
                env=around,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self._deadline = time.monotonic() + self._seconds

    def result(self) -> Opened | None:
        """Returns how it ended; None while it runs. Never waits."""
        child = self._child
        if child is None or not self.over:
            return None
        if child.poll() is not None:
            self._child = None
            return Opened(child.returncode, self._last_words())
        self.close()
        what = f"library and server were not ready within {self._seconds:g} s"
        return Opened(TOOK_TOO_LONG, what)

    def _last_words(self) -> str:
        try:
            lines = self._output.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return for_log(lines[-1]) if lines else ""

    def close(self) -> None:
        """Ends it if it runs."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(END_SECONDS)
