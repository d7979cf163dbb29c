"""What the migrator container does before the monitor runs."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.migrator.container import place_script

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEPT = "auto_monitor/proposals/bulk_migrate_calibre.py.20260102T030405Z.before-update"

#: On the volume: the script, the shipped one it was copied from; then: the script
#: afterwards, what is kept beside it.
TABLE = {
    "an empty volume": (None, None, "new", None),
    "the same image again": ("new", "new", "new", None),
    "repaired, the same image": ("repaired", "new", "repaired", None),
    "a new image": ("old", "old", "new", None),
    "repaired, then a new image that has it": ("new", "old", "new", None),
    "repaired, then a new image": ("repaired", "old", "new", "repaired"),
    "nobody knows where it came from": ("repaired", None, "new", "repaired"),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_script_on_the_volume(case: str, tmp_path: Path) -> None:
    """A repair outlives the container, not the version it was made for."""
    found, copied_from, then, kept = TABLE[case]
    shipped, state = tmp_path / "image.py", tmp_path / "state"
    shipped.write_text("new")
    worker = state / "worker"
    worker.mkdir(parents=True)
    if found is not None:
        (worker / "bulk_migrate_calibre.py").write_text(found)
    if copied_from is not None:
        (worker / "shipped.sha256").write_text(
            hashlib.sha256(copied_from.encode()).hexdigest() + "\n"
        )
    script, said = place_script(shipped, state, NOW)
    assert (script, script.read_text()) == (worker / "bulk_migrate_calibre.py", then)
    assert [
        path.read_text() for path in (state / "auto_monitor").rglob("*.before-update")
    ] == ([kept] if kept else [])
    assert (str(state / KEPT) in said) == (kept is not None)
    assert place_script(shipped, state, NOW) == (script, "")
