"""`./start.sh` about a selection of the books: real processes, from option to report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.host import processes
from migration.ledger import totals
from migration.model import Counts
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epub

pytestmark = pytest.mark.integration


def run(state: Path, *command: str, **environment: str) -> tuple[int, str]:
    """Runs one of the programs to its end, at most as long as a small pass takes."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env=clean_environment(
            STATE_DIR=str(state),
            START_SECONDS="5",
            CHECK_INTERVAL_SECONDS="1",
            LAST_LOOK_SECONDS="0.2",
            **environment,
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_selection_from_start_to_report(tmp_path: Path) -> None:
    """Its workers only join, and work on the pass's books; the next start goes on."""
    library = Library(tmp_path / "library")
    for number in range(1, 9):
        tag = "Fantasy" if number <= 5 else "History"
        library.add(
            Made(title=f"Book {number}", tags=(tag,), files={"EPUB": epub(number)})
        )
    state = tmp_path / "state"
    start = ("-m", "deploy.launch", "--library", str(library.root), "--no-dashboard")
    try:
        code, said = run(state, *start, "--foreground", "--tag", "Fantsy")
        assert code == 2, said
        assert "no tag 'Fantsy' in the library, but 'Fantasy'" in said
        code, said = run(state, *start, "--foreground", "--tag", "fantasy")
        assert code == 0, said
        about = "selection: tag fantasy; 3 of 8 books are outside"
        assert f"Pass 1 has a {about}." in said
        assert counted(state, 1) == Counts(5, 5, 0, 0, 0, 0)
        code, said = run(state, "auto_monitor/monitor.py", "--status", "--json")
        assert json.loads(said)["totals"]["selection"] == about

        opened = run(
            state,
            "bulk_migrate_calibre.py",
            str(library.root),
            "--open-pass",
            "--ids",
            "4-7",
            **login(state),
        )
        assert opened[0] == 0, opened[1]
        code, said = run(state, *start, "--foreground", "--ids", "4-8")
        assert code == 2, said
        assert "[another-selection]" in said
        code, said = run(state, *start, "--foreground", "--workers", "2")
        assert code == 0, said
        goes_on = "selection: ids 4-7; 4 of 8 books are outside, with which it goes on."
        assert f"Pass 2 has a {goes_on}" in said
        assert counted(state, 2) == Counts(4, 2, 2, 0, 0, 0)
    finally:
        run(state, "-m", "deploy.stop")


def counted(state: Path, pass_id: int) -> Counts:
    """The numbers of a pass that is closed."""
    found = totals.read(state / LEDGER_NAME, pass_id)
    assert found is not None
    assert found.closed_at is not None
    return found.counts


def login(state: Path) -> dict[str, str]:
    """The embedded server of the state directory, and its login."""
    folder = state / "bookshelf"
    lines = (folder / "credentials").read_text("utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    where = processes.server(folder)
    assert where is not None
    return {
        "MBS2_SERVER": where[1],
        "MBS2_USERNAME": said["username"],
        "MBS2_PASSWORD": said["password"],
    }
