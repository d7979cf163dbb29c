"""A pass over a library whose files are all settled, and the time to the first upload;
worker time and memory.

    python -m benchmarks.large.settled_pass LIBRARY

LIBRARY is a Calibre library with its files. The ledger is filled by a generator, as if
everything had been uploaded; the last book is left out, so that the pass also has
something to upload. Goals at 100,000 books: under 15 s for the pass, under 120 MB; and
under 2 s from the start to the first upload on a fresh ledger."""

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from common.clock import SteadyClock
from migration.calibre.library import CalibreLibrary
from migration.ledger.ledger import Ledger
from migration.state_files.owner import this_process
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.servers.shelf import Shelf, start_shelf

PAGE = 1000


def fill(library: CalibreLibrary, state_dir: Path) -> int:
    """A ledger in which every file but the last book's was uploaded in a closed pass;
    returns how many files."""
    ledger = Ledger(state_dir, this_process(9), SteadyClock())
    pass_id = ledger.passes.join(library.highest_book_id(), may_open=True) or 1
    files = 0
    while (
        owned := ledger.files.claim_range(
            pass_id, lambda after: library.last_id_of_range(after, PAGE)
        )
    ) is not None:
        listed = [
            (file, "")
            for book in library.read_books(owned.first, owned.last)
            for file in book.files
        ]
        ledger.files.register(owned, listed)
        files += len(listed)
        with closing(sqlite3.connect(ledger.path)) as db, db:
            db.execute(
                "UPDATE files SET outcome = 'uploaded' WHERE outcome = 'pending'"
            )
        ledger.files.close_range(owned)
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("UPDATE passes SET uploaded = pending, pending = 0")
        db.execute(
            "UPDATE files SET size = size + 1 WHERE book_id = (SELECT MAX(book_id) FROM files)"
        )
    ledger.close()
    return files


def run(
    library: Path, shelf: Shelf, state_dir: Path, *options: str
) -> tuple[float, float, float]:
    """Wall seconds, seconds to the first upload and peak memory in MB of one worker."""
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
    started, first = time.monotonic(), 0.0
    with subprocess.Popen(
        command,
        env=clean_environment(MBS2_PASSWORD=PASSWORD),
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stderr is not None
        for line in worker.stderr:
            if not first and " Uploaded " in line:
                first = time.monotonic() - started
    return (
        time.monotonic() - started,
        first,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000,
    )


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    path = parser.parse_args().library
    with (
        tempfile.TemporaryDirectory() as folder,
        CalibreLibrary(path, Path(folder) / "private") as library,
    ):
        root = Path(folder)
        shelf = start_shelf(root / "shelf")
        try:
            (root / "settled").mkdir()
            files = fill(library, root / "settled")
            with (
                closing(
                    sqlite3.connect(root / "settled" / "migration_ledger.db")
                ) as db,
                db,
            ):
                db.executemany(
                    "INSERT INTO meta (key, value) VALUES (?, ?)",
                    [("library", library.uuid), ("server", shelf.url), ("user", "1")],
                )
            wall, _first, _memory = run(path, shelf, root / "settled")
            wall, _first, memory = run(path, shelf, root / "settled")
            print(
                f"pass over {files} settled files, warm: {wall:.1f} s, {memory:.0f} MB"
            )
            _wall, first, _memory = run(path, shelf, root / "fresh", "--limit", "3")
            print(f"first upload on a fresh ledger: {first:.2f} s after the start")
        finally:
            end(shelf.process)
    return 0


if __name__ == "__main__":
    sys.exit(main())
