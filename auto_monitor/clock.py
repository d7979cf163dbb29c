"""The clock of decisions: it cannot be set, so setting the machine's clock makes nothing look old."""

import time
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """The wall clock, aware, in UTC: for people and for files."""
    return datetime.now(tz=UTC)


class SteadyClock:
    """The wall clock when it was made, plus what a monotonic clock has counted since."""

    def __init__(self) -> None:
        self._start = utc_now()
        self._since = time.monotonic()

    def __call__(self) -> datetime:
        """The steady time, aware, in UTC."""
        return self._start + timedelta(seconds=time.monotonic() - self._since)
