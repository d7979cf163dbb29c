"""`--export-map`: which file of Calibre is which file of which ebook, as a CSV, from the ledger alone."""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

from migration.errors import StateUnwritable

_MAP = (
    "SELECT files.book_id, files.format, files.sha1, files.source_id,"
    " CASE WHEN files.source_id IS NULL THEN hashes.ebook_id ELSE books.ebook_id END AS ebook_id"
    " FROM files LEFT JOIN books ON books.book_id = files.book_id"
    " LEFT JOIN hashes ON hashes.sha1 = files.sha1 AND hashes.size = files.size"
    " WHERE outcome IN ('uploaded', 'duplicate') AND files.sha1 IS NOT NULL ORDER BY files.book_id, files.format"
)


def export_map(ledger: Path, target: Path) -> int:
    """Writes a CSV of every file on the server that the ledger knows of; returns how many rows.

    Columns: calibre_id, format, sha1, ebook_id, source_id. Of a file that was there already
    `ebook_id` is the ebook that holds it, empty when that was not found, and `source_id` is empty.
    Raises StateUnwritable.
    """
    try:
        with target.open("w", newline="", encoding="utf-8") as file, closing(_read_only(ledger)) as db:
            writer = csv.writer(file)
            writer.writerow(("calibre_id", "format", "sha1", "ebook_id", "source_id"))
            count = 0
            for book, kind, sha1, source, ebook in db.execute(_MAP):
                writer.writerow(
                    (book, kind, sha1.hex(), "" if ebook is None else ebook, "" if source is None else source)
                )
                count += 1
    except OSError as error:
        raise StateUnwritable(f"cannot write {target}: {error.strerror}") from error
    return count


def _read_only(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=4.0)
