"""What a process uses, by the kernel's files; a process that really leaks."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from auto_monitor.observe.resources import Gauge, ResourceWatch
from auto_monitor.usage import Resource, Usage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GB = 1_000_000_000


class Machine:
    """Folders as the kernel shows them."""

    def __init__(self, folder: Path, groups: str) -> None:
        self.sys_fs, self.proc = folder / "cgroup", folder / "proc"
        (self.proc / str(os.getpid())).mkdir(parents=True)
        (self.proc / str(os.getpid()) / "cgroup").write_text(groups)
        self.gauge = Gauge(self.sys_fs, self.proc)

    def group(self, path: str, **files: str) -> None:
        """One group's files; two underscores stand for a dot."""
        folder = self.sys_fs / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)

    def usage(self) -> Usage:
        """Of this process."""
        found = self.gauge.usage(os.getpid(), NOW)
        assert found is not None
        return found


def room(usage: Usage) -> int:
    """How much more it may still get."""
    assert usage.memory is not None
    assert usage.memory_limit is not None
    return usage.memory_limit - usage.memory


def test_the_tightest_group_limits(tmp_path: Path) -> None:
    """Version 2: its own or one above it; what is cached of files is not used."""
    machine = Machine(tmp_path, "0::/a/b\n")
    machine.group(
        "a",
        memory__max="3000000",
        memory__current="2500000",
        memory__stat="anon 1\ninactive_file 200000\n",
        memory__events="low 0\noom_kill 7\n",
    )
    machine.group(
        "a/b",
        memory__max="max",
        memory__current="100",
        memory__events="oom 1\noom_kill 2\n",
    )
    seen = machine.usage()
    assert (room(seen), seen.kills) == (700_000, 2)


def test_groups_of_version_1(tmp_path: Path) -> None:
    """Other names; a container sees the path of its host."""
    machine = Machine(tmp_path, "9:name=x:/\n4:memory:/host/path\n0::/\n")
    machine.group(
        "memory",
        memory__limit_in_bytes="3000000",
        memory__usage_in_bytes="2500000",
        memory__stat="total_inactive_file 100000\n",
        memory__oom_control="under_oom 0\noom_kill 4\n",
    )
    seen = machine.usage()
    assert (room(seen), seen.kills) == (600_000, 4)


@pytest.mark.parametrize("groups", ["", "0::/\n", "0::/../../x\n", "nonsense"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, groups: str) -> None:
    """Its free memory, its open files, its own count of kills."""
    machine = Machine(tmp_path, groups)
    (machine.proc / "vmstat").write_text("nr_free 1\noom_kill 5\n")
    seen = machine.usage()
    assert abs(room(seen) - psutil.virtual_memory().available) < 4 * GB
    assert seen.of(Resource.FILES) is not None
    assert seen.kills == 5
    (machine.proc / "vmstat").unlink()
    assert machine.usage().kills is None


def test_a_process_that_is_gone_says_nothing() -> None:
    """It is not looked at any more; what it was is remembered."""
    watch = ResourceWatch(Gauge())
    watch.look(2**22 + 1, NOW)
    assert (watch.leak, watch.growing, watch.was_killed(-15)) == (None, None, False)


def test_a_leak_of_this_very_process(tmp_path: Path) -> None:
    """It opens ever more files; the limit is its own."""
    watch, opened = ResourceWatch(Gauge()), []
    first = watch.gauge.usage(os.getpid(), NOW)
    assert first is not None
    assert first.files is not None
    limits = psutil.Process().rlimit(psutil.RLIMIT_NOFILE)
    step = 10
    resource = psutil.Process()
    try:
        resource.rlimit(psutil.RLIMIT_NOFILE, (first.files + 13 * step, limits[1]))
        for minute in range(12):
            watch.look(os.getpid(), NOW + timedelta(minutes=minute))
            # A round that follows at once says nothing new.
            watch.look(os.getpid(), NOW + timedelta(minutes=minute, seconds=0.5))
            opened += [os.open(os.devnull, os.O_RDONLY) for _ in range(step)]
        found = watch.leak
    finally:
        resource.rlimit(psutil.RLIMIT_NOFILE, limits)
        for descriptor in opened:
            os.close(descriptor)
    assert found is not None
    assert found.resource is Resource.FILES
    assert found.per_minute == step
    assert watch.growing


def test_who_was_killed(tmp_path: Path) -> None:
    """The group's count has grown since the process was last seen alive."""
    machine = Machine(tmp_path, "0::/a\n")
    machine.group("a", memory__events="oom_kill 1\n")
    watch = ResourceWatch(machine.gauge)
    watch.look(os.getpid(), NOW)
    assert not watch.was_killed(-9)
    machine.group("a", memory__events="oom_kill 2\n")
    assert watch.was_killed(-9)
    assert watch.was_killed(None)
    assert not watch.was_killed(70)
