"""Running iostat with a deadline, and validating its output."""

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import threading
import time

from common.errors import CodedError

#: Seconds iostat may take beyond the time it measures.
PATIENCE_SECONDS = 3.0
#: The most bytes of output that are read; a machine with a thousand disks prints less.
MOST_BYTES = 1_000_000


class NoFigure(CodedError):
    """iostat gives no figure; the message says why.

    It contains nothing that varies from time to time.
    """

    code = "no-iostat-figure"


def busiest(output: bytes, devices: frozenset[str]) -> float:
    """Returns the highest `util` of these devices in iostat's JSON, 0 to 100.

    Raises NoFigure unless there is a number in that range for each of them: NaN, a
    number over 100 or a missing disk shows that the output is unreliable.
    """
    try:
        disks = json.loads(output)["sysstat"]["hosts"][0]["statistics"][-1]["disk"]
        found = {
            disk["disk_device"]: disk["util"]
            for disk in disks
            if disk["disk_device"] in devices
        }
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NoFigure(
            "what it prints is not sysstat's JSON with a column util"
        ) from None
    if not devices or set(found) != devices:
        raise NoFigure("it does not name every disk under the library")
    if not all(_is_figure(share) for share in found.values()):
        raise NoFigure("what it gives as utilisation is not a number from 0 to 100")
    return float(max(found.values()))


def _is_figure(share: object) -> bool:
    if isinstance(share, bool) or not isinstance(share, int | float):
        return False
    return math.isfinite(share) and 0 <= share <= 100


class Iostat:
    """Runs iostat, one at a time.

    `end` may be called from another thread and leaves nothing running.
    """

    def __init__(self, seconds: int) -> None:
        """iostat measures for `seconds`."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    @property
    def deadline_seconds(self) -> float:
        """The time after which iostat is killed, whatever it does."""
        return self._seconds + PATIENCE_SECONDS

    def measure(self, devices: frozenset[str]) -> float:
        """Returns the percentage of time the busiest device was busy; takes `seconds`.

        Raises NoFigure.
        """
        process = self._start()
        try:
            output = _output(process, time.monotonic() + self.deadline_seconds)
        except subprocess.TimeoutExpired:
            raise NoFigure(
                f"it did not end within {self.deadline_seconds:g} s"
            ) from None
        finally:
            self._kill(process)
            # Closed only here, because only this thread reads it.
            if process.stdout is not None:
                process.stdout.close()
        if process.returncode != 0:
            raise NoFigure(f"it ended with status {process.returncode}")
        return busiest(output, devices)

    def end(self) -> None:
        """Ends a running iostat and prevents another from starting."""
        with self._lock:
            self._ended = True
            process = self._process
        if process is not None:
            self._kill(process)

    def _start(self) -> "subprocess.Popen[bytes]":
        # LC_ALL=C: in other languages numbers have a decimal comma.
        command = ["iostat", "-d", "-x", "-y", "-o", "JSON", str(self._seconds), "1"]
        with self._lock:
            if self._ended:
                raise NoFigure("the monitor ends")
            try:
                self._process = subprocess.Popen(
                    command,
                    env={**os.environ, "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise NoFigure("it is not installed (package sysstat)") from None
            except OSError as error:
                raise NoFigure(f"it cannot be started: {error.strerror}") from None
            return self._process

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Kills the process group while its number is certainly still its own.

        The process is reaped only here.
        """
        with self._lock:
            if process is not self._process:
                return
            self._process = None
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                # A process that hangs in the kernel ends when the kernel releases it;
                # that is not waited for.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)


def _output(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    """Returns all output once the process has ended.

    Raises NoFigure or TimeoutExpired.
    """
    assert process.stdout is not None
    pipe, data = process.stdout.fileno(), bytearray()
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not waiting.poll(left * 1000):
            continue
        block = os.read(pipe, 65_536)
        if not block:
            process.wait(max(0.0, deadline - time.monotonic()))
            return bytes(data)
        data += block
        if len(data) > MOST_BYTES:
            raise NoFigure(f"it prints more than {MOST_BYTES} bytes")
    raise subprocess.TimeoutExpired(process.args, deadline)
