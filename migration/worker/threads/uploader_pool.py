"""The uploader threads of one worker, and how the main thread waits for them."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from types import FrameType
from typing import TypeVar

from migration.errors import ExitCode
from migration.lanes.lane import Work
from migration.worker.threads.work_queue import WorkQueue

T = TypeVar("T")

#: Seconds between heartbeats while the main thread waits.
BEAT_SECONDS = 0.5


class Stopping(Exception):
    """The worker was asked to stop; files and books in flight are given back."""


class UploaderPool:
    """Threads that take books from `queue`. The first one to fail stops them all."""

    def __init__(self, queue: WorkQueue, leave: Callable[[], None], size: int) -> None:
        """Each thread calls `leave` before it ends."""
        self.queue = queue
        self._leave = leave
        self.size = size
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._signal = signal.SIGTERM
        self._failure: BaseException | None = None

    def start(self, handle: Callable[[Work], None]) -> None:
        """Starts the threads; each calls `handle` with one book after the other.

        They are daemons: a hanging request must not delay the end of the process.
        """
        while len(self._threads) < self.size:
            name = f"uploader-{len(self._threads) + 1}"
            thread = threading.Thread(
                target=self._work, args=(handle,), name=name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def grow(self, size: int, handle: Callable[[Work], None]) -> bool:
        """Grows the pool to `size` threads; returns whether it grew."""
        grows = size > self.size
        self.size = max(size, self.size)
        if self._threads:
            self.start(handle)
        return grows

    def _work(self, handle: Callable[[Work], None]) -> None:
        try:
            while (work := self.queue.get()) is not None:
                handle(work)
        except BaseException as error:  # noqa: BLE001
            # A thread has no caller to raise to; `check` raises the error again.
            self._failure = self._failure or error
            self.queue.stop()
        finally:
            self._leave()

    # -- the main thread ---------------------------------------------------------------

    def check(self, seconds: float) -> None:
        """Waits; raises what ended a thread, or Stopping after a signal."""
        if seconds:
            self._stop.wait(seconds)
        if self._stop.is_set():
            raise Stopping
        if self._failure is not None:
            raise self._failure

    def rest(self, seconds: float, beat: Callable[[], None]) -> None:
        """Waits `seconds`, calling `beat` meanwhile. Raises as `check` does."""
        while seconds > 0:
            self.check(min(seconds, BEAT_SECONDS))
            beat()
            seconds -= BEAT_SECONDS

    def meanwhile(self, work: Callable[[], T], beat: Callable[[], None]) -> T:
        """Runs `work` in another thread, calling `beat` meanwhile.

        Returns or raises its result.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001
                # Passed to the main thread, which raises it.
                future.set_exception(error)

        threading.Thread(target=run, name="meanwhile", daemon=True).start()
        while True:
            try:
                return future.result(BEAT_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
            beat()
            if self._stop.is_set():
                raise Stopping

    def end(self, seconds: float, give_back: Callable[[Work], object]) -> None:
        """Stops taking books, waits for those in flight, gives back the rest."""
        self._stop.set()
        self.queue.stop()
        self.queue.drop_waiting()
        self.queue.wait(seconds)
        for work in self.queue.active():
            give_back(work)

    def dismiss(self) -> None:
        """Ends the threads when there is nothing left to do."""
        self.queue.stop()
        for thread in self._threads:
            thread.join(5.0)

    # -- the uploader threads ----------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._stop.is_set()

    def heed_stop(self) -> None:
        """Raises Stopping when the worker was asked to stop."""
        if self._stop.is_set():
            raise Stopping

    def sleep(self, seconds: float) -> None:
        """Waits before another try; raises Stopping at once when asked to stop."""
        if self._stop.wait(seconds):
            raise Stopping

    # -- signals -----------------------------------------------------------------------

    def stop_on_signals(self) -> Callable[[], ExitCode]:
        """Makes SIGTERM and SIGINT stop the worker; a second signal ends it at once.

        Returns a function that gives the exit status.
        """

        def handle(number: int, _frame: FrameType | None) -> None:
            self._signal = signal.Signals(number)
            if self._stop.is_set():
                raise SystemExit(128 + number)
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)
        return lambda: ExitCode(128 + self._signal)


class Hands:
    """A few daemon threads that run submitted tasks in order."""

    def __init__(self, size: int, leave: Callable[[], None]) -> None:
        """Each thread calls `leave` before it ends."""
        self.size = size
        self._leave = leave
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        for number in range(size):
            threading.Thread(
                target=self._work, name=f"hand-{number + 1}", daemon=True
            ).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Submits a task; the future holds what it returned or raised."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                future.set_exception(error)

        self._tasks.put(run)
        return future

    def dismiss(self) -> None:
        """Lets each thread end after its current task and those submitted before."""
        for _ in range(self.size):
            self._tasks.put(None)

    def _work(self) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                task()
        finally:
            self._leave()
