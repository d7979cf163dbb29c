"""What the report lists: failed files, notices, differences, edits, attempts."""

from dataclasses import asdict
from datetime import datetime

from auto_monitor.model import HistoryEntry
from auto_monitor.record import samples
from common.json_value import Json
from dashboard.reading import series
from dashboard.reading.series import Rate
from dashboard.reading.state_reader import StateReader, verdict
from migration.commands import failures
from migration.ledger.totals import Totals

#: The most failed files listed; all of them are on the page and in the ledger.
MOST_FAILED = 1000
#: The most books with something left out, and the most edits, that are listed.
MOST_NOTICED = 1000


def failed(reader: StateReader, found: Totals) -> dict[str, Json]:
    """Returns failed files, and their number by reason."""
    rows = failures.failed_files(reader.ledger, found.pass_id, None, MOST_FAILED)
    return {
        "failed": {**found.failed},
        "failed_files": [
            {
                "book_id": row.file.book_id,
                "format": row.file.format,
                "size": row.size,
                "reason": row.reason,
                "message": row.message,
            }
            for row in rows
        ],
        "failed_files_complete": len(rows) < MOST_FAILED,
    }


def noticed(reader: StateReader, found: Totals) -> dict[str, Json]:
    """Returns what was left out or taken otherwise."""
    rows = failures.noticed(reader.ledger, found.pass_id, MOST_NOTICED)
    return {
        "noticed": {**found.noticed},
        "notices": [
            {
                "book_id": row.book_id,
                "format": row.format,
                "what": row.kind.value,
                "message": row.message,
            }
            for row in rows
        ],
        "notices_complete": len(rows) < MOST_NOTICED,
    }


def standing(reader: StateReader, found: Totals) -> dict[str, Json]:
    """Returns what stands on the server and should not, and what was read back."""
    rows = failures.standing(reader.ledger, found.pass_id, MOST_NOTICED)
    return {
        "differences": [
            {
                "ebook_id": row.ebook_id,
                "book_id": row.book_id,
                "what": row.kind,
                "message": row.message,
            }
            for row in rows
        ],
        "differences_complete": len(rows) < MOST_NOTICED,
        "audit": {
            "state": found.audited.state.value,
            "changed": found.audited.changed,
            "read": found.audited.read,
            "left": found.audited.left,
        },
    }


def edits(reader: StateReader, found: Totals) -> dict[str, Json]:
    """Returns what was updated, and differences that were reported."""
    rows = failures.edits(reader.ledger, found.pass_id, MOST_NOTICED)
    return {
        "updated": {**found.updated},
        "edits": [{**asdict(row)} for row in rows],
        "edits_complete": len(rows) < MOST_NOTICED,
    }


def rates(reader: StateReader, found: Totals) -> dict[str, Json]:
    """Returns how fast it went, over time."""
    taken = series.rates(samples.read(reader.state_dir, found.pass_id))
    return {"rate": [_rate(rate) for rate in taken]}


def attempts(reader: StateReader, found: Totals, now: datetime) -> dict[str, Json]:
    """Returns what the monitor did."""
    until = found.closed_at or now
    return {
        "monitor": [
            _fix(entry)
            for entry in reader.fixes()
            if found.opened_at.isoformat() <= entry.timestamp <= until.isoformat()
        ]
    }


def _rate(rate: Rate) -> dict[str, Json]:
    return {
        "at": rate.at.isoformat(),
        "files_per_min": round(rate.files_per_min, 1),
        "bytes_per_second": round(rate.bytes_per_second),
        "disk_percent": rate.disk,
        "workers": rate.running,
    }


def _fix(entry: HistoryEntry) -> dict[str, Json]:
    return {
        "at": entry.timestamp,
        "worker_id": entry.worker_id,
        "attempt": entry.attempt,
        "fix_type": entry.fix_type,
        "root_cause": entry.root_cause,
        "description": entry.description,
        "verdict": verdict(entry),
        "reason": entry.reason,
        "code": entry.code_changes.full if entry.code_changes else None,
    }
