"""What `./start.sh --demo` shows while the migration runs."""

import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from deploy.host import display
from tests.support.migration.statekit import State, under_way


class Daemon:
    """A monitor that has ended after so many looks."""

    def __init__(self, looks: int = 0) -> None:
        self.looks = looks

    def poll(self) -> int | None:
        """Counts the looks."""
        self.looks -= 1
        return None if self.looks >= 0 else 0


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A migration under way."""
    return under_way(tmp_path / "state")


def shown(state: State, console: Console, looks: int) -> str:
    """All that was written to the console."""
    daemon: subprocess.Popen[bytes] = Daemon(looks)  # type: ignore[assignment]  # only polled
    display.watch(state.folder, daemon, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_terminal_has_the_picture_of_the_status(state: State) -> None:
    """The same as `--status`; it is gone when the migration is over."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    said = shown(state, console, looks=0)
    assert "55.0 % of 1,000 files" in said
    assert "Signals from the Ninth Moon.epub"[:12] in said
    assert "\x1b[2K" in said


def test_a_pipe_has_lines(state: State) -> None:
    """One at once, each with all numbers."""
    console = Console(file=io.StringIO(), width=120)
    assert shown(state, console, looks=1) == (
        "600 files found: 500 uploaded, 40 duplicate, 6 skipped, 4 failed, 50 to do\n"
    )
