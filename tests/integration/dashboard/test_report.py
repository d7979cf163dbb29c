"""The report of a real pass: written at its end by the monitor, and on demand."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from dashboard.reading.slowest import MOST, slowest
from migration.state_files import logs
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Made, epub
from tests.support.migration.statekit import HOSTILE, State
from tests.support.monitor.watchkit import Watch
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
SCHEMA = json.loads(
    (PROJECT / "dashboard" / "report" / "report.schema.json").read_text()
)
BAD = Made(title=HOSTILE[0], files={"EPUB": b""})
RICH = Made(
    title="Rich",
    files={"EPUB": epub(77)},
    comments="<b>what the server has no place for</b>",
)


def report(
    state: Path, folder: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    """On demand."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "dashboard",
            "--state-dir",
            str(state),
            "--report",
            str(folder),
            *options,
        ],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_report_is_there_when_the_pass_is_closed(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """With the equation, the failure, what was not carried, the uploads and the rate;
    it agrees with its schema."""
    watch = Watch(tmp_path, shelves(tmp_path / "shelf"))
    watch.library.add(BAD, RICH)
    watch.open_pass()
    said = watch.run("--workers", "2")
    assert f"The report is in {watch.state / 'report' / 'report.html'}" in said
    value = json.loads((watch.state / "report" / "report.json").read_text())
    jsonschema.validate(value, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert value["counts"] == {
        "discovered": 62,
        "uploaded": 61,
        "duplicate": 0,
        "skipped": 0,
        "failed": 1,
        "pending": 0,
    }
    assert (value["total"], value["balanced"], value["proved"]) == (62, True, True)
    assert (value["failed"], value["failed_files"][0]["reason"]) == (
        {"empty": 1},
        "empty",
    )
    # The embedded server takes comments, and no dates.
    assert "comments" not in value["not_carried"]
    assert value["not_carried"]["timestamp"] == 61
    assert len(value["slowest"]) == MOST
    assert value["slowest"] == sorted(value["slowest"], key=lambda one: -one["seconds"])
    assert value["slowest_complete"]
    assert len(value["rate"]) >= 1
    assert value["monitor"] == []
    page = (watch.state / "report" / "report.html").read_text("utf-8")
    assert "Proved row by row." in page
    again = report(watch.state, tmp_path / "mine")
    assert (again.returncode, again.stdout) == (
        0,
        f"The report is in {tmp_path / 'mine' / 'report.html'}\n",
    )
    assert report(watch.state, tmp_path / "none", "--pass", "9").returncode == 2


def test_an_open_pass_can_be_reported_too(tmp_path: Path) -> None:
    """It says that it is open; the attempts are in it."""
    state = State(tmp_path)
    state.failed(3)
    state.entries(9)
    state.samples(30)
    assert report(tmp_path, tmp_path / "report").returncode == 0
    value = json.loads((tmp_path / "report" / "report.json").read_text())
    jsonschema.validate(value, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert (
        value["pass"]["closed_at"],
        value["proved"],
        len(value["monitor"]),
        len(value["rate"]),
    ) == (
        None,
        None,
        9,
        29,
    )
    assert "still open" in (tmp_path / "report" / "report.html").read_text()


def test_nothing_to_report_is_said(tmp_path: Path) -> None:
    """No ledger: status 2 and a sentence, no file."""
    done = report(tmp_path / "state", tmp_path / "report")
    assert (done.returncode, "nothing was migrated" in done.stderr) == (2, True)
    assert not (tmp_path / "report").exists()


def test_the_slowest_uploads_are_found_in_all_logs_of_the_pass(tmp_path: Path) -> None:
    """Rotated ones too; what was before the pass, and what only looks like an upload,
    is left out."""
    start = datetime(2026, 11, 24, 10, tzinfo=UTC)

    def line(minute: int, message: str) -> str:
        return f"{start + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S},000 - INFO - {message}\n"

    first = "".join(
        line(i, logs.uploaded(f"'a ({i} bytes, 9.9 s).epub'", i, i / 10))
        for i in range(600)
    )
    (tmp_path / "migration_worker1.log.2").write_text(
        line(-5, logs.uploaded("'old'", 1, 999)) + first
    )
    (tmp_path / "migration_worker2.log").write_text(
        line(1, logs.uploaded(HOSTILE[0], 7, 500)) + "torn - INFO - Uploaded"
    )
    (tmp_path / "migration_worker2.logbook").write_text(
        line(1, logs.uploaded("'no log'", 7, 900))
    )
    found, complete = slowest(tmp_path, start)
    assert complete
    assert (found[0].file, found[0].size, found[0].worker_id) == (HOSTILE[0], 7, 2)
    assert [one.seconds for one in found[1:]] == [
        i / 10 for i in range(599, 599 - MOST + 1, -1)
    ]
    assert slowest(tmp_path, start, patience=-1)[1] is False
