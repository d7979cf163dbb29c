"""The dashboard as a process over a state directory: who is let in, what is refused,
what it says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.model import Counts
from tests.support.environment import PROJECT, clean_environment, end
from tests.support.migration.statekit import State, under_way
from tests.support.servers.boardkit import Started, start_board

pytestmark = pytest.mark.integration


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A migration under way."""
    return under_way(tmp_path / "state")


@pytest.fixture
def board(state: State) -> Iterator[Started]:
    """A dashboard over it."""
    running = start_board(state.folder)
    yield running
    end(running.process)


def test_events_come_until_the_server_ends(board: Started, state: State) -> None:
    """The first at once, and what changes in a later one; SIGTERM ends the stream and
    the process."""
    with board.visitor().session.get(
        board.url + "/api/events", stream=True, timeout=60
    ) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        lines = (
            line
            for line in stream.iter_lines(decode_unicode=True)
            if line.startswith("data: ")
        )
        assert json.loads(next(lines)[6:])["totals"]["counts"]["uploaded"] == 500
        state.counts(Counts(700, 600, 40, 6, 4, 50))
        while json.loads(next(lines)[6:])["totals"]["counts"]["uploaded"] != 600:
            pass
        board.process.terminate()
        assert list(lines) is not None
    assert board.process.wait(30) == 0


def test_a_second_dashboard_refuses(board: Started) -> None:
    """And says how to get to the first one."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dashboard",
            "--state-dir",
            str(board.state),
            "--port",
            "0",
        ],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "--link prints a link to it" in done.stderr) == (2, True)
    other, port = str(board.state.parent / "other"), board.url.rpartition(":")[2]
    taken = subprocess.run(
        [sys.executable, "-m", "dashboard", "--state-dir", other, "--port", port],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (taken.returncode, "give another --port" in taken.stderr) == (2, True), (
        taken.stderr
    )
