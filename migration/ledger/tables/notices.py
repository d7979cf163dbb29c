"""What is left out, or differs from Calibre's records, although no file fails for it.

Each notice is kept in the ledger while it holds, and counted in every pass: in the log
when it is found, in the summary, in the report. What a listing shows is found again by
each pass; what only working on a book shows stands until the book is worked on again.

The module has pure decisions, and functions over an open transaction of the ledger that
apply them.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.sanitize import for_log
from migration.errors import RefusedByServer, Rejected, TooBig
from migration.ledger.tables import passes
from migration.model import Book, BookFile, BookId, EbookId, FileId

#: The longest message that is kept, in characters.
LONGEST = 500
#: The kind of these counts among the tallies of a pass.
TALLY = "noticed"


class NoticeKind(StrEnum):
    """What is noticed, in the words of the summary and the report."""

    ADOPTED = "file found under another name"
    CONFLICTED = "file found only as a conflicted copy"
    AMBIGUOUS = "several files could be a missing one"
    WITHOUT_FILES = "book without files"
    THERE_ALREADY = "all files there already, metadata not carried"
    COVER_MISSING = "cover missing, empty or no picture"
    COVER_REFUSED = "cover refused by the server"
    DATA_FILES = "extra data files not carried"
    LEFT_BOOK = "book no longer in Calibre, still on the server"
    LEFT_FORMAT = "format no longer in Calibre, still on the server"


#: What every reading of a range finds again.
LISTED = frozenset(
    {
        NoticeKind.ADOPTED,
        NoticeKind.CONFLICTED,
        NoticeKind.AMBIGUOUS,
        NoticeKind.WITHOUT_FILES,
        NoticeKind.LEFT_BOOK,
        NoticeKind.LEFT_FORMAT,
    }
)
#: What the user should look at.
WARNINGS = frozenset(
    {NoticeKind.CONFLICTED, NoticeKind.COVER_MISSING, NoticeKind.COVER_REFUSED}
)
#: What has its metadata in not_carried.jsonl.
RECORDED = frozenset(
    {
        NoticeKind.WITHOUT_FILES,
        NoticeKind.THERE_ALREADY,
        NoticeKind.COVER_REFUSED,
        NoticeKind.DATA_FILES,
    }
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice; `format` is "" when it concerns the whole book.

    `record` is the hash of the book's line in not_carried.jsonl, "" without one.
    """

    book_id: BookId
    kind: NoticeKind
    message: str
    format: str = ""
    record: str = ""

    def __str__(self) -> str:
        """The line for the log."""
        return (
            f"Book {self.book_id}{f'/{self.format}' if self.format else ''}: "
            f"{self.kind}: {self.message}"
        )


# -- decisions -------------------------------------------------------------------------


def of_files(files: Iterable[BookFile]) -> list[Notice]:
    """Returns notices for files that were not found as they are recorded."""
    return [
        Notice(
            file.id.book_id, _kind(file), for_log(file.note, LONGEST), file.id.format
        )
        for file in files
        if file.note
    ]


def _kind(file: BookFile) -> NoticeKind:
    if file.problem is not None:
        return NoticeKind.AMBIGUOUS
    return NoticeKind.CONFLICTED if file.conflicted else NoticeKind.ADOPTED


def of_left(files: Iterable[FileId], listed: Collection[BookId]) -> list[Notice]:
    """Returns notices for files that were carried and have left Calibre since.

    `listed` are the books that are still there.
    """
    found: dict[tuple[BookId, str], Notice] = {}
    for file in files:
        if file.book_id in listed:
            notice = Notice(
                file.book_id,
                NoticeKind.LEFT_FORMAT,
                "removed in Calibre; nothing is deleted on the server unasked",
                file.format,
            )
        else:
            notice = Notice(
                file.book_id,
                NoticeKind.LEFT_BOOK,
                "removed in Calibre; nothing is deleted on the server unasked",
            )
        found[notice.book_id, notice.format] = notice
    return list(found.values())


def without_files(book: Book, record: str) -> Notice:
    """Returns the notice of a book that is metadata only.

    `record` belongs to its line in not_carried.jsonl.
    """
    title = for_log(book.title, 120)
    return Notice(
        book.id,
        NoticeKind.WITHOUT_FILES,
        f"{title!r} has no file; its metadata is not carried",
        record=record,
    )


def there_already(book_id: BookId, holder: EbookId | None, record: str) -> Notice:
    """Returns the notice of a book whose files are all in another ebook."""
    where = (
        f"ebook {holder}"
        if holder is not None
        else "an ebook that was not found by its title"
    )
    message = (
        f"its files are on the server already, in {where}; its metadata is not carried"
    )
    return Notice(book_id, NoticeKind.THERE_ALREADY, message, record=record)


def of_book(book: Book, no_cover: Rejected | None) -> list[Notice]:
    """Returns what is left out of a book.

    `no_cover` is why its cover was not carried.
    """
    found = []
    if book.cover_problem is not None:
        found.append(
            Notice(
                book.id, NoticeKind.COVER_MISSING, book.cover_problem.message[:LONGEST]
            )
        )
    if no_cover is not None:
        servers = isinstance(no_cover, RefusedByServer | TooBig)
        kind = NoticeKind.COVER_REFUSED if servers else NoticeKind.COVER_MISSING
        found.append(Notice(book.id, kind, for_log(str(no_cover), LONGEST)))
    extra = book.extras.get("data files")
    if isinstance(extra, list) and extra:
        shown = ", ".join(for_log(str(name), 60) for name in extra[:5])
        more = f" and {len(extra) - 5} more" if len(extra) > 5 else ""
        found.append(Notice(book.id, NoticeKind.DATA_FILES, f"{shown}{more}"))
    return found


# -- in the ledger ---------------------------------------------------------------------


def settle_range(
    db: sqlite3.Connection,
    pass_id: int,
    first: int,
    last: int,
    listed: Collection[BookId],
    found: Sequence[Notice],
) -> list[Notice]:
    """Records what the listing of a range shows; returns what is new in this pass.

    What the listing no longer shows is forgotten, as are notices of books that are not
    `listed` any more; the rest stands. In a pass about a selection a book that is not
    listed may only be outside: nothing is said about it.
    """
    rows = db.execute(
        "SELECT book_id, kind, format, pass_id, message, record FROM notices WHERE "
        "book_id BETWEEN ? AND ?",
        (first, last),
    ).fetchall()
    if rows and passes.scope(db, pass_id):
        rows = [row for row in rows if row["book_id"] in listed]
    if not rows and not found:
        return []
    said = {
        _key(notice)
        for row in rows
        if row["pass_id"] == pass_id and (notice := from_row(row)) in found
    }
    shown = {_key(notice) for notice in found}
    gone = [row for row in rows if _is_gone(row, listed, shown)]
    stands = [
        row
        for row in rows
        if row not in gone and row["kind"] not in LISTED and row["pass_id"] != pass_id
    ]
    _forget(db, pass_id, gone)
    _write(db, pass_id, [from_row(row) for row in stands], {})
    _write(db, pass_id, found, {_key(from_row(row)): row["pass_id"] for row in rows})
    return [notice for notice in found if _key(notice) not in said]


def settle_book(
    db: sqlite3.Connection, pass_id: int, book_id: BookId, found: Sequence[Notice]
) -> list[Notice]:
    """Replaces what working on a book showed before; returns what is new."""
    rows = [row for row in of(db, book_id) if row["kind"] not in LISTED]
    shown = {_key(notice) for notice in found}
    before = [from_row(row) for row in rows]
    if not rows and not found:
        return []
    _forget(db, pass_id, [row for row in rows if _key(from_row(row)) not in shown])
    _write(db, pass_id, found, {_key(from_row(row)): row["pass_id"] for row in rows})
    return [notice for notice in found if notice not in before]


def of(db: sqlite3.Connection, book_id: BookId) -> list[sqlite3.Row]:
    """Returns the rows of one book."""
    return db.execute("SELECT * FROM notices WHERE book_id = ?", (book_id,)).fetchall()


def left_for_long(db: sqlite3.Connection, pass_id: int) -> list[FileId]:
    """Returns what had left Calibre before this pass, and is missing again in it.

    The format is "" for a whole book.
    """
    rows = db.execute(
        "SELECT book_id, format FROM notices WHERE pass_id = ? AND since BETWEEN 1 AND "
        "? AND kind IN (?, ?) ORDER BY book_id, format",
        (pass_id, pass_id - 1, NoticeKind.LEFT_BOOK, NoticeKind.LEFT_FORMAT),
    ).fetchall()
    return [FileId(BookId(row[0]), row[1]) for row in rows]


def drop_left(
    db: sqlite3.Connection, pass_id: int, book_id: BookId, formats: Collection[str]
) -> None:
    """Forgets that these formats have left Calibre: they left the server; "" is all."""
    kinds = (NoticeKind.LEFT_BOOK, NoticeKind.LEFT_FORMAT)
    rows = [
        row
        for row in of(db, book_id)
        if row["kind"] in kinds and ("" in formats or row["format"] in formats)
    ]
    _forget(db, pass_id, rows)


def of_kind(
    db: sqlite3.Connection, first: int, last: int, kind: NoticeKind
) -> dict[BookId, Notice]:
    """Returns the notices of a kind in a range of books."""
    rows = db.execute(
        "SELECT * FROM notices WHERE book_id BETWEEN ? AND ? AND kind = ?",
        (first, last, kind),
    ).fetchall()
    return {BookId(row["book_id"]): from_row(row) for row in rows}


def _is_gone(
    row: sqlite3.Row,
    listed: Collection[BookId],
    shown: Collection[tuple[int, str, str]],
) -> bool:
    if row["book_id"] not in listed:
        return True
    return row["kind"] in LISTED and _key(from_row(row)) not in shown


def _forget(db: sqlite3.Connection, pass_id: int, rows: Sequence[sqlite3.Row]) -> None:
    keys = [(row["book_id"], row["kind"], row["format"]) for row in rows]
    db.executemany(
        "DELETE FROM notices WHERE book_id = ? AND kind = ? AND format = ?", keys
    )
    counted = Counter(row["kind"] for row in rows if row["pass_id"] == pass_id)
    passes.tally(db, pass_id, TALLY, {kind: -n for kind, n in counted.items()})


def _write(
    db: sqlite3.Connection,
    pass_id: int,
    found: Iterable[Notice],
    before: Mapping[tuple[int, str, str], int],
) -> None:
    """Writes notices of this pass.

    `before` holds the pass in which each was last seen, so that none is counted twice.
    """
    new = Counter(
        notice.kind.value for notice in found if before.get(_key(notice)) != pass_id
    )
    db.executemany(
        "INSERT INTO notices (book_id, kind, format, pass_id, message, record, since) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4) ON CONFLICT (book_id, kind, format) DO "
        "UPDATE SET pass_id = ?4, message = ?5, record = ?6",
        [
            (note.book_id, note.kind, note.format, pass_id, note.message, note.record)
            for note in found
        ],
    )
    passes.tally(db, pass_id, TALLY, new)


def _key(notice: Notice) -> tuple[int, str, str]:
    return notice.book_id, notice.kind, notice.format


def from_row(row: sqlite3.Row) -> Notice:
    """Makes a notice from its row."""
    return Notice(
        BookId(row["book_id"]),
        NoticeKind(row["kind"]),
        row["message"],
        row["format"],
        row["record"],
    )


def sentence(kind: str, n: int) -> str:
    """Returns a log line for the end of a pass: how many, and where the details are."""
    where = (
        "not_carried.jsonl and the report"
        if kind in RECORDED
        else "the workers' logs and the report"
    )
    return f"{n} × {kind} (which: {where})"
