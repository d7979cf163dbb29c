"""Which library a start accepts, and what it says of others."""

from pathlib import Path

import pytest

from auto_monitor.config import Misconfigured
from deploy.host.children import checked_library
from migration.errors import LibraryUnreadable


def test_a_folder_without_a_library(tmp_path: Path) -> None:
    """Unless it is waited for."""
    with pytest.raises(Misconfigured, match="name the folder of a Calibre"):
        checked_library(tmp_path, waits=False)
    assert checked_library(tmp_path, waits=True) == tmp_path
    (tmp_path / "metadata.db").touch()
    assert checked_library(tmp_path, waits=False) == tmp_path


def test_a_library_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """It is the library that cannot be read, status 4, and not the state directory. A
    name that is too long, since root may read everything."""
    closed = tmp_path / ("x" * 300)
    with pytest.raises(LibraryUnreadable) as caught:
        checked_library(closed, waits=False)
    assert "cannot be read by this user: File name too long; give" in str(caught.value)
    assert caught.value.exit_code == 4
