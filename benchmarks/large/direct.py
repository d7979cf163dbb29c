"""A large library by the direct lane onto MyBookshelf2: prints figures and goals; 1 when
a goal is missed.

    MBS2_PASSWORD=… MBS2_DB_URI=… python -m benchmarks.large.direct --server URL
        --username U --data-dir DIR [--books 1700000] [--workers 2] [--folder DIR]

The library (benchmarks/large/biglibrary.py) has 400 real pictures as covers, over and
over; most of its files are sparse. It fills that server, whose file system has to keep
sparse files sparse. The rate at the end is beside that of the first 10,000 books after
as many others; the server's own pages are asked before and after."""

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen

import psutil
import psycopg
import requests

from benchmarks.large import biglibrary
from benchmarks.speed.peers import cover
from benchmarks.table import Table
from migration.ledger import totals
from tests.support.environment import PROJECT, clean_environment

PICTURES, REAL = 400, 400
#: Books between the points at which the rate is taken.
STEP = 10_000
HOURS, MEGABYTES, SHARE, PAGE_SECONDS = 3.0, 200.0, 0.9, 1.0
PAGES = (
    "/api/ebooks?page=1&page_size=24&sort=-created",
    "/api/search/Title",
    "/api/ebooks/index/Title",
)


def add_covers(root: Path, books: int, folder: Path) -> None:
    """Gives every book one of the pictures, as a link to the same bytes."""
    pictures = [folder / f"{number}.jpg" for number in range(PICTURES)]
    for picture in pictures:
        picture.write_bytes(cover())
    for book in range(1, books + 1):
        place = f"{root}/{biglibrary.folder_of(book, books)}/cover.jpg"
        os.link(pictures[book % PICTURES], place)


def mark_covers(root: Path) -> None:
    """Has Calibre record the covers."""
    with closing(sqlite3.connect(root / "metadata.db")) as db, db:
        db.create_function("title_sort", 1, lambda title: title)
        db.execute("UPDATE books SET has_cover = 1")


class Run:
    """The workers, and what is seen of them."""

    def __init__(self, given: argparse.Namespace, library: Path, state: Path) -> None:
        self._given = given
        self._library = library
        self._state = state
        self.peaks: dict[int, float] = {}
        #: (seconds since the start, files settled), about one a second.
        self.points: list[tuple[float, int]] = [(0.0, 0)]

    def go(self) -> float:
        """Migrates; returns the seconds until the workers have ended."""
        began = time.monotonic()
        workers = [self._start(number + 1) for number in range(self._given.workers)]
        while any(worker.poll() is None for worker in workers):
            time.sleep(1)
            self._look(workers, time.monotonic() - began)
        assert {worker.returncode for worker in workers} == {0}, "a worker failed"
        return time.monotonic() - began

    def _start(self, number: int) -> "Popen[bytes]":
        given = self._given
        return Popen(
            [
                sys.executable,
                str(PROJECT / "bulk_migrate_calibre.py"),
                str(self._library),
                *("--server", given.server, "--username", given.username),
                *("--state-dir", str(self._state), "--worker-id", str(number)),
                *("--lane", "direct", "--covers", given.covers),
            ],
            env=clean_environment(
                MBS2_PASSWORD=os.environ["MBS2_PASSWORD"],
                MBS2_DB_URI=os.environ["MBS2_DB_URI"],
                MBS2_DATA_DIR=str(given.data_dir),
            ),
            stdout=DEVNULL,
            stderr=DEVNULL,
        )

    def _look(self, workers: Sequence["Popen[bytes]"], seconds: float) -> None:
        with suppress(*totals.UNREADABLE):
            found = totals.read(self._state / "migration_ledger.db")
            if found is not None:
                counts = found.counts
                settled = counts.discovered - counts.pending
                self.points.append((seconds, settled))
        for worker in workers:
            with suppress(psutil.Error):
                process = psutil.Process(worker.pid)
                family = [process, *process.children()]
                used = sum(one.memory_info().rss for one in family) / 1e6
                self.peaks[worker.pid] = max(self.peaks.get(worker.pid, 0.0), used)

    def rate(self, first: int, last: int) -> float:
        """Files a second between two numbers of settled files."""
        inside = [point for point in self.points if first <= point[1] <= last]
        (began, low), (ended, high) = inside[0], inside[-1]
        return (high - low) / max(0.001, ended - began)


def pages(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of the server's own pages, medians of five."""
    http = requests.Session()
    login = {"username": given.username, "password": os.environ["MBS2_PASSWORD"]}
    answer = http.post(f"{given.server}/login", json=login, timeout=60).json()
    http.headers["Authorization"] = f"bearer {answer['access_token']}"
    found = {}
    for page in PAGES:
        seconds = []
        for _ in range(5):
            began = time.monotonic()
            http.get(f"{given.server}{page}", timeout=120).raise_for_status()
            seconds.append(time.monotonic() - began)
        found[page] = statistics.median(seconds)
    return found


def database_size() -> int:
    """Bytes of the server's database."""
    with psycopg.connect(os.environ["MBS2_DB_URI"], connect_timeout=10) as db:
        row = db.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def show(given: argparse.Namespace, folder: Path) -> int:
    """Makes the library, migrates it, prints the table."""
    library = folder / "library"
    biglibrary.make_library(library, given.books, real=REAL)
    add_covers(library, given.books, folder)
    mark_covers(library)
    table = Table(f"{given.books:,} books, {given.workers} workers, direct lane")
    before, size = pages(given), database_size()
    run = Run(given, library, folder / "state")
    took = run.go()
    files = run.points[-1][1]
    table.add(
        "all in all",
        f"{took / 3600:.2f} h, {files / took:.0f} files/s",
        f"{HOURS:g} h",
        took <= HOURS * 3600,
    )
    if files >= 4 * STEP:
        early, late = run.rate(STEP, 2 * STEP), run.rate(files - STEP, files)
        table.add(
            "rate at the end",
            f"{late:.0f} files/s, {late / early:.2f} x that at {STEP:,}",
            f"{SHARE:g} x",
            late >= SHARE * early,
        )
    worst = max(run.peaks.values())
    table.add(
        "memory of a worker with its lane",
        f"{worst:.0f} MB",
        f"{MEGABYTES:g} MB",
        worst <= MEGABYTES,
    )
    grown = database_size() - size
    table.add(
        "database", f"{grown / 1e6:.0f} MB, {grown / files:.0f} bytes a file", "-", None
    )
    for page, seconds in pages(given).items():
        table.add(
            f"`{page}`",
            f"{before[page]:.2f} s, then {seconds:.2f} s",
            f"{PAGE_SECONDS:g} s",
            seconds <= PAGE_SECONDS,
        )
    return table.show()


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", required=True, help="its address")
    parser.add_argument("--username", required=True, help="a user of the server")
    parser.add_argument("--data-dir", type=Path, required=True, help="the server's")
    parser.add_argument("--books", type=int, default=1_700_000)
    parser.add_argument("--workers", type=int, default=2, help="[default: 2]")
    parser.add_argument("--covers", choices=("keep", "resize"), default="resize")
    parser.add_argument("--folder", type=Path, help="for library and state directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="direct-", dir=given.folder) as name:
        return show(given, Path(name))


if __name__ == "__main__":
    sys.exit(main())
