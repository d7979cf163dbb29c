"""The monitor's collaborators and their assembly.

Collaborators outside the monitor are made in their package (`observe`, `record`,
`act`), attempts in `repair`.
"""

from dataclasses import dataclass
from functools import partial

from auto_monitor import config
from auto_monitor.act import assembly as acting
from auto_monitor.act.assembly import ActedOn
from auto_monitor.act.supervisor import Supervisor
from auto_monitor.cli import end_log
from auto_monitor.cli.command_handler import CommandHandler, Retries
from auto_monitor.cli.command_line import Settings
from auto_monitor.config import Policies
from auto_monitor.model import MonitorState
from auto_monitor.observe import assembly as observing
from auto_monitor.observe.assembly import Observed
from auto_monitor.patch import confinement
from auto_monitor.ports import (
    Alerts,
    Clock,
    Commands,
    Diagnoser,
    DiskMeter,
    LedgerReader,
    Observer,
    StateFile,
)
from auto_monitor.processes import WorkerCommand, Workers
from auto_monitor.record import assembly as recording
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.assembly import MonitorFiles
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory
from auto_monitor.repair import asking
from auto_monitor.repair import assembly as repairing
from auto_monitor.repair.assembly import Trunk
from auto_monitor.repair.attempts import Attempts
from auto_monitor.rounds.assembly import Around, Rounds, rounds
from common.clock import SteadyClock, utc_now


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the monitor.

    `clock` is the steady clock for decisions, `wall` the one for display; `diagnoser`
    is None without an LLM.
    """

    clock: Clock
    wall: Clock
    observed: Observed
    recorded: MonitorFiles
    acted_on: ActedOn
    diagnoser: Diagnoser | None = None


@dataclass(frozen=True, slots=True)
class MonitorParts:
    """The collaborators of a monitor."""

    clock: Clock
    wall: Clock
    policies: Policies
    supervisor: Supervisor
    memory: Memory
    cases: Cases
    observer: Observer
    attempts: Attempts
    rounds: Rounds
    ledger: LedgerReader
    meter: DiskMeter
    alerts: Alerts
    action_log: ActionLog
    state_file: StateFile
    command_handler: Commands | None = None
    diagnoser: Diagnoser | None = None


def put_together(
    settings: Settings, limits: Policies, say: ActionLog, clock: SteadyClock
) -> MonitorParts:
    """Makes the parts of a real monitor; `clock` is the steady clock of decisions."""
    if settings.llm_enabled and config.ENABLE_CODE_FIXES:
        say.info("Code fixes are %s", confinement.here())
    return parts_of(settings, limits, say, real_world(settings, limits, say, clock))


def real_world(
    settings: Settings, limits: Policies, say: ActionLog, clock: SteadyClock
) -> World:
    """Returns the real surroundings of a monitor."""
    command = WorkerCommand(
        settings.script,
        settings.library,
        settings.server,
        settings.state_dir,
        config.PROJECT,
        settings.environment,
        config.ends_at(),
        watching=settings.watching is not None,
    )
    workers = Workers(command, grace_seconds=config.KILL_GRACE_SECONDS)
    webhook = settings.alert_webhook_url
    return World(
        clock=clock,
        wall=utc_now,
        observed=observing.real(
            settings.state_dir, settings.library, settings.server, workers, limits
        ),
        recorded=recording.real(settings.state_dir, say),
        acted_on=acting.real(
            workers,
            clock,
            say,
            "" if settings.dry_run else webhook,
            limits.longest_trial,
            partial(end_log.log, settings.state_dir, say),
        ),
        diagnoser=asking.debugger(
            settings.state_dir,
            settings.script,
            settings.environment,
            clock,
            asks=not settings.dry_run,
        )
        if settings.llm_enabled
        else None,
    )


def parts_of(
    settings: Settings, limits: Policies, say: ActionLog, world: World
) -> MonitorParts:
    """Makes the parts of a monitor in a given world."""
    files, seen = world.recorded, world.observed
    memory = _memory(settings, limits, say, world)
    cases = Cases(files.history, say, world.wall)
    supervisor = Supervisor(
        world.acted_on.processes,
        world.acted_on.script,
        cases,
        memory,
        say,
        stack_seconds=limits.stack_seconds,
    )
    attempts = repairing.attempts(
        world.acted_on,
        seen.ledger,
        files.evidence,
        Trunk(supervisor, memory, cases, say, world.clock, world.wall),
        world.diagnoser,
    )
    asked_by_people = None
    if not settings.dry_run:
        asked_by_people = _command_handler(settings, supervisor, memory, attempts, say)
    return MonitorParts(
        clock=world.clock,
        wall=world.wall,
        policies=limits,
        supervisor=supervisor,
        memory=memory,
        cases=cases,
        observer=seen.observer,
        attempts=attempts,
        rounds=_rounds(settings, limits, world, attempts),
        ledger=seen.ledger,
        meter=seen.meter,
        alerts=world.acted_on.alerts,
        action_log=say,
        state_file=files.state_file,
        command_handler=asked_by_people,
        diagnoser=world.diagnoser,
    )


def _rounds(
    settings: Settings, limits: Policies, world: World, attempts: Attempts
) -> Rounds:
    """Returns the parts of a round."""
    return rounds(
        Around(
            world.observed,
            world.acted_on,
            world.recorded,
            world.wall,
            world.diagnoser,
        ),
        limits,
        attempts,
        settings.server,
        settings.watching,
    )


def _memory(
    settings: Settings, limits: Policies, say: ActionLog, world: World
) -> Memory:
    target = limits.scaling.target
    return Memory(
        MonitorState(target, target, world.clock()),
        world.recorded.state_file,
        writes=not settings.dry_run,
        tell=say.error,
        wall=world.wall,
    )


def _command_handler(
    settings: Settings,
    supervisor: Supervisor,
    memory: Memory,
    attempts: Attempts,
    say: ActionLog,
) -> CommandHandler:
    """Returns the handler of user commands."""
    return CommandHandler(
        settings.state_dir,
        supervisor,
        memory,
        attempts,
        say,
        Retries(settings.state_dir, config.PROJECT, say),
    )
