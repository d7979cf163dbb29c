"""What a pass updated, and reported differences that stand: read-only, for reports."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migration.ledger.totals import opened, translated

#: A difference is shown while it stands; one that was decided, by its own pass only.
_SHOWN = "(kind != 'overwritten' OR pass_id = ?)"


@dataclass(frozen=True, slots=True)
class Edit:
    """A field that was edited on the server, or that the server refuses.

    `kind` is a `records.StandingKind`; both values are texts. `pass_id` is the pass
    that reported it.
    """

    book_id: int
    field: str
    kind: str
    calibre: str
    server: str
    pass_id: int


def standing(ledger: Path, pass_id: int, limit: int) -> list[Edit]:
    """Returns the first `limit` reported differences, by book.

    There are none in a ledger of an older version. Raises LedgerBusy or LedgerCorrupt.
    """
    with translated(ledger), opened(ledger) as db:
        if not _is_new(db):
            return []
        rows = db.execute(
            "SELECT book_id, field, kind, calibre, server, pass_id FROM standing "  # noqa: S608
            f"WHERE {_SHOWN} ORDER BY book_id, field LIMIT ?",
            (pass_id, limit),
        ).fetchall()
    return [Edit(*row) for row in rows]


def counts(ledger: Path, pass_id: int) -> Mapping[str, int]:
    """Returns the numbers of reported differences by kind."""
    with translated(ledger), opened(ledger) as db:
        if not _is_new(db):
            return {}
        return dict(
            db.execute(
                f"SELECT kind, COUNT(*) FROM standing WHERE {_SHOWN} GROUP BY kind",  # noqa: S608
                (pass_id,),
            ).fetchall()
        )


def sentences(updated: Mapping[str, int], stands: Mapping[str, int]) -> list[str]:
    """Returns what a pass updated and what stands, as lines of the log."""
    said = []
    if updated:
        fields = ", ".join(
            f"{name} {n}" for name, n in sorted(updated.items()) if name != "book"
        )
        said.append(f"Updated {updated.get('book', 0)} books: {fields}")
    if stands:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(stands.items()))
        said.append(
            f"Differences between Calibre and the server that were reported: {kinds} "
            "(which: the report and the workers' logs)"
        )
    return said


def _is_new(db: sqlite3.Connection) -> bool:
    return (
        db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'standing'").fetchone()
        is not None
    )
