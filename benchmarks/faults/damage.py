"""Every file of the state directory is damaged under running workers and a monitor, and
the clock is set; what then?

    python -m benchmarks.faults.damage [--only ledger] [--kind cut] [--books 24] [--jobs 1]

A cell is one migration of its own: two workers and a monitor with the rights of a user
who is not root (as `nobody`, or, where that user may not run this Python, as root
without the right to pass over rights), and a slow server. After a few files one file is
cut to nothing, overwritten, deleted, replaced by a directory, or made unreadable; or
the clock of monitor and workers is set. Whatever becomes of that, `./start.sh` is
called at most once more; before that an unreadable file gets its rights back, as its
owner would give them. Goal in each cell: 0 files lost, 0 sources twice, 0 ebooks
without a source, 0 working titles left, the pass closed and proved, and the sentence
that names the cause; a clock that is set must not even cost a restart. The files of the
embedded server are harmed under a migration that has started it
(`benchmarks.faults.damage_shelf`). Exit status 1 when a cell misses its goal."""

import argparse
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.faults import damage_shelf
from benchmarks.faults.damagekit import (
    KINDS,
    PATIENCE,
    House,
    assessed,
    finish,
    wait_for,
)
from migration.state_files import progress
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME

CLOCK = {
    "hour back": -3600,
    "hour forward": 3600,
    "day back": -86400,
    "day forward": 86400,
}
#: The files, and what must be said somewhere about a kind of harm to them ("" for
#: nothing in particular).
_LOST = "was (deleted|overwritten|cut short)|has lost its|is damaged|is gone|is empty"
FILES: dict[str, tuple[str, dict[str, str]]] = {
    "ledger": (
        LEDGER_NAME,
        dict.fromkeys(KINDS, f"({_LOST})(.|\n)*It is rebuilt from")
        | {"unreadable": "Permission denied; give"},
    ),
    "ledger-wal": (
        f"{LEDGER_NAME}-wal",
        dict.fromkeys(("cut", "overwrite", "delete", "directory"), _LOST),
    ),
    "ledger-shm": (f"{LEDGER_NAME}-shm", dict.fromkeys(("delete", "directory"), _LOST)),
    "backup": (BACKUP_NAME, {}),
    "progress": (
        "migration_progress_worker1.json",
        {"directory": "was a directory, not a file"},
    ),
    "log": ("migration_worker1.log", {}),
    "lock": ("migration_worker1.lock", {}),
    "stack": ("migration_worker1.stack", {}),
    "not_carried": (
        "not_carried.jsonl",
        {"directory": "it is a directory, not a file|was a directory, not a file"},
    ),
    "monitor_state": ("monitor_state.json", {}),
    "history": ("auto_fix_history.json", {}),
    "monitor.pid": ("monitor.pid", {}),
    "monitor.log": ("monitor.log", {}),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One migration: the harm, to which file; `seconds` when it is the clock that is
    set."""

    name: str
    kind: str
    seconds: int = 0


def harm(house: House, cell: Cell) -> bool:
    """Does the harm; False when the file is not there in this moment of a migration."""
    if cell.seconds:
        house.clock.set(cell.seconds)
        return True
    path = house.state / FILES[cell.name][0]
    if cell.name == "backup":
        shutil.copy(house.state / LEDGER_NAME, path)
    if not wait_for(path.exists, 5):
        return False
    KINDS[cell.kind](path)
    return True


def run(cell: Cell, books: int) -> tuple[bool | None, str]:
    """Did the cell meet its goal, and what happened in words; None: there was nothing
    to harm."""
    if cell.name in damage_shelf.FILES:
        return damage_shelf.run(cell.name, cell.kind, books)
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), books)
        process = house.start(clock=bool(cell.seconds))
        try:
            if (
                not wait_for(
                    lambda: house.uploaded() >= 4 or process.poll() is not None,
                    PATIENCE,
                )
                or process.poll()
            ):
                return False, f"never began: {house.words()[-400:]}"
            if not harm(house, cell):
                return None, "no such file at that time"
            codes = [finish(process)]
            if codes[0] != 0 and not cell.seconds:
                house.stop()
                path = house.state / FILES[cell.name][0]
                if cell.kind == "unreadable" and path.exists():
                    path.chmod(0o644)
                process = house.start()
                codes.append(finish(process))
            wrong = [
                *assessed(
                    house,
                    FILES[cell.name][1].get(cell.kind, "") if not cell.seconds else "",
                ),
                *clocks(house, cell),
            ]
            if codes[-1] != 0:
                wrong.append("not closed")
            return (
                not wrong,
                f"exit {', '.join(map(str, codes))}{'; ' if wrong else ''}{'; '.join(wrong)}",
            )
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            house.close()


def clocks(house: House, cell: Cell) -> list[str]:
    """What is wrong with a run whose clock was set: nobody has noticed it, or somebody
    was restarted for it."""
    if not cell.seconds:
        return []
    wrong = []
    for number in (1, 2):
        seen = progress.read(progress.progress_path(house.state, number))
        if (
            seen is None
            or abs(seen.updated_at.timestamp() - time.time() - cell.seconds) > 600
        ):
            wrong.append(f"the clock of worker {number} was not set")
    last = re.findall(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
        (house.state / "monitor.log").read_text(),
        re.M,
    )[-1]
    if (
        abs(
            datetime.fromisoformat(f"{last}+00:00").timestamp()
            - time.time()
            - cell.seconds
        )
        > 600
    ):
        wrong.append("the clock of the monitor was not set")
    said = house.state / "auto_restart.log"
    if said.exists() and (
        restarts := re.findall(r"(?i)^.*(?:stuck|restart).*$", said.read_text(), re.M)
    ):
        wrong.append(f"{len(restarts)} lines about restarts: {restarts[0]}")
    return wrong


def cells(only: str, kind: str) -> list[Cell]:
    """The matrix, or a part of it."""
    files = [Cell(name, of) for name in FILES for of in KINDS]
    clocks = [Cell("clock", name, seconds) for name, seconds in CLOCK.items()]
    shelf = [Cell(name, of) for name in damage_shelf.FILES for of in KINDS]
    return [
        cell
        for cell in (*files, *shelf, *clocks)
        if (not only or cell.name in only.split(",")) and kind in ("", cell.kind)
    ]


def main() -> int:
    """Prints a line for each cell; 1 when one has missed its goal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="", help="one file, or several with commas, or clock"
    )
    parser.add_argument("--kind", default="", help="one kind of harm")
    parser.add_argument("--books", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=1, help="cells side by side")
    given = parser.parse_args()
    missed = nothing = 0
    chosen = cells(given.only, given.kind)
    with ThreadPoolExecutor(given.jobs) as pool:
        for cell, (met, words) in zip(
            chosen, pool.map(lambda cell: run(cell, given.books), chosen), strict=True
        ):
            verdict = {True: "met", False: "MISSED", None: "-"}[met]
            missed, nothing = missed + (met is False), nothing + (met is None)
            print(f"| {cell.name} | {cell.kind} | {words} | {verdict} |", flush=True)
    met_all = len(chosen) - missed - nothing
    print(
        f"{len(chosen)} cells: {met_all} met, {missed} missed, {nothing} without a file to harm"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
