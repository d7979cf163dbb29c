"""Failed files, searched by title, path, reason, format or book id, in pages.

The time is bounded.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.json_value import Json
from migration.commands import failures
from migration.commands.failures import FailedFile
from migration.ledger import totals
from migration.model import BookId, FileId

#: Files on a page; rows read at a time; seconds after which a search returns what it
#: has.
PAGE, CHUNK, PATIENCE_SECONDS = 25, 500, 0.5


@dataclass(frozen=True, slots=True)
class FailedPage:
    """One page of results.

    The files with their titles, where the next page begins, and whether the search was
    cut short.
    """

    files: list[tuple[FailedFile, str]]
    next: FileId | None
    cut_short: bool = False


def search(
    ledger: Path, library: Path | None, pass_id: int, text: str, after: FileId | None
) -> FailedPage:
    """Returns the next page of failed files that contain `text`.

    Raises LedgerBusy or LedgerCorrupt.
    """
    wanted, found = text.casefold(), FailedPage([], None)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        rows = failures.failed_files(ledger, pass_id, after, CHUNK if wanted else PAGE)
        known: Mapping[BookId, str] = {}
        if library is not None:
            known = failures.titles(library, list({row.file.book_id for row in rows}))
        for row in rows:
            title = known.get(row.file.book_id, "")
            if not wanted or wanted in _haystack(row, title):
                found.files.append((row, title))
                if len(found.files) >= PAGE:
                    return FailedPage(found.files, row.file)
        if len(rows) < (CHUNK if wanted else PAGE):
            return found
        after = rows[-1].file
        if time.monotonic() > deadline:
            return FailedPage(found.files, after, cut_short=True)


def _haystack(row: FailedFile, title: str) -> str:
    return f"{row.file.book_id} {row.file.format} {row.reason} {row.message} {title}".casefold()


def to_json(found: FailedPage) -> dict[str, Json]:
    """Converts a page for the browser."""
    return {
        "files": [
            {
                "book_id": row.file.book_id,
                "format": row.file.format,
                "size": row.size,
                "reason": row.reason,
                "message": row.message,
                "title": title,
            }
            for row, title in found.files
        ],
        "next": f"{found.next.book_id}:{found.next.format}" if found.next else None,
        "cut_short": found.cut_short,
    }


def cursor(text: str) -> FileId | None:
    """Parses `17:EPUB`, after which a page begins.

    Returns None if malformed (the first page).
    """
    book, colon, kind = text.partition(":")
    return (
        FileId(BookId(int(book)), kind)
        if colon and book.isdecimal() and len(book) <= 18
        else None
    )


__all__ = ["UNREADABLE", "FailedPage", "cursor", "search", "to_json"]
UNREADABLE = totals.UNREADABLE
