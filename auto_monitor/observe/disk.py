"""The disks behind the library: which, how busy, and whether they answer."""

import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from auto_monitor.observe.iostat import Iostat, NoFigure

#: The shortest interval, in seconds, over which the kernel's counters are compared.
SPAN_SECONDS = 0.7
#: The most seconds that asking for the utilisation may take.
LOOK_SECONDS = 0.9
#: A measurement that ended more than this many seconds ago is outdated.
FRESH_SECONDS = 10.0


def devices_behind(
    path: Path, *, sys: Path = Path("/sys"), mountinfo: str | None = None
) -> frozenset[str]:
    """Returns the disks holding `path` (`sda`, `nvme0n1`), as iostat names them.

    Empty when they cannot be determined. It resolves partitions, LVM and device-mapper
    (`slaves` in /sys), RAID, btrfs with several devices, and bind mounts: the device
    number of the file counts, not its path. `sys` and `mountinfo` replace the kernel's
    in tests.
    """
    try:
        number = path.stat().st_dev
    except OSError:
        return frozenset()
    node = sys / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    if node.exists():
        return _whole_disks(node.resolve())
    # btrfs and similar file systems have a device number of their own; the mount table
    # names a real device.
    source = _mount_source(path, _mountinfo() if mountinfo is None else mountinfo)
    if not source.startswith("/dev/"):
        return frozenset()
    # A device name, not a path of ours.
    name = os.path.basename(os.path.realpath(source))  # noqa: PTH119
    found: set[str] = set()
    for member in _btrfs_members(name, sys):
        block = sys / "class" / "block" / member
        if block.exists():
            found |= _whole_disks(block.resolve())
    return frozenset(found)


def _whole_disks(block: Path) -> frozenset[str]:
    slaves = block / "slaves"
    below = sorted(slaves.iterdir()) if slaves.is_dir() else []
    if below:
        return frozenset().union(*(_whole_disks(slave.resolve()) for slave in below))
    if (block / "partition").exists():
        return _whole_disks(block.parent)
    return frozenset({block.name})


def _btrfs_members(name: str, sys: Path) -> list[str]:
    for devices in sorted((sys / "fs" / "btrfs").glob("*/devices")):
        members = sorted(member.name for member in devices.iterdir())
        if name in members:
            return members
    return [name]


def _mountinfo() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return ""


def _mount_source(path: Path, mountinfo: str) -> str:
    """Returns the device of the mount that holds `path`.

    That is the longest mount point above it; later mounts cover earlier ones.
    """
    real = path.resolve()
    best, source = -1, ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        columns, tail = fields.split(" "), rest.split(" ")
        if len(columns) < 5 or len(tail) < 2:
            continue
        point = Path(
            re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), columns[4])
        )
        if (point == real or point in real.parents) and len(point.parts) >= best:
            best, source = len(point.parts), tail[1]
    return source


class LibraryDiskMeter:
    """Measures in the background how busy the disks behind a path are.

    It uses iostat, or else the kernel's counters. One measurement at a time runs in a
    thread, so a dead mount, or an iostat that hangs, blocks no caller. `trouble` says
    why iostat gave no figure the last time, or is "".
    """

    def __init__(
        self,
        path: Path,
        *,
        seconds: int,
        counters: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        """iostat measures for `seconds`; `counters` replace the kernel's in tests."""
        self.trouble = ""
        self._path = path
        self._iostat = Iostat(seconds)
        self._counters = counters or busy_milliseconds
        self._measurement: _Measurement | None = None

    def begin(self) -> None:
        """Starts a measurement unless one is running or has just ended."""
        if self._measurement is None or self._measurement.is_stale():
            self._measurement = _Measurement(self._path, self._iostat, self._counters)

    def utilization(self) -> float | None:
        """Returns the percentage of time the busiest disk was busy, or None if unknown.

        It takes at most LOOK_SECONDS: if the measurement needs longer, the kernel's
        counters since its beginning are used.
        """
        self.begin()
        measurement = self._measurement
        assert measurement is not None
        figure = measurement.figure(LOOK_SECONDS)
        if not measurement.runs():
            self._measurement = None
        self.trouble = measurement.trouble
        return figure

    def close(self) -> None:
        """Ends a running iostat; call it when no figure is needed any more."""
        self._iostat.end()


class _Measurement:
    """One measurement, run by a thread of its own from its construction on."""

    def __init__(
        self, path: Path, iostat: Iostat, counters: Callable[[], Mapping[str, int]]
    ) -> None:
        self.trouble = ""
        self._path = path
        self._iostat = iostat
        self._counters = counters
        self._figure: float | None = None
        self._first: DiskReading | None = None
        self._ended_at = math.inf
        # After this the thread hangs where nothing can end it, and is not waited for
        # again.
        self._due = time.monotonic() + iostat.deadline_seconds + SPAN_SECONDS
        self._thread = threading.Thread(
            target=self._run, name="disk-meter", daemon=True
        )
        self._thread.start()

    def runs(self) -> bool:
        """Whether it is still running; then another one would only add to it."""
        return self._thread.is_alive()

    def is_stale(self) -> bool:
        """Whether it ended too long ago to be valid now."""
        return not self.runs() and time.monotonic() - self._ended_at > FRESH_SECONDS

    def figure(self, seconds: float) -> float | None:
        """Returns the figure, or the kernel's if it takes more than `seconds`."""
        self._thread.join(0.0 if time.monotonic() >= self._due else seconds)
        return self._by_counters() if self.runs() else self._figure

    def _run(self) -> None:
        devices = devices_behind(self._path)
        if devices:
            self._first = DiskReading(devices, time.monotonic(), self._counters())
            try:
                self._figure = self._iostat.measure(devices)
            except NoFigure as error:
                self.trouble = str(error)
                time.sleep(max(0.0, self._first.at + SPAN_SECONDS - time.monotonic()))
                self._figure = self._by_counters()
        self._ended_at = time.monotonic()

    def _by_counters(self) -> float | None:
        return (
            None
            if self._first is None
            else self._first.busiest(time.monotonic(), self._counters())
        )


@dataclass(frozen=True, slots=True)
class DiskReading:
    """The kernel's counters for these devices at one time (seconds, steady clock)."""

    devices: frozenset[str]
    at: float
    busy: Mapping[str, int]

    def busiest(self, now: float, busy: Mapping[str, int]) -> float | None:
        """Returns how busy the busiest device was since then, in percent."""
        span = (now - self.at) * 1000
        shares = [
            100 * (busy[name] - self.busy[name]) / span
            for name in self.devices
            if span > 0 and name in busy and name in self.busy
        ]
        return min(100.0, max(0.0, *shares)) if shares else None


def busy_milliseconds() -> Mapping[str, int]:
    """Returns how long each disk has been busy since boot, from /proc/diskstats.

    Empty when that is not available.
    """
    try:
        counters = psutil.disk_io_counters(perdisk=True) or {}
    except (OSError, RuntimeError, NotImplementedError):
        return {}
    return {
        name: int(disk.busy_time)
        for name, disk in counters.items()
        if hasattr(disk, "busy_time")
    }


def io_pressure(source: Path = Path("/proc/pressure/io")) -> float | None:
    """Returns the percentage of the last ten seconds spent waiting for I/O (PSI).

    None without a kernel that supports it.
    """
    try:
        match = re.match(r"some avg10=([\d.]+)", source.read_text("ascii"))
    except OSError:
        return None
    return float(match[1]) if match else None


class LibraryDiskProbe:
    """Checks whether the library's disk answers.

    A dead network mount blocks every process that touches it, beyond any signal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: threading.Thread | None = None
        self._answered = False

    def answers(self, seconds: float) -> bool:
        """Whether the first bytes of metadata.db can be read in time.

        False while an earlier check hangs.
        """
        if self._thread is None or not self._thread.is_alive():
            self._answered = False
            self._thread = threading.Thread(
                target=self._read, name="disk-probe", daemon=True
            )
            self._thread.start()
        self._thread.join(seconds)
        return self._answered

    def _read(self) -> None:
        try:
            with (self._path / "metadata.db").open("rb", buffering=0) as file:
                self._answered = bool(file.read(16))
        except OSError:
            self._answered = False
