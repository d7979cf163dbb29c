"""Why a file cannot be used, with the way out."""

import errno
import os
from pathlib import Path

import pytest

from common.files import system_errors
from common.files.system_errors import (
    reason_of,
    refusal,
    set_aside_if_directory,
    space_left,
)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EISDIR, "it is a directory, not a file; move it away"),
        (errno.ENOTEMPTY, "it is a directory, not a file; move it away"),
        (errno.EACCES, "Permission denied; give this user the right to read and"),
        (errno.EPERM, "Operation not permitted; give this user the right"),
        (errno.EROFS, "Read-only file system; mount it writable"),
        (errno.ENOSPC, "No space left on device; free some space on its disk"),
        (errno.EDQUOT, "Disk quota exceeded; free some space on its disk"),
        (errno.EIO, "Input/output error; look into the system's log"),
    ],
)
def test_the_way_out(number: int, words: str) -> None:
    """By what the system said."""
    assert reason_of(OSError(number, os.strerror(number))).startswith(words)


def test_what_may_be_used_is_not_refused(tmp_path: Path) -> None:
    """Nor what is not there yet; a directory is."""
    (tmp_path / "file").write_text("x")
    assert refusal(tmp_path / "file", writing=True) == ""
    assert refusal(tmp_path / "nowhere", writing=True) == ""
    assert refusal(tmp_path, writing=False).startswith("it is a directory")
    assert "Not a directory" in refusal(tmp_path / "file" / "x", writing=False)


def test_rights_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has all of them: here the system says no."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert refusal(tmp_path / "file", writing=True).startswith("Permission denied")


def test_a_directory_is_moved_away_whole(tmp_path: Path) -> None:
    """A file and a link stay."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "x").write_text("x")
    aside = set_aside_if_directory(tmp_path / "log")
    assert aside is not None
    assert (aside.name.startswith("log.directory-"), (aside / "x").read_text()) == (
        True,
        "x",
    )
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(aside)
    for name in ("file", "link", "nothing"):
        assert set_aside_if_directory(tmp_path / name) is None


def test_room_that_cannot_be_told(tmp_path: Path) -> None:
    """Some here, and nothing known of what is not there."""
    assert (space_left(tmp_path) or 0) > 0
    assert space_left(tmp_path / "nowhere") is None
    assert system_errors.space_left(tmp_path) is not None
