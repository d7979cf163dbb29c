"""Which disks are behind a path, and how busy."""

import os
from pathlib import Path

import pytest

from auto_monitor.observe.disk import (
    DiskReading,
    LibraryDiskProbe,
    devices_behind,
    io_pressure,
)
from auto_monitor.observe.iostat import NoFigure, busiest


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /sys with a disk and its partition, LVM over two disks, RAID over partitions,
    and a btrfs of two disks."""
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
def test_the_disks_behind_a_device(
    machine: Path, node: str, disks: set[str], tmp_path: Path
) -> None:
    """Through partitions, LVM, RAID; the device number of the file is the way in, so
    bind mounts change nothing."""
    number = tmp_path.stat().st_dev
    (machine / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").symlink_to(
        machine / "devices" / node
    )
    assert devices_behind(tmp_path, sys=machine) == disks


def test_btrfs_is_found_by_its_mount(machine: Path, tmp_path: Path) -> None:
    """Its files have a device number that no block device has; a mount point may hold a
    blank."""
    library = tmp_path / "my books"
    library.mkdir()
    line = (
        f"40 1 0:45 /sub {str(library).replace(' ', chr(92) + '040')} rw shared:1 "
        "- btrfs /dev/sdc rw,subvol=/sub"
    )
    mounts = "\n".join(
        [
            "22 1 0:21 / / rw - overlay overlay rw",
            line,
            "23 1 0:22 / /proc rw - proc proc rw",
        ]
    )
    assert devices_behind(library, sys=machine, mountinfo=mounts) == {"sdc", "sdd"}


@pytest.mark.parametrize(
    "mounts", ["", "22 1 0:21 / / rw - nfs4 server:/x rw", "nonsense\n\n- -"]
)
def test_what_has_no_disk_is_not_known(
    machine: Path, tmp_path: Path, mounts: str
) -> None:
    """A network share, an overlay, nonsense: no number rather than a wrong one."""
    assert devices_behind(tmp_path, sys=machine, mountinfo=mounts) == frozenset()
    assert (
        devices_behind(tmp_path / "gone", sys=machine, mountinfo=mounts) == frozenset()
    )


def report(*shares: tuple[str, str], key: str = "util") -> bytes:
    """iostat's JSON with a number as it is spelled for each disk; another column stands
    before and after it."""
    disks = ", ".join(
        f'{{"disk_device": "{name}", "aqu-sz": 7, "{key}": {share}, "w/s": 1}}'
        for name, share in shares
    )
    return f'{{"sysstat": {{"hosts": [{{"statistics": [{{"disk": [{disks}]}}]}}]}}}}'.encode()


FIGURES = [
    ([("sda", "12.50"), ("sdb", "97")], {"sda"}, 12.5),
    ([("sda", "12.50"), ("sdb", "97")], {"sda", "sdb"}, 97.0),
    ([("sda", "NaN"), ("sdb", "3")], {"sdb"}, 3.0),
    ([("sda", "0")], {"sda"}, 0.0),
    ([("sda", "100.00")], {"sda"}, 100.0),
]


@pytest.mark.parametrize(("shares", "devices", "figure"), FIGURES)
def test_the_busiest_counts(
    shares: list[tuple[str, str]], devices: set[str], figure: float
) -> None:
    """Of the disks that matter, wherever in a line the column is."""
    assert busiest(report(*shares), frozenset(devices)) == figure


NO_FIGURES = [
    *[
        (report(("sda", spelled)), "not a number from 0 to 100")
        for spelled in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-0.01",
            "100.01",
            "101.2",
            "1e300",
            '"12.5"',
            '"nan"',
            "null",
            "true",
            "[5]",
            "{}",
        )
    ],
    *[
        (report(("sda", spelled)), "not sysstat's JSON")
        for spelled in ("nan", "-nan", "12,5", "", "0x10", "1_0")
    ],
    (report(("sda", "5"), ("sdb", "NaN")), "not a number"),
    (report(("sda", "5")), "does not name every disk"),
    (report(("sdz", "5"), ("sdy", "5")), "does not name every disk"),
    (report(("sda", "5"), ("sdb", "5"), key="%util"), "not sysstat's JSON"),
    (b"", "not sysstat's JSON"),
    (b"[]", "not sysstat's JSON"),
    (b'{"sysstat": 3}', "not sysstat's JSON"),
    (b'{"sysstat": {"hosts": []}}', "not sysstat's JSON"),
    (b"[" * 200_000, "not sysstat's JSON"),
    (b"\xff\xfe\x00", "not sysstat's JSON"),
    (b"Device r/s w/s %util\nsda 1.00 2.00 12.50\n", "not sysstat's JSON"),
]


@pytest.mark.parametrize(
    ("output", "why"), NO_FIGURES, ids=lambda value: str(value)[-40:]
)
def test_what_is_no_figure(output: bytes, why: str) -> None:
    """One disk of two is enough to doubt the whole."""
    one = frozenset({"sda"}) if b"sdb" not in output else frozenset({"sda", "sdb"})
    devices = one if "every" not in why else frozenset({"sda", "sdb"})
    with pytest.raises(NoFigure, match=why):
        busiest(output, devices)


@pytest.mark.parametrize(
    ("before", "after", "milliseconds", "figure"),
    [
        ({"sda": 100, "sdb": 100}, {"sda": 600, "sdb": 200}, 1000, 50.0),
        ({"sda": 100}, {"sda": 2100}, 1000, 100.0),
        ({"sda": 100}, {"sda": 40}, 1000, 0.0),
        ({"sda": 100}, {"sdb": 900}, 1000, None),
        ({}, {}, 1000, None),
        ({"sda": 100}, {"sda": 600}, 0, None),
    ],
    ids=[
        "the busiest",
        "never over 100",
        "counters that began anew",
        "gone",
        "none",
        "no time has passed",
    ],
)
def test_the_counters_of_the_kernel(
    before: dict[str, int],
    after: dict[str, int],
    milliseconds: int,
    figure: float | None,
) -> None:
    """What they say over a span of time."""
    sample = DiskReading(frozenset({"sda", "sdb"}), 10.0, before)
    assert sample.busiest(10.0 + milliseconds / 1000, after) == figure


def test_pressure(tmp_path: Path) -> None:
    """The ten-second average; None without such a kernel."""
    source = tmp_path / "io"
    assert io_pressure(source) is None
    source.write_text("some avg10=12.34 avg60=1 avg300=0 total=5\nfull avg10=1\n")
    assert io_pressure(source) == 12.34


def test_a_disk_that_hangs_does_not_answer(tmp_path: Path) -> None:
    """A pipe blocks whoever opens it, as a dead network mount does; the next question
    is not added to the first."""
    assert not LibraryDiskProbe(tmp_path).answers(5)
    os.mkfifo(tmp_path / "metadata.db")
    probe = LibraryDiskProbe(tmp_path)
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
