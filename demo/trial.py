"""`python -m demo.trial SCRIPT FOLDER LIBRARY STILL`: migrates a library with a worker
script and says what arrived.

The server is an embedded one of its own. What arrived is read from the server's
database and files, not from what the script says about itself. A script that has not
moved for STILL seconds is ended; how far it got is said all the same. One JSON object on
standard output."""

import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from migration.state_files.progress import progress_paths
from migration.state_files.progress import read as read_progress

DEMO = Path(__file__).resolve().parent
#: Seconds for the server to listen.
START_SECONDS = 30.0
#: Seconds between two looks at a script.
LOOK_SECONDS = 0.3


def main() -> int:
    """Returns 0; what became of the script is in the object."""
    script, folder, library = (Path(text) for text in sys.argv[1:4])
    still = float(sys.argv[4])
    folder.mkdir(parents=True)
    login = {"MBS2_USERNAME": "trial", "MBS2_PASSWORD": secrets.token_urlsafe(16)}
    environment = {**os.environ, **login, "PYTHONPATH": str(DEMO.parent)}
    # What is tried is how the script sends each book.
    environment["MIGRATE_LANE"] = "api"
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bookshelf",
            "--data-dir",
            str(folder / "shelf"),
            "--port",
            "0",
        ],
        # It finds no `ebook-meta` of Calibre's: that takes seconds for each file, and
        # the worker overwrites what it has read.
        env={**environment, "PATH": str(folder / "no-programs")},
        cwd=DEMO.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        url = _url(folder / "shelf")
        began = time.monotonic()
        status, moved = _run(script, folder, library, url, environment, still)
    finally:
        server.terminate()
        server.wait(30)
    arrived = what_arrived(folder)
    json.dump({"status": status, "seconds": moved - began, **arrived}, sys.stdout)
    return 0


def _run(
    script: Path,
    folder: Path,
    library: Path,
    url: str,
    environment: dict[str, str],
    still: float,
) -> tuple[int | None, float]:
    """Runs the script; returns its exit status, and when it last moved.

    None when it was ended because it did not move any more.
    """
    worker = subprocess.Popen(
        [
            sys.executable,
            str(script),
            str(library),
            "--server",
            url,
            "--state-dir",
            str(folder / "state"),
            "--audit",
            "all",
        ],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mark, moved = _mark(folder), time.monotonic()
    try:
        while worker.poll() is None:
            time.sleep(LOOK_SECONDS)
            now = _mark(folder)
            if now != mark:
                mark, moved = now, time.monotonic()
            if time.monotonic() - moved > still:
                return None, moved
        return worker.returncode, time.monotonic()
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait(10)


def _mark(folder: Path) -> object:
    """Returns what changes as long as the script gets on: its counts, its progress."""
    try:
        found = totals.read(folder / "state" / LEDGER_NAME)
    except totals.UNREADABLE:
        found = None
    moved = None
    for path in progress_paths(folder / "state"):
        seen = read_progress(path)
        moved = None if seen is None else (seen.last_progress_at, seen.status)
    return (None if found is None else (found.counts, found.audited), moved)


def _url(data_dir: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            return str(json.loads((data_dir / "server.json").read_text())["url"])
        except (OSError, ValueError, KeyError):
            time.sleep(0.05)
    raise SystemExit("the embedded server did not start")


def what_arrived(folder: Path) -> dict[str, object]:
    """Counts by the ledger, and every ebook with its people, its series and the hashes
    of its files' real bytes; which Calibre book it is, and whether it is finished. Of
    which Calibre books the audit found a difference."""
    found = totals.read(folder / "state" / LEDGER_NAME)
    if found is None:
        return {"counts": {}, "books": [], "wrong": [], "kinds": {}}
    with closing(sqlite3.connect(folder / "state" / LEDGER_NAME)) as db:
        carried = {
            ebook: (book, not steps and intention is None)
            for book, ebook, steps, intention in db.execute(
                "SELECT book_id, ebook_id, steps, intention FROM books"
            )
        }
        wrong = sorted(
            {row[0] for row in db.execute("SELECT book_id FROM differences")}
        )
        kinds = dict(
            db.execute(
                "SELECT kind, COUNT(*) FROM differences GROUP BY kind"
            ).fetchall()
        )
    counts = {
        name: getattr(found.counts, name)
        for name in ("discovered", "uploaded", "duplicate", "skipped", "pending")
    }
    with closing(sqlite3.connect(folder / "shelf" / "bookshelf.db")) as db:
        db.row_factory = sqlite3.Row
        books = [
            _book(db, row, folder / "shelf" / "books", carried)
            for row in db.execute("SELECT * FROM ebook ORDER BY id")
        ]
    proved = totals.proved(folder / "state" / LEDGER_NAME, found.pass_id)
    closed = found.closed_at is not None
    return {
        "counts": {**counts, "failed": dict(found.failed)},
        "closed": closed,
        "proved": proved,
        "wrong": wrong,
        "kinds": kinds,
        "books": sorted(books, key=lambda book: json.dumps(book, sort_keys=True)),
    }


def _book(
    db: sqlite3.Connection,
    row: sqlite3.Row,
    files: Path,
    carried: dict[int, tuple[int, bool]],
) -> dict[str, object]:
    def all_of(sql: str) -> list[str]:
        return sorted(
            " ".join(str(value) for value in found)
            for found in db.execute(sql, (row["id"],))
        )

    hashes = []
    for source in all_of(
        "SELECT hash || '.' || extension FROM source JOIN format f ON f.id = "
        "format_id WHERE ebook_id = ?"
    ):
        data = (files / source[:2] / source).read_bytes()
        hashes.append(f"{hashlib.sha1(data).hexdigest()}.{source.rpartition('.')[2]}")
    book, done = carried.get(row["id"], (None, False))
    shown = ("title", "language_id", "series_index", "rating", "cover")
    return {
        **{name: row[name] for name in shown},
        "files": hashes,
        "book": book,
        "done": done,
        "authors": all_of(
            "SELECT first_name, last_name FROM ebook_authors JOIN author a ON a.id = "
            "author_id WHERE ebook_id = ?"
        ),
        "genres": all_of("SELECT genre_id FROM ebook_genres WHERE ebook_id = ?"),
        "series": all_of(
            "SELECT s.title FROM ebook e JOIN series s ON s.id = e.series_id WHERE e.id = ?"
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
