"""The page in a real headless Chromium: over a made state for what is hard to come by,
and over a real migration."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from auto_monitor.cli import commands
from auto_monitor.cli.commands import Command, CommandKind
from auto_monitor.model import WatchRecord
from dashboard.report import report
from migration.ledger.scope import Scope
from migration.model import BookId, Counts, FileId, Phase
from tests.support.environment import end
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.statekit import HOSTILE, State
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import Watch
from tests.support.servers.boardkit import Started, start_board
from tests.support.servers.browserkit import (
    PHONE,
    WIDE,
    browser,
    colours,
    resize,
    text_of,
    troubles,
    violations,
    wait,
)
from tests.support.servers.shelf import Shelf

# Chromium ends what it loads when a network comes or goes, as containers make them.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("networks")]


@pytest.fixture
def boards() -> Iterator[Callable[[Path], Started]]:
    """Starts dashboards; all are ended."""
    started: list[Started] = []

    def start(state: Path) -> Started:
        started.append(start_board(state))
        return started[-1]

    yield start
    for running in started:
        end(running.process)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    """One browser for the tests of a module; each has its own dashboard and so its own
    cookie."""
    with browser() as made:
        yield made


@pytest.fixture(autouse=True)
def _as_new(chrome: Chrome) -> None:
    chrome.get("about:blank")
    resize(chrome, WIDE)
    colours(chrome, dark=False)
    troubles(chrome)


def show(chrome: Chrome, board: Started) -> None:
    """Comes in by a link and waits for the first numbers."""
    chrome.get(board.link())
    wait(
        chrome,
        lambda page: page.execute_script(
            "return document.documentElement.dataset.shown"
        ),
    )


def busy_state(folder: Path, workers: int = 8, entries: int = 40) -> State:
    """A migration with everything there is to see, hostile text everywhere."""
    state = State(folder)
    state.counts(Counts(60_000, 50_000, 4_000, 60, 70, 5_870), 90_000_000_000)
    state.failed(70)
    state.samples(60)
    state.entries(entries)
    state.monitor(workers)
    library = Library(folder / "library")
    library.add(*(Made(title=HOSTILE[number % 3]) for number in range(70)))
    for number in range(1, workers + 1):
        state.worker(
            number,
            phase=Phase.WAITING if number == 5 else Phase.MIGRATING,
            name=HOSTILE[number % 3],
        )
    return state


def test_hostile_text_breaks_nothing(
    chrome: Chrome, boards: Callable[[Path], Started], tmp_path: Path
) -> None:
    """A script as a title, right-to-left text, 250 characters without a blank: shown as
    they are."""
    show(chrome, boards(busy_state(tmp_path / "state").folder))
    wait(chrome, lambda page: HOSTILE[0] in text_of(page, "#failed-list"))
    wait(chrome, lambda page: HOSTILE[1] in text_of(page, "#worker-list"))
    open_entries(chrome)
    scripts = chrome.execute_script(
        "return [...document.scripts].map(script => script.getAttribute('src'))"
    )
    assert scripts == ["/static/vendor/uPlot.iife.min.js", "/static/page.js"]
    assert (
        chrome.execute_script(
            "return document.querySelectorAll('main b b, .diff b, main script').length"
        )
        == 0
    )
    for size in (WIDE, PHONE):
        resize(chrome, size)
        assert chrome.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
        ), size
    assert troubles(chrome) == []


def test_a_watch_is_one_line_and_none_without(
    chrome: Chrome, boards: Callable[[Path], Started], tmp_path: Path
) -> None:
    """What the last look found; in the colour of trouble when there is some."""
    state = busy_state(tmp_path / "state", workers=1)
    board = boards(state.folder)
    show(chrome, board)
    line = chrome.find_element(By.ID, "watch")
    assert not line.is_displayed()
    record = WatchRecord(900.0, looked_at=state.now, found="no change since pass 8")
    state.monitor(1, watch=record)
    wait(chrome, lambda page: "no change since pass 8" in text_of(page, "#watch"))
    assert line.text.startswith("Library: watching; looked ")
    assert line.get_attribute("class") == "aside"
    state.monitor(1, watch=replace(record, trouble="It cannot be read"))
    wait(chrome, lambda page: "It cannot be read" in text_of(page, "#watch"))
    assert line.get_attribute("class") == "aside bad"
    assert troubles(chrome) == []


def test_the_selection_of_a_pass_is_shown(
    tmp_path: Path, chrome: Chrome, boards: Callable[[Path], Started]
) -> None:
    """As text, whatever a tag is called."""
    state = State(tmp_path / "state")
    scope = Scope({}, f"tag {HOSTILE[0]}", 200, 160)
    state.sql("UPDATE passes SET selection = ?", (scope.text(),))
    show(chrome, boards(state.folder))
    wait(chrome, lambda page: "160 of 200 books" in text_of(page, "#facts"))
    assert troubles(chrome) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_end_comes_first_when_it_has_ended(
    tmp_path: Path, chrome: Chrome, boards: Callable[[Path], Started], dark: bool
) -> None:
    """With the shelf as a link, remedies, commands, and the reports that are kept;
    hostile names are text, and axe finds nothing."""
    colours(chrome, dark=dark)
    state = State(tmp_path / "state")
    state.counts(Counts(10, 7, 1, 0, 2, 0), 5_000_000)
    state.failed(2)
    state.worker(1, phase=Phase.COMPLETED)
    state.sql(
        "INSERT INTO tallies (pass_id, kind, name, n) VALUES (1, 'failed', 'empty', 2), "
        "(1, 'not_carried', ?, 1)",
        (f"#{HOSTILE[0]}",),
    )
    board = boards(state.folder)
    show(chrome, board)
    wait(chrome, lambda page: "Not done" in text_of(page, "#end-title"))
    assert not chrome.find_element(By.ID, "reports").is_displayed()
    state.sql("UPDATE passes SET closed_at = ?", (state.now.isoformat(),))
    report.write(state.folder, state.folder / "report", state.now, keep=20)
    wait(chrome, lambda page: "Done" in text_of(page, "#end-title").split(",")[0])
    body = text_of(chrome, "#end-body")
    for words in (
        "What to do: replace it in Calibre.",
        f"#{HOSTILE[0]}: 1 book",
        "./migrate retry --state-dir",
    ):
        assert words in body
    shelf = chrome.find_element(By.CSS_SELECTOR, "#end-body a")
    assert shelf.get_attribute("href") == "http://127.0.0.1:1/"
    assert violations(chrome) == []
    for size in (WIDE, PHONE):
        resize(chrome, size)
        assert chrome.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
        ), size
    chrome.find_element(By.LINK_TEXT, "Pass 1").click()
    # No script runs there, so axe cannot look at it.
    wait(chrome, lambda page: page.title == "Migration report, pass 1")
    assert troubles(chrome) == []


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(
    chrome: Chrome,
    boards: Callable[[Path], Started],
    tmp_path: Path,
    size: tuple[int, int],
    dark: bool,
) -> None:
    """With every entry open, an empty search, and a question on the screen."""
    resize(chrome, size)
    colours(chrome, dark=dark)
    show(chrome, boards(busy_state(tmp_path / "state", entries=12).folder))
    wait(
        chrome,
        lambda page: (
            page.execute_script("return document.querySelectorAll('canvas').length")
            == 4
        ),
    )
    assert violations(chrome) == []
    open_entries(chrome)
    assert violations(chrome) == []
    chrome.execute_script(
        "document.querySelector(\"[data-worker='1'] button\").click()"
    )
    assert violations(chrome) == []
    assert troubles(chrome) == []


def test_the_keyboard_is_enough(
    chrome: Chrome, boards: Callable[[Path], Started], tmp_path: Path
) -> None:
    """Tab reaches the skip link, the sections, every button; Enter asks; Escape takes
    it back and nothing is done."""
    state = busy_state(tmp_path / "state", workers=2, entries=2)
    show(chrome, boards(state.folder))
    seen = []
    for _ in range(40):
        chrome.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(
            chrome.execute_script(
                "return document.activeElement.getAttribute('aria-label') || "
                "document.activeElement.innerText"
            )
        )
    assert seen[0] == "Skip to the progress"
    for wanted in ("Workers", "Pause worker 1", "Restart worker 2", "Retry all"):
        assert wanted in seen
    button = chrome.find_element(By.CSS_SELECTOR, "[data-worker='1'] button")
    button.send_keys(Keys.ENTER)
    wait(
        chrome,
        lambda page: page.execute_script("return document.getElementById('ask').open"),
    )
    assert "Pause worker 1?" in text_of(chrome, "#ask")
    chrome.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait(
        chrome,
        lambda page: (
            not page.execute_script("return document.getElementById('ask').open")
        ),
    )
    assert not commands.waiting(state.folder)


def test_failed_files_are_searched_and_retried(
    chrome: Chrome, boards: Callable[[Path], Started], tmp_path: Path
) -> None:
    """By a title that only the library knows; one button leaves one command."""
    state = busy_state(tmp_path / "state", workers=1, entries=0)
    state.sql("UPDATE files SET message = 'no title in here'")
    show(chrome, boards(state.folder))
    wait(
        chrome,
        lambda page: (
            page.execute_script(
                "return document.querySelectorAll('#failed-list li').length"
            )
            == 25
        ),
    )
    chrome.find_element(By.ID, "failed-text").send_keys("<SCRIPT>")
    wait(
        chrome,
        lambda page: page.execute_script(
            "const titles = [...document.querySelectorAll('#failed-list .title')];"
            "return titles.length > 0 && titles.every(title => "
            "title.textContent.startsWith('<script>'))"
        ),
    )
    chrome.find_element(By.CSS_SELECTOR, "#failed-list button").click()
    wait(
        chrome,
        lambda page: "the next start retries 1 failed file: " in text_of(page, "#said"),
    )
    assert commands.take(state.folder).commands == [
        Command(CommandKind.RETRY, files=(FileId(BookId(1), "EPUB"),))
    ]


def test_eight_workers_and_a_thousand_entries_are_shown(
    chrome: Chrome, boards: Callable[[Path], Started], tmp_path: Path
) -> None:
    """All of them; how fast is measured in benchmarks/large/dashboard.py."""
    show(chrome, boards(busy_state(tmp_path / "state", entries=1000).folder))
    more = chrome.find_element(By.ID, "history-more")
    # It is there once the history has come.
    wait(chrome, lambda _page: more.is_displayed())
    more.click()
    rows = (
        "return [document.querySelectorAll('[data-worker]').length, "
        "document.querySelectorAll('#timeline li').length]"
    )
    wait(chrome, lambda page: page.execute_script(rows) == [8, 1000])
    assert text_of(chrome, "#history-count") == "1,000 attempts to help a worker"


def test_the_page_says_when_the_server_is_gone_and_goes_on_when_it_is_back(
    chrome: Chrome, boards: Callable[[Path], Started], tmp_path: Path
) -> None:
    """What is shown is old, and that is said. Sessions outlive the process."""
    state = busy_state(tmp_path / "state", workers=1, entries=0)
    board = start_board(state.folder)
    show(chrome, board)
    board.process.terminate()
    assert board.process.wait(30) == 0
    wait(chrome, lambda page: "what is shown is old" in text_of(page, "#connection"))
    again = start_board(state.folder, "--port", board.url.rpartition(":")[2])
    try:
        wait(chrome, lambda page: not text_of(page, "#connection"))
        chrome.refresh()
        wait(chrome, lambda page: text_of(page, "#percent").endswith("%"))
    finally:
        end(board.process)
        end(again.process)


def test_a_running_migration_moves_and_obeys(
    chrome: Chrome,
    boards: Callable[[Path], Started],
    tmp_path: Path,
    shelves: Callable[..., Shelf],
) -> None:
    """A real monitor with real workers: the page moves without being loaded again, and
    the buttons act."""
    watch = Watch(tmp_path, shelves(tmp_path / "shelf", "--delay-ms", "40"))
    watch.library.add(
        *(
            Made(title=title, files={"EPUB": epub(900 + i)})
            for i, title in enumerate(HOSTILE)
        )
    )
    watch.library.add(*epubs(range(60, 300)))
    watch.open_pass()
    board = boards(watch.state)
    monitor = watch.start("--workers", "2")
    try:
        show(chrome, board)
        chrome.execute_script("window.loadedOnce = true")
        wait(
            chrome,
            lambda page: (
                page.execute_script(
                    "return document.querySelectorAll('[data-worker]').length"
                )
                == 2
            ),
        )
        first = wait(chrome, settled)
        wait(chrome, lambda page: settled(page) > first)
        assert f"of {len(HOSTILE) + 300} files settled" in text_of(chrome, "#where")
        press(chrome, 2, "Pause worker 2", confirm=True)
        wait(chrome, lambda page: "paused by you" in text_of(page, "[data-worker='2']"))
        press(chrome, 2, "Resume worker 2", confirm=False)
        wait(chrome, lambda page: "paused" not in text_of(page, "[data-worker='2']"))
        wait(chrome, lambda page: text_of(page, "#state") == "Finished")
        assert text_of(chrome, "#percent") == "100.0 %"
        assert chrome.execute_script("return window.loadedOnce") is True
        wait_for(lambda: monitor.poll() is not None)
        assert monitor.returncode == 0
        assert (
            "Pausing worker 2, as asked"
            in (watch.state / "auto_restart.log").read_text()
        )
        assert troubles(chrome) == []
    finally:
        end(monitor)


def open_entries(chrome: Chrome) -> None:
    """Opens the whole timeline, and waits until its changes of code are there."""
    chrome.execute_script(
        "document.querySelectorAll('#timeline details').forEach(entry => { entry.open = true; })"
    )
    chrome.execute_script("document.getElementById('history').scrollIntoView()")
    shown = "return document.getElementById('timeline').textContent"
    wait(chrome, lambda page: "not bold" in str(page.execute_script(shown)))


def settled(chrome: Chrome) -> int:
    """How many files the page says are settled."""
    words = text_of(chrome, "#where").split()
    return (
        int(words[0].replace(",", ""))
        if words and words[0].replace(",", "").isdecimal()
        else 0
    )


def press(chrome: Chrome, worker: int, label: str, *, confirm: bool) -> None:
    """A button of a worker, and the question it asks."""
    selector = f"[data-worker='{worker}'] button[aria-label='{label}']"
    wait(
        chrome,
        lambda page: page.execute_script(
            "const b = document.querySelector(arguments[0]); return b && !b.disabled",
            selector,
        ),
    )
    chrome.find_element(By.CSS_SELECTOR, selector).click()
    if confirm:
        chrome.find_element(By.ID, "ask-yes").click()
