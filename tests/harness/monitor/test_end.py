"""The page about the end, read from a state directory."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auto_monitor import config
from auto_monitor.cli import end, end_text
from auto_monitor.decide.end_page import End, Mood
from auto_monitor.model import MonitorState, WorkerRecord
from auto_monitor.record.state_file import MonitorStateFile, state_path
from migration.model import Counts, Phase
from tests.support.migration.statekit import State

NOW = datetime.now(tz=UTC)
DEMO = config.PROJECT / "demo"


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A pass of 10 files that two workers have ended, in a folder with a blank."""
    made = State(tmp_path / "my state", total=10)
    made.counts(Counts(10, 7, 1, 0, 2, 0), 5_000_000)
    made.failed(2)
    made.sql(
        "INSERT INTO tallies (pass_id, kind, name, n) VALUES (1, 'failed', 'empty', 1), "
        "(1, 'failed', 'too big', 1), (1, 'not_carried', 'comments', 4), "
        "(1, 'replaced', 'file', 3)"
    )
    for number in (1, 2):
        made.worker(number, phase=Phase.COMPLETED)
    return made


def close(state: State) -> None:
    """The pass is closed."""
    state.sql("UPDATE passes SET closed_at = ?", (NOW.isoformat(),))


def ended(state: State, word: str) -> None:
    """A monitor has left its last word."""
    records = {n: WorkerRecord(n) for n in (1, 2)}
    value = MonitorState(2, 2, NOW, workers=records, ended=word)
    MonitorStateFile(state_path(state.folder)).write(value)


def page(state: State) -> End:
    """The page of the newest pass."""
    found = end.read(state.folder, NOW)
    assert found is not None
    return found


def test_a_closed_pass(state: State) -> None:
    """Numbers, failures with examples, what was not carried and replaced, commands
    that can be pasted."""
    close(state)
    found = page(state)
    # Its files are one short of what its counters say.
    assert (found.mood, found.title) == (
        Mood.BADLY,
        "Done, but the numbers do not agree",
    )
    assert {one.reason: len(one.examples) for one in found.failures} == {
        "empty": 1,
        "too big": 1,
    }
    assert found.failures[1].examples[0].startswith("book 1, EPUB: ")
    assert [(one.what, one.n) for one in found.not_carried] == [("comments", 4)]
    assert [(one.what, one.n) for one in found.changed] == [
        ("files replaced by Calibre's newer ones", 3)
    ]
    assert (found.shelf, found.login, found.report) == ("http://127.0.0.1:1", "", "")
    assert [step.command for step in found.next] == [
        f"./start.sh --library '{state.folder}/library' --server http://127.0.0.1:1 "
        f"--state-dir '{state.folder}'",
        f"./migrate retry --state-dir '{state.folder}'",
    ]


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("limit reached", "Not done: the limit is reached (--limit). "),
        ("out of time", "Not done: the time is up (--max-duration). "),
        ("stopped", "Not done: it was stopped. "),
        ("", "Not done: nobody works on it now. "),
    ],
)
def test_a_pass_that_stays_open(state: State, word: str, title: str) -> None:
    """The monitor's last word says why."""
    ended(state, word)
    found = page(state)
    assert found.title.startswith(title)
    assert found.next[0].what == "To go on from here"


def test_workers_at_work_are_no_end(state: State) -> None:
    """Unless the caller knows that they end now."""
    state.worker(1)
    assert page(state).title.startswith("Under way: ")
    found = end.read(state.folder, NOW, runs=False)
    assert found is not None
    assert found.title.startswith("Not done: ")


def test_an_earlier_pass_is_not_blamed_for_what_is_now(state: State) -> None:
    """Paused workers and the last word are of the newest one."""
    close(state)
    state.sql(
        "INSERT INTO passes (id, opened_at, highest_id, claimed_to, listed) "
        "VALUES (2, ?, 10, 0, 10)",
        (NOW.isoformat(),),
    )
    ended(state, "stopped")
    found = end.read(state.folder, NOW, 1)
    assert found is not None
    assert (found.pass_id, found.first) == (
        1,
        ("The rows of the ledger do not agree with its counters: please report this.",),
    )
    assert page(state).title.startswith("Not done: it was stopped. ")


def test_no_pass_has_no_end(tmp_path: Path) -> None:
    """Nothing was migrated here."""
    assert end.read(tmp_path, NOW) is None
    assert end.read(State(tmp_path / "state").folder, NOW, 9) is None


def test_the_demos_failure_is_meant(tmp_path: Path) -> None:
    """The library is the demo's, so what it is made to have is expected."""
    meant = json.loads((DEMO / "expected.json").read_text("utf-8"))["first_run"]
    made = State(tmp_path / "state", total=61)
    made.worker(1, phase=Phase.COMPLETED, library=str(DEMO / "library"))
    made.counts(Counts(61, 59, 1, 0, 1, 0), 5_000)
    for reason, n in meant["failed"].items():
        made.sql("INSERT INTO tallies VALUES (1, 'failed', ?, ?)", (reason, n))
    close(made)
    found = page(made)
    (one,) = found.failures
    assert one.meant == "meant to be refused: the demo shows what that looks like"
    assert "(meant to be refused: " in end_text.as_text(found)


def test_the_embedded_server(state: State) -> None:
    """It is stopped: its login, and how to look at the books."""
    shelf = state.folder / "bookshelf"
    shelf.mkdir()
    (shelf / "bookshelf.db").touch()
    (shelf / "credentials").write_text("username=admin\npassword=x\n")
    state.sql("INSERT INTO meta VALUES ('server', 'http://127.0.0.1:1')")
    close(state)
    found = page(state)
    assert found.login == str(shelf / "credentials")
    commands = [step.command for step in found.next]
    assert commands[0] == (
        f"./start.sh --library '{state.folder}/library' --state-dir '{state.folder}'"
    )
    assert commands[-1] == f"./migrate serve --state-dir '{state.folder}'"


def test_what_people_are_told_in_a_container(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address and the commands of the host; the container's own are of no use."""
    monkeypatch.setenv("SHELF_URL", "http://127.0.0.1:6007")
    monkeypatch.setenv("MIGRATE_START", "docker compose up migrator")
    monkeypatch.setenv("MIGRATE_COMMAND", "docker compose run --rm migrator m")
    close(state)
    found = page(state)
    assert found.shelf == "http://127.0.0.1:6007"
    assert [step.command for step in found.next] == [
        "docker compose up migrator",
        f"docker compose run --rm migrator m retry --state-dir '{state.folder}'",
    ]


def test_the_report_that_is_kept(state: State) -> None:
    """Of this very pass."""
    close(state)
    kept = state.folder / "report" / "pass-1" / "report.html"
    assert page(state).report == ""
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert page(state).report == str(kept)
