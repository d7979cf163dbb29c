"""The end of a migration, read from a state directory. Writes nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from auto_monitor.cli import end_surroundings, status
from auto_monitor.cli.status import Status
from auto_monitor.cli.trouble import troubles
from auto_monitor.decide.end_page import End, Facts, end_page
from migration.ledger import edits, failed, totals
from migration.ledger.totals import Totals
from migration.state_files import reports
from migration.state_files.names import LEDGER_NAME

#: Failed files that are named, for each reason.
EXAMPLES = 3


def read(
    state_dir: Path,
    now: datetime,
    pass_id: int | None = None,
    *,
    runs: bool | None = None,
) -> End | None:
    """Returns the page of a pass, by default the newest; None when there is no pass.

    `runs` says whether anything works on it, by default what is seen. Raises what
    `totals.read` does.
    """
    value = status.collect(state_dir, now)
    return _page(state_dir, now, value, pass_id, runs=runs)


def read_ended(state_dir: Path, now: datetime, value: Status) -> End | None:
    """Returns the page of the newest pass; None while anything works on it.

    `value` is the status now. Raises what `totals.read` does.
    """
    found = value.totals
    if found is None or (found.closed_at is None and _works(value)):
        return None
    return _page(state_dir, now, value, None, runs=None)


def _page(
    state_dir: Path,
    now: datetime,
    value: Status,
    pass_id: int | None,
    *,
    runs: bool | None,
) -> End | None:
    ledger = state_dir / LEDGER_NAME
    newest = None if value.totals is None else value.totals.pass_id
    found = totals.read(ledger, pass_id)
    if found is None:
        return None
    is_newest = found.pass_id == newest
    paused = _paused(value) if is_newest else []
    around = end_surroundings.of(state_dir, value.library or "", paused)
    return end_page(
        Facts(
            found=found,
            now=now,
            proved=totals.proved(ledger, found.pass_id) if found.closed_at else None,
            runs=is_newest and (_works(value) if runs is None else runs),
            stays=value.watch is not None and value.monitor.alive,
            ended=value.monitor.ended if is_newest else "",
            paused=paused,
            troubles=troubles(value.workers) if is_newest else (),
            reported=edits.counts(ledger, found.pass_id),
            examples=_examples(ledger, found),
            meant=around.meant,
            changed_script=value.changed_script if is_newest else "",
            server=around.server or value.server or "",
            login=around.login,
            report=str(kept_report(state_dir, found.pass_id) or ""),
            commands=around.commands,
        )
    )


def _works(value: Status) -> bool:
    return value.monitor.alive or any(worker.lives for worker in value.workers)


def kept_report(state_dir: Path, pass_id: int) -> Path | None:
    """Returns the report of a pass that is kept in the state directory."""
    path = reports.folder_of(state_dir / reports.FOLDER, pass_id) / reports.PAGE
    return path if path.is_file() else None


def _paused(value: Status) -> list[int]:
    return [
        one.worker_id for one in value.workers if one.paused and not one.paused_by_hand
    ]


def _examples(ledger: Path, found: Totals) -> Mapping[str, Sequence[str]]:
    rows = failed.examples(ledger, found.pass_id, found.failed, EXAMPLES)
    return {
        reason: [
            f"book {row.file.book_id}, {row.file.format}: {row.message}"
            for row in named
        ]
        for reason, named in rows.items()
    }
