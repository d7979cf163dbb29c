"""The dashboard over a state directory: who is let in, what is refused, what it says."""

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from auto_monitor.cli import commands
from auto_monitor.cli import end as ending
from auto_monitor.cli.commands import Command, CommandKind
from auto_monitor.model import WatchRecord
from auto_monitor.processes import identity_of
from common.clock import utc_now
from common.state_dir import option
from dashboard.report import report
from migration.model import BookId, FileId
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import end
from tests.support.migration.statekit import HOSTILE, State, under_way
from tests.support.migration.workerkit import wait_for
from tests.support.servers.boardkit import Running

PATHS = (
    "/",
    "/static/page.js",
    "/static/vendor/uPlot.iife.min.js",
    "/favicon.ico",
    "/api/status",
    "/api/series",
    "/api/history",
    "/api/history/x",
    "/api/failed",
    "/api/events",
    "/api/end",
    "/reports/1",
    "/metrics",
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A migration under way."""
    return under_way(tmp_path / "state")


@pytest.fixture
def board(state: State, boards: Callable[..., Running]) -> Running:
    """A dashboard over it."""
    return boards(state.folder)


@pytest.fixture
def monitor_alive(state: State) -> Iterator[None]:
    """A process that calls itself monitor.py and is in monitor.pid, so that commands
    are accepted."""
    script = state.folder / "monitor.py"
    script.write_text("import time; time.sleep(300)")
    process = subprocess.Popen([sys.executable, str(script)], text=True)
    identity = identity_of(process.pid)
    assert identity is not None
    record = {"pid": process.pid, "pid_started_at": identity.started.isoformat()}
    (state.folder / "monitor.pid").write_text(json.dumps(record))
    yield
    end(process)


# -- who is let in ---------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_nobody_sees_anything_without_a_key(board: Running, path: str) -> None:
    """Whatever is asked for: 401, and the headers that keep a browser in check."""
    for headers in (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Cookie": "migration-00000000=x"},
    ):
        answer = requests.get(
            board.url + path, headers=headers, timeout=30, allow_redirects=False
        )
        assert answer.status_code == 401
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_link_lets_one_browser_in_once(board: Running) -> None:
    """A cookie that scripts and other sites do not get, and an address without the
    secret."""
    link = board.link()
    session = requests.Session()
    first = session.get(link, timeout=30, allow_redirects=False)
    assert (first.status_code, first.headers["Location"]) == (303, "/")
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert session.get(board.url + "/", timeout=30).status_code == 200
    assert requests.get(link, timeout=30).status_code == 403
    assert requests.get(f"{board.url}/enter", timeout=30).status_code == 403
    assert requests.head(board.link(), timeout=30).status_code == 405, (
        "looking at a link does not use it up"
    )


def test_the_token_lets_scripts_read_and_nothing_else(board: Running) -> None:
    """It is in a file that only its owner reads."""
    path = board.state / "dashboard" / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    bearer = board.bearer()
    for name in ("/api/status", "/metrics", "/"):
        assert (
            requests.get(board.url + name, headers=bearer, timeout=30).status_code
            == 200
        )
    sent = {
        **bearer,
        "Origin": board.url,
        "Sec-Fetch-Site": "same-origin",
        "X-Form-Token": "",
    }
    asked = requests.post(
        board.url + "/api/commands",
        json={"command": "retry", "files": []},
        headers=sent,
        timeout=30,
    )
    assert asked.status_code == 401
    assert not commands.waiting(board.state)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "169.254.1.1"],
)
def test_a_foreign_host_name_is_refused(board: Running, host: str) -> None:
    """DNS rebinding: a page of evil.example whose name now points here; also with a
    key."""
    answer = requests.get(
        board.url + "/api/status", headers={"Host": host, **board.bearer()}, timeout=30
    )
    assert answer.status_code in (400, 421)
    assert "workers" not in answer.text


def test_further_host_names_are_allowed_by_name(
    state: State, boards: Callable[..., Running]
) -> None:
    """For a proxy."""
    running = boards(state.folder, "--allowed-hosts", "books.example, other.example")
    bearer = running.bearer()
    for host, status in (
        ("books.example", 200),
        ("OTHER.example:443", 200),
        ("evil.example", 421),
    ):
        answer = requests.get(
            running.url + "/api/status", headers={"Host": host, **bearer}, timeout=30
        )
        assert answer.status_code == status


# -- what is refused, what is done -----------------------------------------------------


@pytest.mark.usefixtures("monitor_alive")
@pytest.mark.parametrize(
    "headers",
    [
        {"X_Form_Token": None},
        {"X_Form_Token": "0" * 64},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": None, "Origin": None},
        {"Host": "evil.example"},
        {"Cookie": "x=y"},
    ],
    ids=str,
)
def test_commands_from_elsewhere_are_refused(
    board: Running, headers: dict[str, str | None]
) -> None:
    """Another site, another session, no token: refused, and no command is left."""
    answer = board.visitor().post({"command": "pause", "worker_id": 1}, **headers)
    assert answer.status_code in (401, 403, 421)
    assert not commands.waiting(board.state)


@pytest.mark.usefixtures("monitor_alive")
def test_commands_are_left_for_the_monitor(board: Running) -> None:
    """One file each, read again by the module that owns the format."""
    visitor = board.visitor()
    command_handler = [
        Command(CommandKind.PAUSE, 1),
        Command(CommandKind.RESUME, 2),
        Command(CommandKind.RESTART, 3),
    ]
    retries = [
        Command(CommandKind.RETRY, files=(FileId(BookId(1), "EPUB"),)),
        Command(CommandKind.RETRY),
    ]
    for kind in command_handler:
        answer = visitor.post({"command": kind.kind.value, "worker_id": kind.worker_id})
        assert (
            answer.status_code,
            "the monitor does it" in answer.json()["message"],
        ) == (202, True)
    for retry in retries:
        asked = visitor.post(
            {
                "command": "retry",
                "files": [[file.book_id, file.format] for file in retry.files],
            }
        )
        assert asked.status_code == 202
    taken = commands.take(board.state)
    assert (set(taken.commands), taken.strange) == ({*command_handler, *retries}, [])


@pytest.mark.usefixtures("monitor_alive")
def test_what_makes_no_sense_is_refused_with_a_sentence(board: Running) -> None:
    """A worker that is not there, nonsense, too much."""
    visitor = board.visitor()
    assert visitor.post({"command": "pause", "worker_id": 9}).status_code == 409
    assert visitor.post({"command": "explode", "worker_id": 1}).status_code == 400
    assert visitor.post("x" * 100_000).status_code == 413
    assert not commands.waiting(board.state)


def test_without_a_monitor_only_a_retry_is_taken_for_later(board: Running) -> None:
    """And the person is told what that means."""
    visitor = board.visitor()
    refused = visitor.post({"command": "pause", "worker_id": 1})
    assert (refused.status_code, "No monitor runs" in refused.text) == (409, True)
    kept = visitor.post({"command": "retry", "files": []})
    assert kept.json()["message"] == (
        "No monitor runs; the next start retries all failed files: "
        f"./start.sh {option(board.state)}"
    )
    assert commands.take(board.state).commands == [Command(CommandKind.RETRY)]


def test_signing_out_ends_the_session(board: Running) -> None:
    """The cookie is worth nothing afterwards."""
    visitor = board.visitor()
    cookies = visitor.session.cookies.get_dict()
    headers = {"X-Form-Token": visitor.token, "Origin": board.url}
    assert (
        visitor.session.post(
            board.url + "/leave", headers=headers, timeout=30
        ).status_code
        == 200
    )
    assert requests.get(board.url + "/", cookies=cookies, timeout=30).status_code == 401


# -- what it says ----------------------------------------------------------------------


def test_the_status_has_the_honest_total_and_every_worker(board: Running) -> None:
    """The total is the one that was counted first, not what has been discovered so
    far."""
    now = board.visitor().get("/api/status").json()
    assert (
        now["state"],
        now["totals"]["total"],
        now["totals"]["counts"]["discovered"],
    ) == ("running", 1000, 600)
    assert [worker["worker_id"] for worker in now["workers"]] == [1, 2, 3]
    worker = now["workers"][0]
    assert worker["files"][0]["bytes_sent"] == 1_200_000
    assert (worker["paused"], worker["stuck"]) == (False, False)
    assert [one["attempts"] for one in now["workers"]] == [0, 0, 3]
    assert now["eta"] is None, "nothing is known of the rate yet"
    assert now["thresholds"] == {"saturated": 90, "normal": 50}


def test_a_watch_is_shown_to_people_and_to_prometheus(
    state: State, boards: Callable[..., Running], monitor_alive: None
) -> None:
    """When the library was looked at, what was found, and what stands in the way."""
    with closing(sqlite3.connect(state.folder / LEDGER_NAME)) as db, db:
        db.execute("UPDATE passes SET closed_at = ?", (utc_now().isoformat(),))
    record = WatchRecord(900.0, looked_at=utc_now(), found="no change", trouble="oh")
    state.monitor(3, watch=record)
    visitor = boards(state.folder).visitor()
    now = visitor.get("/api/status").json()
    assert (now["state"], now["watch"]["found"]) == ("watching", "no change")
    metrics = visitor.get("/metrics").text
    assert "migration_watch_active 1.0" in metrics
    assert "migration_watch_trouble 1.0" in metrics
    assert "migration_watch_look_age_seconds " in metrics


def test_without_a_watch_it_is_finished(
    state: State, boards: Callable[..., Running]
) -> None:
    """Prometheus is told so, too; a watch without a monitor is none."""
    with closing(sqlite3.connect(state.folder / LEDGER_NAME)) as db, db:
        db.execute("UPDATE passes SET closed_at = ?", (utc_now().isoformat(),))
    visitor = boards(state.folder).visitor()
    assert visitor.get("/api/status").json()["state"] == "finished"
    metrics = visitor.get("/metrics").text
    assert "migration_watch_active 0.0" in metrics
    assert "migration_watch_trouble" not in metrics


def test_the_history_is_listed_and_shown_whole(board: Running) -> None:
    """Newest first; an entry that is not there is 404."""
    visitor = board.visitor()
    entries = visitor.get("/api/history").json()["entries"]
    assert [entry["verdict"] for entry in entries] == [
        "verified",
        "pending",
        "failed",
        "verified",
        "verified",
    ]
    code = next(entry for entry in entries if entry["fix_type"] == "code_fix")
    whole = visitor.get("/api/history/" + quote(code["key"])).json()
    assert "for attempt in range(TRIES)" in whole["code_changes"]["full"]
    pending = next(entry for entry in entries if entry["verdict"] == "pending")
    under_way = visitor.get("/api/history/" + quote(pending["key"])).json()
    assert (under_way["verified"], under_way["case"]["stage"]) == (None, "recorded")
    assert visitor.get("/api/history/nobody").status_code == 404


def test_failed_files_are_searched_by_the_server(board: Running) -> None:
    """By reason, text or book id, whatever the case; a page at a time."""
    visitor = board.visitor()
    everything = visitor.get("/api/failed").json()
    assert [file["book_id"] for file in everything["files"]] == [1, 2, 3, 4]
    assert everything["next"] is None
    assert [
        file["book_id"]
        for file in visitor.get("/api/failed?q=TOO%20big").json()["files"]
    ] == [1, 3]
    assert visitor.get("/api/failed?after=2:EPUB").json()["files"][0]["book_id"] == 3
    script = visitor.get("/api/failed?q=%3Cscript%3E")
    assert script.headers["Content-Type"].startswith("application/json")
    assert HOSTILE[0] in script.json()["files"][0]["message"]
    assert visitor.get("/api/failed?after=nonsense&q=%00").status_code == 200


def test_many_failed_files_come_in_pages(board: Running, state: State) -> None:
    """Every one once, in order."""
    state.sql("DELETE FROM files")
    state.failed(130)
    visitor = board.visitor()
    seen: list[int] = []
    after = ""
    while True:
        page = visitor.get(f"/api/failed?q=epub&after={after}").json()
        seen += [file["book_id"] for file in page["files"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == list(range(1, 131))


def get(board: Running, path: str) -> requests.Response:
    """The answer to a script."""
    return requests.get(board.url + path, headers=board.bearer(), timeout=30)


def test_the_end_is_shown_when_nothing_works_any_more(
    board: Running, state: State
) -> None:
    """The same page as in the terminal and in the report."""
    assert get(board, "/api/end").json() == {
        "end": None,
        "reports": [],
    }
    state.sql("UPDATE passes SET closed_at = opened_at")
    found = get(board, "/api/end").json()["end"]
    shown = ending.read(state.folder, utc_now())
    assert shown is not None
    assert found == json.loads(json.dumps(asdict(shown)))
    assert found["mood"] == "badly"


def test_reports_of_earlier_passes_are_listed_and_served(
    board: Running, state: State
) -> None:
    """With a policy of their own: their style, no script; nothing else of the folder."""
    for number in (1, 2, 10):
        state.sql("UPDATE passes SET id = ?", (number,))
        report.write(state.folder, state.folder / "report", utc_now(), keep=20)
    listed = get(board, "/api/end").json()["reports"]
    assert [one["pass_id"] for one in listed] == [10, 2, 1]
    page = get(board, "/reports/2")
    assert page.status_code == 200
    assert "<title>Migration report, pass 2</title>" in page.text
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "script" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    for other in ("/reports/3", "/reports/../monitor_state.json", "/reports/2/x"):
        assert get(board, other).status_code == 404


def test_a_state_directory_without_anything_is_no_error(
    tmp_path: Path, boards: Callable[..., Running]
) -> None:
    """A dashboard may be there before the migration; a torn file and a damaged ledger
    do not end it either."""
    running = boards(tmp_path / "empty")
    visitor = running.visitor()
    now = visitor.get("/api/status").json()
    assert (now["state"], now["workers"], now["totals"]) == ("none", [], None)
    assert visitor.get("/api/series").json()["at"] == []
    assert visitor.get("/api/failed").json()["files"] == []
    (running.state / "migration_ledger.db").write_bytes(b"not a database" * 500)
    (running.state / "auto_fix_history.json").write_text("[{")
    (running.state / "migration_progress_worker1.json").write_text("{")
    assert visitor.get("/api/history").json()["entries"] == []
    wait_for(lambda: visitor.get("/api/status").status_code == 200)


def test_nothing_of_the_migration_is_written(board: Running, state: State) -> None:
    """The same bytes and times before and after everything has been looked at."""

    def marks() -> dict[str, tuple[int, int]]:
        return {
            path.name: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in state.folder.iterdir()
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }

    before = marks()
    visitor = board.visitor()
    for path in PATHS:
        if path != "/api/events":
            visitor.get(path)
    assert marks() == before
