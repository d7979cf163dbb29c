"""What a worker uses of memory and descriptors, and how much of it there is for it."""

import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from auto_monitor.decide import leaking
from auto_monitor.model import age
from auto_monitor.usage import Leak, Resource, Usage

#: Looks closer together than this are one: a round may follow at once on another.
SPACING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Group:
    """A control group that may limit memory, and how its version names the files."""

    folder: Path
    limit: str
    used: str
    reclaimable: str
    kills: str

    def room(self) -> int | None:
        """Returns how many bytes its processes may still get; None without a limit."""
        limit, used = (
            _number(self.folder / self.limit),
            _number(self.folder / self.used),
        )
        if limit is None or used is None:
            return None
        # What is cached of files is given up before anybody is killed.
        return max(
            0, limit - used + _entry(self.folder / "memory.stat", self.reclaimable)
        )

    def killed(self) -> int | None:
        """Returns how often the kernel ended one of its processes; None if unknown."""
        path = self.folder / self.kills
        return _entry(path, "oom_kill") if path.exists() else None


class Gauge:
    """Reads what processes use. `sys_fs` and `proc` replace the kernel's in tests."""

    def __init__(
        self, sys_fs: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")
    ) -> None:
        self._sys_fs = sys_fs
        self._proc = proc

    def groups(self, pid: int) -> tuple[_Group, ...]:
        """Returns the groups the process is in, the innermost first."""
        try:
            lines = (self._proc / str(pid) / "cgroup").read_text("utf-8", "replace")
        except OSError:
            return ()
        for line in lines.splitlines():
            _number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if "memory" in controllers.split(","):
                root = self._sys_fs / "memory"
                return tuple(_version_1(one) for one in _upwards(root, path))
        unified = [line[3:] for line in lines.splitlines() if line.startswith("0::")]
        found = _upwards(self._sys_fs, unified[0]) if unified else []
        return tuple(_version_2(one) for one in found)

    def usage(self, pid: int, now: datetime) -> Usage | None:
        """Returns what the process uses now; None when it cannot be looked at."""
        try:
            process = psutil.Process(pid)
            memory, files = process.memory_info().rss, process.num_fds()
        except (psutil.Error, OSError):
            return None
        groups = self.groups(pid)
        rooms = [room for room in (one.room() for one in groups) if room is not None]
        room = min([psutil.virtual_memory().available, *rooms])
        return Usage(
            now, memory, memory + room, files, _files_limit(process), self.kills(groups)
        )

    def kills(self, groups: tuple[_Group, ...]) -> int | None:
        """Returns how often the kernel has ended a process for want of memory.

        In the innermost group that counts it, or else on this machine.
        """
        for group in groups:
            if (killed := group.killed()) is not None:
                return killed
        path = self._proc / "vmstat"
        return _entry(path, "oom_kill") if path.exists() else None


def _files_limit(process: psutil.Process) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        soft, _hard = process.rlimit(psutil.RLIMIT_NOFILE)
    except (psutil.Error, OSError):
        return None
    return int(soft) if soft > 0 else None


def _upwards(root: Path, path: str) -> list[Path]:
    """Returns the folders of a group and of those above it.

    In a container the path is one outside; then its own folder is the root.
    """
    folder = root / path.strip().lstrip("/")
    if ".." in folder.parts or not folder.is_dir():
        folder = root
    return [folder, *(one for one in folder.parents if root in (one, *one.parents))]


def _version_2(folder: Path) -> _Group:
    return _Group(
        folder, "memory.max", "memory.current", "inactive_file", "memory.events"
    )


def _version_1(folder: Path) -> _Group:
    return _Group(
        folder,
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
        "memory.oom_control",
    )


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _entry(path: Path, name: str) -> int:
    """Returns a line's number, by its name; 0 when there is none."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    words = (line.split() for line in lines)
    found = [two[1] for two in words if len(two) == 2 and two[0] == name]
    return int(found[0]) if found and found[0].isdigit() else 0


@dataclass(slots=True)
class ResourceWatch:
    """What one process has used so far, and what is seen in it."""

    gauge: Gauge
    usages: deque[Usage] = field(
        default_factory=lambda: deque[Usage](maxlen=leaking.LOOKS)
    )
    leaks: dict[Resource, Leak | None] = field(default_factory=dict)
    groups: tuple[_Group, ...] = ()

    def look(self, pid: int, now: datetime, spacing: timedelta = SPACING) -> None:
        """Looks at the process once more."""
        if self.usages and age(self.usages[-1].at, now) < spacing:
            return
        usage = self.gauge.usage(pid, now)
        if usage is None:
            return
        self.groups = self.gauge.groups(pid)
        self.usages.append(usage)
        for resource in Resource:
            before = self.leaks.get(resource)
            self.leaks[resource] = leaking.leak(tuple(self.usages), resource, before)

    @property
    def leak(self) -> Leak | None:
        """What it will run out of: open files first, for their limit is exact."""
        return self.leaks.get(Resource.FILES) or self.leaks.get(Resource.MEMORY)

    @property
    def growing(self) -> bool | None:
        """Whether anything it uses grows steadily; None while that is not known."""
        usages = tuple(self.usages)
        found = [leaking.grows(usages, resource) for resource in Resource]
        return True if True in found else None if None in found else False

    def was_killed(self, exit_code: int | None) -> bool:
        """Whether the kernel ended the process for want of memory."""
        last = self.usages[-1] if self.usages else None
        return leaking.was_killed_for_memory(
            exit_code, last, self.gauge.kills(self.groups)
        )
