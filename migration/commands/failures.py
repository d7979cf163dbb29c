"""Failed files, what is left out, and differences on the server, for display.

Read-only.

From the ledger, with titles from the library. Every query is short and fetched whole,
so that neither the workers nor Calibre wait for a reader.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from common.sanitize import sanitize_text
from migration.calibre.connection import NAME, open_read_only
from migration.ledger.edits import standing as standing_edits
from migration.ledger.failed import FailedFile as FailedFile
from migration.ledger.failed import failed_files as failed_files
from migration.ledger.tables.notices import Notice, from_row
from migration.ledger.totals import opened, translated
from migration.model import BookFile, BookId, Outcome

#: Seconds to wait for a library that Calibre has locked; after that the titles are left
#: out.
TITLE_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Standing:
    """A difference on the server.

    `kind` as in docs/errors.md, id 0 for none in particular.
    """

    ebook_id: int
    book_id: int
    kind: str
    message: str


def recorded(ledger: Path, file: BookFile) -> tuple[Outcome, str, str] | None:
    """Returns outcome, reason and message of a file unchanged since; None without any.

    Raises LedgerBusy or LedgerCorrupt.
    """
    with translated(ledger), opened(ledger) as db:
        row = db.execute(
            "SELECT outcome, reason, message FROM files WHERE book_id = ? AND format "
            "= ? AND size = ? AND mtime_ns = ?",
            (file.id.book_id, file.id.format, file.size, file.mtime_ns),
        ).fetchone()
    return (
        None
        if row is None
        else (Outcome(row["outcome"]), row["reason"], row["message"])
    )


def noticed(ledger: Path, pass_id: int, limit: int) -> list[Notice]:
    """Returns the first `limit` notices of a pass, by book.

    There are none in a ledger of an older version. Raises LedgerBusy or LedgerCorrupt.
    """
    with translated(ledger), opened(ledger) as db:
        if (
            db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'notices'").fetchone()
            is None
        ):
            return []
        rows = db.execute(
            "SELECT * FROM notices WHERE pass_id = ? ORDER BY book_id LIMIT ?",
            (pass_id, limit),
        ).fetchall()
    return [from_row(row) for row in rows]


def standing(ledger: Path, pass_id: int, limit: int) -> list[Standing]:
    """Returns the first `limit` differences that the last look of a pass found.

    There are none in a ledger of an older version. Raises LedgerBusy or LedgerCorrupt.
    """
    with translated(ledger), opened(ledger) as db:
        if (
            db.execute(
                "SELECT 1 FROM sqlite_schema WHERE name = 'differences'"
            ).fetchone()
            is None
        ):
            return []
        rows = db.execute(
            "SELECT ebook_id, book_id, kind, message FROM differences WHERE pass_id = ?"
            " ORDER BY ebook_id, book_id LIMIT ?",
            (pass_id, limit),
        ).fetchall()
    return [Standing(*row) for row in rows]


#: The first reported differences of a ledger: `(ledger, pass_id, limit)`.
edits = standing_edits


def titles(library: Path, books: Sequence[BookId]) -> Mapping[BookId, str]:
    """Returns the cleaned titles of at most 500 books; unreadable ones are left out."""
    if not books:
        return {}
    wanted = ", ".join("?" * len(books))
    try:
        with closing(open_read_only(library / NAME, TITLE_PATIENCE_SECONDS)) as db:
            rows = db.execute(
                f"SELECT id, title FROM books WHERE id IN ({wanted})",  # noqa: S608
                tuple(books),
            ).fetchall()
    except sqlite3.Error:
        return {}
    return {
        BookId(row[0]): sanitize_text(row[1] if isinstance(row[1], bytes | str) else "")
        for row in rows
    }
