"""Every file of the state directory is damaged under running workers and a monitor, and the clock is set; what then?

    python -m benchmarks.damage [--only ledger] [--kind cut] [--books 24] [--jobs 1]

A cell is one migration of its own: two workers and a monitor with the rights of a user who is not root (as `nobody`,
or, where that user may not run this Python, as root without the right to pass over rights), and a slow server.
After a few files one file is cut to nothing, overwritten, deleted, replaced by a directory, or made unreadable; or the
clock of all is set. Whatever becomes of that, `./start.sh` is called at most once more; before that an unreadable file
gets its rights back, as its owner would give them. Goal in each cell: 0 files lost, 0 sources twice, 0 ebooks without
a source, 0 working titles left, the pass closed and proved, and the sentence that names the cause. Exit status 1
when a cell misses it.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from migration import totals
from migration.ledger import BACKUP_NAME, LEDGER_NAME
from tests.conftest import PASSWORD, PROJECT, clean_environment, end, start_shelf
from tests.librarykit import Library, Made, epub
from tests.truth import look, troubles

#: Whoever runs the migration; root is asked for no rights.
NOBODY = 65534
SHORT = {
    "CHECK_INTERVAL_SECONDS": "0.5", "STUCK_THRESHOLD_SECONDS": "20", "DISCOVERY_THRESHOLD_SECONDS": "30",
    "COOLDOWN_SECONDS": "2", "SUCCESS_VERIFICATION_SECONDS": "2.5", "KILL_GRACE_SECONDS": "2", "STACK_SECONDS": "1",
    "IOSTAT_SECONDS": "1", "CLOSING_SECONDS": "10", "RETRY_FIRST_SECONDS": "0.1", "PROBE_SECONDS": "0.3",
    "RECONCILE_AFTER_SECONDS": "2", "TASK_SECONDS": "4", "BATCH_SIZE": "6", "PARALLEL_UPLOADS": "2",
    "REPORT_SECONDS": "5",
}  # fmt: skip
#: Seconds one run may take.
PATIENCE = 150.0


def cut(path: Path) -> None:
    """Cut to nothing, in place."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Other bytes, in place."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * max(64, path.stat().st_size))


def delete(path: Path) -> None:
    """Gone."""
    path.unlink()


def directory(path: Path) -> None:
    """A directory with something in it has its name."""
    path.unlink()
    path.mkdir()
    (path / "a file").write_text("x")


def unreadable(path: Path) -> None:
    """Mode 000."""
    path.chmod(0)


KINDS: dict[str, Callable[[Path], None]] = {
    "cut": cut, "overwrite": overwrite, "delete": delete, "directory": directory, "unreadable": unreadable,
}  # fmt: skip
CLOCK = {"hour back": -3600, "hour forward": 3600, "day back": -86400, "day forward": 86400}
#: The files, and what must be said somewhere about a kind of harm to them ("" for nothing in particular).
_LOST = "was (deleted|overwritten|cut short)|has lost its|is damaged|is gone|is empty"
FILES: dict[str, tuple[str, dict[str, str]]] = {
    "ledger": (
        LEDGER_NAME,
        dict.fromkeys(KINDS, f"({_LOST})(.|\n)*It is rebuilt from") | {"unreadable": "Permission denied; give"},
    ),
    "ledger-wal": (f"{LEDGER_NAME}-wal", dict.fromkeys(("cut", "overwrite", "delete", "directory"), _LOST)),
    "ledger-shm": (f"{LEDGER_NAME}-shm", dict.fromkeys(("delete", "directory"), _LOST)),
    "backup": (BACKUP_NAME, {}),
    "progress": ("migration_progress_worker1.json", {"directory": "was a directory, not a file"}),
    "log": ("migration_worker1.log", {}),
    "lock": ("migration_worker1.lock", {}),
    "stack": ("migration_worker1.stack", {}),
    "not_carried": ("not_carried.jsonl", {"directory": "it is a directory, not a file|was a directory, not a file"}),
    "monitor_state": ("monitor_state.json", {}),
    "history": ("auto_fix_history.json", {}),
    "monitor.pid": ("monitor.pid", {}),
    "monitor.log": ("monitor.log", {}),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One migration: the harm, to which file; `seconds` when it is the clock that is set."""

    name: str
    kind: str
    seconds: int = 0


def rights() -> list[str]:
    """What takes root's rights from a command and from whatever it starts; nothing for whoever is not root."""
    if os.getuid() != 0:
        return []
    other = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    nested = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', '']))"
    tried = subprocess.run([*other, sys.executable, "-c", nested], cwd="/", check=False, capture_output=True)
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if tried.returncode else other


RIGHTS = rights()


class House:
    """A library, a server and a state directory for one cell."""

    def __init__(self, root: Path, books: int) -> None:
        root.chmod(0o755)
        self.root, self.state = root, root / "state"
        library = Library(root / "library")
        self.contents: list[bytes] = []
        for number in range(books):
            files = {"EPUB": epub(number), "TXT": f"text {number}".encode() * 30}
            self.contents += files.values()
            library.add(Made(title=f"Книга {number}", files=files, rating=number % 11, comments=f"About {number}"))
        self.state.mkdir()
        self.clock = root / "faketime"
        self.set_clock(0)
        if "--reuid" in RIGHTS:
            for path in (root, *root.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        self.shelf = start_shelf(root / "shelf", "--delay-ms", "25")
        self.said = ""

    def set_clock(self, seconds: int) -> None:
        """The clock of workers and monitor is so many seconds off from now on."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self.clock)

    def start(self, cell: Cell) -> "subprocess.Popen[bytes]":
        """`./start.sh --foreground`, as somebody who is not root."""
        command = [
            sys.executable, "-m", "deploy.launch", "--library", str(self.root / "library"), "--server", self.shelf.url,
            "--workers", "2", "--foreground", "--no-dashboard",
        ]  # fmt: skip
        command = [*RIGHTS, *command]
        faked = {
            "LD_PRELOAD": str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        environment = clean_environment(
            MBS2_PASSWORD=PASSWORD, STATE_DIR=str(self.state), HOME=str(self.root), **SHORT,
            **(faked if cell.seconds else {}),
        )  # fmt: skip
        output = (self.root / "said").open("ab")
        with output:
            return subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def totals(self) -> totals.Totals | None:
        """What the ledger says."""
        try:
            return totals.read(self.state / LEDGER_NAME)
        except totals.UNREADABLE:
            return None

    def words(self) -> str:
        """All that was said, in logs that can be read."""
        found = [self.root / "said", *self.state.glob("*.log*"), *self.state.glob("*.out")]
        return "\n".join(path.read_text("utf-8", "replace") for path in found if path.is_file())


def uploaded(house: House, files: int) -> bool:
    """Have so many files arrived?"""
    found = house.totals()
    return found is not None and found.counts.uploaded >= files


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits; False when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def finish(process: "subprocess.Popen[bytes]") -> int | None:
    """How it ended; None when it had to be stopped, with all that it started."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        return None


def stop_rest(house: House) -> None:
    """Ends the workers of this state directory that are still there."""
    environment = clean_environment(STATE_DIR=str(house.state), HOME=str(house.root))
    subprocess.run([sys.executable, "-m", "deploy.stop"], cwd=PROJECT, env=environment, check=False, timeout=90,
                   capture_output=True)  # fmt: skip


def harm(house: House, cell: Cell) -> bool:
    """Does the harm; False when the file is not there in this moment of a migration."""
    if cell.seconds:
        house.set_clock(cell.seconds)
        return True
    path = house.state / FILES[cell.name][0]
    if cell.name == "backup":
        shutil.copy(house.state / LEDGER_NAME, path)
    if not wait_for(path.exists, 5):
        return False
    KINDS[cell.kind](path)
    return True


def run(cell: Cell, books: int) -> tuple[bool | None, str]:
    """Did the cell meet its goal, and what happened in words; None: there was nothing to harm."""
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), books)
        process = house.start(cell)
        try:
            if not wait_for(lambda: uploaded(house, 4), PATIENCE):
                return False, f"never began: {house.words()[-400:]}"
            if not harm(house, cell):
                return None, "no such file at that time"
            codes = [finish(process)]
            if codes[0] != 0:
                stop_rest(house)
                path = house.state / FILES[cell.name][0] if not cell.seconds else None
                if cell.kind == "unreadable" and path is not None and path.exists():
                    path.chmod(0o644)
                process = house.start(cell)
                codes.append(finish(process))
            wrong = judged(house, cell)
            if codes[-1] != 0:
                wrong.append("not closed")
            return not wrong, f"exit {', '.join(map(str, codes))}{'; ' if wrong else ''}{'; '.join(wrong)}"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            stop_rest(house)
            end(house.shelf.process)


def judged(house: House, cell: Cell) -> list[str]:
    """What is not as it should be."""
    wrong = troubles(look(house.shelf.data_dir), house.contents)
    found = house.totals()
    if found is None or found.closed_at is None or not totals.proved(house.state / LEDGER_NAME, found.pass_id):
        wrong.append("the pass is not proved")
    elif found.counts.failed:
        wrong.append(f"failed: {dict(found.failed)}")
    if not cell.seconds:
        sentence = FILES[cell.name][1].get(cell.kind, "")
        if sentence and not re.search(sentence, house.words()):
            wrong.append(f"nobody said {sentence!r}")
    return wrong


def cells(only: str, kind: str) -> list[Cell]:
    """The matrix, or a part of it."""
    files = [Cell(name, of) for name in FILES for of in KINDS]
    clocks = [Cell("clock", name, seconds) for name, seconds in CLOCK.items()]
    return [cell for cell in (*files, *clocks) if only in ("", cell.name) and kind in ("", cell.kind)]


def main() -> int:
    """Prints a line for each cell; 1 when one has missed its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="one file, or clock")
    parser.add_argument("--kind", default="", help="one kind of harm")
    parser.add_argument("--books", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=1, help="cells side by side")
    given = parser.parse_args()
    missed = 0
    chosen = cells(given.only, given.kind)
    with ThreadPoolExecutor(given.jobs) as pool:
        for cell, (met, words) in zip(chosen, pool.map(lambda cell: run(cell, given.books), chosen), strict=True):
            verdict = {True: "met", False: "MISSED", None: "-"}[met]
            missed += met is False
            print(f"| {cell.name} | {cell.kind} | {words} | {verdict} |", flush=True)
    print(f"{len(chosen)} cells, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
