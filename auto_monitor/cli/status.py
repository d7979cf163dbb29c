"""`monitor.py --status`: workers, totals, open cases, and whether the monitor itself
lives. Read-only."""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from auto_monitor.cli import daemon
from auto_monitor.model import HistoryEntry, MonitorState, WorkerRecord, age
from auto_monitor.observe.disk import io_pressure
from auto_monitor.record.history import (
    StateFile,
    history_path,
    open_attempts,
    state_path,
)
from common.clock import utc_now
from common.json_value import Json
from migration.ledger import totals
from migration.ledger.totals import Totals
from migration.model import Current, Phase, Progress
from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME

#: The heartbeat may be this many check intervals old, and a little more, for one look
#: may take a while.
STALE_INTERVALS, STALE_SECONDS = 3, 30.0


def show(state_dir: Path, *, as_json: bool) -> int:
    """Prints the status; 2 when the monitor does not live although there is something
    to watch."""
    now = utc_now()
    value = collect(state_dir, now)
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    else:
        # Imported here: the dashboard collects a status and never draws one.
        from auto_monitor.cli import status_table

        status_table.show(value)
    monitor = value["monitor"]
    return 2 if isinstance(monitor, dict) and monitor["stale"] else 0


def collect(state_dir: Path, now: datetime) -> dict[str, Json]:
    """Everything there is to say, as JSON values: ages and times in seconds, rates per
    minute, `schema` 1."""
    state = StateFile(state_path(state_dir)).read()
    found = _totals(state_dir)
    seen = _progresses(state_dir)
    numbers = sorted(
        set(seen)
        | {n for n, record in (state.workers if state else {}).items() if record.wanted}
    )
    rate = sum(p.rate_files_per_min for p in seen.values() if lives(p, now))
    attempts, records = (
        open_attempts(history_path(state_dir)),
        state.workers if state else {},
    )
    workers: list[Json] = [
        _worker(n, seen.get(n), records.get(n), attempts.get(n), now) for n in numbers
    ]
    return {
        "schema": 1,
        "at": now.isoformat(),
        "monitor": _monitor(state_dir, state, now),
        "desired_workers": state.desired if state else None,
        "target_workers": state.target if state else None,
        "library": next((p.library for p in seen.values()), None),
        "server": next((p.server for p in seen.values()), None),
        "disk_utilization_percent": state.disk_utilization if state else None,
        "io_pressure_percent": io_pressure(),
        "workers": workers,
        "totals": _totals_json(found),
        "rate_files_per_min": round(rate, 1),
        "eta_seconds": _eta(found, rate),
    }


def _totals(state_dir: Path) -> Totals | None:
    try:
        return totals.read(state_dir / LEDGER_NAME)
    except totals.UNREADABLE:
        return None


def _progresses(state_dir: Path) -> dict[int, Progress]:
    read = (progress.read(path) for path in progress.progress_paths(state_dir))
    return {seen.worker_id: seen for seen in read if seen is not None}


def lives(seen: Progress, now: datetime) -> bool:
    """Has this worker not ended, and written lately?"""
    ended = seen.status in (Phase.COMPLETED, Phase.STOPPED, Phase.FAILED)
    return not ended and age(seen.updated_at, now) < timedelta(seconds=STALE_SECONDS)


def _monitor(
    state_dir: Path, state: MonitorState | None, now: datetime
) -> dict[str, Json]:
    alive = daemon.alive(state_dir)
    if state is None:
        return {
            "alive": alive is not None,
            "stale": alive is None,
            "pid": alive.pid if alive else None,
            "heartbeat_age_seconds": None,
            "ended": "",
        }
    heartbeat = age(state.heartbeat_at, now).total_seconds()
    late = heartbeat > STALE_INTERVALS * state.check_interval + STALE_SECONDS
    return {
        "alive": alive is not None,
        "stale": state.ended != "completed" and (alive is None or late),
        "pid": alive.pid if alive else None,
        "heartbeat_age_seconds": round(heartbeat, 1),
        "ended": state.ended,
    }


def _worker(
    number: int,
    seen: Progress | None,
    record: WorkerRecord | None,
    attempt: HistoryEntry | None,
    now: datetime,
) -> dict[str, Json]:
    moved = seen.last_progress_at if seen else None
    return {
        "worker_id": number,
        "status": seen.status.value if seen else "unknown",
        "lives": seen is not None and lives(seen, now),
        "pid": seen.pid if seen else None,
        "rate_files_per_min": seen.rate_files_per_min if seen else None,
        "beat_age_seconds": round(age(seen.updated_at, now).total_seconds(), 1)
        if seen
        else None,
        "progress_age_seconds": round(age(moved, now).total_seconds(), 1)
        if moved
        else None,
        "range": list(seen.range) if seen and seen.range else None,
        "current": [file.file for file in seen.current] if seen else [],
        "files": [_file(file, now) for file in seen.current] if seen else [],
        "bytes_uploaded": seen.bytes_uploaded if seen else 0,
        "settled": seen.counts.discovered - seen.counts.pending if seen else 0,
        "slow_uploads": seen.slow_uploads if seen else 0,
        "last_error": f"{seen.last_error.error_class}: {seen.last_error.message}"
        if seen and seen.last_error
        else None,
        "attempts": record.attempts if record else 0,
        "paused": record.paused if record else False,
        "paused_by_hand": record.paused and record.by_hand if record else False,
        "stuck": record is not None
        and record.suspect_since is not None
        and attempt is None
        and not record.paused,
        "known_to_monitor": record is not None and record.wanted,
        "case": _case(attempt),
        "exit_code": record.exit_code if record else None,
    }


def _case(attempt: HistoryEntry | None) -> str | None:
    if attempt is None or attempt.case is None:
        return None
    return f"attempt {attempt.attempt}, {attempt.trigger} on {attempt.case.in_flight}"


def _file(file: Current, now: datetime) -> Json:
    seconds = round(age(file.since, now).total_seconds(), 1)
    return {
        "file": file.file,
        "bytes_sent": file.bytes_sent,
        "size": file.size,
        "seconds": seconds,
    }


def _totals_json(found: Totals | None) -> Json:
    if found is None:
        return None
    counts: dict[str, Json] = {
        name: getattr(found.counts, name) for name in found.counts.__dataclass_fields__
    }
    return {
        "pass_id": found.pass_id,
        "opened_at": found.opened_at.isoformat(),
        "closed_at": found.closed_at.isoformat() if found.closed_at else None,
        "counts": counts,
        "total": found.total,
        "failed": {**found.failed},
        "not_carried": {**found.not_carried},
        "noticed": {**found.noticed},
        "bytes_uploaded": found.bytes_uploaded,
        "books_claimed_percent": round(100 * found.claimed_to / found.highest_id, 1)
        if found.highest_id
        else 100.0,
    }


def _eta(found: Totals | None, rate: float) -> float | None:
    """Seconds to the end at the present rate; without a total unclaimed ids count as
    the claimed ones turned out."""
    if found is None or found.closed_at is not None or rate <= 0:
        return None
    if found.total is not None:
        return round(
            (found.total - found.counts.discovered + found.counts.pending) / rate * 60,
            0,
        )
    per_id = found.counts.discovered / found.claimed_to if found.claimed_to else 0.0
    ahead = max(0, found.highest_id - found.claimed_to) * per_id
    return round((found.counts.pending + ahead) / rate * 60, 0)


def line(state: MonitorState, found: Totals | None) -> str:
    """The migration in one line, for the service manager; no name of a book is in
    it."""
    workers = [record for record in state.workers.values() if record.wanted]
    paused = sum(record.paused for record in workers)
    supervisor = f"{len(workers) - paused} workers" + (
        f", {paused} paused" if paused else ""
    )
    if found is None:
        return f"{supervisor}; the totals cannot be read now"
    counts = found.counts
    return (
        f"{supervisor}; pass {found.pass_id}: {counts.pending} of "
        f"{counts.discovered} files to do, {counts.failed} failed"
    )
