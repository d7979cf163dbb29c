"""How fast one process may go: bytes a second, files a minute. Pure: `now` in, seconds
to wait out.

A limit holds over any time: within T seconds no more than `burst + rate * T` goes
through, and the burst is what one second allows (or one file), so that a limit is not
first saved up and then spent at once."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from migration.errors import Deferred

#: The longest single sleep, seconds: whoever waits must notice a signal.
LONGEST_SLEEP = 0.5


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate` per second, at most `burst` at once; `level` is what may go now, below 0
    while a debt is paid off."""

    rate: float
    burst: float
    level: float
    at: float

    def take(self, amount: float, now: float) -> tuple["TokenBucket", float]:
        """The bucket after `amount` went through, and the seconds to wait before it
        may.

        More than `burst` at once is a debt that is paid off before anything else goes.
        """
        level = (
            min(self.burst, self.level + max(0.0, now - self.at) * self.rate) - amount
        )
        return replace(self, level=level, at=max(now, self.at)), max(
            0.0, -level / self.rate
        )


def bucket(rate: float, burst: float, now: float) -> TokenBucket:
    """A full bucket."""
    return TokenBucket(rate, burst, burst, now)


class RateLimiter:
    """A limit shared by the threads of a process; `rate` 0 is no limit."""

    def __init__(
        self,
        rate: float,
        burst: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """`now` is a monotonic clock in seconds; `sleep` may raise to end the
        waiting."""
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        #: Threads that wait now.
        self.waiting = 0
        self._bucket = bucket(rate, burst, now()) if rate else None

    def wait(self, amount: float) -> None:
        """Returns when `amount` may go."""
        if self._bucket is None:
            return
        with self._lock:
            self._bucket, seconds = self._bucket.take(amount, self._now())
            self.waiting += 1
        until = self._now() + seconds
        try:
            while (left := until - self._now()) > 0:
                self._sleep(min(left, LONGEST_SLEEP))
        finally:
            with self._lock:
                self.waiting -= 1


class Hold:
    """How long somebody asked to be left alone, by any thread; the longest counts."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives steady seconds."""
        self._now = now
        self._lock = threading.Lock()
        self._until = now()

    def ask(self, seconds: float) -> None:
        """So many seconds from now on."""
        with self._lock:
            self._until = max(self._until, self._now() + seconds)

    def left(self) -> float:
        """Seconds until it is over; 0 when it is."""
        with self._lock:
            return max(0.0, self._until - self._now())


class TimeLimit:
    """How long a process may work; 0 seconds is no limit."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._ends_at = clock() + timedelta(seconds=seconds) if seconds else None

    def is_up(self) -> bool:
        """Has this process worked for as long as it was asked to?"""
        return self._ends_at is not None and self._clock() >= self._ends_at

    def pause(self, seconds: float) -> None:
        """Waits before a file is begun. Raises Deferred when the time is up meanwhile:
        the book is given back."""
        self._sleep(seconds)
        if self.is_up():
            raise Deferred("the time is up", None)
