"""What the dashboard costs, and how fast its page is: 8 workers, 1,000 attempts, 70
failed files, one browser.

python -m benchmarks.large.dashboard
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from migration.model import Counts
from tests.support.environment import end
from tests.support.migration.statekit import HOSTILE, State
from tests.support.servers.boardkit import Started, start_board
from tests.support.servers.browserkit import browser, text_of, wait

WORKERS, ENTRIES, SECONDS = 8, 1000, 30.0
RENDER_GOAL, CPU_GOAL = 1.0, 0.01
#: From the start of the navigation until 8 workers and all entries are laid out; by the
#: page's own clock.
SHOWN = """
const done = arguments[0];
const shown = () => {
  const more = document.getElementById('history-more');
  if (!more.hidden) more.click();
  const count = (selector) => document.querySelectorAll(selector).length;
  const rows = [count('[data-worker]'), count('#timeline li')];
  if (rows[0] === WORKERS && rows[1] === ENTRIES) {
    document.body.offsetHeight;
    done(performance.now() / 1000);
  } else setTimeout(shown, 5);
};
shown();
"""


def main() -> int:
    """Prints the figures; 1 when a goal is missed."""
    with tempfile.TemporaryDirectory(prefix="dashboard-") as folder:
        state = make(Path(folder) / "state")
        stop = threading.Event()
        writer = threading.Thread(target=keep_moving, args=(state, stop))
        writer.start()
        board = start_board(state.folder)
        try:
            return measure(board)
        finally:
            stop.set()
            writer.join()
            end(board.process)


def make(folder: Path) -> State:
    """A migration with everything there is to see."""
    state = State(folder)
    state.counts(Counts(60_000, 50_000, 4_000, 60, 70, 5_870), 90_000_000_000)
    state.failed(70)
    state.samples(600)
    state.entries(ENTRIES)
    state.monitor(WORKERS)
    for number in range(1, WORKERS + 1):
        state.worker(number, name=HOSTILE[number % 3])
    return state


def keep_moving(state: State, stop: threading.Event) -> None:
    """Workers and counters move every second, as in a migration."""
    files = 54_130
    while not stop.wait(1.0):
        files += 20
        state.counts(
            Counts(files + 5_870, files - 4_130, 4_000, 60, 70, 5_870),
            files * 1_700_000,
        )
        for number in range(1, WORKERS + 1):
            state.worker(number, name=HOSTILE[number % 3])


def measure(board: Started) -> int:
    """How long until all is shown, over five loads; then the server's CPU while one
    page watches, and with none."""
    script = SHOWN.replace("WORKERS", str(WORKERS)).replace("ENTRIES", str(ENTRIES))
    with browser() as chrome:
        chrome.get(board.link())
        wait(chrome, lambda page: text_of(page, "#percent").endswith("%"))
        loads = []
        for _ in range(5):
            chrome.refresh()
            loads.append(float(chrome.execute_async_script(script)))
        watched = cpu_share(board.process)
        chrome.get("about:blank")
    alone = cpu_share(board.process)
    memory = psutil.Process(board.process.pid).memory_info().rss / 1e6
    typical = sorted(loads)[len(loads) // 2]
    print(f"{WORKERS} workers and {ENTRIES} attempts are shown after:")
    print(
        f"  median {typical:.2f} s, worst {max(loads):.2f} s (goal {RENDER_GOAL:g} s)"
    )
    print(
        f"server's CPU while watched, one core: {watched:.2%} (goal {CPU_GOAL:.0%}); "
        f"while nobody watches: {alone:.2%}"
    )
    print(f"server's memory: {memory:.0f} MB")
    return int(typical > RENDER_GOAL or watched > CPU_GOAL)


def cpu_share(process: "subprocess.Popen[str]") -> float:
    """Share of one core over half a minute."""
    watched = psutil.Process(process.pid)
    time.sleep(2)
    before, began = watched.cpu_times(), time.monotonic()
    time.sleep(SECONDS)
    after = watched.cpu_times()
    return (after.user + after.system - before.user - before.system) / (
        time.monotonic() - began
    )


if __name__ == "__main__":
    sys.exit(main())
