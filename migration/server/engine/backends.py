"""Which parts of the server are being waited for, and which have been silent too long.

A server is several programs: its app answers REST, its task engine the WebSocket, and
both need the database. One of them can be gone, or hang, while the others answer.
`silent` decides and is pure; `Backends` keeps the times, for all threads.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from common.settings.worker import Waits


class Backend(StrEnum):
    """A part of the server that is asked directly."""

    APP = "the web server"
    ENGINE = "the task engine"


@dataclass(slots=True)
class Waiting:
    """When requests to a part began and when it last answered (steady clock)."""

    since: list[float] = field(default_factory=list)
    heard: float = float("-inf")


def silent(
    parts: Mapping[Backend, Waiting], now: float, after: float = Waits.silent_seconds
) -> str:
    """Returns a sentence when a part has not answered its pending requests, or ""."""
    for backend, waiting in parts.items():
        if waiting.since:
            seconds = now - max(min(waiting.since), waiting.heard)
            if seconds >= after:
                others = any(
                    now - other.heard < after
                    for name, other in parts.items()
                    if name is not backend
                )
                return f"{backend} has answered nothing for {seconds:.0f} s" + (
                    ", others do" if others else ""
                )
    return ""


class Backends:
    """Thread-safe record of pending requests and of the last answers.

    Every request is made inside `asking`; `heard` records whatever comes from a part.
    """

    def __init__(self, silent_seconds: float = Waits.silent_seconds) -> None:
        self._lock = threading.Lock()
        self._parts = {backend: Waiting() for backend in Backend}
        self._silent_seconds = silent_seconds

    @contextmanager
    def asking(self, backend: Backend) -> Iterator[None]:
        """Counts a pending request to this part while the block runs."""
        began = time.monotonic()
        with self._lock:
            self._parts[backend].since.append(began)
        try:
            yield
        finally:
            with self._lock:
                self._parts[backend].since.remove(began)

    def heard(self, backend: Backend) -> None:
        """Records that this part sent something, whatever it was."""
        with self._lock:
            self._parts[backend].heard = time.monotonic()

    def silent(self) -> str:
        """Returns a sentence naming a part that has been silent too long, or ""."""
        with self._lock:
            return silent(self._parts, time.monotonic(), self._silent_seconds)
