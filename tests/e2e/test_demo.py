"""The two buttons, as somebody presses them who has just cloned the repository."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import processes
from migration import totals
from tests.conftest import PROJECT, clean_environment
from tests.integration.test_migration_changes import wait_for
from tests.librarykit import Library, epubs
from tests.truth import look

pytestmark = pytest.mark.e2e


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A copy of what git knows, with this virtual environment instead of a new one, in a folder with a blank."""
    folder = tmp_path / "a clone"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, check=True, timeout=60,
        capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in names:
        source = PROJECT / name
        if name and source.is_file() and not name.startswith("tests/"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    yield folder
    press(folder, "./stop.sh")


def press(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Runs one of the buttons from another directory."""
    environment = {key: value for key, value in clean_environment().items() if not key.startswith("PYTHON")}
    button, *rest = command
    return subprocess.run(
        [str(folder / button), *rest],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_demo_runs_twice_and_stops(clone: Path) -> None:
    """First everything arrives, then everything is a duplicate; the server stays until ./stop.sh."""
    expected = json.loads((clone / "demo" / "expected.json").read_text("utf-8"))
    ledger = clone / "demo" / "state" / "migration_ledger.db"
    for number, run in ((1, "first_run"), (2, "second_run")):
        done = press(clone, "./start.sh", "--demo")
        assert done.returncode == 0, done.stdout + done.stderr
        found = totals.read(ledger)
        assert found is not None
        assert found.pass_id == number
        counts = {name: getattr(found.counts, name) for name in ("discovered", "uploaded", "duplicate")}
        assert {**counts, "failed": dict(found.failed)} == expected[run]
        assert totals.proved(ledger, number)
        assert "The books can be looked at on http://127.0.0.1:" in done.stdout
        assert "files discovered" in done.stdout
    server = processes.server(clone / "demo" / "state" / "bookshelf")
    assert server is not None
    assert server[0].running() is not None
    with urllib.request.urlopen(server[1] + "/login", timeout=30) as page:
        assert b"Log in" in page.read()
    stopped = press(clone, "./stop.sh")
    assert (stopped.returncode, "embedded server" in stopped.stdout) == (0, True)
    assert server[0].running() is None
    assert press(clone, "./stop.sh").stdout.strip() == "Nothing was running."


def test_wrong_usage_says_what_to_do(clone: Path) -> None:
    """Without a library, with a folder that is none, with too many workers: status 2 and a sentence."""
    for arguments, sentence in (
        ([], "name your library"),
        (["--library", "/nonexistent"], "/nonexistent has no metadata.db"),
        (["--library", str(clone / "demo" / "library"), "--workers", "9"], "not between 1 and 8"),
    ):
        done = press(clone, "./start.sh", *arguments)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_a_foreign_process_is_never_stopped(clone: Path) -> None:
    """A recycled pid in server.json: another start time, so not ours."""
    sleeper = subprocess.Popen(["sleep", "60"])
    data_dir = clone / "demo" / "state" / "bookshelf"
    data_dir.mkdir(parents=True)
    record = {"url": "http://127.0.0.1:1", "pid": sleeper.pid, "pid_started_at": "2020-01-01T00:00:00+00:00"}
    (data_dir / "server.json").write_text(json.dumps(record))
    assert press(clone, "./stop.sh").stdout.strip() == "Nothing was running."
    assert sleeper.poll() is None
    sleeper.terminate()
    sleeper.wait(10)


def test_your_own_library_is_stopped_in_the_middle_and_goes_on(clone: Path, tmp_path: Path) -> None:
    """`./start.sh --library DIR`, `./stop.sh`, `./start.sh` again: nothing left running, everything there once."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(250)))
    state = tmp_path / "state of mine"
    environment = {key: value for key, value in clean_environment().items() if not key.startswith("PYTHON")}
    environment["STATE_DIR"] = str(state)
    command = [str(clone / "start.sh"), "--library", str(library.root), "--workers", "2"]
    with (tmp_path / "out").open("w") as out:
        first = subprocess.Popen(command, cwd="/", env=environment, stdout=out, stderr=out)
        wait_for(
            lambda: (found := totals.read(state / "migration_ledger.db")) is not None and found.counts.uploaded >= 20
        )
        stopped = subprocess.run(
            [str(clone / "stop.sh")], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert first.wait(60) == 143, stopped.stdout
    assert "./start.sh" in stopped.stdout
    assert stopped.returncode == 0
    assert all(worker.running() is None for worker in processes.workers(state))
    again = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert again.returncode == 0, again.stderr
    found = totals.read(state / "migration_ledger.db")
    assert found is not None
    assert (found.pass_id, found.counts.discovered, found.counts.uploaded) == (1, 250, 250)
    server = processes.server(state / "bookshelf")
    assert server is not None
    subprocess.run([str(clone / "stop.sh")], env=environment, timeout=60, check=True, capture_output=True)
    assert server[0].running() is None
    truth = look(state / "bookshelf")
    assert (truth.ebooks, truth.working_titles, truth.ebooks_without_source) == (250, 0, 0)
