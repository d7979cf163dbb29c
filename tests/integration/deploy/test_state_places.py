"""The index of state directories, written by several programs."""

import subprocess
import sys
from pathlib import Path

import pytest

from common import known_dirs
from tests.support.environment import PROJECT

pytestmark = pytest.mark.integration
NOTE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from common import known_dirs
for n in range(20):
    place = Path(f"{sys.argv[2]}/{n}")
    use = known_dirs.Use(place, "", "", "", datetime.now(tz=UTC))
    known_dirs.note(Path(sys.argv[1]), use)
"""


def test_starts_at_the_same_time_lose_no_entry(tmp_path: Path) -> None:
    """Each takes its turn."""
    command = [sys.executable, "-c", NOTE, str(tmp_path)]
    started = [subprocess.Popen([*command, f"/{name}"], cwd=PROJECT) for name in "abc"]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert len(known_dirs.read(tmp_path)) == 60
