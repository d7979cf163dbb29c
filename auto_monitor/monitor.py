#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""The monitor's loop and command line.

`Monitor.tick` is one round; `assembly` puts a monitor together.
"""

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

if __name__ == "__main__":
    # When this is run as a script, Python searches the directory beside it first, where
    # `history` or `config` would hide other modules of those names.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from auto_monitor import config
from auto_monitor.assembly import MonitorParts, put_together
from auto_monitor.cli import loop, one_shot, status
from auto_monitor.cli.command_line import Settings, read_arguments, settings_of
from auto_monitor.cli.daemon import (
    AlreadyRunning,
    MonitorLock,
    stop_on_signals,
)
from auto_monitor.decide import scaling
from auto_monitor.decide.ending import Ended, Ending, Watched, ending
from auto_monitor.fix_applier import FixRefused
from auto_monitor.model import (
    Afterwards,
    Assessment,
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
        self.assessments: Mapping[int, Assessment] = {}
        self.exit_code = 0
        #: Under --watch: no pass is worked on, the library is looked at.
        self.rests = False
        #: What a closed pass carried wrongly is carried again: the next one is opened.
        self.reopens = False

    # -- one round ---------------------------------------------------------------------

    def begin(self) -> bool:
        """Takes over from an earlier monitor; returns False when nothing is to watch."""
        now, file = self.parts.clock(), self.parts.state_file
        left = self.memory.earlier(now, self.say.warning)
        found, watcher = self.totals(), self.parts.rounds.watcher
        is_open = found is not None and found.closed_at is None
        if not is_open and watcher is None:
            self.say.info(
                "No pass is open: nothing to watch. %s opens one.",
                self.say.hint("start"),
            )
            return False
        self.parts.cases.load(now, file.taken_over)
        if not self.settings.dry_run:
            self.parts.cases.begin()
        same = found is not None and left and left.pass_opened_at == found.opened_at
        if watcher is not None:
            record = left.watch if left is not None and same else None
            asked, mark = self.settings.asked, self.settings.library_mark
            watcher.begin(record, found, asked, mark)
        if found is not None and is_open:
            self.begin_pass(found, left if same else None, known_since=left is not None)
            if watcher is not None:
                watcher.working(found, ours=True)
        else:
            self.rest(found)
        return True

    def begin_pass(
        self, found: Totals, left: MonitorState | None, *, known_since: bool
    ) -> None:
        """Begins to watch an open pass; `left` is what was remembered of this one.

        `known_since` is False when nothing at all was remembered: then only attempts
        made before the pass count for nothing.
        """
        if left is not None:
            self.take_over(left)
        else:
            self.parts.cases.release(None if known_since else found.opened_at)
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

    def begin_next(self, found: Totals, *, ours: bool) -> None:
        """Begins to watch a pass that was opened while no worker ran."""
        self.memory.change(workers={})
        self.begin_pass(found, None, known_since=True)
        if self.parts.rounds.watcher is not None:
            self.parts.rounds.watcher.working(found, ours=ours)

    def rest(self, found: Totals | None) -> None:
        """Begins to look at the library: no pass is worked on until it has changed."""
        self.rests, self.closed_since = True, None
        self.memory.change(
            pass_opened_at=found.opened_at if found is not None else None,
            check_interval=self.settings.check_interval,
        )

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
            left,
            desired=desired,
            target=target,
            workers=workers,
            ended="",
            watch=self.memory.state.watch,
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
        if self.rests:
            self.look_at_library(now)
            return False
        if self.reopens:
            return self.reopen(now)
        parts.supervisor.adopt(parts.observer)
        found = self.totals()
        self.snapshots = snapshots = self.look(now)
        self.assessments = assessments = parts.rounds.healer.assess(
            snapshots, now, parts.policies.detection
        )
        parts.rounds.noter.note(snapshots, assessments, now)
        parts.attempts.verify(
            snapshots,
            assessments,
            now,
            parts.policies.healing,
            over=found is not None and found.closed_at is not None,
        )
        parts.rounds.sampler.take(found, assessments)
        end = ending(self.watched(found, assessments), now, parts.policies.closing)
        if self.ends(end, found, now):
            return not self.rests
        if self.closed_since is None and not parts.supervisor.time_is_up():
            acted = scale_workers_based_on_disk_io(self, assessments, now)
            parts.supervisor.fill_up()
            left = {n: one for n, one in assessments.items() if n not in acted}
            parts.rounds.healer.heal(snapshots, left, now)
        self.memory.save()
        return False

    def look_at_library(self, now: datetime) -> None:
        """One round between two passes; workers start when a pass has been opened."""
        watcher = self.parts.rounds.watcher
        assert watcher is not None
        watcher.hear(now)
        # Until it has ended, the worker that opens a pass has the place of another.
        found = None if watcher.opener.runs else self.totals()
        ours = watcher.ready
        if (
            found is not None
            and found.closed_at is None
            and (ours or found.opened_at != self.memory.state.pass_opened_at)
        ):
            self.rests = False
            self.begin_next(found, ours=ours)
        else:
            watcher.look(now)
        self.memory.save()

    def look(self, now: datetime) -> dict[int, WorkerSnapshot]:
        """Observes every worker that was started.

        Workers whose files all fail because the server is away are excused.
        """
        records = [record for record in self.memory.wanted() if record.identity]
        seen = {
            record.worker_id: self.parts.observer.look(record, now)
            for record in records
        }
        return self.parts.rounds.healer.excuse(seen, now, self.parts.policies.detection)

    def wanted_soon(self) -> bool:
        """Whether something should be handled before the next round.

        Cheap enough to ask every second.
        """
        parts = self.parts
        ended = parts.supervisor.workers.reap()
        asked = parts.command_handler is not None and parts.command_handler.waiting()
        looks = parts.rounds.watcher if self.rests else None
        soon = looks is not None and looks.soon(parts.clock())
        return (
            ended
            or asked
            or soon
            or (self.reopens and parts.rounds.wrong_results.opener.over)
        )

    def totals(self) -> Totals | None:
        """Returns the newest pass of the ledger; None when it cannot be read now."""
        try:
            return self.parts.ledger.newest()
        except totals.UNREADABLE as error:
            self.say.once("ledger", f"The totals cannot be read now: {error}")
            return None

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
            self.closed_since = None
            self.memory.change(pass_opened_at=found.opened_at)
            if self.parts.rounds.watcher is not None:
                self.parts.rounds.watcher.working(found, ours=False)
        elif end is Ending.CLOSED and found is not None:
            if self.parts.attempts.compares(found.differences):
                # What a script on trial has carried is still being compared.
                self.closed_since = self.closed_since or now
                return False
            return self.mended(found, now)
        elif end in (Ending.TIME_IS_UP, Ending.LIMIT):
            return self.leaves_open(end)
        elif end is Ending.HOPELESS:
            self.give_up(self.memory.wanted()[0], now)
        return end in (Ending.CLOSED, Ending.HOPELESS)

    def leaves_open(self, end: Ending) -> bool:
        """Ends with the pass open, unless the last worker has just closed it."""
        newest = self.totals() if end is Ending.LIMIT else None
        if newest is not None and newest.closed_at is not None:
            return False
        self.exit_code = self.parts.supervisor.leave_open(end)
        self.parts.rounds.teller.conclude()
        return True

    def mended(self, found: Totals, now: datetime) -> bool:
        """Ends a closed pass whose result is right, or beyond repair; returns True then.

        Else the next pass is opened, which carries again what was wrong.
        """
        if not self.settings.dry_run:
            self.parts.supervisor.dismiss()
        mending = self.parts.rounds.wrong_results.mends(
            found, self.snapshots, self.assessments, now
        )
        if mending.over:
            self.finish(found, now)
            return True
        self.parts.rounds.teller.tell(found)
        self.closed_since = self.closed_since or now
        self.reopens = mending.again
        self.memory.save()
        return False

    def reopen(self, now: datetime) -> bool:
        """One round while the next pass is being opened; returns True when all is over.

        Until it has ended, the worker that opens a pass has the place of another.
        """
        newest = None if self.parts.rounds.wrong_results.opens() else self.totals()
        if newest is None:
            return False
        self.reopens, self.closed_since = False, None
        if newest.closed_at is not None:
            self.finish(newest, now)
            return not self.rests
        self.begin_next(newest, ours=False)
        self.memory.save()
        return False

    def finish(self, found: Totals, now: datetime) -> None:
        """Reports the result of a closed pass, whose workers are gone."""
        self.parts.rounds.teller.tell(found)
        watcher = self.parts.rounds.watcher
        self.memory.save(ended=Ended.DONE if watcher is None else Ended.NOT)
        self.parts.rounds.teller.conclude()
        if watcher is not None:
            self.rest(found)
            watcher.closed(found, now)
            self.memory.save()

    def give_up(self, record: WorkerRecord, now: datetime) -> None:
        """Ends when no worker is left and none may be restarted.

        Under --watch nothing ends: the workers are tried again at the next look.
        """
        code, watcher = record.exit_code or 2, self.parts.rounds.watcher
        said = f"Every worker ended with status {code}"
        where = f"see migration_worker{record.worker_id}.log"
        if watcher is not None:
            self.rests = True
            watcher.refuse(f"{said}; {where}", now, owed=True, key=f"workers {code}")
            self.memory.save()
            return
        self.exit_code = code
        self.parts.alerts.tell(
            f"{said}, which a restart cannot mend; {where}. When it is mended, "
            f"{self.say.hint('start')} goes on."
        )
        self.memory.save(ended=Ended.HOPELESS)
        self.parts.rounds.teller.leave()

    def stopped(self) -> None:
        """Ends because somebody asked for it; the pass stays open."""
        self.say.info("Asked to stop")
        if self.settings.stop_workers and not self.settings.dry_run:
            self.parts.supervisor.dismiss()
        self.memory.save(ended=Ended.STOPPED)
        self.parts.rounds.teller.leave()

    def line(self) -> str:
        """Returns the state of the migration in one line, for the service manager."""
        return status.line(
            self.memory.state,
            self.parts.cases.standings(),
            self.totals(),
            self.parts.wall(),
        )

    def prepare(self, seconds: float) -> None:
        """Starts measurements for the next round, `seconds` away."""
        left = timedelta(seconds=seconds)
        self.parts.rounds.scaler.prepare(self.parts.clock() + left, left)


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
    with closing(LibraryDiskMeter(path, seconds=config.IOSTAT_SECONDS)) as meter:
        return meter.utilization()


def scale_workers_based_on_disk_io(
    monitor: Monitor, assessments: Mapping[int, Assessment], now: datetime
) -> set[int]:
    """Changes the number of workers by at most one; returns the ids it acted on."""
    return monitor.parts.rounds.scaler.scale(assessments, monitor.snapshots, now)


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
            loop.watch(monitor, stop, service, lock)
        service.stopping()
        if monitor.parts.command_handler is not None:
            monitor.parts.command_handler.finish()
        monitor.parts.alerts.finish(15.0)
        if monitor.parts.diagnoser is not None:
            monitor.parts.diagnoser.finish()
        monitor.parts.attempts.finish()
        monitor.parts.rounds.wrong_results.finish()
        if monitor.parts.rounds.watcher is not None:
            monitor.parts.rounds.watcher.finish()
        return monitor.exit_code


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
