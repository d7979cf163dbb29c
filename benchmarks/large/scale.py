"""1.7 million books: prints a table of figures and goals; 1 when a goal is missed.

    python -m benchmarks.large.scale [--quick] [--books N] [--workers N] [--folder DIR]
    [--cold]

Makes a library with all its files (benchmarks/large/biglibrary.py) and ledgers to match below
DIR, which is removed at the end: about 12 GB and 6 million inodes for 1.7 million
books, on a local disk. --quick takes 100,000 books. --cold, for root on a machine of
one's own, drops the kernel's caches and reports the cold time too."""

import argparse
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.large import biglibrary
from benchmarks.table import Table
from migration.calibre.library import CalibreLibrary
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries import calibre_edits
from tests.support.servers.shelf import Shelf, start_shelf

PAGE = 1000
#: Books with readable EPUBs at either end of the library.
REAL = 400
SMALL = 10_000


class Worker:
    """A worker process with a clock: when it first said what, and how much memory it
    ever had."""

    def __init__(
        self, library: Path, shelf: Shelf, state_dir: Path, *options: str
    ) -> None:
        command = [
            sys.executable,
            str(PROJECT / "bulk_migrate_calibre.py"),
            str(library),
            "--server",
            shelf.url,
            "--state-dir",
            str(state_dir),
            *options,
        ]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command,
            env=clean_environment(MBS2_PASSWORD=PASSWORD),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[tuple[float, str]] = []
        self.peak_mb = 0.0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if " Uploaded " in line or " Processed batch" in line:
                self.said.append((time.monotonic() - self.started, line))

    def times(self, what: str) -> list[float]:
        """Seconds after the start at which it said this."""
        return [at for at, line in self.said if what in line]

    def watch(self, until: Callable[[], bool], seconds: float) -> float:
        """Waits until that is true or it has ended, at most so long; returns the
        seconds since its start."""
        while (
            not until()
            and self.process.poll() is None
            and time.monotonic() - self.started < seconds
        ):
            self._measure()
            time.sleep(0.01)
        return time.monotonic() - self.started

    def _measure(self) -> None:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(
                "ascii", "replace"
            )
        except OSError:
            return
        peak = next(
            (
                line.split()[1]
                for line in status.splitlines()
                if line.startswith("VmHWM")
            ),
            "0",
        )
        self.peak_mb = max(self.peak_mb, int(peak) / 1000)

    def written(self) -> int:
        """Bytes it has written so far, to whatever."""
        text = Path(f"/proc/{self.process.pid}/io").read_text("ascii")
        return int(
            next(
                line.split()[1]
                for line in text.splitlines()
                if line.startswith("wchar")
            )
        )

    def end(self) -> None:
        """Ends it."""
        end(self.process)
        self._reader.join(5)


def enumeration(library: CalibreLibrary) -> tuple[float, float]:
    """Seconds for the bare paged scan of (id, format) and for ours, medians of three,
    turn about."""
    bare, ours = [], []
    for _ in range(3):
        started = time.monotonic()
        bare_scan(library.root / "metadata.db")
        between = time.monotonic()
        after = 0
        while (last := library.last_id_of_range(after, PAGE)) is not None:
            library.list_formats(after + 1, last)
            after = last
        bare.append(between - started)
        ours.append(time.monotonic() - between)
    return statistics.median(bare), statistics.median(ours)


def bare_scan(path: Path) -> int:
    """Pages of 1000 books by id, each with its formats, and nothing done with them."""
    files = after = 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        while rows := db.execute(
            "SELECT id, path FROM books WHERE id > ? ORDER BY id LIMIT ?", (after, PAGE)
        ).fetchall():
            span = (rows[0][0], rows[-1][0])
            formats = "SELECT book, format, name FROM data WHERE book BETWEEN ? AND ? ORDER BY book"
            files += len(db.execute(formats, span).fetchall())
            after = span[1]
    return files


class Scale:
    """One library, one server, many states."""

    def __init__(self, folder: Path, books: int, workers: int, *, cold: bool) -> None:
        self.folder, self.books, self.workers, self.cold = folder, books, workers, cold
        self.library, self.small = folder / "library", folder / "small"
        self.table = Table(f"{books:,} books")
        self.states = 0

    def state(self, template: Path | None = None, shelf: Shelf | None = None) -> Path:
        """A state directory of its own, with a copy of a ledger bound to the server."""
        self.states += 1
        state_dir = self.folder / f"state{self.states}"
        if template is not None and shelf is not None:
            shutil.copytree(template, state_dir)
            with closing(sqlite3.connect(state_dir / "migration_ledger.db")) as db, db:
                db.execute(
                    "UPDATE meta SET value = ? WHERE key = 'server'", (shelf.url,)
                )
        return state_dir

    def server(self, name: str, ledger: str) -> Shelf:
        """A server of its own that has every file of a ledger."""
        end(start_shelf(self.folder / name).process)
        biglibrary.fill_server(self.folder / name, self.folder / ledger)
        return start_shelf(self.folder / name)

    def run(self) -> None:
        """All of it."""
        self.make()
        with CalibreLibrary(self.library, self.folder / "private") as library:
            bare, ours = enumeration(library)
        self.table.add(
            "enumeration of (id, format)",
            f"{ours:.2f} s, {ours / bare:.2f} x the bare scan",
            "1.5 x",
            ours <= 1.5 * bare,
        )
        self.first_upload()
        self.settled()
        self.edited()
        self.rates()

    def make(self) -> None:
        """Libraries and ledgers."""
        started = time.monotonic()
        biglibrary.make_library(self.library, self.books, real=REAL)
        biglibrary.make_library(self.small, SMALL, real=REAL)
        made = time.monotonic()
        self.files = biglibrary.make_ledger(
            self.library, self.folder / "settled", server="x"
        )
        biglibrary.make_ledger(
            self.library,
            self.folder / "big_end",
            server="x",
            open_from=self.books - REAL + 1,
        )
        biglibrary.make_ledger(
            self.small,
            self.folder / "small_end",
            server="x",
            open_from=SMALL - REAL + 1,
        )
        print(
            f"library of {self.files:,} files: {made - started:.0f} s, ledgers: "
            f"{time.monotonic() - made:.0f} s",
            flush=True,
        )

    def first_upload(self) -> None:
        """From the start of the process to the first receipt, on a fresh ledger."""
        shelf = start_shelf(self.folder / f"shelf{self.states}")
        worker = Worker(self.library, shelf, self.state(), "--limit", "3")
        worker.watch(lambda: False, 60)
        first = min(worker.times(" Uploaded "), default=99.0)
        worker.end()
        end(shelf.process)
        self.table.add(
            "first upload after the start", f"{first:.2f} s", "3 s", first < 3
        )

    def settled(self) -> None:
        """A pass over what is all settled, twice: the first warms the caches (or is
        cold); then one that is killed."""
        shelf = self.server("shelf", "settled")
        try:
            if self.cold:
                subprocess.run(["sync"], check=True)
                Path("/proc/sys/vm/drop_caches").write_text("3")
            first, _memory = self.settled_pass(shelf)
            self.table.add(
                f"settled pass, {'cold' if self.cold else 'first'}",
                f"{first:.1f} s",
                "-",
                None,
            )
            wall, memory = self.settled_pass(shelf)
            self.table.add(
                f"settled pass of {self.files:,} files, warm, {self.workers} workers",
                f"{wall:.1f} s",
                "60 s",
                wall <= 60,
            )
            self.table.add("worker memory", f"{memory:.0f} MB", "120 MB", memory <= 120)
            self.killed(shelf)
        finally:
            end(shelf.process)

    def edited(self) -> None:
        """One title edited in Calibre, after a pass that uploaded the last books: found
        and sent by a pass over everything."""
        shelf = self.server("shelf_edited", "big_end")
        try:
            state_dir = self.state(self.folder / "big_end", shelf)
            worker = Worker(self.library, shelf, state_dir)
            worker.watch(lambda: False, 600)
            assert worker.process.returncode == 0
            worker.end()
            calibre_edits.edit_title(self.library, self.books, "Edited in Calibre")
            wall, memory = self.walk(shelf, state_dir)
            with shelf.session() as session:
                found = session.get(
                    f"{shelf.url}/api/search/Edited%20Calibre", timeout=60
                ).json()["total"]
            self.table.add(
                "one edit found and sent by a pass over everything",
                f"{wall:.1f} s, {memory:.0f} MB, {found} found there",
                "60 s, 120 MB",
                found == 1 and wall <= 60 and memory <= 120,
            )
            shutil.rmtree(state_dir)
        finally:
            end(shelf.process)

    def settled_pass(self, shelf: Shelf) -> tuple[float, float]:
        """Wall seconds until all workers have ended, and the largest memory."""
        state_dir = self.state(self.folder / "settled", shelf)
        found = self.walk(shelf, state_dir)
        shutil.rmtree(state_dir)
        return found

    def walk(self, shelf: Shelf, state_dir: Path) -> tuple[float, float]:
        """One pass; wall seconds until all workers have ended, and the largest
        memory."""
        workers = [
            Worker(self.library, shelf, state_dir, "--worker-id", str(number + 1))
            for number in range(self.workers)
        ]
        wall = max(worker.watch(lambda: False, 600) for worker in workers)
        assert [worker.process.returncode for worker in workers] == [0] * self.workers
        memory = max(worker.peak_mb for worker in workers)
        for worker in workers:
            worker.end()
        return wall, memory

    def killed(self, shelf: Shelf) -> None:
        """kill -9 in the middle of a pass; how long until the next process has settled
        a range."""
        state_dir = self.state(self.folder / "settled", shelf)
        first = Worker(self.library, shelf, state_dir)
        first.watch(lambda: len(first.times(" Processed batch")) >= 20, 120)
        first.process.kill()
        first.end()
        second = Worker(self.library, shelf, state_dir)
        second.watch(lambda: bool(second.times(" Processed batch")), 120)
        resumed = min(second.times(" Processed batch"), default=99.0)
        second.end()
        shutil.rmtree(state_dir)
        self.table.add("resume after kill -9", f"{resumed:.2f} s", "3 s", resumed <= 3)

    def rates(self) -> None:
        """New files against a ledger of everything and one of 10,000 books, turn about;
        ratio of the medians."""
        rates: dict[str, list[float]] = {"big_end": [], "small_end": []}
        written: dict[str, list[float]] = {"big_end": [], "small_end": []}
        progress: dict[str, int] = {}
        for number in range(10):
            which = ("big_end", "small_end", "small_end", "big_end")[number % 4]
            rate, wrote, size = self.rate(which)
            rates[which].append(rate)
            written[which].append(wrote)
            progress[which] = size
        big, small = (
            statistics.median(rates[which]) for which in ("big_end", "small_end")
        )
        self.table.add(
            f"rate at {self.books:,} books / at {SMALL:,}",
            f"{big:.1f} / {small:.1f} files/s = {big / small:.3f}",
            "0.95",
            big >= 0.95 * small,
        )
        more, less = (
            statistics.median(written[which]) for which in ("big_end", "small_end")
        )
        self.table.add(
            "bytes written for a file, the same",
            f"{more:,.0f} / {less:,.0f}",
            "1.05 x",
            more <= 1.05 * less,
        )
        larger, smaller = progress["big_end"], progress["small_end"]
        self.table.add(
            "progress file, the same",
            f"{larger} / {smaller} bytes",
            "equal but for digits",
            larger - smaller < 100,
        )

    def rate(self, which: str) -> tuple[float, float, int]:
        """Files per second, bytes written per file, and the size of the progress file,
        at the end of a library."""
        library = self.library if which == "big_end" else self.small
        shelf = self.server(f"shelf-{which}-{self.states}", which)
        state_dir = self.state(self.folder / which, shelf)
        worker = Worker(library, shelf, state_dir, "--join-only", "--formats", "epub")
        try:
            worker.watch(lambda: len(worker.times(" Uploaded ")) >= 20, 60)
            before = worker.written()
            worker.watch(lambda: len(worker.times(" Uploaded ")) >= REAL - 20, 120)
            wrote = worker.written() - before
            at = worker.times(" Uploaded ")
            size = (state_dir / "migration_progress_worker1.json").stat().st_size
            return (len(at) - 20) / (at[-1] - at[19]), wrote / (len(at) - 20), size
        finally:
            worker.end()
            end(shelf.process)
            shutil.rmtree(state_dir)


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--books", type=int, default=0, help="[default: 1700000; with --quick 100000]"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        help="for the settled pass [default: 2, one a core]",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where [default: %(default)s]",
    )
    parser.add_argument("--quick", action="store_true", help="100,000 books")
    parser.add_argument(
        "--cold", action="store_true", help="drop the kernel's caches first; for root"
    )
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=given.folder))
    scale = Scale(
        folder,
        given.books or (100_000 if given.quick else 1_700_000),
        given.workers,
        cold=given.cold,
    )
    try:
        scale.run()
    finally:
        for library in (scale.library, scale.small):
            if library.exists():
                biglibrary.remove(library)
        shutil.rmtree(folder, ignore_errors=True)
    return scale.table.show()


if __name__ == "__main__":
    sys.exit(main())
