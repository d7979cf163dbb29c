"""Read-only totals of a pass, for summary, monitor, dashboard and report."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from common.files.system_errors import reason_of
from migration.errors import LedgerBusy, LedgerCorrupt, OutOfResources, StateUnwritable
from migration.ledger import sqlite_errors
from migration.ledger.records import Audited, AuditState
from migration.ledger.scope import Scope, parse
from migration.ledger.tables import carried, passes
from migration.model import Counts, FileId

#: What reading a ledger can raise: another process has it locked, it is damaged (a
#: worker then rebuilds it), it cannot be opened, or this process is short of something.
UNREADABLE = (LedgerBusy, LedgerCorrupt, StateUnwritable, OutOfResources)

NOT_READ_BACK = Audited()

_COUNTED = ("discovered", "uploaded", "duplicate", "skipped", "failed", "pending")


@dataclass(frozen=True, slots=True)
class Totals:
    """One pass over the whole library, all workers together.

    Sizes are in bytes; tallies are by name.
    """

    pass_id: int
    opened_at: datetime
    closed_at: datetime | None
    counts: Counts
    bytes_uploaded: int
    failed: Mapping[str, int]
    not_carried: Mapping[str, int]
    orphaned_uploads: int
    highest_id: int
    claimed_to: int
    listed: int | None = None
    noticed: Mapping[str, int] = field(default_factory=dict)
    #: Differences on the server by kind; of all passes, as of now.
    differences: Mapping[str, int] = field(default_factory=dict)
    #: What was read back before the pass was closed.
    audited: Audited = NOT_READ_BACK
    #: Which books the pass is about; None for all.
    scope: Scope | None = None
    #: Books whose metadata was sent again, under "book", and how often each field was.
    updated: Mapping[str, int] = field(default_factory=dict)
    #: The pass that this one undoes; None for a migration.
    undoes: int | None = None
    #: What was deleted on the server because somebody asked, by kind; and what of it
    #: stays, by reason.
    deleted: Mapping[str, int] = field(default_factory=dict)
    stays: Mapping[str, int] = field(default_factory=dict)
    #: Files on the server that gave way to newer ones of Calibre's.
    replaced: int = 0

    @property
    def total(self) -> int | None:
        """The number of files in the whole pass, or None while it is not known.

        It is counted once when the pass is opened, and never less than what was found
        since. For a closed pass it is what was found.
        """
        if self.closed_at is not None:
            return self.counts.discovered
        return None if self.listed is None else max(self.listed, self.counts.discovered)

    def minutes(self, now: datetime) -> float:
        """Returns how many minutes the pass took, or has taken until now."""
        return max(0.0, ((self.closed_at or now) - self.opened_at).total_seconds() / 60)


def read(ledger: Path, pass_id: int | None = None) -> Totals | None:
    """Returns the totals of a pass, by default the newest; None without ledger or pass.

    Raises what UNREADABLE lists.
    """
    if not _is_there(ledger):
        return None
    with translated(ledger), opened(ledger) as db:
        return _read(db, pass_id)


def proved(ledger: Path, pass_id: int) -> bool:
    """Whether the rows of a pass agree with its counters, and the equation holds.

    The rows are counted one by one.
    """
    with translated(ledger), opened(ledger) as db:
        totals = _read(db, pass_id)
        rows = dict(
            db.execute(
                "SELECT outcome, COUNT(*) FROM files WHERE pass_id = ? GROUP BY outcome",
                (pass_id,),
            ).fetchall()
        )
    if totals is None:
        return False
    counts = totals.counts
    listed = Counts(sum(rows.values()), *(rows.get(name, 0) for name in _COUNTED[1:]))
    return counts == listed and counts.balanced()


def bound_to(ledger: Path) -> tuple[str, str]:
    """Returns library id and server URL of a ledger; each "" when it has none yet.

    Raises as `read` does.
    """
    if not _is_there(ledger):
        return "", ""
    with translated(ledger), opened(ledger) as db:
        if (
            db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
            is None
        ):
            return "", ""
        found = dict(
            db.execute(
                "SELECT key, value FROM meta WHERE key IN ('library', 'server')"
            ).fetchall()
        )
    return str(found.get("library", "")), str(found.get("server", ""))


def equation(totals: Totals, *, proved: bool) -> str:
    """Returns one line: the equation, whether rows prove it, remaining differences."""
    counts = totals.counts
    if totals.undoes is not None:
        return f"{undo_of(totals)}{_standing(totals)}"
    state = "stays open" if totals.closed_at is None else "closed"
    return (
        f"Pass {totals.pass_id} {state}: discovered {counts.discovered} = uploaded "
        f"{counts.uploaded} + duplicate "
        f"{counts.duplicate} + skipped {counts.skipped} + failed {counts.failed} + "
        f"pending {counts.pending} "
        f"({'proved row by row' if proved else 'THE ROWS DO NOT AGREE: please report this'})"
        f"{read_back(totals.audited)}{f'; {totals.scope}' if totals.scope else ''}"
        f"{deletions(totals)}"
        f"{_standing(totals)}"
    )


def undo_of(totals: Totals) -> str:
    """Returns one line about a pass that undoes another."""
    did = "is undoing" if totals.closed_at is None else "undid"
    done = _listed(totals.deleted) or "nothing"
    return (
        f"Pass {totals.pass_id} {did} pass {totals.undoes}: {done} taken back, "
        f"{sum(totals.stays.values())} stay"
    )


def deletions(totals: Totals) -> str:
    """Returns what --delete-removed did as the end of a sentence, "" for nothing."""
    if not (totals.deleted or totals.stays):
        return ""
    done = _listed(totals.deleted) or "nothing"
    return (
        f"; removed in Calibre: {done} deleted on the server, "
        f"{sum(totals.stays.values())} stay"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))


def read_back(audited: Audited) -> str:
    """Returns how much was read back as the end of a sentence; "" for nothing."""
    books = f"{audited.changed} changed books"
    left = (
        f", {audited.left} of them changed in Calibre since: the next pass's work"
        if audited.left
        else ""
    )
    return {
        AuditState.PROVED: f"; all {books} read back from the server{left}: proved",
        AuditState.SAMPLED: f"; {audited.read} of {books} read back from the "
        f"server{left}: sampled",
        AuditState.OFF: "; not audited (--audit off)",
    }.get(audited.state, "")


def _standing(totals: Totals) -> str:
    """Returns the remaining differences as the end of a sentence.

    Returns "" when there are none.
    """
    if not totals.differences:
        return ""
    what = ", ".join(f"{n} {kind}" for kind, n in sorted(totals.differences.items()))
    return (
        f"; {sum(totals.differences.values())} differences stand on the server "
        f"({what}): the worker's log names each, "
        "docs/errors.md says what to do"
    )


def settled(
    ledger: Path, pass_id: int, files: Sequence[FileId], first_id: int | None
) -> bool:
    """Whether these files have outcomes in this pass.

    Without files: whether the range with book `first_id` is closed; without both,
    False. The monitor asks this, after a restart, about what a worker hung on. Raises
    as `read` does.
    """
    with translated(ledger), opened(ledger) as db:
        if files:
            return all(
                db.execute(
                    "SELECT 1 FROM files WHERE book_id = ? AND format = ? AND "
                    "pass_id >= ? AND outcome != 'pending'",
                    (file.book_id, file.format, pass_id),
                ).fetchone()
                for file in files
            )
        closed = db.execute(
            "SELECT (SELECT closed_at FROM passes WHERE id = :pass_id) IS NOT NULL "
            "OR EXISTS (SELECT 1 FROM ranges"
            " WHERE pass_id = :pass_id AND :first_id BETWEEN first_id AND last_id "
            "AND closed_at IS NOT NULL)",
            {"pass_id": pass_id, "first_id": first_id},
        ).fetchone()
        return bool(closed[0])


def not_carried_in(ledger: Path, pass_id: int, first_id: int, last_id: int) -> int:
    """Returns how many files of these books failed or were skipped in this pass."""
    with translated(ledger), opened(ledger) as db:
        row = db.execute(
            "SELECT COUNT(*) FROM files WHERE pass_id = ? AND book_id BETWEEN ? AND ?"
            " AND outcome IN ('failed', 'skipped')",
            (pass_id, first_id, last_id),
        ).fetchone()
        return int(row[0])


def translated(ledger: Path) -> AbstractContextManager[None]:
    """Translates errors of reading a ledger into those of UNREADABLE."""
    return sqlite_errors.translated(
        ledger, f"{ledger} is locked by another process", writing=False
    )


def _is_there(ledger: Path) -> bool:
    try:
        ledger.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StateUnwritable(f"cannot use {ledger}: {reason_of(error)}") from error
    return True


class opened:
    """A read-only connection that is closed at the end.

    sqlite3's own context manager only commits.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def __enter__(self) -> sqlite3.Connection:
        # Opened in the ordinary way, SQLite would leave its WAL files beside a ledger
        # that nobody has open. Without a WAL the ledger is all in its file.
        alone = "" if Path(f"{self._ledger}-wal").exists() else "&immutable=1"
        self._db = sqlite3.connect(
            f"{self._ledger.absolute().as_uri()}?mode=ro{alone}", uri=True, timeout=4.0
        )
        self._db.row_factory = sqlite3.Row
        return self._db

    def __exit__(self, *_error: object) -> None:
        self._db.close()


def _read(db: sqlite3.Connection, pass_id: int | None) -> Totals | None:
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
        # The worker that is creating the ledger has not committed its tables yet.
        return None
    row = db.execute(
        "SELECT * FROM passes WHERE id = COALESCE(?, (SELECT MAX(id) FROM passes))",
        (pass_id,),
    ).fetchone()
    if row is None:
        return None
    tallies: dict[str, dict[str, int]] = {}
    for kind, name, n in db.execute(
        "SELECT kind, name, n FROM tallies WHERE pass_id = ?", (row["id"],)
    ).fetchall():
        tallies.setdefault(kind, {})[name] = n
    return Totals(
        row["id"],
        datetime.fromisoformat(row["opened_at"]),
        None if row["closed_at"] is None else datetime.fromisoformat(row["closed_at"]),
        Counts(*(row[name] for name in _COUNTED)),
        row["bytes_uploaded"],
        tallies.get("failed", {}),
        tallies.get("not_carried", {}),
        sum(tallies.get("orphaned", {}).values()),
        row["highest_id"],
        row["claimed_to"],
        # A ledger that no worker of this version has opened yet lacks the column. A Row
        # iterates over its values.
        row["listed"] if "listed" in row.keys() else None,  # noqa: SIM118
        {name: n for name, n in tallies.get("noticed", {}).items() if n > 0},
        _differences(db),
        passes.audit_of(row["audit"] if "audit" in row.keys() else ""),  # noqa: SIM118
        _scope(row),
        tallies.get("updated", {}),
        # As `listed`.
        row["undoes"] if "undoes" in row.keys() else None,  # noqa: SIM118
        tallies.get("deleted", {}),
        tallies.get("stays", {}),
        sum(tallies.get(carried.REPLACED, {}).values()),
    )


def _scope(row: sqlite3.Row) -> Scope | None:
    """Returns which books a pass is about.

    An unknown form, of a newer version, is no reason not to show its numbers.
    """
    if "selection" not in row.keys():  # noqa: SIM118 - a Row iterates over its values
        return None
    with suppress(ValueError):
        return parse(row["selection"])
    return None


def _differences(db: sqlite3.Connection) -> dict[str, int]:
    """Returns the number of differences by kind.

    Returns None for a ledger of an older version.
    """
    if (
        db.execute("SELECT 1 FROM sqlite_master WHERE name = 'differences'").fetchone()
        is None
    ):
        return {}
    return dict(
        db.execute("SELECT kind, COUNT(*) FROM differences GROUP BY kind").fetchall()
    )
