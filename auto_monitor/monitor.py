#!/usr/bin/env python3
# PYTHON_ARGCOMPLETE_OK
"""The loop, its composition root and its command line; `Monitor.tick` reads as one round. Deciding is in `decide`."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

if __name__ == "__main__":
    # Run as a script, Python looks for modules beside it, where `history` or `config` would hide others of that name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from auto_monitor import config
from auto_monitor.act import final_report
from auto_monitor.assembly import Parts, put_together
from auto_monitor.cli import one_shot, status
from auto_monitor.cli.command_line import Settings, read_arguments, settings_of
from auto_monitor.cli.daemon import AlreadyRunning, MonitorLock, keep_place, stop_on_signals
from auto_monitor.decide import healing, redact, scaling
from auto_monitor.decide.detection import FOR_GOOD, is_fruitless, judge
from auto_monitor.fix_applier import FixRefused
from auto_monitor.model import (
    Health,
    MassCase,
    MonitorState,
    Opinion,
    Scaling,
    ScalingDecision,
    Step,
    Treatment,
    Verdict,
    WorkerRecord,
    WorkerSnapshot,
    age,
)  # fmt: skip
from auto_monitor.observe.disk import DiskMeter
from auto_monitor.observe.server import ServerProbe
from auto_monitor.record import action_log, samples
from common.clock import SteadyClock, utc_now
from common.errors import Fatal
from common.files import StateUnwritable, make_state_dir
from common.sd_notify import Notifier
from migration.ledger import totals
from migration.ledger.totals import Totals
from migration.state_files import logs
from migration.state_files.names import LEDGER_NAME

_RUNNING = (Health.WORKING, Health.STUCK)
#: A measurement of the disk is begun so many seconds earlier than it takes.
MEASURED_AHEAD = 2.0
#: What is waited for is said so often; a little less than the minute that may lie between two looks.
SAID_AGAIN = timedelta(seconds=50)


class Monitor:
    """Watches the workers of one state directory."""

    def __init__(self, settings: Settings, parts: Parts, clock: Callable[[], datetime]) -> None:
        """`clock` is the steady clock of decisions."""
        self.settings = settings
        self.parts = parts
        self.memory = parts.memory
        self.say = parts.journal
        self.clock = clock
        self.ledger = settings.state_dir / LEDGER_NAME
        self.detection = config.detection_policy(settings.threshold)
        self.healing = config.healing_policy()
        self.scaling = config.scaling_policy(settings.target)
        self.last_scale_check: datetime | None = None
        self.closed_since: datetime | None = None
        self.snapshots: Mapping[int, WorkerSnapshot] = {}
        self.server = ServerProbe(settings.server, seconds=config.PROBE_ANSWER_SECONDS, settling=self.detection.stuck)
        self.exit_code = 0

    # -- one round ------------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Takes up what an earlier monitor left; False when no pass is open and there is nothing to do."""
        file = self.parts.state_file
        left, warning = (file.read(), "") if self.settings.dry_run else file.load(self.clock())
        if warning:
            self.say.warning("%s", warning)
        found = self.totals()
        if found is None or found.closed_at is not None:
            self.say.info("No pass is open: nothing to watch. ./start.sh opens one.")
            return False
        if left is not None and left.pass_opened_at == found.opened_at:
            self.take_over(left)
        self.memory.change(pass_opened_at=found.opened_at, check_interval=self.settings.check_interval)
        self.say.info(
            "Watching pass %d of %s (%d files found, %d to do); %d workers desired",
            found.pass_id, self.settings.library, found.counts.discovered, found.counts.pending,
            self.memory.state.desired,
        )  # fmt: skip
        if not self.settings.dry_run:
            self.parts.attempts.begin()
        self.parts.staff.adopt(self.parts.observer)
        if not self.settings.dry_run:
            self.parts.attempts.take_up()
        self.parts.staff.fill_up()
        return True

    def take_over(self, left: MonitorState) -> None:
        """Goes on with what an earlier monitor remembered; a number of workers that a person named now counts more."""
        remembered = left.target == self.scaling.target and not self.settings.target_given
        desired = left.desired if remembered else self.scaling.target
        workers = {record.worker_id: self.parts.staff.revived(record) for record in left.workers.values()}
        self.memory.state = replace(left, desired=desired, target=self.scaling.target, workers=workers, ended="")
        wanted = {record.worker_id: record.identity is not None for record in self.memory.wanted()}
        for number in scaling.surplus_ids(desired, wanted):
            self.parts.attempts.conclude(self.memory.record(number), None, "fewer workers are desired")
            self.memory.remember(WorkerRecord(number, wanted=False))

    def tick(self) -> bool:
        """One look at everything and what it leads to; True when there is nothing left to watch."""
        now = self.clock()
        if self.parts.wishes is not None:
            self.parts.wishes.carry_out()
        self.parts.staff.adopt(self.parts.observer)
        found = self.totals()
        snapshots = {r.worker_id: self.parts.observer.look(r, now) for r in self.memory.wanted() if r.identity}
        snapshots = self.excuse(snapshots, now)
        self.snapshots = snapshots
        verdicts = {number: judge(seen, now, self.detection) for number, seen in snapshots.items()}
        self.note(snapshots, verdicts, now)
        self.parts.attempts.verify(snapshots, verdicts, now, self.healing)
        self.sample(found, verdicts)
        if self.over(found, verdicts, now):
            return True
        if self.closed_since is None and not self.parts.staff.time_is_up():
            acted = self.scale_workers_based_on_disk_io(verdicts, now)
            self.parts.staff.fill_up()
            self.heal(snapshots, {n: verdict for n, verdict in verdicts.items() if n not in acted}, now)
        self.memory.save()
        return False

    def wanted_soon(self) -> bool:
        """Is there something that the next look should not be waited for? Cheap enough to ask every second."""
        ended = self.parts.staff.workers.reap()
        return ended or (self.parts.wishes is not None and self.parts.wishes.waiting())

    def totals(self) -> Totals | None:
        """The newest pass of the ledger; None when it cannot be told now."""
        try:
            return totals.read(self.ledger)
        except totals.UNREADABLE as error:
            self.say.once("ledger", f"The totals cannot be read now: {error}")
            return None

    def note(self, snapshots: Mapping[int, WorkerSnapshot], verdicts: Mapping[int, Verdict], now: datetime) -> None:
        """Logs what has changed, and remembers since when a worker is suspect and how it ended."""
        for number, seen in snapshots.items():
            verdict, record = verdicts[number], self.memory.record(number)
            suspect = (record.suspect_since or now) if verdict.health is Health.STUCK else None
            kept = record.suspect_since if record.case is not None else suspect
            self.memory.remember(replace(record, suspect_since=kept, exit_code=seen.exit_code))
            if self.parts.adviser is not None and not verdict.is_a_riddle:
                self.parts.adviser.forget(number)
            text = f"Worker {number} is {verdict.health.value}: {verdict.reason}"
            if self.say.once(f"worker {number}", text, verdict.health.value) and verdict.health is Health.ENDED:
                self.parts.alerts.tell(f"{text}; a restart cannot mend that")

    def over(self, found: Totals | None, verdicts: Mapping[int, Verdict], now: datetime) -> bool:
        """Is the pass closed, or is no worker left that could be helped?"""
        living = any(verdict.health in _RUNNING for verdict in verdicts.values())
        ours = found is not None and found.opened_at == self.memory.state.pass_opened_at
        # A rebuilt ledger may know the open pass no more: then it is over when everybody says so.
        done = bool(verdicts) and all(verdict.health is Health.FINISHED for verdict in verdicts.values())
        if found is not None and found.closed_at is not None and (ours or done):
            self.closed_since = self.closed_since or now
            if living and age(self.closed_since, now).total_seconds() < config.CLOSING_SECONDS:
                return False
            self.finish(found)
            return True
        if found is not None and found.closed_at is None and found.opened_at != self.memory.state.pass_opened_at:
            self.say.warning("Pass %d is watched from now on", found.pass_id)
            self.memory.change(pass_opened_at=found.opened_at)
        if self.parts.staff.time_is_up() and all(verdict.health is not Health.WORKING for verdict in verdicts.values()):
            self.exit_code = self.parts.staff.leave_open()
            return True
        wanted = self.memory.wanted()
        if wanted and not living and all(record.exit_code in FOR_GOOD for record in wanted):
            self.give_up(wanted[0])
            return True
        return False

    def finish(self, found: Totals) -> None:
        """The pass is closed: ends what still runs, says how it went."""
        if not self.settings.dry_run:
            self.parts.staff.dismiss()
        for record in self.memory.records():
            self.parts.attempts.conclude(record, True, "the pass is closed")
        proved = totals.proved(self.ledger, found.pass_id)
        failed = "".join(f"; {count} {reason}" for reason, count in sorted(found.failed.items()))
        tell = self.parts.alerts.announce if proved and not found.differences else self.parts.alerts.tell
        tell(f"{totals.equation(found, proved=proved)}{failed}")
        self.memory.save(ended="completed")
        if not self.settings.dry_run:
            final_report.write_report(self.settings.state_dir, config.PROJECT, self.say, config.REPORT_SECONDS)

    def give_up(self, record: WorkerRecord) -> None:
        """No worker is left and none may be restarted."""
        self.exit_code = record.exit_code or 2
        self.parts.alerts.tell(
            f"Every worker ended with status {self.exit_code}, which a restart cannot mend; see "
            f"migration_worker{record.worker_id}.log. When it is mended, ./start.sh goes on."
        )
        self.memory.save(ended="failed")

    def sample(self, found: Totals | None, verdicts: Mapping[int, Verdict]) -> None:
        """A line for the charts of those who look later; that it cannot be written stops nothing."""
        if self.settings.dry_run or found is None:
            return
        counts, state = found.counts, self.memory.state
        running = sum(verdict.health in _RUNNING for verdict in verdicts.values())
        taken = samples.Sample(
            utc_now(), found.pass_id, counts.discovered - counts.pending, found.bytes_uploaded,
            state.disk_utilization, state.desired, running,
        )  # fmt: skip
        try:
            samples.append(self.settings.state_dir, taken)
        except OSError as error:
            self.say.once("samples", f"{samples.NAME} cannot be written: {error.strerror}")

    # -- scaling --------------------------------------------------------------------------------------------------

    def scale_workers_based_on_disk_io(self, verdicts: Mapping[int, Verdict], now: datetime) -> set[int]:
        """Changes the number of workers by at most one; returns the ids it acted on."""
        if not self.scaling_is_due(now):
            return set()
        self.last_scale_check = now
        utilization = self.parts.meter.utilization()
        self.note_meter(self.parts.meter.trouble)
        self.memory.change(disk_utilization=utilization)
        decision = self.decide_scaling(utilization, verdicts, now)
        self.say.once("scaling", f"Scaling: {decision.action.value}; {decision.reason}", decision.action.value)
        if decision.action in (Scaling.KEEP, Scaling.ASK) or decision.worker_id is None:
            self.memory.change(desired=decision.desired)
            return set()
        self.carry_out_scaling(decision, decision.worker_id, now)
        return {decision.worker_id}

    def scaling_is_due(self, now: datetime) -> bool:
        """Is it time to look at the number of workers?"""
        last = self.last_scale_check
        return last is None or age(last, now).total_seconds() >= config.SCALE_CHECK_SECONDS

    def prepare(self, seconds: float) -> None:
        """The next look is so many seconds away: what takes longer than a look may begins in time for it."""
        if seconds <= config.IOSTAT_SECONDS + MEASURED_AHEAD and self.scaling_is_due(
            self.clock() + timedelta(seconds=seconds)
        ):
            self.parts.meter.begin()

    def note_meter(self, trouble: str) -> None:
        """Says once why iostat is not believed."""
        if trouble:
            self.say.once(
                f"iostat {trouble}", f"iostat gives no figure: {trouble}; the kernel's counters are used instead"
            )

    def decide_scaling(
        self, utilization: float | None, verdicts: Mapping[int, Verdict], now: datetime
    ) -> ScalingDecision:
        """The decision, with the LLM's opinion where it is to be asked."""
        running = frozenset(number for number, verdict in verdicts.items() if verdict.health in _RUNNING)
        state = self.memory.state
        measured = scaling.Measured(
            utilization=utilization,
            running=running,
            stuck=frozenset(number for number, verdict in verdicts.items() if verdict.health is Health.STUCK),
            taken=frozenset(record.worker_id for record in self.memory.wanted()) - running,
            desired=state.desired,
            last_down_at=state.last_scale_down_at,
            last_up_at=state.last_scale_up_at,
            opinion=Opinion.OFF if self.parts.adviser is None else Opinion.PENDING,
        )
        decision = scaling.decide(measured, now, self.scaling)
        if decision.action is Scaling.ASK and self.parts.adviser is not None:
            number = min(measured.stuck)
            facts = self.parts.attempts.facts(verdicts[number], self.snapshots[number], now)
            opinion = self.parts.adviser.disk_is_the_cause(facts)
            decision = scaling.decide(replace(measured, opinion=opinion), now, self.scaling)
        return decision

    def carry_out_scaling(self, decision: ScalingDecision, number: int, now: datetime) -> None:
        """Stops or starts the one worker that was decided on."""
        if decision.action is Scaling.UP:
            if self.say.act(f"Starting worker {number}: {decision.reason}"):
                self.parts.staff.start(number)
                self.memory.change(desired=decision.desired, last_scale_up_at=now)
            return
        if not self.say.act(f"Stopping worker {number}: {decision.reason}"):
            return
        self.parts.staff.kill(number)
        self.parts.attempts.conclude(self.memory.record(number), None, "the worker was scaled down")
        self.memory.remember(WorkerRecord(number, wanted=False))
        if decision.action is Scaling.DOWN:
            self.memory.change(desired=decision.desired, last_scale_down_at=now)

    # -- healing --------------------------------------------------------------------------------------------------

    def heal(self, snapshots: Mapping[int, WorkerSnapshot], verdicts: Mapping[int, Verdict], now: datetime) -> None:
        """At most one treatment for each worker."""
        records = self.memory.state.workers
        steps = [healing.treat(verdict, records[number], now, self.healing) for number, verdict in verdicts.items()]
        mass = self.mass(verdicts, now)
        around = healing.Surroundings()
        if any(step.treatment in (Treatment.RESTART, Treatment.RESUME) for step in steps):
            around = self.surroundings(now)
        steps = [
            healing.hold_back(step, verdicts[step.worker_id], snapshots[step.worker_id].exit_code, mass, around)
            for step in steps
        ]
        self.note_waiting([step.worker_id for step in steps if step.treatment is Treatment.WAIT], now)
        for step in steps:
            self.carry_out(step, verdicts[step.worker_id], snapshots[step.worker_id], now)

    def note_waiting(self, waiting: Sequence[int], now: datetime) -> None:
        """Says every minute why workers are not there that should be."""
        if not waiting:
            self.say.forget("waiting")
            return
        who = ", ".join(map(str, waiting))
        self.say.often(
            "waiting",
            f"Waiting for {self.settings.server} ({self.server.trouble}); worker {who} starts as soon as it answers",
            now,
            SAID_AGAIN,
        )

    def mass(self, verdicts: Mapping[int, Verdict], now: datetime) -> MassCase | None:
        """Do half of the workers or more hang together? Remembered until none of them does."""
        records, before = self.memory.state.workers, self.memory.state.mass
        suspected = healing.suspects(list(verdicts.values()), records, now, self.healing)
        wanted = sum(not record.paused for record in self.memory.wanted())
        mass = healing.gather(suspected, records, wanted, before, now, self.healing)
        if mass is not None and before is None:
            self.say.warning(
                "%d of %d workers hang together; worker %d is treated alone first", len(suspected), wanted, mass.lead
            )
        self.memory.change(mass=mass)
        return mass

    def surroundings(self, now: datetime) -> healing.Surroundings:
        """Do the server and the disk answer? Asked only before a worker is started again."""
        here = self.server.answers_now(now)
        disk_answers = self.parts.probe.answers(config.PROBE_ANSWER_SECONDS)
        return healing.Surroundings(here and self.server.has_settled(now), disk_answers, here)

    def excuse(self, snapshots: dict[int, WorkerSnapshot], now: datetime) -> dict[int, WorkerSnapshot]:
        """Who meets only failures of the server is excused while the server is really away."""
        asked = any(is_fruitless(seen, now, self.detection) for seen in snapshots.values())
        if not asked or self.server.answers(now):
            return snapshots
        return {number: replace(seen, fruitless_since=None) for number, seen in snapshots.items()}

    def carry_out(self, step: Step, verdict: Verdict, seen: WorkerSnapshot, now: datetime) -> None:
        """Does what was decided about one worker."""
        key = f"hold {step.worker_id}"
        if step.treatment is Treatment.HOLD:
            self.say.once(key, f"Worker {step.worker_id} is left alone for now: {step.reason}")
            return
        self.say.forget(key)
        if step.treatment is Treatment.RESTART:
            self.parts.attempts.restart(verdict, seen, now)
        elif step.treatment is Treatment.RESUME:
            self.parts.attempts.resume(step.worker_id, step.reason)
        elif step.treatment is Treatment.PAUSE:
            self.parts.attempts.pause(step.worker_id, step.reason)


# -- the names that stay -------------------------------------------------------------------------------------------


def get_disk_io_utilization(library: Path | None = None) -> float | None:
    """Percent of time the busiest disk under the library is busy; None when that cannot be known.

    Without `library`, the one that CALIBRE_LIBRARY names. Takes less than a second: iostat's figure when it has one by
    then, else that of the kernel's counters, from which iostat's comes too.
    """
    named = config.environment().get("CALIBRE_LIBRARY")
    path = library or (Path(named).expanduser() if named else None)
    if path is None:
        return None
    meter = DiskMeter(path, seconds=config.IOSTAT_SECONDS)
    try:
        return meter.utilization()
    finally:
        meter.close()


def scale_workers_based_on_disk_io(monitor: Monitor, verdicts: Mapping[int, Verdict], now: datetime) -> set[int]:
    """Changes the number of workers by at most one; returns the ids it acted on."""
    return monitor.scale_workers_based_on_disk_io(verdicts, now)


def kill_worker(monitor: Monitor, worker_id: int) -> bool:
    """Ends worker N: TERM, 10 s, KILL of its own group; False when it was not there. Never anything else."""
    return monitor.parts.staff.kill(worker_id)


# -- its life ------------------------------------------------------------------------------------------------------


def run(settings: Settings, service: Notifier) -> int:
    """One monitor from its start to its end; returns the exit status."""
    make_state_dir(settings.state_dir)
    for secret in redact.secret_values(settings.environment):
        logs.mask(secret)
    with ExitStack() as stack:
        lock = None if settings.dry_run else MonitorLock(settings.state_dir)
        if lock is not None:
            stack.callback(lock.release)
        say = stack.enter_context(
            action_log.opened(settings.state_dir, dry_run=settings.dry_run, console=not settings.quiet,
                           as_json=config.LOG_FORMAT == "json")
        )  # fmt: skip
        clock = SteadyClock()
        monitor = Monitor(settings, put_together(settings, say, clock), clock)
        stack.callback(monitor.parts.meter.close)
        stop = threading.Event()
        stop_on_signals(stop)
        something = monitor.begin()
        service.ready()
        monitor.prepare(0.0)
        if something:
            watch(monitor, stop, service, lock)
        service.stopping()
        if monitor.parts.wishes is not None:
            monitor.parts.wishes.retries.finish()
        monitor.parts.alerts.finish(15.0)
        if monitor.parts.adviser is not None:
            monitor.parts.adviser.finish()
        return monitor.exit_code


def watch(monitor: Monitor, stop: threading.Event, service: Notifier, lock: MonitorLock | None) -> None:
    """Looks at everything again and again, until the pass is closed or somebody asks to stop."""
    while not stop.is_set():
        began = time.monotonic()
        service.alive()
        try:
            over = monitor.tick()
            service.status(status.line(monitor.memory.state, monitor.totals()))
        except StateUnwritable as error:
            over = False
            monitor.say.error("%s", error)
        except Exception as error:  # noqa: BLE001 - the watcher must outlive whatever one look runs into
            over = False
            monitor.say.error("This look failed (%s: %s)", type(error).__name__, error, exc_info=error)
        if over or monitor.settings.once:
            return
        # A child that ends and a wish are looked at soon; everything else can wait for the next look.
        while (left := began + monitor.settings.check_interval - time.monotonic()) > 0 and not stop.is_set():
            service.alive()
            if not keep_place(lock, monitor.say):
                return
            monitor.prepare(left)
            stop.wait(min(config.CHILD_SECONDS, monitor.settings.check_interval))
            if monitor.wanted_soon():
                break
    monitor.say.info("Asked to stop")
    if monitor.settings.stop_workers and not monitor.settings.dry_run:
        monitor.parts.staff.dismiss()
    monitor.memory.save(ended="stopped")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses, runs, translates the end into an exit status."""
    service = Notifier.taken_from(os.environ, os.getpid())
    words = sys.argv[1:] if argv is None else argv
    given, environment = read_arguments(words)
    try:
        if one_shot.is_asked_for(given):
            return one_shot.carry_out(given, environment, words)
        return run(settings_of(given, environment), service)
    except (config.Misconfigured, AlreadyRunning, StateUnwritable, FixRefused) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Fatal as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"cannot write the state directory {given.state_dir}: {error}\n")
        return 5


if __name__ == "__main__":
    sys.exit(main())
