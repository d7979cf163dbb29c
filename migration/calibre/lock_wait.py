"""Waiting for a library that Calibre has locked, before an uploader pool is running.

A program that is starting waits like one that is running: it reports that it waits,
goes on by itself, and can be ended.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from migration.errors import LibraryBusy

T = TypeVar("T")

#: Seconds between two tries, and between two checks for a signal meanwhile.
REST_SECONDS, LOOK_SECONDS = 1.0, 0.25
#: Seconds between two reports of waiting.
SAY_SECONDS = 30.0


class LockWait:
    """Waits for one library.

    `say` gets a sentence now and then; `beat` is called all the time meanwhile.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        beat: Callable[[], None] = lambda: None,
        *,
        seconds: float | None = None,
    ) -> None:
        """`seconds` is how long to wait for the lock; None means without limit."""
        self._say = say
        self._beat = beat
        self._seconds = seconds
        self._stop = threading.Event()
        self._signal = 0

    def read(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns once the library is not locked.

        Raises LibraryBusy when it stays locked for too long, whatever `work` raises,
        and SystemExit, with the signal's status, when SIGINT or SIGTERM arrives
        meanwhile.
        """
        begun = time.monotonic()
        said = -SAY_SECONDS
        with self._stoppable():
            while True:
                try:
                    return self._meanwhile(work)
                except LibraryBusy as error:
                    waited = time.monotonic() - begun
                    if self._seconds is not None and waited >= self._seconds:
                        raise LibraryBusy(
                            f"{error}; it has stayed so for {waited:.0f} s: let "
                            "Calibre finish, then start again"
                        ) from error
                    if waited - said >= SAY_SECONDS:
                        said = waited
                        self._say(f"{error}; waiting for it (Ctrl-C ends this)")
                self._rest(REST_SECONDS)

    def _meanwhile(self, work: Callable[[], T]) -> T:
        """Runs `work` in a thread, as waiting in SQLite would delay signals."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001
                # Passed to the caller's thread, which raises it.
                future.set_exception(error)

        thread = threading.Thread(target=run, name="library", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(LOOK_SECONDS)
            self._rest(0)
        return future.result()

    def _rest(self, seconds: float) -> None:
        while True:
            self._beat()
            if self._stop.wait(min(seconds, LOOK_SECONDS)):
                raise SystemExit(128 + self._signal)
            seconds -= LOOK_SECONDS
            if seconds <= 0:
                return

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Makes SIGINT and SIGTERM only end the wait while the block runs."""

        def handle(number: int, _frame: FrameType | None) -> None:
            self._signal = number
            self._stop.set()

        before = {
            number: signal.signal(number, handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
