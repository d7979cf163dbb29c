"""`monitor.py` in this process, over a state directory: what it shows, what it leaves,
what it would do."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auto_monitor import monitor
from auto_monitor.cli import commands
from auto_monitor.cli.command_line import asked_of_workers
from auto_monitor.cli.commands import Command, CommandKind
from auto_monitor.cli.daemon import MonitorLock
from auto_monitor.decide.ending import Ended
from common.exit_status import ExitCode
from common.state_dir import option
from migration.model import Phase
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.statekit import State, under_way
from tests.support.servers.inprocess import call_main


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A migration under way, whose monitor has died."""
    Library(tmp_path / "library").add(*epubs(range(1)))
    return under_way(tmp_path / "state")


def run(state: State, *options: str, **environment: str) -> tuple[int, str]:
    """The program on this state directory."""
    given = ["--state-dir", str(state.folder), *options]
    told = {
        "CALIBRE_LIBRARY": str(state.folder.parent / "library"),
        "MBS2_PASSWORD": "x",
        "COLUMNS": "160",
        **environment,
    }
    return call_main(monitor.main, given, **told)


def close(state: State) -> None:
    """The pass is closed."""
    state.sql("UPDATE passes SET closed_at = ?", (datetime.now(tz=UTC).isoformat(),))


def test_the_status_says_that_nobody_watches(state: State) -> None:
    """Status 2, and every worker with what it is at."""
    code, said = run(state, "--status", "--json")
    value = json.loads(said)
    assert code == 2
    assert (value["monitor"]["alive"], value["monitor"]["stale"]) == (False, True)
    assert [worker["worker_id"] for worker in value["workers"]] == [1, 2, 3]
    assert value["totals"]["counts"]["uploaded"] == 500
    # 450 files are left: 400 that nobody has found yet, 50 that are pending.
    assert value["eta_seconds"] == pytest.approx(450 / (3 * 210.5 + 6) * 60, abs=1)


#: The last word of a monitor, and the status of `--status`.
LAST_WORDS = {
    Ended.NOT: 2,
    Ended.STOPPED: 2,
    Ended.HOPELESS: 2,
    Ended.DONE: 0,
    Ended.LIMIT: 0,
    Ended.TIME_IS_UP: 0,
}


@pytest.mark.parametrize("word", list(Ended))
def test_a_monitor_that_was_to_end_is_not_missed(state: State, word: Ended) -> None:
    """Whoever gave it a limit has what they asked for."""
    state.monitor(3, ended=word)
    assert run(state, "--status")[0] == LAST_WORDS[word]


@pytest.mark.parametrize(
    "words",
    [
        "Monitor: does not run",
        "Workers desired: 3 of 3; disk: 64 % busy",
        "Pass 1: 55.0 % of 1,000 files",
        "600 discovered   500 uploaded   40 duplicate   6 skipped   4 failed   50 pend",
        "Rate: 637.5 files/min, 5.0 MB uploaded, 2:00:0",
        "so far, about 0:00:42 to go",
        "migrating",
    ],
)
def test_the_status_in_words(state: State, words: str) -> None:
    """As a person reads it."""
    assert words in run(state, "--status")[1]


def test_a_worker_that_is_gone_or_paused_is_told(state: State) -> None:
    """Whatever its last progress said."""
    state.worker(2, phase=Phase.FAILED)
    said = run(state, "--status")[1]
    assert "failed (gone)" in said
    assert said.count("migrating") == 2


def test_the_status_of_what_has_ended_says_how(state: State) -> None:
    """With the first line of the page about the end, and where its report is."""
    assert "Done" not in run(state, "--status")[1]
    close(state)
    report = state.folder / "report" / "pass-1" / "report.html"
    report.parent.mkdir(parents=True)
    report.touch()
    said = run(state, "--status")[1]
    assert "Done, but the numbers do not agree\n" in said
    assert f"Report: {report}"[:100] in said


def test_the_live_status_ends_with_the_pass(state: State) -> None:
    """Closed, and no monitor runs: one picture, then the end."""
    close(state)
    (state.folder / "auto_restart.log").write_text("one\ntwo \x1b[31m\n")
    code, said = run(state, "--status", "--watch")
    assert code == 0
    assert "Pass 1, closed: 91.6 % of 600 files" in said
    assert "500 uploaded" in said
    assert "Monitor: does not run" in said
    assert "What the monitor did" in said
    assert "two" in said
    assert "\x1b[31m" not in said


def test_nothing_to_show_is_no_error(tmp_path: Path) -> None:
    """A directory in which no pass was opened; nobody knows a worker."""
    empty = tmp_path / "empty"
    empty.mkdir()
    given = ["--state-dir", str(empty), "--status"]
    code, said = call_main(monitor.main, given, COLUMNS="100")
    assert code == 2
    assert "Rate: 0 files/min\n" in said
    assert "not known" in said


def test_resume_leaves_a_command(state: State) -> None:
    """For the monitor's next look, or its next start."""
    told = "The monitor will resume worker 2"
    code, said = run(state, "--resume", "2")
    start = f"./start.sh {option(state.folder)}"
    assert (code, said) == (0, f"{told} when it runs again: {start}\n")
    assert commands.take(state.folder).commands == [Command(CommandKind.RESUME, 2)]
    lock = MonitorLock(state.folder)
    try:
        assert run(state, "--resume", "2") == (0, f"{told} at its next look.\n")
    finally:
        lock.release()
    assert commands.take(state.folder).commands == [Command(CommandKind.RESUME, 2)]


def test_a_dry_run_looks_once_and_touches_nobody(state: State) -> None:
    """What it would do is said; no worker starts, and but for the log no file changes."""
    before = {path.name: path.stat().st_mtime_ns for path in state.folder.iterdir()}
    code, said = run(state, "--dry-run", "--once", "--workers", "2")
    assert code == 0, said
    assert "Watching pass 1" in said
    after = {path.name: path.stat().st_mtime_ns for path in state.folder.iterdir()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {"monitor.log", LEDGER_NAME + "-shm", LEDGER_NAME + "-wal"}


def test_without_an_open_pass_there_is_nothing_to_watch(state: State) -> None:
    """And that is no error."""
    close(state)
    code, said = run(state, "--dry-run", "--once")
    assert (code, "No pass is open: nothing to watch" in said) == (0, True)


@pytest.mark.parametrize(
    ("options", "environment", "code", "words"),
    [
        (["--workers", "0"], {}, 2, "--workers"),
        ([], {"STUCK_THRESHOLD_SECONDS": "soon"}, 2, "STUCK_THRESHOLD_SECONDS='soon'"),
        (["--resume", "x"], {}, 2, "--resume"),
        (["--rollback"], {}, 2, "no backup in"),
    ],
)
def test_wrong_usage_is_a_sentence(
    state: State,
    options: list[str],
    environment: dict[str, str],
    code: int,
    words: str,
) -> None:
    """And status 2."""
    status, said = run(state, *options, **environment)
    assert (status, words in said) == (code, True), said


def test_a_state_directory_that_cannot_be_made(state: State) -> None:
    """It is a file."""
    (state.folder / "file").write_text("x")
    given = ["--state-dir", str(state.folder / "file"), "--once"]
    told = {"CALIBRE_LIBRARY": str(state.folder), "MBS2_PASSWORD": "x"}
    code, said = call_main(monitor.main, given, **told)
    assert code in (2, ExitCode.STATE), said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--watch", "--dry-run"], "--watch stays: leave out --dry-run and --once"),
        (["--watch", "--once"], "--watch stays: leave out --dry-run and --once"),
        (["--watch", "--every", "0"], "--every"),
        (["--watch", "--every", "soon"], "a duration such as 90, 45s, 15m or 1h30m"),
        (["--watch", "--status", "--json"], "--watch is for people"),
        (["--json"], "--json goes with --status"),
    ],
)
def test_options_of_watching_that_make_no_sense(
    state: State, options: list[str], why: str
) -> None:
    """A sentence, and 2."""
    code, said = run(state, *options)
    assert code == 2
    assert why in said


def test_a_watch_has_no_time_limit(state: State) -> None:
    """The two say opposite things."""
    code, said = run(state, "--watch", MIGRATE_MAX_DURATION="1h")
    assert (code, "--watch has no end" in said) == (2, True)


def test_what_the_watch_found_is_shown(state: State) -> None:
    """On one line, also when the monitor has died; older state files have none."""
    assert "Library:" not in run(state, "--status")[1]
    path = state.folder / "monitor_state.json"
    kept = json.loads(path.read_bytes())
    assert json.loads(run(state, "--status", "--json")[1])["watch"] is None
    looked = {"looked_at": "2026-01-01T00:00:00+00:00", "found": "no change"}
    path.write_text(json.dumps({**kept, "watch": {"every": 900.0, **looked}}))
    text = run(state, "--status")[1]
    assert "Library: watching; looked " in text
    assert "ago: no change" in text
    found = json.loads(run(state, "--status", "--json")[1])["watch"]
    assert (found["every_seconds"], found["found"]) == (900.0, "no change")


def test_what_is_asked_of_workers_shows_in_one_word() -> None:
    """Without secrets, and without what has nothing to do with the books."""
    plain = asked_of_workers({})
    assert plain == asked_of_workers({"MBS2_PASSWORD": "secret", "PATH": "/bin"})
    assert plain == asked_of_workers({"MIGRATE_FORMATS": ""})
    assert plain != asked_of_workers({"MIGRATE_FORMATS": "epub"})
