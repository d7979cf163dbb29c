"""`python -m dashboard` in this process: it serves until a signal, prints a link,
writes the report."""

import json
from pathlib import Path

import pytest
import requests

from common.hints import hint
from common.state_dir import option
from dashboard.__main__ import main
from dashboard.config import LOOPBACK, read_config
from tests.support.migration.statekit import State, under_way
from tests.support.servers.inprocess import Asked, call_beside, call_main, serve


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A migration under way."""
    return under_way(tmp_path / "state")


def run(state: State, *options: str) -> tuple[int, str]:
    """The program on this state directory."""
    return call_main(main, ["--state-dir", str(state.folder), *options])


def test_it_serves_until_a_signal(state: State) -> None:
    """Events come at once and end with it; a link lets in; status 0."""
    record = state.folder / "dashboard" / "server.json"
    seen: list[object] = []

    def ask() -> None:
        url = json.loads(record.read_bytes())["url"]
        code, link = call_beside(main, ["--state-dir", str(state.folder), "--link"])
        assert (code, link.startswith(f"{url}/enter?link=")) == (0, True)
        with requests.Session() as session:
            assert session.get(link.strip(), timeout=20).status_code == 200
            events = session.get(f"{url}/api/events", stream=True, timeout=20)
            lines = events.iter_lines(decode_unicode=True)
            data = next(line for line in lines if line.startswith("data: "))
            seen.append(json.loads(data[6:])["totals"]["counts"]["uploaded"])
            again = call_beside(main, ["--state-dir", str(state.folder), "--port", "0"])
            seen.append((again[0], "already running" in again[1]))
            events.close()

    given = ["--state-dir", str(state.folder), "--port", "0"]
    code, said = serve(main, given, Asked(record, ask))
    assert code == 0
    assert said.startswith("dashboard listening on http://127.0.0.1:")
    assert "link=" not in said.splitlines()[0]
    assert seen == [500, (2, True)]


def test_links_of_a_page_that_is_published_elsewhere(state: State) -> None:
    """In a container's log: with the host's address and port, which is allowed."""
    record = state.folder / "dashboard" / "server.json"
    seen: list[str] = []

    def ask() -> None:
        seen.append(json.loads(record.read_bytes())["url"])

    given = ["--state-dir", str(state.folder), "--port", "0", "--show-link"]
    url = "http://192.0.2.7:9000"
    code, said = serve(main, given, Asked(record, ask), DASHBOARD_URL=url)
    assert (code, seen) == (0, [url])
    assert said.startswith(f"dashboard listening on {url}/enter?link=")


#: DASHBOARD_URL; how links begin; the name that is allowed besides.
PUBLISHED = [
    ("", "", set()),
    ("http://127.0.0.1:8765", "http://127.0.0.1:8765", set()),
    ("http://nas:9000", "http://nas:9000", {"nas"}),
    ("https://books.example", "https://books.example", {"books.example"}),
    ("http://0.0.0.0:9000", "http://127.0.0.1:9000", set()),
    ("http://[::]:9000", "http://127.0.0.1:9000", set()),
    ("http://[::1]:9000", "http://[::1]:9000", set()),
]


@pytest.mark.parametrize(("url", "shown", "names"), PUBLISHED)
def test_where_the_page_is_published(
    url: str,
    shown: str,
    names: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every address is shown as this machine's own, and is no name."""
    monkeypatch.setenv("DASHBOARD_URL", url)
    config = read_config(["--state-dir", str(tmp_path), "--host", "0.0.0.0"])
    assert (config.public_url, config.hosts) == (shown, LOOPBACK | names)


def test_a_link_needs_a_dashboard(state: State) -> None:
    """That runs: not one that was never started, and not one that was stopped."""
    record = state.folder / "dashboard" / "server.json"
    refused = (
        f"no dashboard is running on {state.folder}; {hint('dashboard')} "
        f"{option(state.folder)} starts one\n"
    )
    assert run(state, "--link") == (2, refused)
    given = ["--state-dir", str(state.folder), "--port", "0"]
    assert serve(main, given, Asked(record, lambda: None))[0] == 0
    assert record.exists()
    assert run(state, "--link") == (2, refused)


def test_a_report_is_written(state: State, tmp_path: Path) -> None:
    """Of the newest pass, or of the one that is named."""
    code, said = run(state, "--report", str(tmp_path / "r"))
    assert (code, said) == (0, f"The report is in {tmp_path}/r/report.html\n")
    value = json.loads((tmp_path / "r" / "report.json").read_bytes())
    assert value["counts"]["uploaded"] == 500
    assert "500" in (tmp_path / "r" / "report.html").read_text("utf-8")
    code, said = run(state, "--report", str(tmp_path / "r"), "--pass", "9")
    assert (code, "9" in said) == (2, True), said


def test_reports_of_the_newest_passes_are_kept(state: State, tmp_path: Path) -> None:
    """Each in its own folder; the newest one also where it always is."""
    folder = tmp_path / "r"
    foreign = folder / "pass-1" / "note.txt"
    for number in (1, 2, 3):
        if number > 1:
            state.sql("UPDATE passes SET id = ?", (number,))
        code, said = run(state, "--report", str(folder), "--keep", "2")
        assert (code, said) == (0, f"The report is in {folder}/report.html\n")
        if number == 1:
            foreign.touch()
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert kept == [
        "pass-1/note.txt",
        "pass-2/report.html",
        "pass-2/report.json",
        "pass-3/report.html",
        "pass-3/report.json",
        "report.html",
        "report.json",
    ]
    newest = (folder / "report.html").read_bytes()
    assert (folder / "pass-3" / "report.html").read_bytes() == newest


@pytest.mark.parametrize(
    "options", [["--keep", "3"], ["--report", "r", "--keep", "-1"]]
)
def test_how_many_are_kept_is_checked(state: State, options: list[str]) -> None:
    """Status 2 and a sentence."""
    code, said = run(state, *options)
    assert (code, "--keep N goes with --report" in said) == (2, True), said


def test_an_address_that_is_not_ours(state: State) -> None:
    """Status 2."""
    code, said = run(state, "--host", "203.0.113.1", "--port", "0")
    assert (code, said.startswith("cannot listen on 203.0.113.1:0: ")) == (2, True)


@pytest.mark.parametrize("options", [["--pass", "1"], ["--port", "x"], ["--nonsense"]])
def test_wrong_usage(state: State, options: list[str]) -> None:
    """Status 2."""
    assert run(state, *options)[0] == 2


def test_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    """Status 5."""
    (tmp_path / "file").write_text("x")
    given = ["--state-dir", str(tmp_path / "file"), "--port", "0"]
    code, said = call_main(main, given)
    assert (code, said.startswith("cannot use ")) == (5, True)
