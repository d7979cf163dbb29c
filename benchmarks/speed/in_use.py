"""A MyBookshelf2 server in use, without and with a migration by the direct lane; 1 when
a request fails or waits.

    MBS2_PASSWORD=… MBS2_DB_URI=… python -m benchmarks.speed.in_use --server URL
        --ws-url URL --username U --data-dir DIR [--seconds 30] [--books 2000]

Four people upload books through the API, twenty read: listings, the search, an index,
an ebook, its cover, each with a pause of about a second between two requests. First
that alone, --seconds long, then while two workers migrate --books books. A request that
fails counts; the goal is that none does, and that the migration makes none wait for
more than a second longer than the slowest without it. It fills that server."""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import requests
import websocket

from benchmarks.speed.peers import cover
from benchmarks.speed.real_server import REQUEST_SECONDS, Trial
from benchmarks.table import Table
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.calibre_edits import set_cover
from tests.support.libraries.librarykit import Library, Made, epub

UPLOADERS, READERS = 4, 20
#: Seconds longer than the slowest request without the migration.
LONGER = 1.0
DEADLINE_SECONDS = 1800


@dataclass(slots=True)
class Seen:
    """What people have met with: seconds of each request by kind, failures."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, seconds: float) -> None:
        """One request that went well."""
        with self.lock:
            self.seconds.setdefault(kind, []).append(seconds)

    def fail(self, kind: str, why: str) -> None:
        """One that did not."""
        with self.lock:
            self.failures.append(f"{kind}: {why}")

    def slowest(self, kind: str) -> float:
        """The longest of a kind, 0.0 without any."""
        return max(self.seconds.get(kind, [0.0]))


class People:
    """Those who use the server; each is a thread with a session of its own."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._trial = Trial(given)
        self._stop = threading.Event()

    def use(self, seen: Seen, work: float | subprocess.Popen[bytes]) -> None:
        """Uses the server for so many seconds, or until that process has ended."""
        self._stop.clear()
        jobs = [self._upload] * UPLOADERS + [self._read] * READERS
        threads = [
            threading.Thread(target=job, args=(seen, random.Random(number)))
            for number, job in enumerate(jobs)
        ]
        for thread in threads:
            thread.start()
        if isinstance(work, float):
            time.sleep(work)
        else:
            work.wait(DEADLINE_SECONDS)
        self._stop.set()
        for thread in threads:
            thread.join(REQUEST_SECONDS)

    def _login(self) -> tuple[requests.Session, str]:
        http = requests.Session()
        login = {
            "username": self._given.username,
            "password": os.environ["MBS2_PASSWORD"],
        }
        token = http.post(
            f"{self._given.server}/login", json=login, timeout=REQUEST_SECONDS
        ).json()["access_token"]
        http.headers["Authorization"] = f"bearer {token}"
        return http, token

    def _upload(self, seen: Seen, drawn: random.Random) -> None:
        http, token = self._login()
        address = f"{self._given.ws_url}?token={token}"
        with closing(
            websocket.create_connection(address, timeout=REQUEST_SECONDS)
        ) as tasks:
            while not self._stop.wait(drawn.uniform(0.5, 1.5)):
                with self._trial.lock:
                    (book,) = self._trial.books()
                began = time.monotonic()
                try:
                    self._trial.one(http, tasks, book)
                except (OSError, KeyError, ValueError) as error:
                    seen.fail("a whole upload", f"{type(error).__name__}: {error}")
                else:
                    seen.add("a whole upload", time.monotonic() - began)

    def _read(self, seen: Seen, drawn: random.Random) -> None:
        http, _token = self._login()
        api = f"{self._given.server}/api"
        listed = http.get(f"{api}/ebooks", timeout=REQUEST_SECONDS).json()["items"]
        ids = [item["id"] for item in listed] or [1]
        while not self._stop.wait(drawn.uniform(0.5, 1.5)):
            kind, path = drawn.choice(
                [
                    ("listing", "/ebooks?page=1&page_size=24&sort=-created"),
                    ("search", "/search/Book"),
                    ("index", "/ebooks/index/Book"),
                    ("ebook", f"/ebooks/{drawn.choice(ids)}"),
                    ("cover", f"/ebooks/{drawn.choice(ids)}/cover"),
                ]
            )
            began = time.monotonic()
            try:
                answer = http.get(f"{api}{path}", timeout=REQUEST_SECONDS)
            except OSError as error:
                seen.fail(kind, type(error).__name__)
                continue
            if answer.status_code not in (200, 404) or (
                answer.status_code == 404 and kind != "cover"
            ):
                seen.fail(kind, f"HTTP {answer.status_code}")
            seen.add(kind, time.monotonic() - began)


def make_library(root: Path, books: int) -> Library:
    """Books with covers that no server has."""
    library, picture, salt = Library(root), cover(), int(time.time())
    made = [
        Made(
            title=f"Moved {salt} {number}",
            authors=((f"Mover {number // 10}", f"{number // 10}, Mover"),),
            files={"EPUB": epub(number, title=f"Moved {salt} {number}")},
        )
        for number in range(books)
    ]
    for book_id in library.add(*made):
        set_cover(library, book_id, picture)
    return library


def migration(
    given: argparse.Namespace, folder: Path, library: Library
) -> "subprocess.Popen[bytes]":
    """The worker processes, as one process that ends when both have."""
    worker = (
        f"{sys.executable} {PROJECT / 'bulk_migrate_calibre.py'} {library.root} "
        f"--server {given.server} --username {given.username} --lane direct "
        f"--state-dir {folder / 'state'} --worker-id"
    )
    return subprocess.Popen(
        ["sh", "-c", f"{worker} 1 & {worker} 2; wait"],
        env=clean_environment(
            MBS2_PASSWORD=os.environ["MBS2_PASSWORD"],
            MBS2_DB_URI=os.environ["MBS2_DB_URI"],
            MBS2_DATA_DIR=str(given.data_dir),
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", required=True, help="its address")
    parser.add_argument("--ws-url", required=True, help="its WebSocket, with the path")
    parser.add_argument("--username", required=True, help="a user of the server")
    parser.add_argument("--data-dir", type=Path, required=True, help="the server's")
    parser.add_argument("--seconds", type=float, default=30.0, help="[default: 30]")
    parser.add_argument("--books", type=int, default=2000, help="[default: 2000]")
    given = parser.parse_args()
    given.files = 1
    people, alone, beside = People(given), Seen(), Seen()
    people.use(alone, given.seconds)
    with tempfile.TemporaryDirectory(prefix="in-use-") as name:
        library = make_library(Path(name) / "library", given.books)
        began = time.monotonic()
        people.use(beside, migration(given, Path(name), library))
        took = time.monotonic() - began
    table = Table("seconds of a request: median, slowest; alone, beside the migration")
    for kind in sorted(alone.seconds.keys() | beside.seconds.keys()):
        slowest = alone.slowest(kind), beside.slowest(kind)
        halves = [
            statistics.median(seen.seconds.get(kind, [0.0])) for seen in (alone, beside)
        ]
        table.add(
            f"{kind}, {len(beside.seconds.get(kind, []))} requests",
            f"{halves[0]:.2f}, {slowest[0]:.2f}; {halves[1]:.2f}, {slowest[1]:.2f}",
            f"{LONGER:g} s longer",
            slowest[1] <= slowest[0] + LONGER,
        )
    for what, seen in (("alone", alone), ("beside", beside)):
        few = "; ".join(sorted(set(seen.failures))[:3])
        table.add(
            f"failures, {what}", f"{len(seen.failures)} {few}", "0", not seen.failures
        )
    table.add("the migration", f"{given.books / took:.0f} books/s", "-", None)
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
