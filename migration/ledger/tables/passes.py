"""Passes over the library, their ranges of book ids, and a pass's counters and tallies.

Functions over an open transaction of the ledger; only `ledger.parts` calls them.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict

from migration.errors import Superseded
from migration.ledger.records import Audited, AuditState, Range
from migration.ledger.tables import books
from migration.model import BookId, FileId, Outcome

#: Failed files. The first condition repeats that of the index of unfinished files,
#: since SQLite compares the text to see that it can use the index.
FAILED = "outcome IN ('failed', 'pending') AND outcome = 'failed'"

#: The key of the pass that is to delete what has left Calibre.
REMOVAL_ASKED = "note:delete_removed"

#: The kind of the tallies that count workers with a changed script, by its hash.
_CHANGED_SCRIPT = "changed script"

#: The last pass that was audited, or that the user did not want audited.
AUDITED = (
    "SELECT COALESCE(MAX(id), 0) FROM passes WHERE audit != '' AND audit NOT LIKE "
    '\'%"not audited"%\' AND audit NOT LIKE \'%"state": ""%\''
)

#: Books whose failed files are looked at in one transaction.
BOOKS_AT_A_TIME = 500


def open_pass(db: sqlite3.Connection) -> int | None:
    """Returns the id of the open pass."""
    row = db.execute("SELECT id FROM passes WHERE closed_at IS NULL").fetchone()
    return None if row is None else int(row[0])


def begin(
    db: sqlite3.Connection,
    highest_id: int,
    now: str,
    listed: int | None,
    scope: str = "",
) -> int:
    """Opens a pass up to `highest_id`.

    `listed` is how many files the library has now, None when not counted; `scope` says
    which books it is about (records.Scope), "" for all.
    """
    cursor = db.execute(
        "INSERT INTO passes (opened_at, highest_id, listed, selection) "
        "VALUES (?, ?, ?, ?)",
        (now, max(highest_id, 0), listed, scope),
    )
    return int(cursor.lastrowid or 0)


def scope(db: sqlite3.Connection, pass_id: int) -> str:
    """Returns which books a pass is about, as `begin` was told."""
    row = db.execute("SELECT selection FROM passes WHERE id = ?", (pass_id,)).fetchone()
    return "" if row is None else str(row[0])


def count_late(db: sqlite3.Connection, pass_id: int, listed: int | None) -> None:
    """Records the total of a pass that was opened without one."""
    db.execute(
        "UPDATE passes SET listed = ? WHERE id = ? AND listed IS NULL",
        (listed, pass_id),
    )


def claimed_to(db: sqlite3.Connection, pass_id: int) -> tuple[int, int]:
    """Returns the book id up to which ranges are claimed, and the highest id."""
    row = db.execute(
        "SELECT claimed_to, highest_id FROM passes WHERE id = ?", (pass_id,)
    ).fetchone()
    return int(row[0]), int(row[1])


def claim_new(
    db: sqlite3.Connection, pass_id: int, after: int, last: int, owner: str
) -> Range | None:
    """Claims the books after `after` up to `last`.

    Returns None when another worker was faster.
    """
    moved = db.execute(
        "UPDATE passes SET claimed_to = ? WHERE id = ? AND claimed_to = ?",
        (last, pass_id, after),
    ).rowcount
    if not moved:
        return None
    db.execute(
        "INSERT INTO ranges (pass_id, first_id, last_id, owner) VALUES (?, ?, ?, ?)",
        (pass_id, after + 1, last, owner),
    )
    return Range(pass_id, after + 1, last)


def take_over(
    db: sqlite3.Connection,
    pass_id: int,
    owner: str,
    alive: Callable[[str], bool],
    kept: Set[BookId],
    mine: bool,
    given_up: Set[int] = frozenset(),
) -> Range | None:
    """Claims the first open range that was released or whose owner is dead.

    Ranges with books in `kept` are left alone or, when they are kept for `owner`
    (`mine`), taken first. Ranges whose first ids are `given_up` are not taken.
    """
    rows = db.execute(
        "SELECT first_id, last_id, owner FROM ranges WHERE pass_id = ? AND closed_at "
        "IS NULL ORDER BY first_id",
        (pass_id,),
    ).fetchall()
    lives = {
        row["owner"]: alive(row["owner"]) for row in rows if row["owner"] is not None
    }
    reserved = {
        row["first_id"]
        for row in rows
        for book in kept
        if row["first_id"] <= book <= row["last_id"]
    }
    for row in sorted(rows, key=lambda row: mine and row["first_id"] not in reserved):
        is_kept = row["first_id"] in reserved
        if (is_kept and not mine) or row["first_id"] in given_up:
            continue
        if not lives.get(row["owner"], False):
            db.execute(
                "UPDATE ranges SET owner = ? WHERE pass_id = ? AND first_id = ?",
                (owner, pass_id, row["first_id"]),
            )
            return Range(
                pass_id,
                row["first_id"],
                row["last_id"],
                taken_over=True,
                once_more=is_kept,
            )
    return None


def close_range(
    db: sqlite3.Connection, owned: Range, owner: str, now: str, listed: Set[FileId]
) -> bool:
    """Closes a range if all files `listed` for it have outcomes and no step is open.

    Otherwise returns False. The range may have more files: those that arrived and were
    removed in Calibre since.
    """
    pending = db.execute(
        "SELECT 1 FROM files WHERE outcome = 'pending' AND book_id BETWEEN ? AND ? "
        "AND pass_id = ? LIMIT 1",
        (owned.first, owned.last, owned.pass_id),
    ).fetchone()
    rows = db.cursor()
    # Plain tuples are cheaper: there are as many rows as the library has files.
    rows.row_factory = None
    rows.execute(
        "SELECT book_id, format FROM files WHERE book_id BETWEEN ? AND ? AND pass_id = ?",
        (owned.first, owned.last, owned.pass_id),
    )
    entered = set(rows)
    left_out = any((file.book_id, file.format) not in entered for file in listed)
    if pending or left_out or books.unfinished(db, owned.first, owned.last):
        return False
    closed = db.execute(
        "UPDATE ranges SET closed_at = ? WHERE pass_id = ? AND first_id = ? AND "
        "last_id = ? AND owner = ? AND closed_at IS NULL",
        (now, owned.pass_id, owned.first, owned.last, owner),
    ).rowcount
    if not closed:
        raise Superseded(
            f"books {owned.first}-{owned.last} are not this worker's any more; start it again"
        )
    close_when_done(db, owned.pass_id, now)
    return True


def release(db: sqlite3.Connection, owned: Range, owner: str) -> None:
    """Releases a range for any worker to take."""
    db.execute(
        "UPDATE ranges SET owner = NULL WHERE pass_id = ? AND first_id = ? AND owner "
        "= ? AND closed_at IS NULL",
        (owned.pass_id, owned.first, owner),
    )


def open_ranges(db: sqlite3.Connection, pass_id: int) -> list[tuple[int, str | None]]:
    """Returns first id and owner of a pass's ranges that are not closed."""
    rows = db.execute(
        "SELECT first_id, owner FROM ranges WHERE pass_id = ? AND closed_at IS NULL",
        (pass_id,),
    )
    return [(int(row["first_id"]), row["owner"]) for row in rows.fetchall()]


def is_walked(db: sqlite3.Connection, pass_id: int) -> bool:
    """Whether every range up to the pass's highest id is closed, but not the pass."""
    row = db.execute(
        "SELECT 1 FROM passes WHERE id = ? AND closed_at IS NULL AND claimed_to >= highest_id"
        " AND NOT EXISTS (SELECT 1 FROM ranges WHERE pass_id = passes.id AND closed_at IS NULL)",
        (pass_id,),
    ).fetchone()
    return row is not None


def close_when_done(db: sqlite3.Connection, pass_id: int, now: str) -> None:
    """Closes the pass if every range is closed and no last look is due.

    A pass that asked the server for no ebook and changed none has left nothing to look
    at, unless it is to delete what has left Calibre, or a changed script took part.
    """
    look_due = db.execute(
        "SELECT creates > 0 OR EXISTS (SELECT 1 FROM differences) OR EXISTS (SELECT 1 "
        "FROM carried WHERE pass_id = passes.id) OR EXISTS (SELECT 1 FROM meta WHERE "
        "key = ? AND value = CAST(passes.id AS TEXT)) OR EXISTS (SELECT 1 FROM tallies "
        "WHERE pass_id = passes.id AND kind = ?) FROM passes WHERE id = ?",
        (REMOVAL_ASKED, _CHANGED_SCRIPT, pass_id),
    ).fetchone()
    if look_due is not None and not look_due[0] and is_walked(db, pass_id):
        close(db, pass_id, now)


def close(db: sqlite3.Connection, pass_id: int, now: str) -> None:
    """Closes the pass, whatever its state."""
    db.execute(
        "UPDATE passes SET closed_at = ? WHERE id = ? AND closed_at IS NULL",
        (now, pass_id),
    )
    # This pass's ranges say who has carried a book, as long as a repair is judged by
    # it; those of earlier passes are not needed any more.
    db.execute("DELETE FROM ranges WHERE pass_id < ?", (pass_id,))


def has_changed_books(db: sqlite3.Connection, pass_id: int) -> bool:
    """Whether a book was carried in this pass."""
    row = db.execute("SELECT 1 FROM carried WHERE pass_id = ?", (pass_id,)).fetchone()
    return row is not None


def note_changed_script(db: sqlite3.Connection, pass_id: int, script: str) -> None:
    """Records that a worker with a changed script takes part in the pass."""
    tally(db, pass_id, _CHANGED_SCRIPT, {script: 1})


def has_changed_script(db: sqlite3.Connection, pass_id: int) -> bool:
    """Whether a changed script has taken part in the pass, or in one before it.

    In those, that is, that nobody has audited since: whatever it did is read back by
    the next audit, whichever script has the pass audited.
    """
    row = db.execute(
        f"SELECT 1 FROM tallies WHERE pass_id > ({AUDITED}) AND pass_id <= ? "  # noqa: S608
        "AND kind = ? LIMIT 1",
        (pass_id, _CHANGED_SCRIPT),
    ).fetchone()
    return row is not None


def record_audit(db: sqlite3.Connection, pass_id: int, audited: Audited) -> None:
    """Records what was read back before the pass is closed."""
    db.execute(
        "UPDATE passes SET audit = ? WHERE id = ?",
        (json.dumps(asdict(audited)), pass_id),
    )


def audit_of(text: str) -> Audited:
    """Reads what `record_audit` wrote; nothing was read back when there is none."""
    values = json.loads(text) if text else {}
    return Audited(**{**values, "state": AuditState(values.get("state", ""))})


def reopen_ranges(db: sqlite3.Connection, pass_id: int) -> None:
    """Makes every closed range of an open pass claimable.

    Settled files stay settled.
    """
    db.execute(
        "UPDATE ranges SET closed_at = NULL, owner = NULL WHERE pass_id = ? AND "
        "closed_at IS NOT NULL",
        (pass_id,),
    )


def reopen_failed(db: sqlite3.Connection) -> int:
    """Makes every failed file pending again; returns how many.

    Ranges of an open pass are reopened for them.
    """
    pass_id = open_pass(db)
    if pass_id is not None:
        _open_ranges_of_failed(db, pass_id)
    return db.execute(
        # `FAILED` is a constant of our own.
        f"UPDATE files SET outcome = 'pending', attempts = 0, rounds = 0 WHERE {FAILED}"  # noqa: S608
    ).rowcount


def failed_after(db: sqlite3.Connection, after: BookId) -> list[FileId]:
    """Returns the failed files of the next books that have any, whole books."""
    rows = db.execute(
        f"SELECT book_id, format FROM files WHERE {FAILED} AND book_id IN "  # noqa: S608
        f"(SELECT DISTINCT book_id FROM files WHERE {FAILED} AND book_id > ? "
        "ORDER BY book_id LIMIT ?) ORDER BY book_id, format",
        (after, BOOKS_AT_A_TIME),
    ).fetchall()
    return [FileId(BookId(row[0]), row[1]) for row in rows]


def reopen_reason(db: sqlite3.Connection, reason: str) -> int:
    """Makes files that failed for this reason pending again; returns how many."""
    rows = db.execute(
        f"SELECT book_id, format FROM files WHERE {FAILED} AND reason = ?",  # noqa: S608
        (reason,),
    ).fetchall()
    files = [FileId(BookId(row[0]), row[1]) for row in rows]
    return sum(reopen_file(db, file, Outcome.FAILED) for file in files)


def _open_ranges_of_failed(db: sqlite3.Connection, pass_id: int) -> None:
    here = db.execute(
        f"SELECT COUNT(*) FROM files WHERE {FAILED} AND pass_id = ?",  # noqa: S608
        (pass_id,),
    ).fetchone()[0]
    db.execute(
        "UPDATE ranges SET closed_at = NULL, owner = NULL WHERE pass_id = ? AND "
        "closed_at IS NOT NULL AND"
        " EXISTS (SELECT 1 FROM files WHERE outcome = 'failed' AND files.pass_id = ranges.pass_id"
        " AND book_id BETWEEN first_id AND last_id)",
        (pass_id,),
    )
    count(db, pass_id, 0, {Outcome.FAILED: -here, Outcome.PENDING: here})
    db.execute("DELETE FROM tallies WHERE pass_id = ? AND kind = 'failed'", (pass_id,))


def reopen_file(db: sqlite3.Connection, file: FileId, *outcomes: Outcome) -> bool:
    """Makes a file with one of these outcomes pending again; False for any other.

    Its range is reopened if its pass is open.
    """
    row = db.execute(
        "SELECT outcome, pass_id, reason FROM files WHERE book_id = ? AND format = ?",
        (file.book_id, file.format),
    ).fetchone()
    if row is None or row["outcome"] not in outcomes:
        return False
    db.execute(
        "UPDATE files SET outcome = 'pending', source_id = NULL, attempts = 0, rounds = 0"
        " WHERE book_id = ? AND format = ?",
        (file.book_id, file.format),
    )
    if row["pass_id"] == open_pass(db):
        count(db, row["pass_id"], 0, {Outcome(row["outcome"]): -1, Outcome.PENDING: 1})
        if row["outcome"] == Outcome.FAILED:
            tally(db, row["pass_id"], "failed", {row["reason"]: -1})
            drop_empty_tallies(db, row["pass_id"])
        db.execute(
            "UPDATE ranges SET closed_at = NULL, owner = NULL WHERE pass_id = ? AND "
            "closed_at IS NOT NULL"
            " AND ? BETWEEN first_id AND last_id",
            (row["pass_id"], file.book_id),
        )
    return True


def count(
    db: sqlite3.Connection, pass_id: int, discovered: int, deltas: Mapping[Outcome, int]
) -> None:
    """Adds to the counters of a pass."""
    full = {outcome.value: deltas.get(outcome, 0) for outcome in Outcome}
    db.execute(
        "UPDATE passes SET discovered = discovered + :discovered, uploaded = uploaded + :uploaded,"
        " duplicate = duplicate + :duplicate, skipped = skipped + :skipped, failed = "
        "failed + :failed,"
        " pending = pending + :pending WHERE id = :pass_id",
        {"discovered": discovered, "pass_id": pass_id, **full},
    )


def tally(
    db: sqlite3.Connection, pass_id: int, kind: str, counts: Mapping[str, int]
) -> None:
    """Adds to the tallies of a pass."""
    db.executemany(
        "INSERT INTO tallies (pass_id, kind, name, n) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (pass_id, kind, name) DO UPDATE SET n = n + excluded.n",
        [(pass_id, kind, name, n) for name, n in counts.items()],
    )


def drop_empty_tallies(db: sqlite3.Connection, pass_id: int) -> None:
    """Removes reasons for which no file fails any more."""
    db.execute(
        "DELETE FROM tallies WHERE pass_id = ? AND kind = 'failed' AND n <= 0",
        (pass_id,),
    )
