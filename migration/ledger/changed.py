"""Which books a pass has changed on the server, for the audit. Read-only."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.ledger.tables.passes import AUDITED
from migration.ledger.totals import opened, translated
from migration.model import ARRIVED, BookId, EbookId, FileId, Outcome

#: Books that are read at a time.
PAGE = 200
#: Books of which is told what is wrong.
MOST_WRONG = 100

#: Books carried since: in this pass, and in earlier ones that nobody could audit.
_CARRIED = "FROM carried WHERE pass_id > ?"
#: Books with a difference that an earlier audit found.
_AGAIN = "SELECT DISTINCT book_id FROM differences WHERE book_id > 0 AND kind IN ({})"
#: The same without those that were carried since.
_ONLY_AGAIN = (
    "SELECT COUNT(*) FROM ({}) AS again WHERE NOT EXISTS (SELECT 1 FROM carried WHERE "
    "carried.book_id = again.book_id AND pass_id > ?)"
)


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file of a changed book as the ledger has it; `modified` as Calibre's book."""

    id: FileId
    size: int
    mtime_ns: int
    outcome: Outcome
    modified: bytes | None


@dataclass(frozen=True, slots=True)
class ChangedBook:
    """A changed book.

    `ebook_id` is None when other ebooks hold its files. `reported` are the server's
    values of differences that were reported, by field.
    """

    id: BookId
    ebook_id: EbookId | None
    files: Mapping[FileId, ChangedFile]
    reported: Mapping[str, str]

    def is_as_carried(self, modified: bytes) -> bool:
        """Whether Calibre's book is the one that was carried, by its last_modified.

        A book of which nothing arrived has nothing but files to compare.
        """
        held = [
            file.modified for file in self.files.values() if file.outcome in ARRIVED
        ]
        if not held:
            return self.ebook_id is None
        return all(one == modified for one in held)


@dataclass(frozen=True, slots=True)
class Changes:
    """How many books a pass has changed, and a choice of them in the order of their ids.

    A book with a difference that an earlier audit found is among both.
    """

    total: int
    chosen: Sequence[BookId]


def choose(ledger: Path, kinds: Collection[str], size: Callable[[int], int]) -> Changes:
    """Chooses among the books changed since the last audit, at random.

    `size` says how many of so many; `kinds` are those of the audit's differences.
    Raises what `UNREADABLE` lists.
    """
    different = _AGAIN.format(", ".join("?" * len(kinds)))
    with translated(ledger), opened(ledger) as db:
        last = db.execute(AUDITED).fetchone()[0]
        carried = int(db.execute(f"SELECT COUNT(*) {_CARRIED}", (last,)).fetchone()[0])
        more = db.execute(_ONLY_AGAIN.format(different), (*kinds, last)).fetchone()[0]
        drawn = db.execute(
            f"SELECT book_id {_CARRIED} ORDER BY random() LIMIT ?",
            (last, size(carried)),
        ).fetchall()
        again = db.execute(different, tuple(kinds)).fetchall()
    return Changes(carried + more, sorted({BookId(row[0]) for row in (*drawn, *again)}))


def everything(ledger: Path, kinds: Collection[str]) -> Changes:
    """Returns every book met since the last audit, and those with a difference.

    Raises what `UNREADABLE` lists.
    """
    different = _AGAIN.format(", ".join("?" * len(kinds)))
    with translated(ledger), opened(ledger) as db:
        last = db.execute(AUDITED).fetchone()[0]
        rows = db.execute(
            "SELECT book_id FROM files WHERE pass_id > ? UNION SELECT book_id "  # noqa: S608
            f"{_CARRIED} UNION {different}",
            (last, last, *kinds),
        ).fetchall()
    found = sorted({BookId(row[0]) for row in rows})
    return Changes(len(found), found)


def pages(ids: Sequence[BookId]) -> Iterator[Sequence[BookId]]:
    """Yields the ids in pages."""
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def books(ledger: Path, ids: Sequence[BookId]) -> dict[BookId, ChangedBook]:
    """Returns what the ledger has of these books, a page at most.

    Raises what `UNREADABLE` lists.
    """
    marks = ", ".join("?" * len(ids))
    with translated(ledger), opened(ledger) as db:
        files = db.execute(
            f"SELECT * FROM files WHERE book_id IN ({marks})",  # noqa: S608
            tuple(ids),
        ).fetchall()
        ebooks = db.execute(
            f"SELECT book_id, ebook_id FROM books WHERE book_id IN ({marks})",  # noqa: S608
            tuple(ids),
        ).fetchall()
        standing = db.execute(
            f"SELECT book_id, field, server FROM standing WHERE book_id IN ({marks})",  # noqa: S608
            tuple(ids),
        ).fetchall()
    made = {row["book_id"]: row["ebook_id"] for row in ebooks}
    held = defaultdict[int, dict[FileId, ChangedFile]](dict)
    for file in map(_file, files):
        held[file.id.book_id][file.id] = file
    said = defaultdict[int, dict[str, str]](dict)
    for row in standing:
        said[row["book_id"]][row["field"]] = row["server"]
    return {
        book_id: ChangedBook(book_id, made.get(book_id), held[book_id], said[book_id])
        for book_id in ids
    }


def carried_by(ledger: Path, pass_id: int, owner: str, most: int) -> list[BookId]:
    """Returns the last books of the newest pass that are in ranges of this process.

    Raises what `UNREADABLE` lists.
    """
    with translated(ledger), opened(ledger) as db:
        rows = db.execute(
            "SELECT carried.book_id FROM ranges JOIN carried ON carried.pass_id = "
            "ranges.pass_id AND carried.book_id BETWEEN first_id AND last_id WHERE "
            "ranges.pass_id = ? AND owner = ? ORDER BY carried.book_id DESC LIMIT ?",
            (pass_id, owner, most),
        ).fetchall()
    return sorted(BookId(row[0]) for row in rows)


def _file(row: sqlite3.Row) -> ChangedFile:
    return ChangedFile(
        FileId(BookId(row["book_id"]), row["format"]),
        row["size"],
        row["mtime_ns"],
        Outcome(row["outcome"]),
        row["modified"],
    )


def wrong_books(ledger: Path, kinds: Collection[str]) -> Mapping[int, str]:
    """Returns the differences of these kinds that stand, by book; at most 100 books.

    Raises what `totals.UNREADABLE` lists.
    """
    marks = ", ".join("?" * len(kinds))
    found: dict[int, list[str]] = defaultdict(list)
    with translated(ledger), opened(ledger) as db:
        rows = db.execute(
            f"SELECT book_id, kind, message FROM differences WHERE book_id IN (SELECT "  # noqa: S608 - marks
            f"DISTINCT book_id FROM differences WHERE book_id > 0 AND kind IN ({marks}) "
            f"ORDER BY book_id LIMIT ?) AND kind IN ({marks}) ORDER BY book_id",
            (*kinds, MOST_WRONG, *kinds),
        )
        for row in rows:
            found[int(row["book_id"])].append(f"{row['kind']}: {row['message']}")
    return {book: "; ".join(said) for book, said in found.items()}
