"""The status of a migration, collected from the files of a state directory.

It is a value, converted to JSON only for output. Read-only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from auto_monitor.cli import daemon
from auto_monitor.decide import watching
from auto_monitor.model import (
    MonitorState,
    WatchRecord,
    WorkerRecord,
    WorkerStanding,
    age,
    rests,
)
from auto_monitor.observe.disk import io_pressure
from auto_monitor.record.history import history_path, standings_in
from auto_monitor.record.json_files import converter
from auto_monitor.record.state_file import MonitorStateFile, state_path
from common.json_value import Json
from migration.ledger import totals
from migration.ledger.totals import Totals
from migration.model import Counts, Current, Phase, Progress
from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME

#: How a monitor ends that has nothing to watch any more, until somebody starts it.
_DONE = ("completed", "limit reached", "out of time")
#: The heartbeat counts as stale after this many check intervals plus these seconds,
#: since one check may take a while.
STALE_INTERVALS, STALE_SECONDS = 3, 30.0


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """The monitor itself.

    `stale` means that it makes no checks although there is something to monitor.
    """

    alive: bool
    stale: bool
    pid: int | None
    heartbeat_age_seconds: float | None
    ended: str


@dataclass(frozen=True, slots=True)
class FileStatus:
    """A file being sent."""

    file: str
    bytes_sent: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker: what it reports, and what the monitor knows about it."""

    worker_id: int
    status: str = "unknown"
    lives: bool = False
    pid: int | None = None
    rate_files_per_min: float | None = None
    beat_age_seconds: float | None = None
    progress_age_seconds: float | None = None
    range: tuple[int, int] | None = None
    current: tuple[str, ...] = ()
    files: tuple[FileStatus, ...] = ()
    bytes_uploaded: int = 0
    settled: int = 0
    slow_uploads: int = 0
    last_error: str | None = None
    attempts: int = 0
    paused: bool = False
    paused_by_hand: bool = False
    stuck: bool = False
    known_to_monitor: bool = False
    case: str | None = None
    exit_code: int | None = None
    #: What is wrong with one that is stuck; "" for any other.
    stuck_why: str = ""


@dataclass(frozen=True, slots=True)
class PassStatus:
    """The pass: the ledger's totals."""

    pass_id: int
    opened_at: datetime
    closed_at: datetime | None
    counts: Counts
    total: int | None
    failed: Mapping[str, int]
    not_carried: Mapping[str, int]
    noticed: Mapping[str, int]
    bytes_uploaded: int
    books_claimed_percent: float
    selection: str | None = None
    undoes: int | None = None
    deleted: Mapping[str, int] = field(default_factory=dict)
    stays: Mapping[str, int] = field(default_factory=dict)
    #: One line about what was deleted on the server, "" when nothing was.
    deletions: str = ""

    @property
    def settled(self) -> int:
        """The number of files that have their outcome."""
        return self.counts.discovered - self.counts.pending


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """Under `--watch`: when the library was last looked at, and what was found.

    `text` is all of it in one line; `trouble` is what stands in the way, or "".
    """

    looked_at: datetime | None
    looked_age_seconds: float | None
    next_look_at: datetime | None
    every_seconds: float
    found: str
    trouble: str
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status: ages and times in seconds, rates per minute."""

    schema: int
    at: datetime
    monitor: MonitorStatus
    desired_workers: int | None
    target_workers: int | None
    library: str | None
    server: str | None
    disk_utilization_percent: float | None
    io_pressure_percent: float | None
    workers: tuple[WorkerStatus, ...]
    totals: PassStatus | None
    rate_files_per_min: float
    eta_seconds: float | None
    #: None when the monitor ends, or ended, with the pass.
    watch: WatchStatus | None = None
    #: One line when the workers' script is not the released one, else "".
    changed_script: str = ""
    #: Why the LLM does not answer, "" when it does; None when it is not asked, or not yet.
    llm: str | None = None


def to_json(status: Status) -> dict[str, Json]:
    """Returns the value as `monitor.py --status --json` prints it, with `schema` 1."""
    value: dict[str, Json] = converter.unstructure(status)
    return value


def collect(state_dir: Path, now: datetime) -> Status:
    """Collects the status from the files."""
    state = MonitorStateFile(state_path(state_dir)).read()
    found = _totals(state_dir)
    seen = _progresses(state_dir)
    records = state.workers if state else {}
    standings = standings_in(history_path(state_dir))
    numbers = sorted(set(seen) | {n for n, record in records.items() if record.wanted})
    rate = sum(p.rate_files_per_min for p in seen.values() if lives(p, now))
    return Status(
        schema=1,
        at=now,
        monitor=_monitor(state_dir, state, now),
        desired_workers=state.desired if state else None,
        target_workers=state.target if state else None,
        library=next((p.library for p in seen.values()), None),
        server=next((p.server for p in seen.values()), None),
        disk_utilization_percent=state.disk_utilization if state else None,
        io_pressure_percent=io_pressure(),
        workers=tuple(
            _worker(
                n, seen.get(n), records.get(n), standings.get(n, WorkerStanding()), now
            )
            for n in numbers
        ),
        totals=None if found is None else _pass(found),
        rate_files_per_min=round(rate, 1),
        eta_seconds=_eta(found, rate),
        watch=_watch(state.watch, now) if state and state.watch else None,
        changed_script=state.changed_script if state else "",
        llm=state.llm if state else None,
    )


def _watch(record: WatchRecord, now: datetime) -> WatchStatus:
    looked = record.looked_at
    ago = None if looked is None else round(age(looked, now).total_seconds(), 1)
    return WatchStatus(
        looked_at=looked,
        looked_age_seconds=ago,
        next_look_at=record.next_look_at,
        every_seconds=record.every,
        found=record.found,
        trouble=record.trouble,
        text=watching.sentence(record, now),
    )


def _totals(state_dir: Path) -> Totals | None:
    try:
        return totals.read(state_dir / LEDGER_NAME)
    except totals.UNREADABLE:
        return None


def _progresses(state_dir: Path) -> dict[int, Progress]:
    read = (progress.read(path) for path in progress.progress_paths(state_dir))
    return {seen.worker_id: seen for seen in read if seen is not None}


def lives(seen: Progress, now: datetime) -> bool:
    """Whether this worker has not ended, and has written lately."""
    ended = seen.status in (Phase.COMPLETED, Phase.STOPPED, Phase.FAILED)
    return not ended and age(seen.updated_at, now) < timedelta(seconds=STALE_SECONDS)


def _monitor(
    state_dir: Path, state: MonitorState | None, now: datetime
) -> MonitorStatus:
    found = daemon.alive(state_dir)
    pid = found.pid if found else None
    if state is None:
        return MonitorStatus(found is not None, found is None, pid, None, "")
    heartbeat = age(state.heartbeat_at, now).total_seconds()
    late = heartbeat > STALE_INTERVALS * state.check_interval + STALE_SECONDS
    stale = state.ended not in _DONE and (found is None or late)
    return MonitorStatus(
        found is not None, stale, pid, round(heartbeat, 1), state.ended
    )


def _worker(
    number: int,
    seen: Progress | None,
    record: WorkerRecord | None,
    standing: WorkerStanding,
    now: datetime,
) -> WorkerStatus:
    made = WorkerStatus(number) if seen is None else _seen(seen, now)
    if record is None:
        return replace(made, case=_case(standing))
    paused = rests(record, standing)
    stuck = record.suspect_since is not None and standing.case is None and not paused
    return replace(
        made,
        attempts=standing.attempts,
        paused=paused,
        paused_by_hand=record.paused_by_hand,
        stuck=stuck,
        known_to_monitor=record.wanted,
        case=_case(standing),
        exit_code=record.exit_code,
        stuck_why=record.suspect_of if stuck else "",
    )


def _seen(seen: Progress, now: datetime) -> WorkerStatus:
    """Returns what the worker itself reports."""
    moved, error = seen.last_progress_at, seen.last_error
    return WorkerStatus(
        worker_id=seen.worker_id,
        status=seen.status.value,
        lives=lives(seen, now),
        pid=seen.pid,
        rate_files_per_min=seen.rate_files_per_min,
        beat_age_seconds=round(age(seen.updated_at, now).total_seconds(), 1),
        progress_age_seconds=round(age(moved, now).total_seconds(), 1)
        if moved
        else None,
        range=seen.range or None,
        current=tuple(file.file for file in seen.current),
        files=tuple(_file(file, now) for file in seen.current),
        bytes_uploaded=seen.bytes_uploaded,
        settled=seen.counts.discovered - seen.counts.pending,
        slow_uploads=seen.slow_uploads,
        last_error=f"{error.error_class}: {error.message}" if error else None,
    )


def _case(standing: WorkerStanding) -> str | None:
    attempt = standing.entry
    if attempt is None or attempt.case is None:
        return None
    return f"attempt {attempt.attempt}, {attempt.trigger} on {attempt.case.in_flight}"


def _file(file: Current, now: datetime) -> FileStatus:
    return FileStatus(
        file.file,
        file.bytes_sent,
        file.size,
        round(age(file.since, now).total_seconds(), 1),
    )


def _pass(found: Totals) -> PassStatus:
    claimed = (
        round(100 * found.claimed_to / found.highest_id, 1)
        if found.highest_id
        else 100.0
    )
    return PassStatus(
        pass_id=found.pass_id,
        opened_at=found.opened_at,
        closed_at=found.closed_at,
        counts=found.counts,
        total=found.total,
        failed=found.failed,
        not_carried=found.not_carried,
        noticed=found.noticed,
        bytes_uploaded=found.bytes_uploaded,
        books_claimed_percent=claimed,
        selection=None if found.scope is None else str(found.scope),
        undoes=found.undoes,
        deleted=found.deleted,
        stays=found.stays,
        deletions=totals.deletions(found)
        if found.undoes is None
        else totals.undo_of(found),
    )


def _eta(found: Totals | None, rate: float) -> float | None:
    """Returns the seconds to the end at the present rate, or None.

    Without a total, unclaimed ids are expected to have as many files as the claimed
    ones.
    """
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


def line(
    state: MonitorState,
    standings: Mapping[int, WorkerStanding],
    found: Totals | None,
    now: datetime,
) -> str:
    """Returns the migration in one line without book names, for systemd."""
    if state.watch is not None and (found is None or found.closed_at is not None):
        return watching.sentence(state.watch, now)
    workers = [record for record in state.workers.values() if record.wanted]
    paused = sum(
        rests(record, standings.get(record.worker_id, WorkerStanding()))
        for record in workers
    )
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
