"""Enters a range's files in the ledger and settles at once those that need no work.

A function over an open transaction of the ledger; only `ledger.parts` calls it.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from migration.errors import (
    Deferred,
    EmptyFile,
    Evidence,
    FalseClaim,
    MissingFile,
    StoppedItsWorker,
    Unreadable,
)
from migration.evidence import about
from migration.ledger.records import MadeKind, Range, Registration, Stage
from migration.ledger.tables import books, carried, claims, passes
from migration.model import (
    ARRIVED,
    BookFile,
    BookId,
    Counts,
    Digest,
    FileId,
    Known,
    Outcome,
    Receipt,
    UploadResult,
)

#: A file on which this many workers died is not tried again.
MAX_ATTEMPTS = 3
#: The message for such a file.
DIED = f"its worker died {MAX_ATTEMPTS} times while working on it"

#: Reasons that may have passed by themselves: such a file is tried again in the next
#: pass. The last one is what earlier versions recorded for a file on which the server
#: kept failing without refusing it.
_TRY_AGAIN = frozenset(
    {MissingFile.reason, EmptyFile.reason, Unreadable.reason, "server error"}
)

_WRITE = (
    "INSERT OR REPLACE INTO files (book_id, format, size, mtime_ns, outcome, "
    "pass_id, reason, message, modified, sha1, source_id,"
    " attempts, rounds, furthest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

#: The common case of a further pass, decided by size, mtime and last_modified alone.
_SETTLE = (
    "UPDATE files SET outcome = 'duplicate', pass_id = ?, reason = '', message = '', "
    "attempts = 0, furthest = 0,"
    " rounds = 0 WHERE book_id = ? AND format = ? AND size = ? AND mtime_ns = ? AND pass_id != ?"
    " AND modified = ? AND outcome IN ('uploaded', 'duplicate')"
)
_FORGET = "DELETE FROM files WHERE book_id = ? AND format = ?"
#: There is no pass 0.
_PUT_OUTSIDE = "UPDATE files SET pass_id = 0 WHERE book_id = ? AND format = ?"
_SETTLED_HERE = (
    "FROM files WHERE book_id BETWEEN ? AND ? AND pass_id = ? AND outcome != 'pending'"
)
_NOT_SETTLED_HERE = (
    "FROM files WHERE book_id BETWEEN ? AND ? AND NOT (pass_id = ? "
    "AND outcome != 'pending')"
)


@dataclass(frozen=True, slots=True)
class _Settlement:
    """What can be said about a file without opening it."""

    outcome: Outcome
    reason: str = ""
    message: str = ""


_PENDING = _Settlement(Outcome.PENDING)


def register(
    db: sqlite3.Connection, owned: Range, files: Sequence[tuple[BookFile, str]]
) -> Registration:
    entry = _Entry(Counter(), Counter(), [], [], [])
    unchanged = _settle_unchanged(db, owned, files)
    entry.discovered = entry.moves[Outcome.DUPLICATE] = unchanged
    if unchanged < len(files):
        _enter_rest(db, owned, files, entry)
    found = entry.discovered
    gone = _forget_gone(db, owned, files, entry)
    db.executemany(_WRITE, entry.changed)
    carried.keep_replaced(db, entry.replaced)
    carried.mark(db, entry.edited)
    passes.count(db, owned.pass_id, entry.discovered, entry.moves)
    passes.tally(db, owned.pass_id, "failed", entry.reasons)
    if gone:
        passes.drop_empty_tallies(db, owned.pass_id)
    if entry.orphans:
        passes.tally(db, owned.pass_id, "orphaned", {"upload": entry.orphans})
    moves, todo = entry.moves, len(entry.todo)
    settled = Counts(
        found, 0, moves[Outcome.DUPLICATE], moves[Outcome.SKIPPED], entry.failed, todo
    )
    moved = replace(
        settled,
        discovered=entry.discovered,
        failed=moves[Outcome.FAILED],
        pending=moves[Outcome.PENDING],
    )
    # Edited books without an ebook of their own have only a record to renew.
    unfinished = frozenset(
        [*entry.recorded, *books.unfinished(db, owned.first, owned.last)]
    )
    return Registration(
        frozenset(entry.todo),
        frozenset(entry.suspects),
        unfinished,
        settled,
        gone,
        moved,
    )


@dataclass(slots=True)
class _Entry:
    """What was found out about a range: counters, rows, files to work on.

    `edited` are books that Calibre has changed since they were carried, or that have a
    new file; `recorded` those of them whose files the server had already; `replaced`
    are the rows of files with other bytes than those we sent.
    """

    moves: Counter[Outcome]
    reasons: Counter[str]
    changed: list[tuple[object, ...]]
    todo: list[FileId]
    suspects: list[FileId]
    edited: set[BookId] = field(default_factory=set)
    recorded: set[BookId] = field(default_factory=set)
    replaced: list[sqlite3.Row] = field(default_factory=list)
    discovered: int = 0
    failed: int = 0
    orphans: int = 0


def _settle_unchanged(
    db: sqlite3.Connection, owned: Range, files: Sequence[tuple[BookFile, str]]
) -> int:
    """Settles unchanged files that the server has as `duplicate`; returns how many.

    One statement does it for all.
    """
    plain = (
        (
            owned.pass_id,
            file.id.book_id,
            file.id.format,
            file.size,
            file.mtime_ns,
            owned.pass_id,
            file.modified,
        )
        for file, excluded in files
        if not excluded and file.problem is None
    )
    return max(0, db.executemany(_SETTLE, plain).rowcount)


def _enter_rest(
    db: sqlite3.Connection,
    owned: Range,
    files: Sequence[tuple[BookFile, str]],
    entry: _Entry,
) -> None:
    """Registers, one by one, the files that have no outcome in this pass yet."""
    span = (owned.first, owned.last, owned.pass_id)
    done = {
        tuple(row)
        for row in db.execute(f"SELECT book_id, format {_SETTLED_HERE}", span)
    }
    rows = {
        (row["book_id"], row["format"]): row
        for row in db.execute(f"SELECT * {_NOT_SETTLED_HERE}", span)
    }
    for file, excluded in files:
        key = (file.id.book_id, file.id.format)
        if key in done:
            continue
        done.add(key)
        row = rows.get(key)
        again = row is not None and row["pass_id"] == owned.pass_id
        verdict = _at_once(file, excluded, row, once_more=owned.once_more)
        _note_edit(file, verdict, row, entry)
        if verdict.outcome is Outcome.PENDING:
            entry.todo.append(file.id)
            if row is not None and row["attempts"]:
                entry.suspects.append(file.id)
                # Its bytes were on the server when the worker died, and nothing shows
                # that they were attached.
                entry.orphans += Stage.METADATA <= row["furthest"] < Stage.ATTACH
        elif verdict.outcome is Outcome.FAILED:
            entry.reasons[verdict.reason] += 1
            entry.failed += 1
        entry.discovered += not again
        entry.moves[Outcome.PENDING] -= again
        entry.moves[verdict.outcome] += 1
        entry.changed.append(_row(file, verdict, row, owned.pass_id))


def _note_edit(
    file: BookFile, verdict: _Settlement, row: sqlite3.Row | None, entry: _Entry
) -> None:
    """Notes that the book has to be compared, or that the file's bytes are replaced."""
    if verdict.outcome is Outcome.PENDING:
        entry.edited.add(file.id.book_id)
        if row is not None and not _same(file, row) and row["source_id"] is not None:
            entry.replaced.append(row)
    elif verdict.outcome is Outcome.DUPLICATE and (
        row is None or row["modified"] != file.modified
    ):
        entry.edited.add(file.id.book_id)
        if row is not None and row["source_id"] is None:
            entry.recorded.add(file.id.book_id)


def put_back(db: sqlite3.Connection, file: FileId, *, counted: bool) -> int:
    """Ends an attempt without an outcome and without a death.

    Returns the counted rounds.
    """
    row = db.execute(
        "UPDATE files SET attempts = MAX(attempts - 1, 0), rounds = rounds + ?"
        " WHERE book_id = ? AND format = ? RETURNING rounds",
        (int(counted), file.book_id, file.format),
    ).fetchone()
    return int(row[0])


def start(db: sqlite3.Connection, file: FileId) -> None:
    """Counts an attempt.

    Raises StoppedItsWorker when three workers died on this file.
    """
    row = db.execute(
        "UPDATE files SET attempts = attempts + 1 WHERE book_id = ? AND format = ? "
        "RETURNING attempts",
        (file.book_id, file.format),
    ).fetchone()
    if row[0] > MAX_ATTEMPTS:
        with about(file):
            raise StoppedItsWorker(DIED)


def check_evidence(db: sqlite3.Connection, file: FileId, evidence: Evidence) -> None:
    """Raises ValueError when the evidence is about another file, book or bytes."""
    row = db.execute(
        "SELECT sha1 FROM files WHERE book_id = ? AND format = ?",
        (file.book_id, file.format),
    ).fetchone()
    bytes_of_it = None if row is None or row["sha1"] is None else row["sha1"].hex()
    of_bytes = isinstance(evidence.about, Digest) and evidence.about.sha1 == bytes_of_it
    if not of_bytes and evidence.about not in (file, file.book_id):
        raise ValueError(
            f"{file} cannot fail for {evidence.reason!r} of {evidence.about}"
        )


def check_known(db: sqlite3.Connection, file: FileId, known: Known) -> None:
    """Raises unless the server is known to have these bytes, and they are this file's.

    Deferred for the file's own bytes: since somebody had them from the ledger, another
    worker may have found that the server has lost them. FalseClaim for any others.
    """
    row = db.execute(
        "SELECT sha1 FROM files WHERE book_id = ? AND format = ?",
        (file.book_id, file.format),
    ).fetchone()
    own = bytes.fromhex(known.digest.sha1)
    others = row is not None and row["sha1"] not in (None, own)
    if claims.is_known(db, known.digest) and not others:
        return
    if row is not None and row["sha1"] == own:
        raise Deferred(f"{file}: the server is not known any more to have its bytes")
    raise FalseClaim(
        f"the worker's script claims that the server has {file}; the ledger knows "
        f"nothing of its bytes ({known.digest.sha1})"
    )


def account(
    db: sqlite3.Connection,
    pass_id: int,
    result: UploadResult,
    proof: Receipt | Known | None,
) -> bool:
    """Writes the outcome of a pending file; returns False when it has one already."""
    return bool(
        db.execute(
            "UPDATE files SET outcome = ?, reason = ?, message = ?, attempts = 0, "
            "rounds = 0, sha1 = COALESCE(?, sha1), source_id = COALESCE(?, source_id)"
            " WHERE book_id = ? AND format = ? AND outcome = 'pending' AND pass_id = ?",
            (
                result.outcome,
                result.reason,
                result.message,
                bytes.fromhex(proof.digest.sha1) if proof else None,
                proof.source_id if isinstance(proof, Receipt) else None,
                result.file.book_id,
                result.file.format,
                pass_id,
            ),
        ).rowcount
    )


def received(
    db: sqlite3.Connection, pass_id: int, file: FileId, receipt: Receipt
) -> None:
    """Records what the server gave its receipt for, and ends its intention."""
    db.execute(
        "UPDATE passes SET bytes_uploaded = bytes_uploaded + ? WHERE id = ?",
        (receipt.digest.size, pass_id),
    )
    carried.made(
        db,
        pass_id,
        MadeKind.SOURCE,
        receipt.source_id,
        file.book_id,
        format=file.format,
        sha1=receipt.digest.sha1,
        size=receipt.digest.size,
    )
    db.execute(
        "UPDATE books SET intention = NULL, intended_at = NULL, upload_id = "
        "NULL, format = NULL, sha1 = NULL,"
        " size = NULL WHERE book_id = ?",
        (file.book_id,),
    )


def reach(db: sqlite3.Connection, file: FileId, stage: Stage) -> None:
    """Records that a file reaches a stage.

    Getting further than ever before means that earlier deaths were not caused by the
    file.
    """
    db.execute(
        "UPDATE files SET attempts = MIN(attempts, 1), furthest = ? WHERE book_id = "
        "? AND format = ? AND furthest < ?",
        (int(stage), file.book_id, file.format, int(stage)),
    )


def _forget_gone(
    db: sqlite3.Connection,
    owned: Range,
    files: Sequence[tuple[BookFile, str]],
    entry: _Entry,
) -> tuple[FileId, ...]:
    """Removes files that failed or are pending when the library no longer lists them.

    Those of this pass leave its counters too: they were removed in Calibre after being
    registered. What arrived stays, for it is on the server. In a pass about a selection
    a file that is not listed may only be outside: it leaves the pass, not the ledger.
    """
    listed = {(file.id.book_id, file.id.format) for file, _excluded in files}
    rows = db.execute(
        "SELECT book_id, format, outcome, pass_id, reason FROM files"
        " WHERE outcome IN ('failed', 'pending') AND book_id BETWEEN ? AND ?",
        (owned.first, owned.last),
    ).fetchall()
    gone = [row for row in rows if (row["book_id"], row["format"]) not in listed]
    if narrowed := bool(gone) and passes.scope(db, owned.pass_id) != "":
        gone = [row for row in gone if row["pass_id"] == owned.pass_id]
    for row in gone:
        if row["pass_id"] != owned.pass_id:
            continue
        entry.discovered -= 1
        entry.moves[Outcome(row["outcome"])] -= 1
        if row["outcome"] == Outcome.FAILED:
            entry.reasons[row["reason"]] -= 1
    keys = [(row["book_id"], row["format"]) for row in gone]
    db.executemany(_PUT_OUTSIDE if narrowed else _FORGET, keys)
    return tuple(FileId(BookId(book), form) for book, form in keys)


def forget_beyond(db: sqlite3.Connection, highest_id: int) -> None:
    """Removes such files of books above the library's highest id.

    Those are in no range of a pass.
    """
    db.execute(
        "DELETE FROM files WHERE outcome IN ('failed', 'pending') AND book_id > ?",
        (highest_id,),
    )


def foreseen(
    file: BookFile, excluded: str, row: sqlite3.Row | None
) -> tuple[Outcome, str]:
    """Returns what `register` would settle a file as, and the reason."""
    verdict = _at_once(file, excluded, row, once_more=False)
    return verdict.outcome, verdict.reason


def _at_once(
    file: BookFile, excluded: str, row: sqlite3.Row | None, *, once_more: bool
) -> _Settlement:
    if excluded:
        return _Settlement(Outcome.SKIPPED, excluded)
    if file.problem is not None:
        return _Settlement(Outcome.FAILED, file.problem.reason, file.problem.message)
    return (
        _as_before(row, once_more=once_more)
        if row is not None and _same(file, row)
        else _PENDING
    )


def _as_before(row: sqlite3.Row, *, once_more: bool) -> _Settlement:
    """Returns the verdict on a file that has not changed since the row was written."""
    if row["outcome"] in ARRIVED:
        return _Settlement(Outcome.DUPLICATE)
    if row["outcome"] == Outcome.FAILED and row["reason"] not in _TRY_AGAIN:
        return _Settlement(Outcome.FAILED, row["reason"], row["message"])
    if row["attempts"] >= MAX_ATTEMPTS and not once_more:
        return _Settlement(Outcome.FAILED, StoppedItsWorker.reason, DIED)
    return _PENDING


def _same(file: BookFile, row: sqlite3.Row) -> bool:
    return bool((row["size"], row["mtime_ns"]) == (file.size, file.mtime_ns))


def _row(
    file: BookFile, verdict: _Settlement, row: sqlite3.Row | None, pass_id: int
) -> tuple[object, ...]:
    """Returns the file's row, keeping what was known of the same bytes.

    What is on the server, or is to get there, keeps its mark until the whole book was
    compared.
    """
    modified: bytes | None = file.modified
    if verdict.outcome in (Outcome.PENDING, Outcome.DUPLICATE):
        modified = None if row is None else row["modified"]
    known: tuple[object, ...] = (None, None, 0, 0, 0)
    if row is not None and _same(file, row):
        # Never so many that the attempt it is pending for would be refused.
        attempts = (
            min(row["attempts"], MAX_ATTEMPTS - 1)
            if verdict.outcome is Outcome.PENDING
            else 0
        )
        rounds = row["rounds"] if row["pass_id"] == pass_id else 0
        known = (
            row["sha1"],
            row["source_id"],
            attempts,
            rounds,
            row["furthest"] if attempts else 0,
        )
    return (
        file.id.book_id,
        file.id.format,
        file.size,
        file.mtime_ns,
        verdict.outcome.value,
        pass_id,
        verdict.reason,
        verdict.message,
        modified,
        *known,
    )
