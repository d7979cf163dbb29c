"""An iostat that is a script: it hangs, talks nonsense, ends."""

import os
from pathlib import Path

import psutil
import pytest

from auto_monitor.observe.disk import devices_behind

HANGS = "#!/bin/sh\necho $$ >>PIDS; sleep 1000 & echo $! >>PIDS; wait\n"


def first_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder before all others on the PATH."""
    if not devices_behind(tmp_path):
        pytest.skip("no disk can be found behind the folder for temporary files")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def put(programs: Path, text: str) -> None:
    """This is iostat now."""
    script = programs / "iostat"
    script.write_text(text.replace("PIDS", str(programs / "pids")))
    script.chmod(0o755)


def nothing_is_left(programs: Path) -> bool:
    """Of the processes that the script was and started."""
    numbers = [int(line) for line in (programs / "pids").read_text().split()]
    assert numbers
    return not any(psutil.pid_exists(number) and _lives(number) for number in numbers)


def _lives(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
