"""What has arrived through one worker since a moment, for the trial of its script.

Read-only, and by the ledger's receipts alone: the script that is judged is not asked.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from migration.errors import RefusedByServer, Unsupported
from migration.ledger.totals import opened, translated
from migration.model import ARRIVED, Fate, FileId, Outcome

#: Failures that are the server's own answer: no script could make these files arrive.
_ITS_OWN = (RefusedByServer.reason, Unsupported.reason)
#: The most books of which it is remembered that they had been carried.
MOST_BOOKS = 10_000

#: With the condition of the index, which SQLite does not work out by itself.
_PENDING = "outcome IN ('failed', 'pending') AND outcome = 'pending'"
_COUNT = (
    "SELECT first_id, (SELECT COUNT(*) FROM files WHERE book_id BETWEEN first_id AND "
    "last_id AND files.pass_id = ranges.pass_id AND outcome IN ('uploaded', 'duplicate'))"
    " FROM ranges WHERE ranges.pass_id = ?"
)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A moment of a pass.

    `claimed_to` is how far ranges were claimed, `arrived` the files on the server by
    the first ids of the ranges that were open, `carried` the books carried in those of
    the worker whose trial begins. `all_done`: every file had its outcome, and only the
    end of the pass was left.
    """

    pass_id: int
    claimed_to: int = 0
    arrived: Mapping[int, int] = field(default_factory=dict)
    carried: tuple[int, ...] = ()
    all_done: bool = False


def baseline(ledger: Path, pass_id: int, worker_id: int) -> Baseline:
    """Returns this moment of a pass. Raises what `totals.UNREADABLE` lists."""
    with translated(ledger), opened(ledger) as db:
        row = db.execute(
            "SELECT claimed_to, claimed_to >= highest_id AND NOT EXISTS (SELECT 1 FROM "  # noqa: S608 - above
            f"files WHERE {_PENDING}) FROM passes WHERE id = ?",
            (pass_id,),
        ).fetchone()
        counts = db.execute(f"{_COUNT} AND closed_at IS NULL", (pass_id,)).fetchall()
        books = db.execute(
            "SELECT carried.book_id FROM ranges JOIN carried ON carried.pass_id = "
            "ranges.pass_id AND carried.book_id BETWEEN first_id AND last_id WHERE "
            "ranges.pass_id = ? AND closed_at IS NULL AND owner LIKE ? LIMIT ?",
            (pass_id, _owned_by(worker_id), MOST_BOOKS),
        ).fetchall()
    return Baseline(
        pass_id,
        int(row[0]) if row is not None else 0,
        {int(first): int(n) for first, n in counts},
        tuple(sorted(int(one[0]) for one in books)),
        all_done=row is not None and bool(row[1]),
    )


def since(ledger: Path, then: Baseline, worker_id: int) -> Mapping[int, int]:
    """Returns the files that arrived since in ranges of worker N, by their first ids.

    Those are the ranges that were open then, and any claimed later. Raises what
    `totals.UNREADABLE` lists.
    """
    with translated(ledger), opened(ledger) as db:
        rows = db.execute(
            f"{_COUNT} AND owner LIKE ? AND (first_id > ? OR first_id IN "
            f"({', '.join('?' * len(then.arrived))}))",
            (then.pass_id, _owned_by(worker_id), then.claimed_to, *then.arrived),
        ).fetchall()
    return {int(first): int(n) - then.arrived.get(int(first), 0) for first, n in rows}


def fates(
    ledger: Path, pass_id: int, worker_id: int, files: Sequence[FileId]
) -> Mapping[FileId, Fate]:
    """Returns what became of these files. Raises what `totals.UNREADABLE` lists."""
    with translated(ledger), opened(ledger) as db:
        return {file: _fate(db, pass_id, worker_id, file) for file in files}


def next_book(ledger: Path) -> int | None:
    """Returns the first book of the newest pass that has a file to do.

    Or the one after the last range that was claimed; None without a pass. Raises what
    `totals.UNREADABLE` lists.
    """
    with translated(ledger), opened(ledger) as db:
        row = db.execute(
            f"SELECT COALESCE((SELECT MIN(book_id) FROM files WHERE {_PENDING}), "  # noqa: S608 - above
            "claimed_to + 1) FROM passes ORDER BY id DESC LIMIT 1"
        ).fetchone()
    return None if row is None else int(row[0])


def _fate(db: sqlite3.Connection, pass_id: int, worker_id: int, file: FileId) -> Fate:
    row = db.execute(
        "SELECT outcome, reason FROM files WHERE book_id = ? AND format = ? AND "
        "pass_id >= ?",
        (file.book_id, file.format, pass_id),
    ).fetchone()
    if row is None or row["outcome"] == Outcome.PENDING:
        return Fate.PENDING
    if row["outcome"] in ARRIVED:
        owner = db.execute(
            "SELECT 1 FROM ranges WHERE pass_id = ? AND ? BETWEEN first_id AND last_id "
            "AND owner LIKE ?",
            (pass_id, file.book_id, _owned_by(worker_id)),
        ).fetchone()
        return Fate.ARRIVED if owner else Fate.BY_ANOTHER
    of_the_server = row["outcome"] == Outcome.FAILED and row["reason"] in _ITS_OWN
    return Fate.REFUSED if of_the_server else Fate.LOST


def _owned_by(worker_id: int) -> str:
    """Matches every process of worker N; see `state_files.owner.Owner`."""
    return f"%|{worker_id}"
