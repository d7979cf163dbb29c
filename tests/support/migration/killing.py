"""A copy of the worker that dies at one statement."""

import shutil
from pathlib import Path

from tests.support.environment import PROJECT


def killed_at(tmp_path: Path, module: str, place: str) -> Path:
    """A copy of the worker whose API lane kills it at the statement that begins with
    `place`."""
    program = tmp_path / "program"
    shutil.copytree(PROJECT / "migration", program / "migration")
    lane = program / "migration" / "lanes" / "api" / module
    before, found, after = lane.read_text("utf-8").partition(place)
    assert found
    assert place not in after
    indent = before.rpartition("\n")[2]
    lane.write_text(
        f"{before}__import__('os').kill(__import__('os').getpid(), 9)\n{indent}{found}{after}",
        "utf-8",
    )
    return Path(shutil.copy(PROJECT / "bulk_migrate_calibre.py", program))
