"""`report.html` and `report.json` (report.schema.json): the result of a pass.

They are for those who look at it later.
"""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from auto_monitor.cli import end
from common.errors import CodedError
from common.files.json_files import write_bytes, write_json
from common.json_value import Json
from dashboard.reading.slowest import slowest
from dashboard.reading.state_reader import StateReader
from dashboard.report import listed
from dashboard.report.page import render
from migration.ledger import totals
from migration.ledger.totals import Totals
from migration.state_files import reports

SCHEMA = 1
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
        # First: the newest report must not be one that is not reports.
        places.insert(0, reports.folder_of(folder, int(str(about["id"]))))
    text = render(value).encode("utf-8")
    for place in places:
        write_json(place / reports.DATA, value)
        write_bytes(place / reports.PAGE, text)
    if keep:
        reports.forget_old(folder, keep)
    return folder / reports.PAGE


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
        failed = listed.failed(reader, found)
        noticed = listed.noticed(reader, found) | listed.standing(reader, found)
        edited = listed.edits(reader, found)
        page = end.read(state_dir, now, found.pass_id)
    except totals.UNREADABLE as error:
        raise NothingToReport(str(error)) from error
    slow, complete = slowest(state_dir, found.opened_at)
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
        **listed.rates(reader, found),
        **listed.attempts(reader, found, now),
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
