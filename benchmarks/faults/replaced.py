"""Calibre rewrites files ("embed metadata"), and the workers that send them are killed
with SIGKILL again and again: is there ever less than one copy, and one at the end?

    python -m benchmarks.faults.replaced [--files 1000] [--kills 60] [--delay-ms 20]
    [--seed 1]

Every file was uploaded by a first pass. All are replaced; two workers send the new ones
and delete the old, while the server's database is looked at every 20 ms. Goal: never an
ebook without a file, and at the end exactly the new files, each once."""

import argparse
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from benchmarks.faults.kill9 import Killer
from migration.ledger import totals
from tests.support.environment import end
from tests.support.libraries import calibre_edits
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.truth import look, troubles
from tests.support.servers.shelf import start_shelf

#: Seconds between two looks at the server's database.
LOOK_SECONDS = 0.02


class Watch:
    """Looks for ebooks without a file until it is stopped."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "bookshelf.db"
        self._stop = threading.Event()
        self.without: set[int] = set()
        self.looks = 0
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        uri = f"{self._path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
            while not self._stop.wait(LOOK_SECONDS):
                rows = db.execute(
                    "SELECT id FROM ebook WHERE NOT EXISTS (SELECT 1 FROM source "
                    "WHERE ebook_id = ebook.id)"
                ).fetchall()
                self.without.update(row[0] for row in rows)
                self.looks += 1

    def stop(self) -> None:
        """Ends the looks."""
        self._stop.set()
        self._thread.join(30)


def run(files: int, kills: int, delay_ms: int, seed: int) -> list[str]:
    """Returns what is wrong; [] when nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        library = Library(root / "library")
        library.add(
            *(
                Made(title=f"Book {n}", files={"EPUB": epub(n, padding=3000)})
                for n in range(files)
            )
        )
        shelf = start_shelf(root / "shelf", "--delay-ms", str(delay_ms))
        ledger = root / "state" / "migration_ledger.db"
        killer = Killer(library.root, shelf, root / "state", seed)
        watch, done = None, 0
        try:
            killer.start(1)
            killer.see_it_through()
            killer.workers[1].wait(60)
            contents = [epub(files + n, padding=3000) for n in range(files)]
            for number, data in enumerate(contents, start=1):
                calibre_edits.replace_file(library, number, data)
            watch = Watch(root / "shelf")
            killer.start(1, "--open-pass")
            killer.workers[1].wait(60)
            for number in (1, 2):
                killer.start(number)
            while done < kills and not killer.finished():
                killer.strike()
                done += 1
            killer.see_it_through()
            for worker in killer.workers.values():
                worker.wait(120)
        finally:
            if watch is not None:
                watch.stop()
            for worker in killer.workers.values():
                worker.kill()
                worker.wait(10)
            killer.proxy.stop()
            end(shelf.process)
        found = totals.read(ledger)
        wrong = troubles(look(root / "shelf"), contents)
        if watch.without:
            wrong.append(f"{len(watch.without)} ebooks were without a file for a time")
        if found is None or not totals.proved(ledger, found.pass_id):
            wrong.append("the equation does not hold")
        print(f"{done} kills, {watch.looks} looks; {found.counts if found else None}")
        return wrong


def main() -> int:
    """Prints what is wrong; 1 when anything is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1000, help="[default: 1000]")
    parser.add_argument("--kills", type=int, default=60, help="[default: 60]")
    parser.add_argument(
        "--delay-ms", type=int, default=20, help="of the server [default: 20]"
    )
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    given = parser.parse_args()
    started = time.monotonic()
    wrong = run(given.files, given.kills, given.delay_ms, given.seed)
    took = time.monotonic() - started
    print(f"{took:.0f} s: {'; '.join(wrong) or 'never less than one, never two'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
