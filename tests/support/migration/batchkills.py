"""A worker or the embedded server is killed with SIGKILL in the middle of a batch; what
is true at the end of the pass?"""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from migration.ledger import totals
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.truth import look, troubles
from tests.support.network.proxy import Decision, Do, Proxy
from tests.support.servers.shelf import Shelf, start_shelf
from tests.support.servers.shelfkit import jpeg

#: The whole of one migration, with what a reconciliation waits for.
DEADLINE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Kill:
    """Who is killed, at which batch (from 1), so many seconds after it was sent."""

    victim: str
    batch: int
    seconds: float


def make_library(root: Path, books: int) -> tuple[Library, list[bytes]]:
    """An EPUB a book, most of them in batches; every third has a cover inside."""
    library, contents = Library(root), list[bytes]()
    for number in range(books):
        cover = b"" if number % 3 else jpeg("red")
        data = epub(number, padding=3000, cover=cover)
        contents.append(data)
        title = f"Книга {number}"
        library.add(Made(title=title, files={"EPUB": data}, rating=number % 11))
    return library, contents


class Scene:
    """One migration of a library, during which one process is killed."""

    def __init__(self, folder: Path, library: Path, kill: Kill) -> None:
        self._folder, self._library, self._kill = folder, library, kill
        self._batches = 0
        self._struck = threading.Event()
        self.shelf: Shelf = start_shelf(folder / "shelf")
        self._port = int(self.shelf.url.rpartition(":")[2])
        self._proxy = Proxy(self.shelf.url, self._decide)
        self.worker = self._start()

    @property
    def ledger(self) -> Path:
        """Its ledger."""
        return self._folder / "state" / "migration_ledger.db"

    def _start(self, *options: str) -> "subprocess.Popen[bytes]":
        environment = clean_environment(
            MBS2_PASSWORD=PASSWORD,
            MIGRATE_LANE="auto",
            RECONCILE_AFTER_SECONDS="1",
            RETRY_FIRST_SECONDS="0.1",
            PROBE_SECONDS="0.2",
        )
        command = [
            *(sys.executable, str(PROJECT / "bulk_migrate_calibre.py")),
            *(str(self._library), "--server", self._proxy.url),
            *("--state-dir", str(self._folder / "state"), *options),
        ]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _decide(self, method: str, path: str) -> Decision:
        if (method, path) == ("POST", "/api/calibre/books"):
            self._batches += 1
            if self._batches == self._kill.batch:
                threading.Timer(self._kill.seconds, self._strike).start()
        return Do.PASS

    def _strike(self) -> None:
        victim = self.worker if self._kill.victim == "worker" else self.shelf.process
        assert victim is not None
        victim.kill()
        self._struck.set()

    def see_it_through(self) -> bool:
        """Until the pass is closed; whoever was killed is started again. Returns
        whether anybody was."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.finished() and time.monotonic() < deadline:
            server = self.shelf.process
            if server is not None and server.poll() is not None:
                end(server)
                self.shelf = start_shelf(self._folder / "shelf", port=self._port)
            if self.worker.poll() is not None and not self.finished():
                self.worker = self._start()
            time.sleep(0.05)
        self.worker.wait(30)
        return self._struck.is_set()

    def finished(self) -> bool:
        """Has the pass been closed?"""
        found = totals.read(self.ledger)
        return found is not None and found.closed_at is not None

    def close(self) -> None:
        """Ends all that runs."""
        self.worker.kill()
        self.worker.wait(10)
        self._proxy.stop()
        end(self.shelf.process)

    def wrong(self, contents: Iterable[bytes]) -> list[str]:
        """What is wrong when all is over; [] when nothing is."""
        found = totals.read(self.ledger)
        if found is None or not totals.proved(self.ledger, found.pass_id):
            return ["the equation does not hold"]
        counts = found.counts
        wrong = troubles(look(self._folder / "shelf"), contents)
        if counts.uploaded != counts.discovered:
            wrong.append(f"not all of it was uploaded: {counts}")
        return wrong + left_over(self._folder / "shelf")


def left_over(data_dir: Path) -> list[str]:
    """Files and covers that no row names, and batches without an end."""
    with closing(sqlite3.connect(data_dir / "bookshelf.db")) as db:
        names = {
            f"{sha1}.{extension}"
            for sha1, extension in db.execute(
                "SELECT hash, extension FROM source JOIN format ON format.id = format_id"
            )
        }
        ids = {str(row[0]) for row in db.execute("SELECT id FROM ebook")}
        batches = db.execute("SELECT COUNT(*) FROM import_batch").fetchone()[0]
    files = {path.name for path in data_dir.glob("books/*/*")} - names
    covers = {path.stem for path in data_dir.glob("covers/*.jpg")} - ids
    found = {"files": len(files), "covers": len(covers), "batches": batches}
    return [f"{count} {what} left over" for what, count in found.items() if count]


def run(
    folder: Path, library: Path, contents: Iterable[bytes], kill: Kill
) -> tuple[bool, list[str]]:
    """One migration; returns whether the kill struck, and what is wrong."""
    folder.mkdir()
    scene = Scene(folder, library, kill)
    try:
        struck = scene.see_it_through()
        return struck, scene.wrong(contents)
    finally:
        scene.close()
