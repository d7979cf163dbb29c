"""`report.html` and `report.json` (report.schema.json): the result of a pass.

They are for those who look at it later.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

from auto_monitor.cli import end
from auto_monitor.model import HistoryEntry
from auto_monitor.record import samples
from common.errors import CodedError
from common.files.json_files import write_bytes, write_json
from common.json_value import Json
from dashboard.reading.series import Rate, rates
from dashboard.reading.slowest import slowest
from dashboard.reading.state_reader import StateReader, verdict
from dashboard.report import kept
from dashboard.report.drawing import line_chart
from migration.commands import failures
from migration.ledger import totals
from migration.ledger.totals import Totals
from migration.worker.progress.report import minutes_in_words, size_in_words

SCHEMA = 1
#: The most failed files listed; all of them are on the page and in the ledger.
MOST_FAILED = 1000
#: The most books with something left out, and the most edits, that are listed.
MOST_NOTICED = 1000
HERE = Path(__file__).parent


class NothingToReport(CodedError):
    """There is no such pass, or its ledger cannot be read; the message says which."""

    code = "nothing-migrated"


def write(
    state_dir: Path,
    folder: Path,
    now: datetime,
    pass_id: int | None = None,
    *,
    keep: int = 0,
) -> Path:
    """Writes both files; returns the page's path.

    `keep` has them also in a folder of the pass, and forgets all but so many of those.
    Raises NothingToReport or StateUnwritable.
    """
    value = collect(state_dir, now, pass_id)
    places = [folder]
    if keep:
        about = value["pass"]
        assert isinstance(about, dict)
        # First: the newest report must not be one that is not kept.
        places.insert(0, kept.folder_of(folder, int(str(about["id"]))))
    text = render(value).encode("utf-8")
    for place in places:
        write_json(place / kept.DATA, value)
        write_bytes(place / kept.PAGE, text)
    if keep:
        kept.forget_old(folder, keep)
    return folder / kept.PAGE


def collect(
    state_dir: Path, now: datetime, pass_id: int | None = None
) -> dict[str, Json]:
    """Returns the report as JSON. Raises NothingToReport.

    Times are ISO 8601 UTC, sizes bytes, durations seconds.
    """
    reader = StateReader(state_dir)
    try:
        found = totals.read(reader.ledger, pass_id)
        if found is None:
            which = "No pass" if pass_id is None else f"No pass {pass_id}"
            raise NothingToReport(
                f"{which} is in {reader.ledger}: nothing was migrated with this --state-dir"
            )
        proved = (
            totals.proved(reader.ledger, found.pass_id) if found.closed_at else None
        )
        failed = _failed(reader, found)
        noticed = _noticed(reader, found) | _standing(reader, found)
        edited = _edits(reader, found)
        page = end.read(state_dir, now, found.pass_id)
    except totals.UNREADABLE as error:
        raise NothingToReport(str(error)) from error
    slow, complete = slowest(state_dir, found.opened_at)
    until = found.closed_at or now
    fixes = [
        entry
        for entry in reader.fixes()
        if found.opened_at.isoformat() <= entry.timestamp <= until.isoformat()
    ]
    taken = rates(samples.read(state_dir, found.pass_id))
    state = reader.snapshot(now).status
    by_size = sorted(
        found.not_carried, key=lambda name: (-found.not_carried[name], name)
    )
    return {
        "schema": SCHEMA,
        "made_at": now.isoformat(),
        "library": state.library,
        "server": state.server,
        "end": None if page is None else {**asdict(page)},
        **_summary(found, proved, now),
        **failed,
        **edited,
        "not_carried": {name: found.not_carried[name] for name in by_size},
        **noticed,
        "slowest": [{**asdict(upload), "at": upload.at.isoformat()} for upload in slow],
        "slowest_complete": complete,
        "rate": [_rate(rate) for rate in taken],
        "monitor": [_fix(entry) for entry in fixes],
    }


def _summary(found: Totals, proved: bool | None, now: datetime) -> dict[str, Json]:
    counts, minutes = found.counts, found.minutes(now)
    numbers: dict[str, Json] = {
        name: getattr(counts, name) for name in counts.__dataclass_fields__
    }
    return {
        "pass": {
            "id": found.pass_id,
            "opened_at": found.opened_at.isoformat(),
            "closed_at": found.closed_at.isoformat() if found.closed_at else None,
            "seconds": round(minutes * 60, 1),
        },
        "selection": None
        if found.scope is None
        else {
            "words": found.scope.words,
            "books": found.scope.books,
            "outside": found.scope.outside,
        },
        "undoes": found.undoes,
        "deleted": {**found.deleted},
        "stays": {**found.stays},
        "total": found.total,
        "counts": numbers,
        "balanced": counts.balanced(),
        "proved": proved,
        "bytes_uploaded": found.bytes_uploaded,
        "files_per_min": round((counts.discovered - counts.pending) / minutes, 1)
        if minutes
        else None,
        "orphaned_uploads": found.orphaned_uploads,
    }


def _failed(reader: StateReader, found: Totals) -> dict[str, Json]:
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


def _noticed(reader: StateReader, found: Totals) -> dict[str, Json]:
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


def _standing(reader: StateReader, found: Totals) -> dict[str, Json]:
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


def _edits(reader: StateReader, found: Totals) -> dict[str, Json]:
    rows = failures.edits(reader.ledger, found.pass_id, MOST_NOTICED)
    return {
        "updated": {**found.updated},
        "edits": [{**asdict(row)} for row in rows],
        "edits_complete": len(rows) < MOST_NOTICED,
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


# -- the page --------------------------------------------------------------------------

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["size"] = size_in_words
_templates.filters["span"] = lambda seconds: minutes_in_words(seconds / 60)
_templates.filters["count"] = lambda number: f"{number:,}"
_templates.filters["moment"] = lambda text: (
    f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"
)


def render(value: Mapping[str, Json]) -> str:
    """Returns the page, self-contained and without scripts.

    So it can be mailed and opened anywhere.
    """
    return _templates.get_template("report.html").render(
        **value, charts=_charts(value["rate"])
    )


def _charts(rate: Json) -> list[tuple[str, Markup]]:
    rows = (
        [row for row in rate if isinstance(row, dict)] if isinstance(rate, list) else []
    )
    times = [datetime.fromisoformat(str(row["at"])) for row in rows]

    def column(name: str, factor: float = 1.0) -> list[float | None]:
        return [
            None if row[name] is None else float(json.dumps(row[name])) * factor
            for row in rows
        ]

    drawn = [
        (
            "Files per minute",
            line_chart(times, column("files_per_min"), "Files per minute"),
        ),
        (
            "Megabytes per second",
            line_chart(times, column("bytes_per_second", 1e-6), "Megabytes per second"),
        ),
        (
            "Disk of the library, % busy",
            line_chart(times, column("disk_percent"), "Disk, percent busy", top=100),
        ),
        ("Workers running", line_chart(times, column("workers"), "Workers running")),
    ]
    # Drawn from numbers and titles of our own; nothing in it comes from a book.
    return [(title, Markup(svg)) for title, svg in drawn if svg]  # noqa: S704
