"""The books in work: ready, in progress and deferred."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from migration.lanes.lane import Work

#: A book deferred without a time becomes ready again after this.
SOON = timedelta(seconds=0.25)


class WorkQueue:
    """A thread-safe queue; no thread takes a new book while it is paused or stopped."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: deque[Work] = deque()
        self._deferred: list[tuple[datetime, Work]] = []
        self._active: list[Work] = []
        self._paused = False
        self._stopped = False
        #: Told of every book that is done.
        self.on_done: Callable[[Work], None] = lambda _work: None

    def load(self, works: Iterable[Work]) -> None:
        """Adds the books of a range."""
        with self._changed:
            self._ready.extend(works)
            self._changed.notify_all()

    def get(self) -> Work | None:
        """Waits for the next book and returns it; None when there will be no more."""
        with self._changed:
            while not self._stopped:
                if not self._paused:
                    self._recall()
                    if self._ready and self._may_begin(self._ready[0]):
                        work = self._ready.popleft()
                        self._active.append(work)
                        self._changed.notify_all()
                        return work
                self._changed.wait(0.25)
            return None

    def done(self, work: Work) -> None:
        """Removes a finished book."""
        self.on_done(work)
        with self._changed:
            self._active.remove(work)
            self._changed.notify_all()

    def defer(self, work: Work, until: datetime | None) -> None:
        """Makes the book ready again at `until`, or soon."""
        with self._changed:
            self._active.remove(work)
            self._deferred.append((until or self._clock() + SOON, work))
            self._changed.notify_all()

    def drop_waiting(self) -> None:
        """Drops the books that were not begun, at a limit or when the worker stops."""
        with self._changed:
            self._ready.clear()
            self._deferred.clear()
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Waits at most `seconds` for all books; returns whether all are done."""
        with self._changed:
            self._changed.wait_for(self._through, seconds)
            return self._through()

    def rest(self, seconds: float) -> None:
        """Waits at most `seconds` for a change.

        Returns at once when all books are done.
        """
        with self._changed:
            if not self._through():
                self._changed.wait(seconds)

    def has_room(self, size: int) -> bool:
        """Whether fewer than `size` books are ready."""
        with self._changed:
            return len(self._ready) < size

    def holds(self, first: int, last: int) -> bool:
        """Whether a book with one of these ids is ready, deferred or in progress."""
        with self._changed:
            aside = (work for _until, work in self._deferred)
            return any(
                first <= work.book.id <= last
                for work in (*self._ready, *aside, *self._active)
            )

    def pause(self, paused: bool) -> None:
        """Keeps threads from taking a new book while `paused`."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def stop(self) -> None:
        """Makes every thread end after its current book."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def active(self) -> list[Work]:
        """Returns the books in progress."""
        with self._changed:
            return list(self._active)

    def idle(self) -> bool:
        """Whether all remaining books are deferred, so that waiting is all to do."""
        with self._changed:
            return bool(self._deferred) and not self._ready and not self._active

    def _may_begin(self, work: Work) -> bool:
        return not self._active or not (
            work.alone or any(other.alone for other in self._active)
        )

    def _through(self) -> bool:
        return not (self._ready or self._deferred or self._active)

    def _recall(self) -> None:
        now = self._clock()
        due = [entry for entry in self._deferred if entry[0] <= now]
        if due:
            self._deferred = [entry for entry in self._deferred if entry[0] > now]
            self._ready.extend(work for _until, work in due)
