"""`python -m demo.trial SCRIPT FOLDER`: migrates the demo library with a worker script
and says what arrived.

The server is an embedded one of its own. What arrived is read from the server's
database and files, not from what the script says about itself. One JSON object on
standard output; status 0 when the script came to its end."""

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

DEMO = Path(__file__).resolve().parent
#: Seconds for the server to listen.
START_SECONDS = 30.0


def main() -> int:
    """Returns 0 when the script came to its end, 1 when not."""
    script, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    login = {"MBS2_USERNAME": "trial", "MBS2_PASSWORD": secrets.token_urlsafe(16)}
    environment = {**os.environ, **login, "PYTHONPATH": str(DEMO.parent)}
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
        env=environment,
        cwd=DEMO.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        url = _url(folder / "shelf")
        done = subprocess.run(
            [
                sys.executable,
                str(script),
                str(DEMO / "library"),
                "--server",
                url,
                "--state-dir",
                str(folder / "state"),
            ],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    finally:
        server.terminate()
        server.wait(30)
    json.dump({"status": done.returncode, **what_arrived(folder)}, sys.stdout)
    return 0


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
    of its files' real bytes."""
    found = totals.read(folder / "state" / LEDGER_NAME)
    if found is None:
        return {"counts": {}, "books": []}
    counts = {
        name: getattr(found.counts, name)
        for name in ("discovered", "uploaded", "duplicate", "skipped", "pending")
    }
    with closing(sqlite3.connect(folder / "shelf" / "bookshelf.db")) as db:
        db.row_factory = sqlite3.Row
        books = [
            _book(db, row, folder / "shelf" / "books")
            for row in db.execute("SELECT * FROM ebook ORDER BY id")
        ]
    proved = totals.proved(folder / "state" / LEDGER_NAME, found.pass_id)
    closed = found.closed_at is not None
    return {
        "counts": {**counts, "failed": dict(found.failed)},
        "closed": closed,
        "proved": proved,
        "books": sorted(books, key=lambda book: json.dumps(book, sort_keys=True)),
    }


def _book(db: sqlite3.Connection, row: sqlite3.Row, files: Path) -> dict[str, object]:
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
    shown = ("title", "language_id", "series_index", "rating", "cover")
    return {
        **{name: row[name] for name in shown},
        "files": hashes,
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
