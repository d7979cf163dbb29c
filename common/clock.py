"""Two clocks: the wall clock is for display, a steady one for waiting and measuring.

The steady clock cannot be set. A time from which other processes measure is stored as a
stamp: the boot of the machine and the seconds of its monotonic clock, which all
processes of one boot share.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil


def utc_now() -> datetime:
    """Returns the current time in UTC, timezone-aware, to show or to store."""
    return datetime.now(tz=UTC)


def boot_id() -> str:
    """Returns the id of this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"boot-{psutil.boot_time():.0f}"


def birth_of(pid: int) -> str:
    """Returns which process has this pid: the boot, and its start in clock ticks since.

    "" when that is not known. Its start by the wall clock would move when the clock is
    set; this does not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    # The command name is in parentheses and may itself contain blanks and parentheses;
    # the fields follow the last one.
    return f"{boot_id()} {stat.rpartition(')')[2].split()[19]}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment of one boot, in seconds of its monotonic clock."""

    boot: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.boot} {self.seconds:.6f}"

    @classmethod
    def parse(cls, text: str) -> "Stamp":
        """Parses the output of `str`. Raises ValueError for anything else."""
        boot, seconds = text.rsplit(" ", 1)
        return cls(boot, float(seconds))


class SteadyClock:
    """Wall-clock time at construction plus what a monotonic clock has counted since.

    Timezone-aware, in UTC. Compare it only with its own times: after the machine's
    clock was set, the two differ.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = utc_now,
        seconds: Callable[[], float] = time.monotonic,
        boot: str | None = None,
    ) -> None:
        """`seconds` is the monotonic clock of `boot`, by default of this one."""
        self._seconds = seconds
        self._boot = boot_id() if boot is None else boot
        self._since = seconds()
        self._start = wall()
        self._first_seen: dict[str, datetime] = {}

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds() - self._since)

    def seconds(self) -> float:
        """Returns the monotonic clock's seconds."""
        return self._seconds()

    def stamp(self, moment: datetime) -> str:
        """Converts a time of this clock to a stamp for other, and later, processes."""
        return str(
            Stamp(self._boot, self._since + (moment - self._start).total_seconds())
        )

    def moment(self, text: str) -> datetime | None:
        """Converts a stamp to a time of this clock.

        None when it is of another boot, or not a stamp.
        """
        try:
            stamp = Stamp.parse(text)
        except ValueError:
            return None
        if stamp.boot != self._boot:
            return None
        return self._start + timedelta(seconds=stamp.seconds - self._since)

    def since(self, text: str) -> datetime:
        """Converts a stamp to a time for measuring how long ago it was.

        Never in the future. A stamp from before this boot counts from when this process
        first meets it, since how long the machine was down is not known.
        """
        now, moment = self(), self.moment(text)
        if moment is not None and moment <= now:
            return moment
        return self._first_seen.setdefault(text, now)
