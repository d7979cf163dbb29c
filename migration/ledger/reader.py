"""What a ledger says about books before a run, read without writing anything.

One short connection for each question, so that a ledger in use is never held up.
"""

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from migration.ledger import totals
from migration.ledger.records import Carried, StandingKind
from migration.ledger.tables import carried, shelves
from migration.model import ARRIVED, BookId, FileId


@dataclass(frozen=True, slots=True)
class KnownBooks:
    """What is known of the books of a range: rows of files, ebooks, open work.

    `conflicts` are books with a difference that --prefer calibre would decide.
    """

    files: Mapping[FileId, sqlite3.Row] = field(default_factory=dict)
    with_ebook: frozenset[BookId] = frozenset()
    unfinished: frozenset[BookId] = frozenset()
    conflicts: frozenset[BookId] = frozenset()

    def arrived(self) -> list[FileId]:
        """Returns the files that are on the server."""
        return [file for file, row in self.files.items() if row["outcome"] in ARRIVED]


class LedgerReader:
    """A ledger that is only read; `path` need not be there.

    Raises what `totals.UNREADABLE` lists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with totals.translated(path):
            self._tables = self._columns() if path.exists() else {}
        #: Whether there is anything.
        self.is_there = "files" in self._tables

    def _columns(self) -> dict[str, frozenset[str]]:
        with totals.opened(self._path) as db:
            tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                table: frozenset(
                    row[0]
                    for row in db.execute(
                        "SELECT name FROM pragma_table_info(?)", (table,)
                    )
                )
                for (table,) in tables.fetchall()
            }

    def note(self, key: str) -> str:
        """Returns a value of the table of notes, "" when unset."""
        return self._text("SELECT value FROM meta WHERE key = ?", key)

    def open_pass(self) -> totals.Totals | None:
        """Returns the open pass."""
        found = totals.read(self._path) if self.is_there else None
        return None if found is None or found.closed_at is not None else found

    def rate(self) -> float:
        """Returns the files per minute of the pass that sent most; 0 before any."""
        found = self._text(
            "SELECT id FROM passes WHERE closed_at IS NOT NULL AND uploaded > ? "
            "ORDER BY uploaded DESC, id DESC LIMIT 1",
            0,
        )
        sent = totals.read(self._path, int(found)) if found else None
        if sent is None or sent.closed_at is None:
            return 0.0
        return sent.counts.uploaded / max(sent.minutes(sent.closed_at), 1 / 60)

    def of_range(self, first: int, last: int) -> KnownBooks:
        """Returns what is known of the books from `first` to `last`."""
        if not self.is_there:
            return KnownBooks()
        span = (first, last)
        marked = "" if "modified" in self._tables["files"] else ", NULL AS modified"
        with totals.translated(self._path), totals.opened(self._path) as db:
            rows = db.execute(
                f"SELECT *{marked} FROM files WHERE book_id BETWEEN ? AND ?",  # noqa: S608 - our own words
                span,
            ).fetchall()
            ebooks = db.execute(
                "SELECT book_id, ebook_id, steps, intention FROM books WHERE book_id "
                "BETWEEN ? AND ?",
                span,
            ).fetchall()
            standing = (
                db.execute(
                    "SELECT DISTINCT book_id FROM standing WHERE kind = ? AND book_id "
                    "BETWEEN ? AND ?",
                    (StandingKind.CONFLICT, *span),
                ).fetchall()
                if "standing" in self._tables
                else []
            )
        return KnownBooks(
            {FileId(BookId(row["book_id"]), row["format"]): row for row in rows},
            frozenset(BookId(row[0]) for row in ebooks if row["ebook_id"] is not None),
            frozenset(
                BookId(row[0])
                for row in ebooks
                if row["steps"] or row["intention"] is not None
            ),
            frozenset(BookId(row[0]) for row in standing),
        )

    def carried(self, books: Collection[BookId]) -> dict[BookId, Carried]:
        """Returns what was carried of these books, as far as that was recorded."""
        if "carried" not in self._tables:
            return {}
        with totals.translated(self._path), totals.opened(self._path) as db:
            found = {book: carried.read(db, book) for book in books}
        return {book: known for book, known in found.items() if known is not None}

    def notes_of_items(self, books: Collection[BookId]) -> dict[BookId, frozenset[str]]:
        """Returns the notes, as hashes, of the shelf items of these books."""
        if "item_id" not in self._tables.get("shelf_items", frozenset()):
            return {}
        with totals.translated(self._path), totals.opened(self._path) as db:
            return {
                book: frozenset(
                    item.note for item in shelves.items_of(db, book).values()
                )
                for book in books
            }

    def _text(self, sql: str, given: object) -> str:
        if not self.is_there:
            return ""
        with totals.translated(self._path), totals.opened(self._path) as db:
            row = db.execute(sql, (given,)).fetchone()
        return "" if row is None else str(row[0])
