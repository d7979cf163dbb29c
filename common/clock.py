"""Two clocks: the wall clock is only shown; whatever waits or measures goes by one that
cannot be set.

A time that other processes are to measure from is kept as a stamp: the boot of the
machine and the seconds of its monotonic clock, which all processes of one boot have in
common."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil


def utc_now() -> datetime:
    """The wall clock, aware, in UTC: for people and for files."""
    return datetime.now(tz=UTC)


def boot_id() -> str:
    """What names this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"boot-{psutil.boot_time():.0f}"


def birth_of(pid: int) -> str:
    """Which process has this pid: the boot, and the clock ticks from there to its
    start; "" when that is not known.

    Its start by the wall clock moves when the clock is set; this does not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    # The command name is in parentheses and may hold blanks and parentheses itself; the
    # fields follow the last one.
    return f"{boot_id()} {stat.rpartition(')')[2].split()[19]}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment of one boot: seconds of its monotonic clock."""

    boot: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.boot} {self.seconds:.6f}"

    @classmethod
    def parse(cls, text: str) -> "Stamp":
        """The inverse of `str`. Raises ValueError for anything else."""
        boot, seconds = text.rsplit(" ", 1)
        return cls(boot, float(seconds))


class SteadyClock:
    """The wall clock when it was made, plus what a monotonic clock has counted since;
    aware, in UTC.

    For comparing with its own times only: after the machine's clock was set the two
    differ."""

    def __init__(
        self,
        wall: Callable[[], datetime] = utc_now,
        seconds: Callable[[], float] = time.monotonic,
        boot: str | None = None,
    ) -> None:
        """`seconds` is the monotonic clock of the boot named `boot`, this one by
        default."""
        self._seconds = seconds
        self._boot = boot_id() if boot is None else boot
        self._since = seconds()
        self._start = wall()
        self._first_seen: dict[str, datetime] = {}

    def __call__(self) -> datetime:
        """The steady time."""
        return self._start + timedelta(seconds=self._seconds() - self._since)

    def seconds(self) -> float:
        """What its monotonic clock has counted."""
        return self._seconds()

    def stamp(self, moment: datetime) -> str:
        """A time of this clock, for other processes and for later ones."""
        return str(
            Stamp(self._boot, self._since + (moment - self._start).total_seconds())
        )

    def moment(self, text: str) -> datetime | None:
        """The time of a stamp by this clock; None when it is of another boot, or no
        stamp."""
        try:
            stamp = Stamp.parse(text)
        except ValueError:
            return None
        if stamp.boot != self._boot:
            return None
        return self._start + timedelta(seconds=stamp.seconds - self._since)

    def since(self, text: str) -> datetime:
        """When that was which `text` has the stamp of, for measuring how long ago;
        never in the future.

        What happened before this boot counts from when this process first meets it: how
        long the machine was down, nobody can tell."""
        now, moment = self(), self.moment(text)
        if moment is not None and moment <= now:
            return moment
        return self._first_seen.setdefault(text, now)
