"""The uploader threads of one worker, and the main thread's ways of waiting for them
without standing still."""

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

#: How often the main thread looks around while it waits, seconds.
BEAT_SECONDS = 0.5


class Stopping(Exception):
    """The worker was asked to stop; whatever is in hand is given back."""


class UploaderPool:
    """N threads, each taking a book after the other from `queue`. The first failure of
    one ends all."""

    def __init__(self, queue: WorkQueue, leave: Callable[[], None], size: int) -> None:
        """`leave` is called by each thread at its end."""
        self.queue = queue
        self._leave = leave
        self.size = size
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._signal = signal.SIGTERM
        self._failure: BaseException | None = None

    def start(self, handle: Callable[[Work], None]) -> None:
        """Starts the threads; each calls `handle` with one book after the other.

        They are daemons: a hanging request must not hold up the end of the process.
        """
        while len(self._threads) < self.size:
            name = f"uploader-{len(self._threads) + 1}"
            thread = threading.Thread(
                target=self._work, args=(handle,), name=name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def grow(self, size: int, handle: Callable[[Work], None]) -> bool:
        """Makes it at least `size` threads; True when there are more than before."""
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
            # A thread has nobody to raise to; `check` raises it again.
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
        """Waits that long, calling `beat` all the time. Raises as `check`."""
        while seconds > 0:
            self.check(min(seconds, BEAT_SECONDS))
            beat()
            seconds -= BEAT_SECONDS

    def meanwhile(self, work: Callable[[], T], beat: Callable[[], None]) -> T:
        """Lets another thread do something slow, calling `beat` all the time; returns
        or raises what it did."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001
                # Handed to the main thread, which raises it.
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
        """Takes no new book, waits for the books in hand, gives back those that do not
        end in time."""
        self._stop.set()
        self.queue.stop()
        self.queue.drop_waiting()
        self.queue.wait(seconds)
        for work in self.queue.active():
            give_back(work)

    def dismiss(self) -> None:
        """Ends the threads; there is nothing left to do."""
        self.queue.stop()
        for thread in self._threads:
            thread.join(5.0)

    # -- the uploader threads ----------------------------------------------------------

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
        """SIGTERM and SIGINT ask to stop; a second one ends at once. Returns what tells
        the exit status."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                raise SystemExit(128 + number)
            self._signal = signal.Signals(number)
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)
        return lambda: ExitCode(128 + self._signal)


class Hands:
    """A few threads that do whatever they are handed, in that order. Daemons, as the
    uploaders are."""

    def __init__(self, size: int, leave: Callable[[], None]) -> None:
        """`leave` is called by each thread at its end."""
        self.size = size
        self._leave = leave
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        for number in range(size):
            threading.Thread(
                target=self._work, name=f"hand-{number + 1}", daemon=True
            ).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Hands over some work; the future has what it returned or raised."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                future.set_exception(error)

        self._tasks.put(run)
        return future

    def dismiss(self) -> None:
        """Each thread ends after what it is at, and what was handed over before."""
        for _ in range(self.size):
            self._tasks.put(None)

    def _work(self) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                task()
        finally:
            self._leave()
