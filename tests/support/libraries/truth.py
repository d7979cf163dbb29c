"""What is really on an embedded server: read from its database and its files, not
through its API."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Truth:
    """`hashes` are the sources' hashes with how often each is there."""

    hashes: Counter[str]
    ebooks: int
    ebooks_without_source: int
    working_titles: int
    authors_twice: int
    wrong_bytes: int


def look(data_dir: Path) -> Truth:
    """The state of an embedded server's data directory."""
    with closing(sqlite3.connect(data_dir / "bookshelf.db")) as db:
        rows = db.execute(
            "SELECT hash, extension FROM source JOIN format ON format.id = format_id"
        ).fetchall()
        wrong = sum(
            hashlib.sha1(
                (data_dir / "books" / sha1[:2] / f"{sha1}.{extension}").read_bytes()
            ).hexdigest()
            != sha1
            for sha1, extension in rows
        )
        return Truth(
            Counter(sha1 for sha1, _extension in rows),
            _one(db, "SELECT COUNT(*) FROM ebook"),
            _one(
                db,
                "SELECT COUNT(*) FROM ebook WHERE id NOT IN (SELECT ebook_id FROM source)",
            ),
            _one(db, "SELECT COUNT(*) FROM ebook WHERE title LIKE '% ~________-%'"),
            _one(
                db,
                "SELECT COUNT(*) FROM (SELECT 1 FROM author GROUP BY last_name, "
                "first_name HAVING COUNT(*) > 1)",
            ),
            wrong,
        )


def troubles(truth: Truth, files: Iterable[bytes]) -> list[str]:
    """What is wrong with the truth when exactly these files should be there, each
    once."""
    wanted = {hashlib.sha1(data).hexdigest() for data in files}
    found = {
        "files lost": len(wanted - set(truth.hashes)),
        "sources too many": sum(truth.hashes.values()) - len(truth.hashes),
        "files nobody sent": len(set(truth.hashes) - wanted),
        "ebooks without a source": truth.ebooks_without_source,
        "working titles left": truth.working_titles,
        "authors twice": truth.authors_twice,
        "files with other bytes": truth.wrong_bytes,
    }
    return [f"{n} {what}" for what, n in found.items() if n]


def _one(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(sql).fetchone()[0])
