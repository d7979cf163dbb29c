"""Every kind of non-answer on every route of the protocol: is what arrives then exact,
and the exit status true?

    python -m benchmarks.faults.answers [--routes create,title] [--kinds 'page;429'] [--times
    1] [--sample 60] [--window 6]

Each cell of the table migrates a small library (Cyrillic title, series, ratings, a
cover, two formats) through a proxy that lies once on one route: the request never
reaches the server, or the server acts and its answer is replaced; on a server with
unique constraints and on one without. `.` is exact with status 0, `x` is not; the
reasons follow. --window lets every request of so many seconds get each kind, with the
POST /api/ebooks in hand cut off, over 25 books."""

import argparse
import queue
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.support.environment import end
from tests.support.network.answercells import KINDS, ROUTES, Cell, run_cell, run_window
from tests.support.servers.shelf import Shelf, start_shelf

SERVERS = {"strict": (), "permissive": ("--permissive",)}
Job = tuple[str, Callable[[Shelf, Path], list[str]]]


def jobs_of(routes: Sequence[str], kinds: Sequence[str], times: int) -> list[Job]:
    """A cell each, named."""
    cells = [
        Cell(route, kind, acted, times)
        for route in routes
        for kind in kinds
        for acted in ((False,) if route == "tasks" else (False, True))
    ]
    return [(str(cell), partial(run_cell, cell)) for cell in cells]


def windows_of(kinds: Sequence[str], seconds: float) -> list[Job]:
    """A maintenance window each, named."""
    return [
        (f"window, {kind}, {seconds:g} s", partial(run_window, kind, seconds))
        for kind in kinds
    ]


def run(
    jobs: Sequence[Job], options: Sequence[str], lanes: int, folder: Path
) -> dict[str, list[str]]:
    """Runs the jobs in so many lanes, each with a server of its own; returns what is
    wrong, by name."""
    waiting: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
    for numbered in enumerate(jobs):
        waiting.put(numbered)
    found: dict[str, list[str]] = {}

    def lane(number: int) -> None:
        shelf = start_shelf(folder / f"shelf{number}", *options)
        try:
            while True:
                position, (name, job) = waiting.get_nowait()
                found[name] = job(shelf, folder / f"cell{position}")
                print(
                    f"{'x' if found[name] else '.'} {name} {'; '.join(found[name])}",
                    flush=True,
                )
        except queue.Empty:
            pass
        finally:
            end(shelf.process)

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> int:
    """Prints each cell and the sum; 1 when a cell fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", default=",".join(ROUTES), help="[default: all]")
    parser.add_argument("--kinds", default="", help="separated by `;` [default: all]")
    parser.add_argument(
        "--servers", default=",".join(SERVERS), help="[default: strict,permissive]"
    )
    parser.add_argument(
        "--times", type=int, default=1, help="lies in a row [default: 1]"
    )
    parser.add_argument(
        "--lanes", type=int, default=2, help="cells at the same time [default: 2]"
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        help="so many cells, drawn with --seed [default: all]",
    )
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    parser.add_argument(
        "--window",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="windows instead of cells",
    )
    given = parser.parse_args()
    kinds = [
        kind for kind in KINDS if not given.kinds or kind in given.kinds.split(";")
    ]
    routes = given.routes.split(",")
    jobs = (
        windows_of(kinds, given.window)
        if given.window
        else jobs_of(routes, kinds, given.times)
    )
    if 0 < given.sample < len(jobs):
        jobs = random.Random(given.seed).sample(jobs, given.sample)
    failed = cells = 0
    for name in given.servers.split(","):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            print(f"-- {name} server", flush=True)
            found = run(jobs, SERVERS[name], given.lanes, Path(folder))
        bad = {cell: wrong for cell, wrong in found.items() if wrong}
        cells, failed = cells + len(jobs), failed + len(bad) + len(jobs) - len(found)
        print(
            f"-- {name} server: {len(found) - len(bad)} of {len(jobs)} exact, "
            f"{time.monotonic() - started:.0f} s"
        )
    print(
        f"{cells - failed} of {cells} cells: nothing lost, nothing twice, nothing "
        "empty, every title and rating right"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
