"""Two workers are killed with SIGKILL again and again, at protocol steps and at random
times; what is true then?

    python -m benchmarks.faults.kill9 [--files 300] [--kills 100] [--delay-ms 100]
    [--permissive] [--seed 1]

Half of the kills strike when a worker's request of a drawn kind reaches the server, or
when its answer leaves; the others after a drawn time. Goal: 0 files lost, 0 sources
twice, 0 ebooks without a source, 0 working titles left, and the equation exact. With
--permissive the server has no unique constraint; in either case it carries requests out
after their client died."""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from migration.ledger import totals
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.truth import look, troubles
from tests.support.network.proxy import Decision, Do, Proxy
from tests.support.servers.shelf import Shelf, start_shelf

#: Where a worker is killed: (method, part of the path, is the answer lost as well).
STEPS = (
    ("POST", "/api/upload/check"),
    ("POST", "/api/upload"),
    ("ws", "call"),
    ("ws", "success"),
    ("GET", "/api/uploads-meta"),
    ("POST", "/api/ebooks"),
    ("POST", "/add-upload"),
    ("GET", "/api/ebooks/"),
    ("PATCH", "/api/ebooks/"),
    ("POST", "/rate"),
)


def make_library(root: Path, files: int) -> tuple[Library, list[bytes]]:
    """Two formats a book, authors shared by many, some bytes twice, some ratings and
    series."""
    library = Library(root)
    contents: list[bytes] = []
    for number in range(files // 2):
        first = epub(number if number % 10 else 0, padding=3000)
        second = f"Plain text of book {number}".encode() * 20
        contents += [first, second]
        book = Made(
            title=f"Книга {number}",
            authors=((f"Writer {number % 7}", f"{number % 7}, Writer"),),
            files={"EPUB": first, "TXT": second},
            rating=number % 11,
            series="A Series" if number % 3 else "",
            series_index=number,
        )
        library.add(book)
    return library, contents


class Killer:
    """Starts workers and kills them where and when it was drawn."""

    def __init__(self, library: Path, shelf: Shelf, state_dir: Path, seed: int) -> None:
        self._library = library
        self._state_dir = state_dir
        self._rnd = random.Random(seed)
        self._lock = threading.Lock()
        self._aim: tuple[str, str] | None = None
        self._armed: int | None = None
        self.proxy = Proxy(shelf.url, self._decide)
        self.workers: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int, *options: str) -> None:
        """Starts worker N, in short times for waiting."""
        environment = clean_environment(
            MBS2_PASSWORD=PASSWORD,
            RECONCILE_AFTER_SECONDS="2",
            RETRY_FIRST_SECONDS="0.1",
            PROBE_SECONDS="0.3",
        )
        command = [
            sys.executable,
            str(PROJECT / "bulk_migrate_calibre.py"),
            str(self._library),
            "--server",
            self.proxy.url,
            "--state-dir",
            str(self._state_dir),
            "--worker-id",
            str(number),
            "--batch-size",
            "20",
            *(
                options
                or (
                    ["--join-only"]
                    if totals.read(self._state_dir / "migration_ledger.db")
                    else []
                )
            ),
        ]
        self.workers[number] = subprocess.Popen(
            command,
            env=environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _decide(self, method: str, path: str) -> Decision:
        """Strikes when the drawn step comes by; its answer may be lost on the way."""
        with self._lock:
            if (
                self._aim is None
                or self._armed is None
                or method != self._aim[0]
                or self._aim[1] not in path
            ):
                return Do.PASS
            victim, self._armed = self.workers[self._armed], None
        victim.kill()
        return Do.CUT

    def strike(self) -> None:
        """One kill: at a step, or after a time; then the worker is started again."""
        number = self._rnd.choice(sorted(self.workers))
        if self._rnd.random() < 0.5:
            with self._lock:
                self._aim, self._armed = self._rnd.choice(STEPS), number
            deadline = time.monotonic() + 3
            while self.workers[number].poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            with self._lock:
                self._armed = None
        else:
            time.sleep(self._rnd.uniform(0.5, 3.0))
        self.workers[number].kill()
        self.workers[number].wait(10)
        self.start(number)

    def see_it_through(self) -> None:
        """Until the pass is closed; a worker that has ended is started again."""
        while not self.finished():
            for number, worker in list(self.workers.items()):
                if worker.poll() is not None and not self.finished():
                    self.start(number)
            time.sleep(0.2)

    def finished(self) -> bool:
        """Has the pass been closed?"""
        found = totals.read(self._state_dir / "migration_ledger.db")
        return found is not None and found.closed_at is not None


def run(files: int, kills: int, options: list[str], seed: int) -> list[str]:
    """Returns what is wrong at the end; [] when nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        library, contents = make_library(root / "library", files)
        shelf = start_shelf(root / "shelf", *options)
        killer = Killer(library.root, shelf, root / "state", seed)
        done = 0
        try:
            for number in (1, 2):
                killer.start(number)
            while done < kills and not killer.finished():
                killer.strike()
                done += 1
            killer.see_it_through()
            for worker in killer.workers.values():
                worker.wait(60)
            first = totals.read(root / "state" / "migration_ledger.db", 1)
            if first is not None and first.counts.failed:
                print(
                    f"{first.counts}: given up after three deaths, as designed; "
                    "tried again with --retry-failed"
                )
                killer.start(1, "--retry-failed")
                killer.workers[1].wait(120)
        finally:
            for worker in killer.workers.values():
                worker.kill()
                worker.wait(10)
            killer.proxy.stop()
            end(shelf.process)
        found = totals.read(root / "state" / "migration_ledger.db")
        wrong = troubles(look(root / "shelf"), contents)
        print(f"{done} kills; {found.counts if found else None}")
        if found is None or not totals.proved(
            root / "state" / "migration_ledger.db", found.pass_id
        ):
            wrong.append("the equation does not hold")
        if found is not None and found.counts.failed:
            wrong.append(f"failed: {dict(found.failed)}")
        return wrong


def main() -> int:
    """Prints what is wrong; 1 when anything is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=300, help="[default: 300]")
    parser.add_argument("--kills", type=int, default=100, help="[default: 100]")
    parser.add_argument(
        "--delay-ms",
        type=int,
        default=100,
        help="of the server, for each call [default: 100]",
    )
    parser.add_argument(
        "--permissive", action="store_true", help="a server without unique constraints"
    )
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    given = parser.parse_args()
    options = [
        "--delay-ms",
        str(given.delay_ms),
        *(["--permissive"] if given.permissive else []),
    ]
    started = time.monotonic()
    wrong = run(given.files, given.kills, options, given.seed)
    print(
        f"{time.monotonic() - started:.0f} s: {'; '.join(wrong) or 'nothing lost, nothing twice'}"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
