"""Read-only totals of a pass, for the worker's summary, the monitor, the dashboard and the report."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from migration.errors import LedgerBusy, LedgerCorrupt
from migration.model import Counts

_COUNTED = ("discovered", "uploaded", "duplicate", "skipped", "failed", "pending")


@dataclass(frozen=True, slots=True)
class Totals:
    """One pass over the whole library, all workers together. Sizes are bytes; tallies are by name."""

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

    def minutes(self, now: datetime) -> float:
        """How long the pass took, or has taken until now."""
        return max(0.0, ((self.closed_at or now) - self.opened_at).total_seconds() / 60)


def read(ledger: Path, pass_id: int | None = None) -> Totals | None:
    """The totals of a pass, the newest by default; None when there is no ledger or no pass.

    Raises LedgerCorrupt, or LedgerBusy while another process keeps the file for itself.
    """
    if not ledger.exists():
        return None
    try:
        with _opened(ledger) as db:
            return _read(db, pass_id)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise LedgerBusy(f"{ledger} is locked by another process") from error
        raise LedgerCorrupt(f"cannot read {ledger}: {error}") from error


def proved(ledger: Path, pass_id: int) -> bool:
    """Counts the rows of a pass one by one: do they agree with the counters, and does the equation hold?"""
    with _opened(ledger) as db:
        totals = _read(db, pass_id)
        rows = dict(
            db.execute("SELECT outcome, COUNT(*) FROM files WHERE pass_id = ? GROUP BY outcome", (pass_id,)).fetchall()
        )
    if totals is None:
        return False
    counts = totals.counts
    listed = Counts(sum(rows.values()), *(rows.get(name, 0) for name in _COUNTED[1:]))
    return counts == listed and counts.balanced()


class _opened:
    """A read-only connection that is closed at the end; sqlite3's own context manager only commits."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def __enter__(self) -> sqlite3.Connection:
        self._db = sqlite3.connect(f"{self._ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=4.0)
        self._db.row_factory = sqlite3.Row
        return self._db

    def __exit__(self, *_error: object) -> None:
        self._db.close()


def _read(db: sqlite3.Connection, pass_id: int | None) -> Totals | None:
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
        # The worker that makes the ledger has not committed its tables yet.
        return None
    row = db.execute("SELECT * FROM passes WHERE id = COALESCE(?, (SELECT MAX(id) FROM passes))", (pass_id,)).fetchone()
    if row is None:
        return None
    tallies: dict[str, dict[str, int]] = {}
    for kind, name, n in db.execute("SELECT kind, name, n FROM tallies WHERE pass_id = ?", (row["id"],)).fetchall():
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
    )
