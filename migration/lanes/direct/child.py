"""Starts the process of the direct lane, talks with it, and ends it.

Its owner is the worker's main thread. It never outlives the worker: the end of its
standard input ends it, and on Linux the kernel does, too. What it says is the only sign
of life: a process that is silent for too long is ended.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import migration
from migration.errors import Misconfigured, ServerFault
from migration.lanes.direct.messages import (
    Failed,
    Moved,
    Opening,
    Ready,
    Reply,
    Request,
)

#: The folder of this program's packages.
PROJECT = Path(migration.__file__).resolve().parents[1]
#: Seconds between two looks at the rest of the worker.
LOOK_SECONDS = 0.5
#: Seconds in which a process that was asked to has to end.
END_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


class HostBroke(Exception):
    """The process ended by itself, or gave no sign of life."""


class Channel(Protocol):
    """The process, as the lane talks with it. One request may wait behind another."""

    def send(self, request: Request) -> None:
        """Sends a request. Raises HostBroke."""

    def receive(self) -> Reply:
        """Returns the next reply, looking after the worker meanwhile.

        Raises HostBroke, and whatever looking after raises.
        """

    def close(self) -> None:
        """Ends the process, however it is."""


class HostProcess:
    """The process, started for one worker."""

    def __init__(
        self,
        opening: Opening,
        silence: float,
        look: Callable[[], None],
        moved: Callable[[int], None],
    ) -> None:
        """Starts it.

        It is ended after `silence` seconds without a word. `look` is called every half
        second while it works, and may raise; `moved` is told the bytes it has placed.
        Raises HostBroke, or what keeps it from starting: Misconfigured or Transient.
        """
        self.silence, self._look, self._moved = silence, look, moved
        ours, its = socket.socketpair()
        with its:
            self._process = _start(its.fileno())
        self._connection: Connection = Connection(ours.detach())
        try:
            self._send(opening)
            reply = self.receive()
            if isinstance(reply, Failed):
                raise (Misconfigured if reply.fatal else ServerFault)(reply.why)
            if not isinstance(reply, Ready):
                raise HostBroke(f"it began with {type(reply).__name__}")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, request: Request) -> None:
        self._send(request)

    def _send(self, message: Request | Opening) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise HostBroke(self._how_it_ended()) from error

    def receive(self) -> Reply:
        silent = 0.0
        while True:
            try:
                if not self._connection.poll(LOOK_SECONDS):
                    silent += LOOK_SECONDS
                    self._look()
                    if silent >= self.silence:
                        raise HostBroke(f"no sign of life for {silent:.0f} s")
                    continue
                message: Reply | Moved = self._connection.recv()
            except (OSError, EOFError) as error:
                raise HostBroke(self._how_it_ended()) from error
            if not isinstance(message, Moved):
                return message
            silent = 0.0
            self._moved(message.count)
            self._look()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"it ended with status {self._process.wait(END_SECONDS)}"
        return "its connection was lost"


def _start(descriptor: int) -> "subprocess.Popen[bytes]":
    """Starts the process; what it needs comes by the socket, not by its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "migration.lanes.direct", str(descriptor)],
        cwd=PROJECT,
        env={
            key: text for key, text in os.environ.items() if not key.startswith("MBS2_")
        }
        | {"PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        pass_fds=[descriptor],
        start_new_session=True,
    )


def end_with_the_worker() -> None:
    """Ends this process when the worker is gone, however it died."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)
