"""A monitor killed (SIGKILL) at random moments of a case, with what must be true then.

`python -m benchmarks.faults.killed_monitor [--kills 100] [--seed 1]`: a real monitor,
worker, server and gate; the LLM is a scripted HTTP server. The worker hangs on this
machine only, the answer is right. After each kill the worker script is the old or the
repaired one, the history is a JSON array with one entry for the code fix; after the
last one the case comes to its end. A case that has ended is begun anew until all kills
are used up."""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.environment import end
from tests.support.monitor.brokenkit import SHIPPED, Broken, right_answer
from tests.support.servers.shelf import start_shelf

HERE_ONLY = 'while os.environ.get("FAULT_MARKER"): self.pool.sleep(0.05)'
#: The longest time between a start and a kill, in seconds: about as long as a gate, so
#: that every stage is met; a case without an end.
LONGEST, GIVEN_UP = 25.0, 900.0


def main() -> int:
    """Prints a line per case; returns how many broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="[default: 100]")
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    given = parser.parse_args()
    left, broken, number = given.kills, 0, 0
    chance = random.Random(given.seed)
    print("| case | kills | seconds | stages when killed | entries | ended |")
    print("| --- | --- | --- | --- | --- | --- |")
    while left > 0:
        number += 1
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            killed, row = case(Path(name), chance, left)
        left -= killed
        broken += "NO" in row[-1]
        print(f"| {number} | {killed} | {' | '.join(row)} |", flush=True)
    return broken


def case(folder: Path, chance: random.Random, left: int) -> tuple[int, tuple[str, ...]]:
    """One case: how many kills it took, and its row."""
    shelf = start_shelf(folder / "shelf", "--delay-ms", "200")
    made = Broken(folder, shelf)
    made.more |= {"SUCCESS_VERIFICATION_SECONDS": "4", "CHECK_INTERVAL_SECONDS": "0.3"}
    began, kills, stages = time.monotonic(), 0, set[str]()
    try:
        made.open_pass()
        made.fault("upload_file", HERE_ONLY)
        made.answers(right_answer("upload_file", 2, made.before.decode()))
        while kills < left and not ended(made):
            monitor = made.start("--workers", "1", "--llm-enabled")
            wait(monitor, chance.uniform(0.1, LONGEST))
            if monitor.poll() is not None:
                break
            monitor.kill()
            monitor.wait(10)
            kills += 1
            stages.add(stage(made))
            promise(made)
        if not ended(made):
            monitor = made.start("--workers", "1", "--llm-enabled")
            until = time.monotonic() + GIVEN_UP
            while not ended(made) and time.monotonic() < until:
                wait(monitor, 1.0)
        promise(made)
        good = ended(made) and made.script.read_text("utf-8") == SHIPPED
        return kills, (
            f"{time.monotonic() - began:.0f}",
            ", ".join(sorted(stages)),
            str(len(made.code_entries())),
            "yes" if good else "NO",
        )
    except AssertionError as broken:
        return kills or 1, (
            f"{time.monotonic() - began:.0f}",
            ", ".join(sorted(stages)),
            "",
            f"NO: {broken}",
        )
    finally:
        for process in made.running:
            end(process)
        if hasattr(made, "llm"):
            made.llm.stop()
        end(shelf.process)
        end_left(folder)


def end_left(folder: Path) -> None:
    """Ends jobs and workers that killed monitors have left: those of this folder."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in text for text in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def wait(monitor: "subprocess.Popen[str]", seconds: float) -> None:
    """So long, or until it has ended by itself."""
    try:
        monitor.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def ended(made: Broken) -> bool:
    """Whether the code fix has its verdict."""
    return any(entry["verified"] is not None for entry in made.code_entries())


def stage(made: Broken) -> str:
    """How far the case was."""
    fixes = made.code_entries()
    if not fixes:
        return "asked" if list(made.state.glob("auto_monitor/answers/*")) else "before"
    found = fixes[-1].get("case")
    return str(found["stage"]) if isinstance(found, dict) else "closed"


def promise(made: Broken) -> None:
    """What is true at every moment. Raises AssertionError."""
    text = made.script.read_bytes()
    assert text in (made.before, SHIPPED.encode()), "a third script"
    path = made.state / "auto_fix_history.json"
    if path.exists():
        assert isinstance(json.loads(path.read_bytes()), list), "no history"
    open_ones = [entry for entry in made.history() if entry["verified"] is None]
    assert len(made.code_entries()) <= 1, "more than one entry"
    assert len(open_ones) <= 1, "two open attempts"


if __name__ == "__main__":
    sys.exit(main())
