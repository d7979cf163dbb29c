"""A file's bytes are copied or cloned; the digest is that of what is there."""

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migration.errors import EmptyFile, FileChanged, Unreadable
from migration.model import Digest
from migration.server.data_dir import copying
from migration.server.data_dir.copying import BLOCK, clone, copy
from tests.support.libraries.placekit import LONG_AGO, mounted

MIB = 1024 * 1024


def copied(source: Path, target: Path) -> Digest:
    """The digest of a copy, made as the placer makes it."""
    status = source.stat()
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        with source.open("rb") as opened:
            return copy(
                opened, descriptor, size=status.st_size, mtime_ns=status.st_mtime_ns
            )
    finally:
        os.close(descriptor)


def sha1(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 300_000), st.binary(min_size=1, max_size=5_000)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 100_000),
)
def test_the_copy_is_the_file_with_its_holes(
    tmp_path: Path, parts: list[tuple[int, bytes]], tail: int
) -> None:
    """Wherever it has data."""
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for where, data in parts:
            file.seek(where)
            file.write(data)
        file.truncate(max(where + len(data) for where, data in parts) + tail)
    made = copied(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert made == Digest(sha1(target), source.stat().st_size)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_every_size_is_copied_whole(tmp_path: Path, size: int) -> None:
    """Also where it ends with a block."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))
    assert copied(source, target) == Digest(sha1(source), size)
    assert target.read_bytes() == source.read_bytes()


def test_a_sparse_file_stays_cheap(tmp_path: Path) -> None:
    """500 MB of nothing take no space."""
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.seek(100 * MIB)
        file.write(b"data")
        file.truncate(200 * MIB)
    if source.stat().st_blocks * 512 > MIB:
        pytest.skip("the file system of the temporary directory has no holes")
    assert copied(source, target).sha1 == sha1(source)
    assert target.stat().st_size == 200 * MIB
    assert target.stat().st_blocks * 512 < MIB


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """The server would not take it either."""
    (tmp_path / "source").touch()
    with pytest.raises(EmptyFile):
        copied(tmp_path / "source", tmp_path / "target")


@pytest.mark.parametrize("at_rest", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"y" * 2 * MIB),
        lambda path: os.truncate(path, MIB),
        lambda path: os.truncate(path, 3 * MIB),
        lambda path: os.utime(path, (5, 5)),
    ],
    ids=["rewritten", "shorter", "longer", "touched"],
)
def test_a_file_that_changes_meanwhile_is_not_taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    at_rest: bool,
) -> None:
    """While the first block is written."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 2 * MIB)
    if at_rest:
        os.utime(source, (LONG_AGO, LONG_AGO))
    pwrite = os.pwrite
    changed: list[object] = []

    def changing(target: int, data: memoryview, position: int) -> int:
        if not changed:
            changed.append(change(source))
        return pwrite(target, data, position)

    monkeypatch.setattr(os, "pwrite", changing)
    monkeypatch.setattr(copying, "clone", lambda _source, _target: False)
    with pytest.raises(FileChanged):
        copied(source, tmp_path / "target")
    assert changed


def test_a_disk_that_cannot_be_read_is_the_librarys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the server's: only this file fails."""

    def fails(*_arguments: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "source").write_bytes(b"x")
    monkeypatch.setattr(os, "preadv", fails)
    with pytest.raises(Unreadable, match="Input/output error"):
        copied(tmp_path / "source", tmp_path / "target")


def test_a_full_disk_is_not_taken_for_one_that_cannot_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying would only fill it."""

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "source").write_bytes(b"x")
    os.utime(tmp_path / "source", (LONG_AGO, LONG_AGO))
    monkeypatch.setattr(copying, "_rests", lambda _status: True)
    monkeypatch.setattr(fcntl, "ioctl", full)
    with pytest.raises(OSError, match="No space left"):
        copied(tmp_path / "source", tmp_path / "target")


@pytest.fixture
def cloning(tmp_path: Path) -> Iterator[Path]:
    """A small file system that can share blocks."""
    makers = [name for name in ("mkfs.btrfs", "mkfs.xfs") if shutil.which(name)]
    if not makers:
        pytest.skip("neither mkfs.btrfs (btrfs-progs) nor mkfs.xfs (xfsprogs) is here")
    image, place = tmp_path / "image", tmp_path / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    subprocess.run([makers[0], "-q", str(image)], check=True, timeout=60)
    with mounted(place, makers[0].removeprefix("mkfs."), "loop", str(image)):
        yield place


def test_a_clone_shares_its_blocks_until_one_is_written(cloning: Path) -> None:
    """Calibre rewrites its files in place: the server's stays what it was."""
    source, target = cloning / "source", cloning / "target"
    source.write_bytes(data := os.urandom(20 * MIB))
    os.sync()
    free = os.statvfs(cloning).f_bfree
    with source.open("rb") as opened, target.open("wb") as made:
        assert clone(opened.fileno(), made.fileno())
    target.unlink()
    # What was written just now is copied: a further write might not show in its times.
    copying_now = copied(source, cloning / "copied")
    assert copying_now.sha1 == sha1(cloning / "copied")
    (cloning / "copied").unlink()

    assert copying._rests(source.stat()) is False
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copying, "_rests", lambda _status: True)
        made_of = copied(source, target)
    os.sync()
    assert made_of == Digest(hashlib.sha1(data).hexdigest(), len(data))
    assert free - os.statvfs(cloning).f_bfree < 5 * MIB / 4096
    source.write_bytes(b"something else")
    assert target.read_bytes() == data


def test_where_blocks_cannot_be_shared_this_is_seen(tmp_path: Path) -> None:
    """On another file system, or none that can."""
    (tmp_path / "target").touch()
    with (
        Path("/proc/self/status").open("rb") as other,
        (tmp_path / "target").open("wb") as made,
    ):
        assert clone(other.fileno(), made.fileno()) is False
