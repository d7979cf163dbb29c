"""Rate limits of one process: bytes per second, files per minute.

A limit holds over any interval: within T seconds no more than `burst + rate * T`
passes, and the burst is what one second allows (or one file), so that allowance is not
first saved up and then spent at once. The token bucket is pure: it takes the time and
returns the seconds to wait.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from migration.errors import Deferred

#: The longest single sleep, in seconds, so that a waiting thread notices a signal.
LONGEST_SLEEP = 0.5


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A bucket refilled with `rate` per second up to `burst`.

    `level` is what may pass now; below 0 it is a debt being paid off.
    """

    rate: float
    burst: float
    level: float
    at: float

    def take(self, amount: float, now: float) -> tuple["TokenBucket", float]:
        """Takes `amount`; returns the new bucket and how many seconds to wait first.

        More than `burst` at once leaves a debt, which is paid off before anything else
        passes.
        """
        level = (
            min(self.burst, self.level + max(0.0, now - self.at) * self.rate) - amount
        )
        return replace(self, level=level, at=max(now, self.at)), max(
            0.0, -level / self.rate
        )


def bucket(rate: float, burst: float, now: float) -> TokenBucket:
    """Returns a full bucket."""
    return TokenBucket(rate, burst, burst, now)


class RateLimiter:
    """A rate limit shared by the threads of a process; a `rate` of 0 means no limit."""

    def __init__(
        self,
        rate: float,
        burst: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """`now` is a monotonic clock in seconds; `sleep` may raise to end the wait."""
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        #: The number of threads waiting now.
        self.waiting = 0
        self._bucket = bucket(rate, burst, now()) if rate else None

    def wait(self, amount: float) -> None:
        """Blocks until `amount` may pass."""
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
    """The time for which sending was asked to stop, by any thread.

    The longest one counts.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` is a monotonic clock in seconds."""
        self._now = now
        self._lock = threading.Lock()
        self._until = now()

    def ask(self, seconds: float) -> None:
        """Holds for `seconds` from now on, or longer if that was asked before."""
        with self._lock:
            self._until = max(self._until, self._now() + seconds)

    def left(self) -> float:
        """Returns the seconds that are left; 0 when the hold is over."""
        with self._lock:
            return max(0.0, self._until - self._now())


class TimeLimit:
    """How long a process may work; 0 seconds means no limit."""

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
        """Whether --max-duration is over."""
        return self._ends_at is not None and self._clock() >= self._ends_at

    def pause(self, seconds: float) -> None:
        """Waits before a file is begun.

        Raises Deferred when the time is up meanwhile: the book is given back.
        """
        self._sleep(seconds)
        if self.is_up():
            raise Deferred("the time is up", None)
