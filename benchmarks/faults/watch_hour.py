"""A library that is worked on for an hour beside `./start.sh --watch`: does everything
arrive, and is Calibre ever refused?

    python -m benchmarks.faults.watch_hour [--minutes 60] [--every 20] [--deaf]

A script adds, edits, removes and embeds with calibredb, at random, in bursts with
pauses between. Now and then the library is locked for some seconds, `metadata.db` is
replaced as tools that synchronise do (gone, half there, whole), or monitor and workers
are killed with SIGKILL and started again. The server must show every book as Calibre
has it within two looks (2 x `--every`) of the last change, what was removed must still
be there, and every calibredb must end with 0. The time is shortened by settings: a look
every 20 s stands for one every 15 minutes, 2 s of quiet for a minute. With `--deaf`
the system tells of no change, as for writers on other machines: only looks find them.
Exit status 1 when a goal is missed."""

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from auto_monitor.cli import daemon
from benchmarks.faults.watchedkit import (
    Calibre,
    Shown,
    in_calibre,
    lock,
    on_server,
    replace_slowly,
)
from benchmarks.table import Table
from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look
from tests.support.servers.shelf import start_shelf

BOOKS, QUIET = 40, 2.0
SETTINGS = {
    "CHECK_INTERVAL_SECONDS": "1",
    "WATCH_QUIET_SECONDS": f"{QUIET:g}",
    "LIBRARY_LOCK_SECONDS": "5",
    "RETRY_FIRST_SECONDS": "0.1",
    "PROBE_SECONDS": "0.3",
    "RECONCILE_AFTER_SECONDS": "2",
    "IOSTAT_SECONDS": "1",
    # That the starter leaves the monitor running is no mistake.
    "PYTHONWARNINGS": "ignore",
}


@dataclass
class House:
    """Library, server and monitor, in a folder of their own."""

    folder: Path
    every: float
    deaf: bool = False
    #: Seconds from the end of a burst until everything was there.
    arrivals: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.folder / "state"
        self.library = Library(self.folder / "library")
        self.library.add(*epubs(range(BOOKS)))
        self.shelf = start_shelf(self.folder / "shelf")

    def watch(self, verb: str = "launch") -> None:
        """`./start.sh --watch`, or `./stop.sh`."""
        words = ["--watch", "--every", f"{self.every:g}s", "--no-dashboard"]
        environment = clean_environment(
            **SETTINGS,
            **({"PYTHONPATH": f"{self._deaf()}:{PROJECT}"} if self.deaf else {}),
            CALIBRE_LIBRARY=str(self.library.root),
            MBS2_SERVER=self.shelf.url,
            MBS2_PASSWORD=PASSWORD,
            STATE_DIR=str(self.state),
            TARGET_WORKER_COUNT="2",
        )
        subprocess.run(
            [
                sys.executable,
                "-m",
                f"deploy.{verb}",
                *(words if verb == "launch" else []),
            ],
            cwd=PROJECT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=180,
        )

    def _deaf(self) -> Path:
        """A folder with an inotify that is not there."""
        folder = self.folder / "deaf"
        folder.mkdir(exist_ok=True)
        text = "class flags:\n    def __getattr__(self, name): return 1\n"
        text += "flags = flags()\ndef INotify(): raise OSError(24, 'too many')\n"
        (folder / "inotify_simple.py").write_text(text)
        return folder

    def reboot(self) -> None:
        """Power is lost, and everything starts again."""
        monitor = daemon.alive(self.state)
        assert monitor is not None
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(monitor.pid)
            workers = process.children(recursive=True)
            for one in (process, *workers):
                one.send_signal(signal.SIGKILL)
            psutil.wait_procs([process, *workers], timeout=20)
        self.watch()

    def shown(self) -> dict[int, Shown]:
        """What the server shows, by book."""
        ledger = self.state / LEDGER_NAME
        return on_server(self.shelf.data_dir, ledger) if ledger.exists() else {}

    def differ(self) -> dict[int, tuple[Shown, Shown | None]]:
        """The books that the server does not show as Calibre has them."""
        there = self.shown()
        return {
            book: (wanted, there.get(book))
            for book, wanted in in_calibre(self.library.root).items()
            if there.get(book) != wanted
        }

    def arrive(self, seconds: float, *, wait: bool) -> bool:
        """Whether everything is there within so many seconds; notes when it was.

        Without `wait` the time has to be over anyway before somebody goes on."""
        began = time.monotonic()
        arrived = False
        while (left := began + seconds - time.monotonic()) > 0:
            if not arrived and not self.differ():
                arrived = True
                self.arrivals.append(time.monotonic() - began)
                if wait:
                    return True
            time.sleep(min(0.5, left))
        return arrived


def run(
    house: House, calibre: Calibre, minutes: float, rng: random.Random
) -> list[str]:
    """The hour; returns what was done besides calibredb's calls."""
    besides: list[str] = []
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        for _ in range(rng.randrange(1, 7)):
            calibre.change()
            time.sleep(rng.random() * QUIET)
        what = rng.choices(["", "lock", "replace", "reboot"], [6, 1, 1, 1])[0]
        if what:
            besides.append(what)
        if what == "lock":
            lock(house.library, rng.uniform(1, 8))
        elif what == "replace":
            replace_slowly(house.library, rng.uniform(0.2, 2 * QUIET))
        elif what == "reboot":
            house.reboot()
        # Half of the bursts come before what was changed has arrived, or meet a pass.
        if rng.random() < 0.5:
            house.arrive(rng.uniform(QUIET, house.every), wait=False)
        elif not house.arrive(2 * house.every, wait=True):
            house.late.append(str(house.differ()))
    if not house.arrive(2 * house.every, wait=True):
        house.late.append(str(house.differ()))
    return besides


def report(house: House, calibre: Calibre, besides: list[str], first: set[int]) -> int:
    """Prints what was found; returns 1 when a goal was missed."""
    shown = Table("An hour of --watch, the time shortened")
    found = totals.read(house.state / LEDGER_NAME)
    assert found is not None
    refused = sum(code != 0 for _verb, code, _took in calibre.calls)
    longest = max(took for _verb, _code, took in calibre.calls)
    shown.add("calls of calibredb", f"{len(calibre.calls)}", "", None)
    shown.add("... refused", f"{refused}", "0", not refused)
    shown.add("... the longest", f"{longest:.1f} s", "", None)
    shown.add("passes", f"{found.pass_id}", "", None)
    for what in ("lock", "replace", "reboot"):
        shown.add(f"besides: {what}", f"{besides.count(what)}", "", None)
    slowest, bound = max(house.arrivals, default=0.0), 2 * house.every
    middle = statistics.median(house.arrivals or [0.0])
    shown.add("times everything was there", f"{len(house.arrivals)}", "", None)
    shown.add("... so long after the last change, median", f"{middle:.1f} s", "", None)
    met = slowest <= bound and not house.late
    shown.add("... slowest", f"{slowest:.1f} s", f"two looks: {bound:g} s", met)
    shown.add("not there by then", f"{len(house.late)}", "0", not house.late)
    gone = first - set(in_calibre(house.library.root))
    lost = gone - set(house.shown())
    text = f"{len(gone) - len(lost)} of {len(gone)}"
    shown.add("removed books still on the server", text, "all", not lost)
    truth = look(house.shelf.data_dir)
    for what, count in (
        ("sources twice", sum(n > 1 for n in truth.hashes.values())),
        ("ebooks without a source", truth.ebooks_without_source),
        ("working titles left", truth.working_titles),
        ("wrong bytes", truth.wrong_bytes),
    ):
        shown.add(what, f"{count}", "0", not count)
    for line in (*calibre.said, *house.late):
        sys.stdout.write(f"{line}\n")
    return shown.show()


def main() -> int:
    """Returns 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=20, help="seconds")
    parser.add_argument("--deaf", action="store_true", help="no inotify")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for all of it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watched-") as folder:
        house = House(given.keep or Path(folder), given.every, deaf=given.deaf)
        rng = random.Random(given.seed)
        calibre = Calibre(house.library, house.folder, rng)
        try:
            house.watch()
            assert house.arrive(120, wait=True), house.differ()
            house.arrivals.clear()
            first = set(in_calibre(house.library.root))
            besides = run(house, calibre, given.minutes, rng)
            return report(house, calibre, besides, first)
        finally:
            house.watch("stop")
            end(house.shelf.process)


if __name__ == "__main__":
    sys.exit(main())
