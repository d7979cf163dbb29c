"""The same books by both lanes into a MyBookshelf2 that runs already; 1 when a goal is
missed.

    MBS2_PASSWORD=… MBS2_DB_URI=… MBS2_DATA_DIR=… python -m benchmarks.speed.lanes
        --server URL --ws-url URL --username U [--books 2000] [--api-books 40]

It fills that server. Every run has a new library of EPUBs of 150 to 450 KB, each with a
cover of 600x900 pixels and about 100 KB in Calibre and in the file; `--owner`, shelves
and all else are as they are without options, but nothing is read back at the end.

A rate is that of the time from the first range to the last file. Turn about: the API
with one worker and three uploads; the direct lane with covers as the server makes them
and as Calibre has them, with one worker and two."""

import argparse
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.speed.data_dir import cover
from benchmarks.table import Table
from migration.state_files import logs
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epub

DEADLINE_SECONDS = 1800
#: How many times the API's rate, by whether covers are kept.
GOALS = {"resize": 80.0, "keep": 120.0}
COVERS = 20


def library(folder: Path, count: int) -> Library:
    """A new library; no two have a byte of a book in common."""
    made, salt = Library(folder), secrets.randbelow(10**9)
    pictures = [cover(number) for number in range(COVERS)]
    for first in range(0, count, 100):
        made.add(
            *(
                _book(salt + number, pictures[number % COVERS])
                for number in range(first, min(first + 100, count))
            )
        )
    with closing(made.connect()) as db, db:
        db.execute("UPDATE books SET has_cover = 1")
        for number, path in db.execute("SELECT id, path FROM books").fetchall():
            (folder / path / "cover.jpg").write_bytes(pictures[number % COVERS])
    return made


def _book(seed: int, picture: bytes) -> Made:
    writer = f"Writer {seed // 10}"
    title = f"Book {seed}"
    padding = random.Random(seed).randrange(150_000, 450_000)
    data = epub(seed, title=title, author=writer, padding=padding, cover=picture)
    return Made(
        title=title,
        authors=((writer, f"{seed // 10}, Writer"),),
        files={"EPUB": data},
        tags=("Fantasy",),
        rating=8,
        comments=f"<p>About {title}.</p>",
    )


class Trial:
    """One server and one login."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder = given, folder
        self.number = 0

    def rate(self, books: int, workers: int, *options: str) -> float:
        """Files a second."""
        self.number += 1
        here = self.folder / str(self.number)
        root = library(here / "library", books).root
        command = [
            sys.executable,
            str(PROJECT / "bulk_migrate_calibre.py"),
            str(root),
            "--server",
            self.given.server,
            "--ws-url",
            self.given.ws_url,
            "--username",
            self.given.username,
            "--state-dir",
            str(here / "state"),
            "--audit",
            "off",
            *options,
        ]
        environment = clean_environment(
            **{
                name: os.environ[name]
                for name in ("MBS2_PASSWORD", "MBS2_DB_URI", "MBS2_DATA_DIR")
            }
        )
        running = [
            subprocess.Popen(
                [*command, "--worker-id", str(number + 1)],
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            for number in range(workers)
        ]
        assert [one.wait(DEADLINE_SECONDS) for one in running] == [0] * workers
        began, ends = [], []
        for number in range(workers):
            path = logs.log_path(here / "state", number + 1)
            for text in path.read_text("utf-8").splitlines():
                line = logs.parse(text)
                if line is not None and line.message.startswith("Querying"):
                    began.append(line.at)
                if line is not None and line.message.startswith("Uploaded "):
                    ends.append(line.at)
        assert len(ends) == books
        return books / (max(ends) - min(began)).total_seconds()


def main() -> int:
    """Measures, prints the table, returns 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--ws-url", required=True)
    parser.add_argument("--username", required=True)
    parser.add_argument("--books", type=int, default=2000)
    parser.add_argument("--api-books", type=int, default=40)
    given = parser.parse_args()
    table = Table("The same books by both lanes")
    with tempfile.TemporaryDirectory(prefix="lanes-") as folder:
        trial = Trial(given, Path(folder))
        began = time.monotonic()
        api = trial.rate(given.api_books, 1, "--lane", "api")
        table.add("API, one worker", f"{api:.2f} files/s", "", None)
        for covers, goal in GOALS.items():
            for workers in (1, 2):
                options = ("--lane", "direct", "--covers", covers)
                found = trial.rate(given.books, workers, *options)
                met = found / api >= goal if workers == 2 else None
                table.add(
                    f"direct, covers {covers}, workers {workers}",
                    f"{found:.1f} files/s = {found / api:.0f} x",
                    f"{goal:.0f} x" if workers == 2 else "",
                    met,
                )
        seconds = time.monotonic() - began
        table.add("all of it", f"{seconds:.0f} s", "", None)
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
