"""Workers of the direct lane are killed, their database is restarted: what is true then?

    MBS2_PASSWORD=… MBS2_DB_URI=… python -m benchmarks.faults.direct_kills --server URL
        --username U --data-dir DIR [--rounds 20] [--kills 5] [--books 400]
        [--restart CMD] [--seed 1]

It fills that server: --rounds libraries of --books books, each with covers, shared
authors, series, ratings and some bytes twice, and empties nothing. In every round two
workers migrate one library by the direct lane. --kills times, after a drawn time, one
of them is killed with SIGKILL and started again: the worker, its lane's process, or
both. With --restart every second strike restarts the database instead. The goal is 0
lost, 0 twice, 0 rows without files, 0 files without rows. Those are looked for in the
database and the data directory themselves, not in the ledger."""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks.speed.peers import cover
from migration.ledger import totals
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.calibre_edits import set_cover
from tests.support.libraries.librarykit import Library, Made, epub

DEADLINE_SECONDS = 300
COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Server:
    """The server that is written to."""

    url: str
    username: str
    db_uri: str
    data_dir: Path
    restart: str


def make_library(root: Path, books: int, salt: str) -> tuple[Library, list[bytes]]:
    """Books of one library; returns it with its files' contents, some of them twice."""
    library, contents, picture = Library(root), list[bytes](), cover()
    for number in range(books):
        title = f"Book {number} of {salt}"
        first = epub(
            number if number % 20 else 0, title=f"{salt} {number % 20 and number}"
        )
        files = {"EPUB": first}
        if number % 4 == 0:
            files["TXT"] = f"Plain text of {title}".encode() * 20
        made = Made(
            title=title,
            authors=((f"Writer {number % 17}", f"{number % 17}, Writer"),),
            files=files,
            rating=number % 11,
            series=f"A Series of {salt}" if number % 3 else "",
            series_index=number,
        )
        (book_id,) = library.add(made)
        if number % 2:
            set_cover(library, book_id, picture)
        contents += files.values()
    return library, contents


class Round:
    """One library on its way, with those who disturb it."""

    def __init__(self, server: Server, folder: Path, library: Path, seed: int) -> None:
        self._server = server
        self._library = library
        self._state = folder / "state"
        self._rnd = random.Random(seed)
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self.strikes = 0

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self._state / "migration_ledger.db"

    def start(self, number: int) -> None:
        """Starts worker N with short times for waiting."""
        join = ["--join-only"] if totals.read(self.ledger) is not None else []
        self._workers[number] = subprocess.Popen(
            [
                sys.executable,
                str(PROJECT / "bulk_migrate_calibre.py"),
                str(self._library),
                *("--server", self._server.url, "--username", self._server.username),
                *("--state-dir", str(self._state), "--worker-id", str(number)),
                *("--batch-size", "40", "--lane", "direct", *join),
            ],
            env=clean_environment(
                MBS2_PASSWORD=os.environ["MBS2_PASSWORD"],
                MBS2_WS_URL=os.environ.get("MBS2_WS_URL", ""),
                MBS2_DB_URI=self._server.db_uri,
                MBS2_DATA_DIR=str(self._server.data_dir),
                RECONCILE_AFTER_SECONDS="2",
                RETRY_FIRST_SECONDS="0.1",
                PROBE_SECONDS="0.3",
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def strike(self) -> None:
        """Kills what is drawn, or restarts the database, after a drawn time."""
        time.sleep(self._rnd.uniform(0.3, 2.0))
        self.strikes += 1
        if self._server.restart and self.strikes % 2 == 0:
            subprocess.run(
                self._server.restart, shell=True, check=True, timeout=COMMAND_SECONDS
            )
            return
        number = self._rnd.choice(sorted(self._workers))
        worker = self._workers[number]
        lanes = psutil.Process(worker.pid).children() if worker.poll() is None else []
        drawn = self._rnd.choice(("worker", "lane", "both"))
        if drawn != "worker":
            for lane in lanes:
                lane.kill()
        if drawn != "lane":
            worker.kill()
            worker.wait(10)
            self.start(number)

    def run(self, kills: int) -> None:
        """From the first start until the pass is closed."""
        for number in (1, 2):
            self.start(number)
        while self.strikes < kills and not self.finished():
            self.strike()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.finished() and time.monotonic() < deadline:
            for number, worker in list(self._workers.items()):
                if worker.poll() is not None and not self.finished():
                    self.start(number)
            time.sleep(0.2)

    def finished(self) -> bool:
        """Whether the pass is closed."""
        found = totals.read(self.ledger)
        return found is not None and found.closed_at is not None

    def end(self) -> None:
        """Ends what still runs."""
        for worker in self._workers.values():
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait(10)


def strays(server: Server) -> set[str]:
    """Returns the files of books and thumbnails that no row names."""
    with psycopg.connect(server.db_uri, connect_timeout=10) as db:
        named = {f"books/{row[0]}" for row in db.execute("SELECT location FROM source")}
        rows = db.execute("SELECT id, cover FROM ebook WHERE cover IS NOT NULL")
        for ebook_id, cover_path in rows:
            named |= {f"books/{cover_path}", f"thumbs/{ebook_id}.jpg"}
    there = {
        str(path.relative_to(server.data_dir))
        for part in ("books", "thumbs")
        for path in (server.data_dir / part).rglob("*")
        if path.is_file()
    }
    return there - named


def troubles(server: Server, contents: list[bytes], before: set[str]) -> list[str]:
    """Returns what is wrong with one library's files; [] when nothing is."""
    wanted = {hashlib.sha1(content).hexdigest() for content in contents}
    with psycopg.connect(server.db_uri, connect_timeout=10) as db:
        rows = db.execute(
            "SELECT hash, size, location FROM source WHERE hash = ANY(%s)",
            (sorted(wanted),),
        ).fetchall()
        empty = db.execute(
            "SELECT id FROM ebook WHERE NOT EXISTS "
            "(SELECT 1 FROM source WHERE ebook_id = ebook.id)"
        ).fetchall()
        covers = db.execute(
            "SELECT cover FROM ebook WHERE cover IS NOT NULL"
        ).fetchall()
    wrong = [f"{len(wanted) - len({row[0] for row in rows})} lost"]
    wrong.append(f"{len(rows) - len({row[0] for row in rows})} twice")
    wrong.append(f"{sum(not _is_there(server, *row) for row in rows)} without a file")
    wrong.append(f"{len(empty)} ebooks without a source")
    missing = sum(not (server.data_dir / "books" / row[0]).is_file() for row in covers)
    wrong.append(f"{missing} covers without a file")
    wrong.append(f"{len(strays(server) - before)} files without a row")
    return [one for one in wrong if not one.startswith("0 ")]


def _is_there(server: Server, sha1: str, size: int, location: str) -> bool:
    path = server.data_dir / "books" / location
    if not path.is_file() or path.stat().st_size != size:
        return False
    return hashlib.sha1(path.read_bytes()).hexdigest() == sha1


def one_round(server: Server, number: int, given: argparse.Namespace) -> list[str]:
    """Runs one round; returns what is wrong at its end."""
    before = strays(server)
    with tempfile.TemporaryDirectory() as folder:
        root, salt = Path(folder), f"{given.seed}-{number}-{os.getpid()}"
        library, contents = make_library(root / "library", given.books, salt)
        running = Round(server, root, library.root, given.seed * 1000 + number)
        try:
            running.run(given.kills)
        finally:
            running.end()
        found = totals.read(running.ledger)
        wrong = troubles(server, contents, before)
        if found is None or found.closed_at is None:
            wrong.append("the pass is not closed")
        elif not totals.proved(running.ledger, found.pass_id):
            wrong.append("the equation does not hold")
        counts = found.counts if found else None
        print(f"{number}: {running.strikes} strikes, {counts}: {wrong or 'all there'}")
    return wrong


def main() -> int:
    """Prints a line for each round; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", required=True, help="its address")
    parser.add_argument("--username", required=True, help="a user of the server")
    parser.add_argument("--data-dir", type=Path, required=True, help="the server's")
    parser.add_argument("--rounds", type=int, default=20, help="[default: 20]")
    parser.add_argument("--kills", type=int, default=5, help="a round [default: 5]")
    parser.add_argument("--books", type=int, default=400, help="[default: 400]")
    parser.add_argument("--restart", default="", help="restarts the database")
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    given = parser.parse_args()
    server = Server(
        given.server,
        given.username,
        os.environ["MBS2_DB_URI"],
        given.data_dir,
        given.restart,
    )
    rounds = range(1, given.rounds + 1)
    wrong = [number for number in rounds if one_round(server, number, given)]
    print(f"{given.rounds - len(wrong)} of {given.rounds} rounds with everything there")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
