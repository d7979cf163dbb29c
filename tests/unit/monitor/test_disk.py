"""Which disks are behind a path, and how busy."""

import os
from pathlib import Path

import pytest

from auto_monitor.disk import DiskMeter, DiskProbe, busiest, devices_behind, io_pressure
from auto_monitor.monitor import get_disk_io_utilization


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /sys with a disk and its partition, LVM over two disks, RAID over partitions, and a btrfs of two disks."""
    sys = tmp_path / "sys"
    block = sys / "devices"
    for disk in ("sda", "sdb", "nvme0n1", "sdc", "sdd"):
        (block / disk / "slaves").mkdir(parents=True)
    for disk, partition in (("sda", "sda1"), ("sdb", "sdb2"), ("nvme0n1", "nvme0n1p3")):
        (block / disk / partition).mkdir()
        (block / disk / partition / "partition").write_text("1")
    for mapped, slaves in (
        ("dm-0", ("sda/sda1", "sdb/sdb2")),
        ("md0", ("nvme0n1/nvme0n1p3",)),
        ("dm-1", ("md0", "dm-0")),
    ):
        (block / mapped / "slaves").mkdir(parents=True)
        for slave in slaves:
            (block / mapped / "slaves" / Path(slave).name).symlink_to(block / slave)
    devices = sys / "fs" / "btrfs" / "uuid" / "devices"
    devices.mkdir(parents=True)
    (sys / "class" / "block").mkdir(parents=True)
    for disk in ("sdc", "sdd"):
        (devices / disk).symlink_to(block / disk)
        (sys / "class" / "block" / disk).symlink_to(block / disk)
    (sys / "dev" / "block").mkdir(parents=True)
    return sys


@pytest.mark.parametrize(
    ("node", "disks"),
    [
        ("sda", {"sda"}),
        ("sda/sda1", {"sda"}),
        ("nvme0n1/nvme0n1p3", {"nvme0n1"}),
        ("dm-0", {"sda", "sdb"}),
        ("md0", {"nvme0n1"}),
        ("dm-1", {"sda", "sdb", "nvme0n1"}),
    ],
)
def test_the_disks_behind_a_device(machine: Path, node: str, disks: set[str], tmp_path: Path) -> None:
    """Through partitions, LVM, RAID; the device number of the file is the way in, so bind mounts change nothing."""
    number = tmp_path.stat().st_dev
    (machine / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").symlink_to(machine / "devices" / node)
    assert devices_behind(tmp_path, sys=machine) == disks


def test_btrfs_is_found_by_its_mount(machine: Path, tmp_path: Path) -> None:
    """Its files have a device number that no block device has; a mount point may hold a blank."""
    library = tmp_path / "my books"
    library.mkdir()
    line = f"40 1 0:45 /sub {str(library).replace(' ', chr(92) + '040')} rw shared:1 - btrfs /dev/sdc rw,subvol=/sub"
    mounts = "\n".join(["22 1 0:21 / / rw - overlay overlay rw", line, "23 1 0:22 / /proc rw - proc proc rw"])
    assert devices_behind(library, sys=machine, mountinfo=mounts) == {"sdc", "sdd"}


@pytest.mark.parametrize("mounts", ["", "22 1 0:21 / / rw - nfs4 server:/x rw", "nonsense\n\n- -"])
def test_what_has_no_disk_is_not_known(machine: Path, tmp_path: Path, mounts: str) -> None:
    """A network share, an overlay, nonsense: no number rather than a wrong one."""
    assert devices_behind(tmp_path, sys=machine, mountinfo=mounts) == frozenset()
    assert devices_behind(tmp_path / "gone", sys=machine, mountinfo=mounts) == frozenset()


def test_the_busiest_counts() -> None:
    """Of the disks that matter; utilisation over 100 is 100."""
    disks = (
        '{"disk_device": "sda", "util": 12.5}, {"disk_device": "sdb", "util": 101.2}, {"disk_device": "x", "util": 99}'
    )
    output = f'{{"sysstat": {{"hosts": [{{"statistics": [{{"disk": [{disks}]}}]}}]}}}}'.encode()
    assert busiest(output, frozenset({"sda"})) == 12.5
    assert busiest(output, frozenset({"sda", "sdb"})) == 100.0
    assert busiest(output, frozenset({"sdz"})) is None
    for nonsense in (b"", b"[]", b'{"sysstat": 3}', b'{"sysstat": {"hosts": []}}'):
        assert busiest(nonsense, frozenset({"sda"})) is None


def test_this_machine_says_something_or_nothing_but_never_nonsense(tmp_path: Path) -> None:
    """With iostat, and with the kernel's counters alone."""
    for found in (
        get_disk_io_utilization(tmp_path),
        DiskMeter(tmp_path, seconds=1)._by_busy_time(devices_behind(tmp_path)),
    ):
        assert found is None or 0 <= found <= 100


def test_pressure(tmp_path: Path) -> None:
    """The ten-second average; None without such a kernel."""
    source = tmp_path / "io"
    assert io_pressure(source) is None
    source.write_text("some avg10=12.34 avg60=1 avg300=0 total=5\nfull avg10=1\n")
    assert io_pressure(source) == 12.34


def test_a_disk_that_hangs_does_not_answer(tmp_path: Path) -> None:
    """A pipe blocks whoever opens it, as a dead network mount does; the next question is not added to the first."""
    assert not DiskProbe(tmp_path).answers(5)
    os.mkfifo(tmp_path / "metadata.db")
    probe = DiskProbe(tmp_path)
    assert not probe.answers(0.05)
    thread = probe._thread
    assert not probe.answers(0.05)
    assert probe._thread is thread
    assert thread is not None
    (tmp_path / "metadata.db").open("wb").close()
    thread.join(5)
    (tmp_path / "metadata.db").unlink()
    (tmp_path / "metadata.db").write_bytes(b"SQLite format 3")
    assert probe.answers(5)
