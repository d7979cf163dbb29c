"""Two workers as their files show them, minute by minute, before a whole monitor."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from auto_monitor.model import ProcessIdentity
from auto_monitor.observe.resources import Gauge
from auto_monitor.observe.workers import WorkerObserver
from auto_monitor.usage import Usage
from migration.model import BookId, Counts, Current, FileId, LastError, Phase, Progress
from migration.state_files import logs, progress
from tests.support.migration.fakes import LivingWorkers
from tests.support.monitor.harness import FakeProcesses, Harness

MINUTE = timedelta(minutes=1)
MB = 1_000_000


class _Watched(LivingWorkers):
    """Those that the monitor has started live."""

    def __init__(self, state_dir: Path, processes: FakeProcesses) -> None:
        super().__init__(state_dir)
        self.processes = processes

    def find(
        self, identity: ProcessIdentity | None, worker_id: int
    ) -> psutil.Process | None:
        """This process stands for them."""
        lives = self.processes.lives(identity, worker_id)
        return psutil.Process() if lives else None

    def exit_code(self, identity: ProcessIdentity | None) -> int | None:
        """As the test has ended it."""
        number = next(iter(self.processes.exits), 0)
        return self.processes.exits.get(number)


class ToldGauge(Gauge):
    """What each process uses, as it is set: memory in MB, open files."""

    def __init__(self) -> None:
        super().__init__(Path("/no such"), Path("/no such"))
        self.memory, self.files, self.kills_so_far = 200.0, 60, 0

    def usage(self, pid: int, now: datetime) -> Usage:
        """Of all alike: 2 GB there are, and 1024 files."""
        memory = round(self.memory * MB)
        return Usage(now, memory, 2000 * MB, self.files, 1024, self.kills_so_far)

    def kills(self, groups: object) -> int:
        """As set."""
        return self.kills_so_far


class Day:
    """A monitor, its workers, and what they write."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder, self.made = folder, Harness(workers)
        self.gauge = ToldGauge()
        self.made.observer = WorkerObserver(  # type: ignore[assignment]
            folder, _Watched(folder, self.made.processes), gauge=self.gauge
        )
        self.made.new_monitor()
        assert self.made.monitor.begin()
        self.kept: dict[int, Progress] = {}

    @property
    def now(self) -> datetime:
        """By the one clock there is."""
        return self.made.clock()

    def write(self, worker: int, steps: int = 0, **changes: object) -> None:
        """What it shows now, with so many steps forward more."""
        identity = self.made.processes.alive[worker]
        old = self.kept.get(worker)
        if old is None or old.pid != identity.pid:
            old = Progress(
                worker,
                identity.pid,
                identity.started,
                Phase.INITIALIZING,
                self.now,
                self.now,
                "lib",
                "http://server",
                run_id=7,
                last_progress_at=self.now,
                steps=0,
            )
        moved = self.now if steps else old.last_progress_at
        changes = {
            "updated_at": self.now,
            "last_progress_at": moved,
            "steps": (old.steps or 0) + steps,
            **changes,
        }
        self.kept[worker] = replace(old, **changes)  # type: ignore[arg-type]
        path = progress.progress_path(self.folder, worker)
        # A day of writes that reach the disk would take minutes.
        path.write_text(json.dumps(progress.to_json(self.kept[worker])))

    def error(self, name: str, retry_after: float = 0.0) -> LastError:
        """One that has just been reported."""
        return LastError(name, "as the test says", self.now, retry_after)

    def counts(self, worker: int, **more: int) -> Counts:
        """Its counts with so many more."""
        old = self.kept[worker].counts if worker in self.kept else Counts()
        return replace(
            old, **{name: getattr(old, name) + n for name, n in more.items()}
        )

    def log(self, worker: int, message: str) -> None:
        """A line of its log."""
        with logs.log_path(self.folder, worker).open("a") as log:
            log.write(f"{self.now:%Y-%m-%d %H:%M:%S},000 - INFO - {message}\n")

    def minute(self) -> None:
        """A round of the monitor, and a minute."""
        self.made.monitor.tick()
        self.made.clock.move(60)

    def alarms(self) -> list[str]:
        """Whatever the monitor has said or done about a worker that is not well."""
        said = [line for line in self.made.said.lines if "is stuck" in line]
        return [*said, *(entry.root_cause for entry in self.made.entries())]


def big_file(megabytes: int) -> tuple[Current, ...]:
    """One in flight, so much of it sent."""
    since = datetime.fromisoformat("2026-11-24T00:00:00+00:00")
    file = FileId(BookId(7), "PDF")
    return (Current("big.pdf", megabytes * MB, 480 * MB, since, file),)
