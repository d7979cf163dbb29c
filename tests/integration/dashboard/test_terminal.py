"""What is seen on a terminal: the live status, completion of options."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from auto_monitor.cli import live
from auto_monitor.cli.picture import picture
from auto_monitor.cli.status import collect
from common.clock import utc_now
from migration.model import Counts
from tests.support.environment import PROJECT, clean_environment
from tests.support.migration.statekit import HOSTILE, State

pytestmark = pytest.mark.integration
MONITOR = str(PROJECT / "auto_monitor" / "monitor.py")


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A migration under way with hostile names in hand."""
    made = State(tmp_path / "state", total=1000)
    made.counts(Counts(600, 500, 40, 6, 4, 50), 5_000_000)
    made.monitor(3)
    for number in (1, 2, 3):
        made.worker(number, name=f"[bold red]{HOSTILE[number - 1]}\x1b[31m[/]")
    (made.folder / "auto_restart.log").write_text(
        "2026-11-24 10:00:00,000 - INFO - Restarting worker 1: [red]x[/]\n"
    )
    return made


def test_the_picture_has_everything_and_takes_names_as_text(state: State) -> None:
    """Neither markup nor escape sequences of a title do anything."""
    console = Console(
        width=150,
        record=True,
        force_terminal=True,
        file=Path(os.devnull).open("w"),  # noqa: SIM115
    )
    try:
        console.print(
            picture(
                collect(state.folder, utc_now()),
                utc_now(),
                live.last_actions(state.folder),
            )
        )
        drawn = console.export_text()
    finally:
        console.file.close()
    assert "Pass 1: 55.0 %" in drawn
    assert "500 uploaded" in drawn
    assert "[bold red]<script>alert(1)</script>" in drawn
    assert "\x1b[31m" not in drawn
    assert "1.2 MB of 4.8 MB" in drawn
    assert "Restarting worker 1: [red]x[/]" in drawn


def test_watching_ends_with_the_pass(state: State) -> None:
    """By itself, with status 0, and what was last seen stays on the screen."""
    state.sql("UPDATE passes SET closed_at = opened_at")
    done = subprocess.run(
        [
            sys.executable,
            MONITOR,
            "--status",
            "--watch",
            "--state-dir",
            str(state.folder),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "Pass 1" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--json"], "--json goes with --status ("),
        (["--status", "--watch", "--json"], "--watch is for people"),
    ],
    ids=["--json", "--status --watch --json"],
)
def test_options_that_do_not_go_together(options: list[str], said: str) -> None:
    """Status 2 and a sentence."""
    done = subprocess.run(
        [sys.executable, MONITOR, *options],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("command", "line", "expected"),
    [
        (
            [str(PROJECT / "start.sh")],
            "./start.sh --no-",
            {"--no-monitor", "--no-dashboard"},
        ),
        ([str(PROJECT / "stop.sh")], "./stop.sh --mon", {"--monitor-only"}),
        ([sys.executable, MONITOR], "monitor.py --sta", {"--state-dir", "--status"}),
        (
            [sys.executable, str(PROJECT / "bulk_migrate_calibre.py")],
            "bulk_migrate_calibre.py --retry",
            {"--retry-failed"},
        ),
        ([sys.executable, "-m", "dashboard"], "dashboard --re", {"--report"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_shell_completes_options(
    command: list[str], line: str, expected: set[str], tmp_path: Path
) -> None:
    """From the parsers themselves, through argcomplete's protocol."""
    answer = tmp_path / "answer"
    more = {
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    subprocess.run(
        command,
        env=clean_environment(**more),
        cwd=PROJECT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert {word.strip() for word in answer.read_text().splitlines()} == expected


def test_bash_takes_the_completion() -> None:
    """For all four commands."""
    script = (
        "source deploy/completion.bash && complete -p start.sh stop.sh "
        "monitor.py bulk_migrate_calibre.py"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.count("_python_argcomplete")) == (0, 4), (
        done.stderr
    )
