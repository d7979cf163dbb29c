"""`--export-map`: which file of Calibre is which file of which ebook, as CSV.

It is made from the ledger alone.
"""

import csv
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path

from common.errors import told
from migration.errors import ExitCode, Fatal, MigrationError, StateUnwritable
from migration.ledger.totals import opened, translated
from migration.state_files.names import LEDGER_NAME

COLUMNS = ("calibre_id", "format", "sha1", "ebook_id", "source_id")
_MAP = (
    "SELECT files.book_id, files.format, files.sha1, files.source_id,"
    " CASE WHEN files.source_id IS NULL THEN {holder} ELSE books.ebook_id END AS ebook_id"
    " FROM files LEFT JOIN books ON books.book_id = files.book_id"
    " LEFT JOIN hashes ON hashes.sha1 = files.sha1 AND hashes.size = files.size"
    " WHERE outcome IN ('uploaded', 'duplicate') AND files.sha1 IS NOT NULL ORDER BY "
    "files.book_id, files.format"
)
_KNOWS_HOLDERS = "SELECT 1 FROM pragma_table_info('hashes') WHERE name = 'ebook_id'"


def run(state_dir: Path, target: Path) -> ExitCode:
    """Writes the map, and reports the result on stderr."""
    ledger = state_dir / LEDGER_NAME
    if not ledger.exists():
        sys.stderr.write(
            f"{ledger} is not there: nothing was migrated with this --state-dir\n"
        )
        return ExitCode.USAGE
    try:
        rows = export_map(ledger, target)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        return error.exit_code if isinstance(error, Fatal) else ExitCode.STATE
    sys.stderr.write(f"{rows} files written to {target}\n")
    return ExitCode.OK


def export_map(ledger: Path, target: Path) -> int:
    """Writes every file that the ledger knows to be on the server.

    Returns the row count. Columns: calibre_id, format, sha1, ebook_id, source_id. For a
    file that was on the server before, `ebook_id` is the ebook that holds it, empty
    when that was not found, and `source_id` is empty. Raises StateUnwritable and what
    `totals.UNREADABLE` lists; then `target` is unchanged.
    """
    with translated(ledger), opened(ledger) as db:
        # A ledger that no worker of this version has opened yet does not know which
        # ebook holds a file.
        holder = "hashes.ebook_id" if db.execute(_KNOWS_HOLDERS).fetchone() else "NULL"
        rows = db.execute(_MAP.format(holder=holder))
        try:
            return _write(target, rows)
        except OSError as error:
            raise StateUnwritable(f"cannot write {target}: {error.strerror}") from error


def _write(target: Path, rows: Iterable[sqlite3.Row]) -> int:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        count = 0
        for book, kind, sha1, source, ebook in rows:
            writer.writerow(
                (
                    book,
                    kind,
                    sha1.hex(),
                    "" if ebook is None else ebook,
                    "" if source is None else source,
                )
            )
            count += 1
    return count
