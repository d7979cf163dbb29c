"""A state directory that cannot be used: one sentence before anything is started."""

import os
import stat
from pathlib import Path

import pytest

from common.errors import StateUnwritable
from deploy.host.usable import make
from tests.support.machine.hostkit import NOBODY, public_folder

WAY = "give another --state-dir"


def test_one_is_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        make(tmp_path / "a" / "b", way_out=WAY)
        make(tmp_path / "a" / "b", way_out=WAY)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "a file is in its place"),
        ("file/below", "a part of its path is a file"),
        ("loop", "a file is in its place"),
    ],
)
def test_something_is_in_its_place(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StateUnwritable) as refused:
        make(tmp_path / name, way_out=WAY)
    assert str(refused.value) == f"cannot use {tmp_path / name}: {reason}; {WAY}"
    assert refused.value.exit_code == 5


def test_where_the_system_lets_nobody_write() -> None:
    """Not even root."""
    with pytest.raises(StateUnwritable, match=r"^cannot use /proc/state: .*; give"):
        make(Path("/proc/state"), way_out=WAY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for two users")
@pytest.mark.parametrize(("mode", "below"), [(0o700, ""), (0o755, ""), (0o755, "new")])
def test_the_directory_of_somebody_else(mode: int, below: str) -> None:
    """As the second user of a machine, who is told whose it is."""
    with public_folder() as folder:
        theirs = folder / "theirs"
        theirs.mkdir()
        theirs.chmod(mode)
        os.chown(theirs, NOBODY, NOBODY)
        os.seteuid(12345)
        try:
            with pytest.raises(StateUnwritable) as refused:
                make(theirs / below, way_out=WAY)
        finally:
            os.seteuid(0)
    told = (
        f"cannot use {theirs / below}: Permission denied ({theirs} belongs to nobody)"
    )
    assert str(refused.value) == f"{told}; {WAY}"
