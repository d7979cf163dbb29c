#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""The monitor's loop and command line.

`Monitor.tick` is one round; `assembly` puts a monitor together.
"""

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

if __name__ == "__main__":
    # When this is run as a script, Python searches the directory beside it first, where
    # `history` or `config` would hide other modules of those names.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from auto_monitor import config
from auto_monitor.assembly import MonitorParts, put_together
from auto_monitor.cli import one_shot, status
from auto_monitor.cli.command_line import Settings, read_arguments, settings_of
from auto_monitor.cli.daemon import (
    AlreadyRunning,
    MonitorLock,
    keep_place,
    stop_on_signals,
)
from auto_monitor.decide import scaling
from auto_monitor.decide.detection import assess
from auto_monitor.decide.ending import Ending, Watched, ending
from auto_monitor.fix_applier import FixRefused
from auto_monitor.model import (
    Afterwards,
    Assessment,
    Health,
    MonitorState,
    WorkerRecord,
    WorkerSnapshot,
)
from auto_monitor.observe.disk import LibraryDiskMeter
from auto_monitor.record import action_log
from common.clock import SteadyClock
from common.errors import Fatal, told
from common.files.json_files import StateUnwritable, make_state_dir
from common.sd_notify import Notifier
from common.settings.load import load, sources
from common.settings.shared import Library
from migration.ledger import totals
from migration.ledger.totals import Totals


class Monitor:
    """Watches the workers of one state directory."""

    def __init__(self, settings: Settings, parts: MonitorParts) -> None:
        self.settings = settings
        self.parts = parts
        self.memory = parts.memory
        self.say = parts.action_log
        self.closed_since: datetime | None = None
        self.snapshots: Mapping[int, WorkerSnapshot] = {}
        self.exit_code = 0

    # -- one round ---------------------------------------------------------------------

    def begin(self) -> bool:
        """Takes over from an earlier monitor; returns False when no pass is open."""
        now, file = self.parts.clock(), self.parts.state_file
        left, warning = (file.read(), "") if self.settings.dry_run else file.load(now)
        if warning:
            self.say.warning("%s", warning)
        found = self.totals()
        if found is None or found.closed_at is not None:
            self.say.info("No pass is open: nothing to watch. ./start.sh opens one.")
            return False
        self.parts.cases.load(now, file.taken_over)
        if not self.settings.dry_run:
            self.parts.cases.begin()
        if left is not None and left.pass_opened_at == found.opened_at:
            self.take_over(left)
        else:
            self.parts.cases.release(found.opened_at if left is None else None)
        self.memory.change(
            pass_opened_at=found.opened_at, check_interval=self.settings.check_interval
        )
        self.say.info(
            "Watching pass %d of %s (%d files found, %d to do); %d workers desired",
            found.pass_id,
            self.settings.library,
            found.counts.discovered,
            found.counts.pending,
            self.memory.state.desired,
        )
        self.parts.supervisor.adopt(self.parts.observer)
        if not self.settings.dry_run:
            self.parts.attempts.take_up(found.pass_id)
        self.parts.supervisor.fill_up()
        return True

    def take_over(self, left: MonitorState) -> None:
        """Restores what an earlier monitor remembered.

        A number of workers given on the command line takes precedence.
        """
        target = self.parts.policies.scaling.target
        remembered = left.target == target and not self.settings.target_given
        desired = left.desired if remembered else target
        workers = {
            record.worker_id: self.parts.supervisor.revived(record)
            for record in left.workers.values()
        }
        self.memory.state = replace(
            left, desired=desired, target=target, workers=workers, ended=""
        )
        for record in self.memory.records():
            if not record.wanted:
                self.parts.cases.note(record.worker_id, Afterwards.RELEASED)
        wanted = {
            record.worker_id: record.identity is not None
            for record in self.memory.wanted()
        }
        for number in scaling.surplus_ids(desired, wanted):
            self.parts.attempts.let_go(number, "fewer workers are desired")

    def tick(self) -> bool:
        """Runs one round; returns True when there is nothing left to watch."""
        now, parts = self.parts.clock(), self.parts
        if parts.command_handler is not None:
            parts.command_handler.carry_out()
        parts.supervisor.adopt(parts.observer)
        found = self.totals()
        self.snapshots = snapshots = self.look(now)
        assessments = {
            number: assess(seen, now, parts.policies.detection)
            for number, seen in snapshots.items()
        }
        self.note(snapshots, assessments, now)
        parts.attempts.verify(snapshots, assessments, now, parts.policies.healing)
        parts.sampler.take(found, assessments)
        end = ending(self.watched(found, assessments), now, parts.policies.closing)
        if self.ends(end, found, now):
            return True
        if self.closed_since is None and not parts.supervisor.time_is_up():
            acted = self.scale_workers_based_on_disk_io(assessments, now)
            parts.supervisor.fill_up()
            parts.healer.heal(
                snapshots,
                {
                    n: assessment
                    for n, assessment in assessments.items()
                    if n not in acted
                },
                now,
            )
        self.memory.save()
        return False

    def look(self, now: datetime) -> dict[int, WorkerSnapshot]:
        """Observes every worker that was started.

        Workers whose files all fail because the server is away are excused.
        """
        records = [record for record in self.memory.wanted() if record.identity]
        seen = {
            record.worker_id: self.parts.observer.look(record, now)
            for record in records
        }
        return self.parts.healer.excuse(seen, now, self.parts.policies.detection)

    def wanted_soon(self) -> bool:
        """Whether something should be handled before the next round.

        Cheap enough to ask every second.
        """
        ended = self.parts.supervisor.workers.reap()
        return ended or (
            self.parts.command_handler is not None
            and self.parts.command_handler.waiting()
        )

    def totals(self) -> Totals | None:
        """Returns the newest pass of the ledger; None when it cannot be read now."""
        try:
            return self.parts.ledger.newest()
        except totals.UNREADABLE as error:
            self.say.once("ledger", f"The totals cannot be read now: {error}")
            return None

    def note(
        self,
        snapshots: Mapping[int, WorkerSnapshot],
        assessments: Mapping[int, Assessment],
        now: datetime,
    ) -> None:
        """Logs changes and records since when a worker is suspect and how it ended."""
        for number, seen in snapshots.items():
            assessment, record = assessments[number], self.memory.record(number)
            suspect = (
                (record.suspect_since or now)
                if assessment.health is Health.STUCK
                else None
            )
            kept = (
                record.suspect_since
                if self.parts.cases.of(number) is not None
                else suspect
            )
            self.memory.remember(
                replace(record, suspect_since=kept, exit_code=seen.exit_code)
            )
            if self.parts.diagnoser is not None and not assessment.is_a_riddle:
                self.parts.diagnoser.forget(number)
            text = f"Worker {number} is {assessment.health.value}: {assessment.reason}"
            if (
                self.say.once(f"worker {number}", text, assessment.health.value)
                and assessment.health is Health.ENDED
            ):
                self.parts.alerts.tell(f"{text}; a restart cannot mend that")

    def watched(
        self, found: Totals | None, assessments: Mapping[int, Assessment]
    ) -> Watched:
        """Gathers what the end of the pass depends on."""
        return Watched(
            found=found,
            opened_at=self.memory.state.pass_opened_at,
            assessments=list(assessments.values()),
            wanted=self.memory.wanted(),
            closed_since=self.closed_since,
            time_is_up=self.parts.supervisor.time_is_up(),
        )

    def ends(self, end: Ending, found: Totals | None, now: datetime) -> bool:
        """Acts on an ending; returns True when there is nothing left to watch."""
        if end is Ending.CLOSING:
            self.closed_since = self.closed_since or now
        elif end is Ending.NEWER_OPEN and found is not None:
            self.say.warning("Pass %d is watched from now on", found.pass_id)
            self.memory.change(pass_opened_at=found.opened_at)
        elif end is Ending.CLOSED and found is not None:
            self.finish(found)
        elif end is Ending.TIME_IS_UP:
            self.exit_code = self.parts.supervisor.leave_open()
        elif end is Ending.HOPELESS:
            self.give_up(self.memory.wanted()[0])
        return end in (Ending.CLOSED, Ending.TIME_IS_UP, Ending.HOPELESS)

    def finish(self, found: Totals) -> None:
        """Ends a closed pass: stops the remaining workers and reports the result."""
        if not self.settings.dry_run:
            self.parts.supervisor.dismiss()
        self.parts.attempts.end_with_pass(found.pass_id, found.differences)
        proved = self.parts.ledger.proved(found.pass_id)
        failed = "".join(
            f"; {count} {reason}" for reason, count in sorted(found.failed.items())
        )
        tell = (
            self.parts.alerts.announce
            if proved and not found.differences
            else self.parts.alerts.tell
        )
        tell(f"{totals.equation(found, proved=proved)}{failed}")
        self.memory.save(ended="completed")
        if not self.settings.dry_run:
            self.parts.report()

    def give_up(self, record: WorkerRecord) -> None:
        """Ends when no worker is left and none may be restarted."""
        self.exit_code = record.exit_code or 2
        self.parts.alerts.tell(
            f"Every worker ended with status {self.exit_code}, which a restart cannot mend; see "
            f"migration_worker{record.worker_id}.log. When it is mended, ./start.sh goes on."
        )
        self.memory.save(ended="failed")

    def scale_workers_based_on_disk_io(
        self, assessments: Mapping[int, Assessment], now: datetime
    ) -> set[int]:
        """Changes the number of workers by at most one; returns the ids it acted on."""
        return self.parts.scaler.scale(assessments, self.snapshots, now)

    def prepare(self, seconds: float) -> None:
        """Starts measurements for the next round, `seconds` away."""
        left = timedelta(seconds=seconds)
        self.parts.scaler.prepare(self.parts.clock() + left, left)


# -- stable public names ---------------------------------------------------------------


def get_disk_io_utilization(library: Path | None = None) -> float | None:
    """Returns how busy the library's busiest disk is, in percent, or None.

    Without `library`, the one named by CALIBRE_LIBRARY is used. It takes less than a
    second: iostat's figure if available by then, else one from the kernel's counters,
    on which iostat's is based too. None means that it cannot be determined.
    """
    path = library or load(Library, sources(config.PROJECT, os.environ)).library
    if path is None:
        return None
    meter = LibraryDiskMeter(path, seconds=config.IOSTAT_SECONDS)
    try:
        return meter.utilization()
    finally:
        meter.close()


def scale_workers_based_on_disk_io(
    monitor: Monitor, assessments: Mapping[int, Assessment], now: datetime
) -> set[int]:
    """Changes the number of workers by at most one; returns the ids it acted on."""
    return monitor.scale_workers_based_on_disk_io(assessments, now)


def kill_worker(monitor: Monitor, worker_id: int) -> bool:
    """Ends worker N: SIGTERM, then SIGKILL to its own process group.

    Returns False when it was not running. No other process is ever signalled.
    """
    return monitor.parts.supervisor.kill(worker_id)


# -- life cycle ------------------------------------------------------------------------


def run(settings: Settings, service: Notifier) -> int:
    """Runs one monitor from start to end; returns the exit status."""
    make_state_dir(settings.state_dir)
    action_log.mask(settings.environment)
    with ExitStack() as stack:
        lock = None if settings.dry_run else MonitorLock(settings.state_dir)
        if lock is not None:
            stack.callback(lock.release)
        say = stack.enter_context(
            action_log.opened(
                settings.state_dir,
                dry_run=settings.dry_run,
                console=not settings.quiet,
                as_json=config.LOG_FORMAT == "json",
            )
        )
        clock = SteadyClock()
        limits = config.policies(settings.threshold, settings.target)
        monitor = Monitor(settings, put_together(settings, limits, say, clock))
        stack.callback(monitor.parts.meter.close)
        stop = threading.Event()
        stop_on_signals(stop)
        something = monitor.begin()
        service.ready()
        monitor.prepare(0.0)
        if something:
            watch(monitor, stop, service, lock)
        service.stopping()
        if monitor.parts.command_handler is not None:
            monitor.parts.command_handler.finish()
        monitor.parts.alerts.finish(15.0)
        if monitor.parts.diagnoser is not None:
            monitor.parts.diagnoser.finish()
        return monitor.exit_code


def watch(
    monitor: Monitor, stop: threading.Event, service: Notifier, lock: MonitorLock | None
) -> None:
    """Runs rounds until the pass is closed or the monitor is asked to stop."""
    while not stop.is_set():
        began = time.monotonic()
        service.alive()
        try:
            over = monitor.tick()
            service.status(
                status.line(
                    monitor.memory.state,
                    monitor.parts.cases.standings(),
                    monitor.totals(),
                )
            )
        except StateUnwritable as error:
            over = False
            monitor.say.error("%s", error)
        except Exception as error:  # noqa: BLE001
            # The monitor must survive whatever one round runs into.
            over = False
            monitor.say.error(
                "This look failed (%s: %s)", type(error).__name__, error, exc_info=error
            )
        if over or monitor.settings.once:
            return
        # Ended children and commands are handled soon; everything else can wait for the
        # next round.
        while (
            left := began + monitor.settings.check_interval - time.monotonic()
        ) > 0 and not stop.is_set():
            service.alive()
            if not keep_place(lock, monitor.say):
                return
            monitor.prepare(left)
            stop.wait(min(config.CHILD_SECONDS, monitor.settings.check_interval))
            if monitor.wanted_soon():
                break
    monitor.say.info("Asked to stop")
    if monitor.settings.stop_workers and not monitor.settings.dry_run:
        monitor.parts.supervisor.dismiss()
    monitor.memory.save(ended="stopped")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line, runs the monitor and returns the exit status."""
    service = Notifier.taken_from(os.environ, os.getpid())
    words = sys.argv[1:] if argv is None else argv
    given, environment = read_arguments(words)
    try:
        if one_shot.is_asked_for(given):
            return one_shot.carry_out(given, environment, words)
        return run(settings_of(given, environment), service)
    except (config.Misconfigured, AlreadyRunning, StateUnwritable, FixRefused) as error:
        sys.stderr.write(f"{told(error)}\n")
        return 2
    except Fatal as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code)
    except OSError as error:
        sys.stderr.write(
            f"cannot write the state directory {given.state_dir}: {error}\n"
        )
        return 5


if __name__ == "__main__":
    sys.exit(main())
