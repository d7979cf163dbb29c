"""What page, metrics and report show, read from a state directory. Writes nothing."""

import shutil
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from auto_monitor import config
from auto_monitor.cli import status
from auto_monitor.cli.status import Status
from auto_monitor.model import HistoryEntry
from auto_monitor.record import samples
from auto_monitor.record.history import HistoryFile, history_path
from auto_monitor.record.samples import Sample
from common.hints import hint
from common.json_value import Json
from common.sanitize import for_log
from dashboard.reading.series import Estimate, SampleSeries, estimate
from migration.state_files.names import LEDGER_NAME


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds to the end: the expected number and its bounds."""

    seconds: int
    earliest: int
    latest: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The status at one moment, with an estimate and other data for a page.

    `state` is one word for the whole, `start` the command that goes on;
    `history_version` changes whenever the history does; `disk_used_percent` and
    `disk_free_bytes` are of the state directory.
    """

    status: Status
    state: str
    eta: Remaining | None
    mb_per_second: float | None
    history_version: str
    disk_used_percent: float
    disk_free_bytes: int
    start: str

    def to_json(self) -> dict[str, Json]:
        """Returns what `monitor.py --status --json` prints, and the rest."""
        eta = self.eta
        return status.to_json(self.status) | {
            "state": self.state,
            "start": self.start,
            "eta": None if eta is None else {**asdict(eta)},
            "mb_per_second": self.mb_per_second,
            "history_version": self.history_version,
            "thresholds": {
                "saturated": config.DISK_IO_SATURATED_THRESHOLD,
                "normal": config.DISK_IO_NORMAL_THRESHOLD,
            },
            "state_disk": {
                "used_percent": self.disk_used_percent,
                "free_bytes": self.disk_free_bytes,
            },
        }


@dataclass(slots=True)
class StateReader:
    """One state directory; unchanged files are not read again."""

    state_dir: Path
    history: SampleSeries = field(default_factory=SampleSeries)
    _pass_id: int | None = None
    _mark: tuple[int, int] | None = None
    _fixes: list[HistoryEntry] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        """The path of the ledger."""
        return self.state_dir / LEDGER_NAME

    def snapshot(self, now: datetime) -> Snapshot:
        """Returns the current snapshot."""
        value = status.collect(self.state_dir, now)
        sample = self._sample(value, now)
        if sample is not None:
            if sample.pass_id != self._pass_id:
                # Only once: what the monitor saw before this process started.
                self._pass_id = sample.pass_id
                self.history = SampleSeries(
                    samples.read(self.state_dir, sample.pass_id)
                )
            self.history.add(sample)
        usage = shutil.disk_usage(self.state_dir)
        used = 100 * (usage.total - usage.free) / max(usage.total, 1)
        return Snapshot(
            status=value,
            state=_state(value),
            eta=self._eta(value, now),
            mb_per_second=self._speed(),
            history_version=self._version(),
            disk_used_percent=round(used, 1),
            disk_free_bytes=usage.free,
            start=hint("start", state_dir=self.state_dir),
        )

    def fixes(self) -> list[HistoryEntry]:
        """Returns the attempts, oldest first."""
        try:
            found = history_path(self.state_dir).stat()
        except OSError:
            return []
        mark = (found.st_mtime_ns, found.st_size)
        if mark != self._mark:
            self._fixes, self._mark = (
                HistoryFile(history_path(self.state_dir)).entries(),
                mark,
            )
        return self._fixes

    def _version(self) -> str:
        """Returns a value that changes whenever the history does."""
        try:
            found = history_path(self.state_dir).stat()
        except OSError:
            return ""
        return f"{found.st_mtime_ns}-{found.st_size}"

    def _sample(self, value: Status, now: datetime) -> Sample | None:
        found = value.totals
        if found is None:
            return None
        return Sample(
            now,
            found.pass_id,
            found.settled,
            found.bytes_uploaded,
            value.disk_utilization_percent,
            value.desired_workers,
            sum(worker.lives for worker in value.workers),
        )

    def _eta(self, value: Status, now: datetime) -> Remaining | None:
        found = value.totals
        if found is None or found.closed_at is not None or found.total is None:
            return None
        taken = self.history.samples()
        settled = taken[-1].settled if taken else 0
        guess: Estimate | None = estimate(taken, found.total - settled, now)
        if guess is None:
            return None
        return Remaining(
            round(guess.expected), round(guess.earliest), round(guess.latest)
        )

    def _speed(self) -> float | None:
        """Returns the MB/s over about the last minute."""
        taken = self.history.samples()
        recent = [
            sample
            for sample in taken
            if (taken[-1].at - sample.at).total_seconds() <= 70
        ]
        if len(recent) < 2:
            return None
        seconds = (recent[-1].at - recent[0].at).total_seconds()
        return round(
            max(0, recent[-1].bytes_uploaded - recent[0].bytes_uploaded)
            / seconds
            / 1e6,
            3,
        )


def _state(value: Status) -> str:
    """Returns one word for the whole.

    none, running, waiting, stopped, finished or, when the monitor stays, watching.
    """
    watches = value.watch is not None and value.monitor.alive
    if value.totals is None:
        return "watching" if watches else "none"
    if value.totals.closed_at is not None:
        return "watching" if watches else "finished"
    phases = {worker.status for worker in value.workers if worker.lives}
    if not phases:
        return "stopped"
    return "waiting" if phases == {"waiting"} else "running"


def brief(entry: HistoryEntry) -> dict[str, Json]:
    """Returns an entry's line in the timeline."""
    return {
        "key": entry.key,
        "at": entry.timestamp,
        "worker_id": entry.worker_id,
        "attempt": entry.attempt,
        "trigger": entry.trigger,
        "fix_type": entry.fix_type,
        "root_cause": for_log(entry.root_cause, 160),
        "verdict": verdict(entry),
        "recurring": entry.recurring,
        "llm_used": entry.llm_used,
    }


def verdict(entry: HistoryEntry) -> str:
    """Returns verified, failed, rolled back, closed (without a verdict) or pending."""
    if entry.rolled_back:
        return "rolled back"
    if entry.verified is None:
        return "closed" if entry.reason else "pending"
    return "verified" if entry.verified else "failed"
