"""Starts the audit as a child process, listens to it, and ends it.

It runs the code of this program, never the worker's script. Its owner is the thread
that waits for it: whatever ends that wait ends the child, and the child ends itself
when the worker is gone. A child that gives no sign of life for too long is ended.
"""

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import migration
from common.sanitize import for_log
from migration.audit import messages
from migration.audit.messages import Message, Order

#: The folder of this program's packages.
PROJECT = Path(migration.__file__).resolve().parents[1]
#: Seconds between two looks whether the worker was asked to stop.
LOOK_SECONDS = 0.5
#: Bytes of other output that are kept, for the reason of a failure.
KEPT = 2000


class AuditBroke(Exception):
    """The child ended before it was done, or gave no sign of life."""


@dataclass(frozen=True, slots=True)
class AuditChild:
    """The audit of one order.

    `heed` is called every half second and may raise; then the child is ended. It is
    ended too after `silence` seconds without a line.
    """

    order: Order
    silence: float
    heed: Callable[[], None]

    def messages(self) -> Iterator[Message]:
        """Yields what the child tells, up to its last message.

        Raises AuditBroke, and whatever `heed` raises.
        """
        with started(self.order) as process:
            rest = b""
            for line in self._lines(process.output):
                message = messages.read(line)
                if message is None:
                    rest = (rest + line)[-KEPT:]
                else:
                    yield message
                    if isinstance(message, messages.Done | messages.Failed):
                        return
            code = process.wait()
            raise AuditBroke(
                f"it ended with status {code}: {for_log(rest.decode(errors='replace'), 300)}"
            )

    def _lines(self, output: int) -> Iterator[bytes]:
        """Yields the lines of the child's output until it ends."""
        heard, waiting = time.monotonic(), b""
        with closing(selectors.DefaultSelector()) as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                self.heed()
                if not selector.select(LOOK_SECONDS):
                    if time.monotonic() - heard > self.silence:
                        raise AuditBroke(f"no sign of life for {self.silence:.0f} s")
                    continue
                block = os.read(output, messages.LONGEST)
                if not block:
                    return
                heard = time.monotonic()
                *lines, waiting = (waiting + block).split(b"\n")
                waiting = waiting[-messages.LONGEST :]
                yield from lines


class Running(Protocol):
    """A running audit: the descriptor of its output, and how it ended."""

    @property
    def output(self) -> int: ...

    def wait(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Child:
    """An audit that this process has started itself."""

    process: "subprocess.Popen[bytes]"
    output: int

    def wait(self) -> int:
        return self.process.wait()


def start(stdin: int, stdout: int) -> "subprocess.Popen[bytes]":
    """Starts the audit with these descriptors as its input and output."""
    return subprocess.Popen(
        [sys.executable, "-m", "migration.audit"],
        cwd=PROJECT,
        env={**_without_secrets(), "PYTHONPATH": str(PROJECT)},
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@contextmanager
def _started(order: Order) -> Iterator[Running]:
    process = start(subprocess.PIPE, subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # One that has ended at once has said why.
        with contextlib.suppress(OSError):
            process.stdin.write(order.line())
            process.stdin.flush()
        yield _Child(process, process.stdout.fileno())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with contextlib.suppress(OSError):
            process.stdin.close()


#: How an audit is started. A confined worker may start no program, and asks another
#: process to (`migration/confinement/inside.py`).
started: Callable[[Order], AbstractContextManager[Running]] = _started


def _without_secrets() -> dict[str, str]:
    return {
        key: text for key, text in os.environ.items() if not key.startswith("MBS2_")
    }
