"""Failed files of a pass: read-only, for display."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from migration.ledger.tables.passes import FAILED
from migration.ledger.totals import opened, translated
from migration.model import BookId, FileId


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that failed in the pass, and why; `size` is in bytes."""

    file: FileId
    size: int
    reason: str
    message: str


def failed_files(
    ledger: Path, pass_id: int, after: FileId | None, limit: int
) -> list[FailedFile]:
    """Returns the next `limit` failed files of a pass after `after`, in order.

    Raises LedgerBusy or LedgerCorrupt.
    """
    book, kind = (after.book_id, after.format) if after is not None else (-1, "")
    with translated(ledger), opened(ledger) as db:
        rows = db.execute(
            "SELECT book_id, format, size, reason, message FROM files WHERE "  # noqa: S608
            f"{FAILED} AND pass_id = ?"
            " AND (book_id, format) > (?, ?) ORDER BY book_id, format LIMIT ?",
            (pass_id, book, kind, limit),
        ).fetchall()
    return [_failed(row) for row in rows]


def examples(
    ledger: Path, pass_id: int, reasons: Iterable[str], limit: int
) -> Mapping[str, list[FailedFile]]:
    """Returns the first `limit` files that failed for each of these reasons.

    Raises LedgerBusy or LedgerCorrupt.
    """
    with translated(ledger), opened(ledger) as db:
        return {
            reason: [
                _failed(row)
                for row in db.execute(
                    "SELECT book_id, format, size, reason, message FROM files WHERE "  # noqa: S608
                    f"{FAILED} AND pass_id = ? AND reason = ? "
                    "ORDER BY book_id, format LIMIT ?",
                    (pass_id, reason, limit),
                ).fetchall()
            ]
            for reason in reasons
        }


def _failed(row: sqlite3.Row) -> FailedFile:
    return FailedFile(
        FileId(BookId(row["book_id"]), row["format"]),
        row["size"],
        row["reason"],
        row["message"],
    )
