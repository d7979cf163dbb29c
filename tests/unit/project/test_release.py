"""The released script, by its hash."""

import hashlib
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


def test_a_code_fix_is_listed_with_its_release(tmp_path: Path) -> None:
    """Through all that are made on one another; once each; and what an older version
    has listed, without one."""
    script = tmp_path / "worker.py"
    for before, text in (
        (release.SHIPPED, "first"),
        (sha("first"), "second"),
        (sha("mine"), "of a script of one's own"),
    ):
        release.note_changed(script, sha(text), before)
        release.note_changed(script, sha(text), before)
    listed = tmp_path / ".worker.py.changed"
    assert len(listed.read_text().splitlines()) == 3
    listed.write_text(f"{listed.read_text()}{sha('older')}\n\n")
    for text, made_for in (
        ("first", release.SHIPPED),
        ("second", release.SHIPPED),
        ("of a script of one's own", release.OWN),
        ("older", release.UNKNOWN),
        ("somebody's", None),
    ):
        script.write_text(text)
        assert release.made_for(script) == made_for
        assert release.is_code_fix(script) is (made_for is not None)


def sha(text: str) -> str:
    """Of a script."""
    return hashlib.sha256(text.encode()).hexdigest()
