"""The released script, by its hash."""

from pathlib import Path

import pytest

from migration import release
from tests.support.environment import PROJECT


def test_the_script_is_the_released_one() -> None:
    """`python -m migration.release` (`make format`) writes its hash."""
    assert release.hash_of(PROJECT / release.SCRIPT) == release.SHIPPED
    assert release.is_shipped(PROJECT / release.SCRIPT)


@pytest.mark.parametrize("changed", [b"\n", b"# coding: utf-8\n"])
def test_a_byte_more_is_another_script(tmp_path: Path, changed: bytes) -> None:
    """Comments count too."""
    script = tmp_path / release.SCRIPT
    script.write_bytes((PROJECT / release.SCRIPT).read_bytes() + changed)
    assert not release.is_shipped(script)
    assert not release.is_shipped(tmp_path / "none.py")


def test_a_class_is_of_the_script_it_was_written_in() -> None:
    """The hash of a changed one, "" for the released one."""
    from bulk_migrate_calibre import CalibreMigrator

    assert release.script_of(CalibreMigrator) == ""
    assert release.script_of(Path) == release.hash_of(Path(pathlib_file()))
    assert release.script_of(object()) == "unknown"


def pathlib_file() -> str:
    """Where `Path` is written."""
    import pathlib

    return str(pathlib.__file__)
