"""The disk behind the library: which devices, how busy, and does it answer at all?"""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

#: Seconds a fallback measurement lasts when there is no earlier one to compare with.
FIRST_SAMPLE_SECONDS = 1.0
#: Seconds iostat may take beyond the time it measures.
IOSTAT_PATIENCE_SECONDS = 10.0


def devices_behind(path: Path, *, sys: Path = Path("/sys"), mountinfo: str | None = None) -> frozenset[str]:
    """The whole disks that hold `path` (`sda`, `nvme0n1`), as iostat names them; empty when that cannot be told.

    Through partitions, LVM and device-mapper (`slaves` in /sys), RAID, btrfs with several devices, and bind mounts: the
    device number of the file counts, not the way to it. `sys` and `mountinfo` stand in for the kernel's in tests.
    """
    try:
        number = path.stat().st_dev
    except OSError:
        return frozenset()
    node = sys / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    if node.exists():
        return _whole_disks(node.resolve())
    # btrfs and its like have a device number of their own; the mount table names a real device.
    source = _mount_source(path, _mountinfo() if mountinfo is None else mountinfo)
    if not source.startswith("/dev/"):
        return frozenset()
    name = os.path.basename(os.path.realpath(source))  # noqa: PTH119 - a device name, not a path of ours
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
    """The device of the mount that holds `path`: the longest mount point above it; later mounts cover earlier ones."""
    real = path.resolve()
    best, source = -1, ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        columns, tail = fields.split(" "), rest.split(" ")
        if len(columns) < 5 or len(tail) < 2:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), columns[4]))
        if (point == real or point in real.parents) and len(point.parts) >= best:
            best, source = len(point.parts), tail[1]
    return source


class DiskMeter:
    """Measures how busy the disks behind a path are."""

    def __init__(self, path: Path, *, seconds: int) -> None:
        """`seconds` is how long iostat measures."""
        self._path = path
        self._seconds = seconds
        self._last: tuple[float, Mapping[str, int]] | None = None

    def utilization(self) -> float | None:
        """Percent of time the busiest disk was busy; None when it cannot be known."""
        devices = devices_behind(self._path)
        if not devices:
            return None
        if shutil.which("iostat"):
            return self._by_iostat(devices)
        return self._by_busy_time(devices)

    def _by_iostat(self, devices: frozenset[str]) -> float | None:
        command = ["iostat", "-d", "-x", "-y", "-o", "JSON", str(self._seconds), "1"]
        try:
            done = subprocess.run(
                command, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=self._seconds + IOSTAT_PATIENCE_SECONDS, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        return busiest(done.stdout, devices)

    def _by_busy_time(self, devices: frozenset[str]) -> float | None:
        """From the kernel's counters, over the time since the last look."""
        before = self._last or self._sample()
        if self._last is None:
            time.sleep(FIRST_SAMPLE_SECONDS)
        self._last = now = self._sample()
        span = (now[0] - before[0]) * 1000
        shares = [
            100 * (now[1][name] - before[1][name]) / span
            for name in devices
            if span > 0 and name in now[1] and name in before[1]
        ]
        return min(100.0, max(0.0, *shares)) if shares else None

    @staticmethod
    def _sample() -> tuple[float, Mapping[str, int]]:
        counters = psutil.disk_io_counters(perdisk=True) or {}
        busy = {name: int(disk.busy_time) for name, disk in counters.items() if hasattr(disk, "busy_time")}
        return time.monotonic(), busy


def busiest(output: bytes, devices: frozenset[str]) -> float | None:
    """The highest `util` of these devices in iostat's JSON, percent; None when it names none of them."""
    try:
        disks = json.loads(output)["sysstat"]["hosts"][0]["statistics"][-1]["disk"]
        shares = [float(disk["util"]) for disk in disks if disk["disk_device"] in devices]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return min(100.0, max(shares)) if shares else None


def io_pressure(source: Path = Path("/proc/pressure/io")) -> float | None:
    """Percent of the last ten seconds in which some process waited for I/O (PSI); None without such a kernel."""
    try:
        match = re.match(r"some avg10=([\d.]+)", source.read_text("ascii"))
    except OSError:
        return None
    return float(match[1]) if match else None


class DiskProbe:
    """Does the library's disk answer? A dead network mount blocks whoever touches it, beyond any signal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: threading.Thread | None = None
        self._answered = False

    def answers(self, seconds: float) -> bool:
        """Can the first bytes of metadata.db be read in time? While an earlier question hangs the answer is no."""
        if self._thread is None or not self._thread.is_alive():
            self._answered = False
            self._thread = threading.Thread(target=self._read, name="disk-probe", daemon=True)
            self._thread.start()
        self._thread.join(seconds)
        return self._answered

    def _read(self) -> None:
        try:
            with (self._path / "metadata.db").open("rb", buffering=0) as file:
                self._answered = bool(file.read(16))
        except OSError:
            self._answered = False
