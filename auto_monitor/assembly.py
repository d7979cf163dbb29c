"""The collaborators of a monitor, and how the real ones are put together from its
settings."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from auto_monitor import config
from auto_monitor.act import final_report
from auto_monitor.act.alerts import Alerts
from auto_monitor.act.reservations import TrialReservations
from auto_monitor.act.supervisor import Supervisor
from auto_monitor.cli.command_handler import CommandHandler, Retries
from auto_monitor.cli.command_line import Settings
from auto_monitor.decide.detection import DetectionPolicy
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.scaling import ScalingPolicy
from auto_monitor.fix_applier import WorkerScript
from auto_monitor.llm_debugger import LlmDebugger
from auto_monitor.model import MonitorState
from auto_monitor.observe import disk, server
from auto_monitor.observe.ledger import LedgerReader
from auto_monitor.observe.workers import Observer as WorkerObserver
from auto_monitor.ports import Alerts as AlertsPort
from auto_monitor.ports import (
    Clock,
    Commands,
    Diagnoser,
    DiskMeter,
    DiskProbe,
    Evidence,
    History,
    Ledger,
    Observer,
    Processes,
    Reservations,
    Script,
    ServerProbe,
    StateFile,
)
from auto_monitor.processes import Command, Workers
from auto_monitor.record import samples
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.cases import Cases
from auto_monitor.record.evidence import EvidenceFolder
from auto_monitor.record.history import History as HistoryFile
from auto_monitor.record.history import StateFile as StateOnDisk
from auto_monitor.record.history import history_path, state_path
from auto_monitor.record.memory import Memory
from auto_monitor.record.samples import Sample
from auto_monitor.repair.attempts import Attempts
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.consultation import Consultation
from auto_monitor.repair.remedy import Remedies
from auto_monitor.rounds.healer import Healer
from auto_monitor.rounds.scaler import Scaler
from common.clock import SteadyClock, utc_now
from migration.state_files.names import LEDGER_NAME


@dataclass(frozen=True, slots=True)
class Policies:
    """Every threshold of a monitor, and how long what it asks may take."""

    detection: DetectionPolicy
    healing: HealingPolicy
    scaling: ScalingPolicy
    closing: timedelta
    scale_every: timedelta
    measuring: timedelta
    probe_seconds: float
    stack_seconds: float


def policies(settings: Settings) -> Policies:
    """As `config` and the command line have them."""
    return Policies(
        detection=config.detection_policy(settings.threshold),
        healing=config.healing_policy(),
        scaling=config.scaling_policy(settings.target),
        closing=timedelta(seconds=config.CLOSING_SECONDS),
        scale_every=timedelta(seconds=config.SCALE_CHECK_SECONDS),
        measuring=timedelta(seconds=config.IOSTAT_SECONDS),
        probe_seconds=config.PROBE_ANSWER_SECONDS,
        stack_seconds=config.STACK_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the monitor: processes, files, the server, the disk, people,
    the clocks.

    `clock` is the steady clock of decisions, `wall` the one people read.
    """

    clock: Clock
    wall: Clock
    processes: Processes
    observer: Observer
    server: ServerProbe
    meter: DiskMeter
    disk: DiskProbe
    ledger: Ledger
    history: History
    state_file: StateFile
    evidence: Evidence
    script: Script
    reservations: Reservations
    alerts: AlertsPort
    keep_sample: Callable[[Sample], None]
    report: Callable[[], None]
    diagnoser: Diagnoser | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators of a monitor."""

    clock: Clock
    wall: Clock
    policies: Policies
    supervisor: Supervisor
    memory: Memory
    cases: Cases
    observer: Observer
    attempts: Attempts
    healer: Healer
    scaler: Scaler
    ledger: Ledger
    meter: DiskMeter
    alerts: AlertsPort
    action_log: ActionLog
    state_file: StateFile
    keep_sample: Callable[[Sample], None]
    report: Callable[[], None]
    command_handler: Commands | None = None
    diagnoser: Diagnoser | None = None


def put_together(
    settings: Settings, limits: Policies, say: ActionLog, clock: SteadyClock
) -> Parts:
    """The parts of a monitor in the real world; `clock` is the steady clock of
    decisions."""
    return parts_of(settings, limits, say, real_world(settings, limits, say, clock))


def real_world(
    settings: Settings, limits: Policies, say: ActionLog, clock: SteadyClock
) -> World:
    """The real neighbours of a monitor."""
    state_dir = settings.state_dir
    command = Command(
        settings.script,
        settings.library,
        settings.server,
        state_dir,
        config.PROJECT,
        settings.environment,
        config.ends_at(),
    )
    workers = Workers(command, grace_seconds=config.KILL_GRACE_SECONDS)
    longest = (
        limits.healing.verification_at_most
        + limits.healing.verification
        + timedelta(minutes=1)
    )
    return World(
        clock=clock,
        wall=utc_now,
        processes=workers,
        observer=WorkerObserver(state_dir, workers),
        server=server.ServerProbe(
            settings.server,
            seconds=limits.probe_seconds,
            settling=limits.detection.stuck,
        ),
        meter=disk.DiskMeter(settings.library, seconds=config.IOSTAT_SECONDS),
        disk=disk.DiskProbe(settings.library),
        ledger=LedgerReader(state_dir / LEDGER_NAME),
        history=HistoryFile(history_path(state_dir), tell=say.warning),
        state_file=StateOnDisk(state_path(state_dir)),
        evidence=EvidenceFolder(state_dir),
        script=WorkerScript(settings.script, state_dir),
        reservations=TrialReservations(state_dir, clock, longest),
        alerts=Alerts("" if settings.dry_run else settings.alert_webhook_url, say),
        keep_sample=partial(samples.append, state_dir),
        report=partial(
            final_report.write_report,
            state_dir,
            config.PROJECT,
            say,
            config.REPORT_SECONDS,
        ),
        diagnoser=_debugger(settings, clock) if settings.llm_enabled else None,
    )


def parts_of(
    settings: Settings, limits: Policies, say: ActionLog, world: World
) -> Parts:
    """The parts of a monitor in this world."""
    target = limits.scaling.target
    state = MonitorState(target, target, world.clock())
    memory = Memory(
        state,
        world.state_file,
        writes=not settings.dry_run,
        tell=say.error,
        wall=world.wall,
    )
    cases = Cases(world.history, say, world.wall)
    supervisor = Supervisor(world.processes, world.script, cases, memory, say)
    attempts = _attempts(world, memory, cases, supervisor, say, limits)
    return Parts(
        clock=world.clock,
        wall=world.wall,
        policies=limits,
        supervisor=supervisor,
        memory=memory,
        cases=cases,
        observer=world.observer,
        attempts=attempts,
        healer=Healer(
            attempts,
            memory,
            say,
            world.server,
            world.disk,
            limits.healing,
            settings.server,
            limits.probe_seconds,
        ),
        scaler=Scaler(
            supervisor,
            memory,
            attempts,
            world.meter,
            say,
            limits.scaling,
            limits.scale_every,
            limits.measuring,
        ),
        ledger=world.ledger,
        meter=world.meter,
        alerts=world.alerts,
        action_log=say,
        state_file=world.state_file,
        keep_sample=world.keep_sample,
        report=world.report,
        command_handler=None
        if settings.dry_run
        else _command_handler(settings, supervisor, memory, attempts, say),
        diagnoser=world.diagnoser,
    )


def _attempts(
    world: World,
    memory: Memory,
    cases: Cases,
    supervisor: Supervisor,
    say: ActionLog,
    limits: Policies,
) -> Attempts:
    fixes = CodeFixes(
        world.script, cases, world.ledger, world.reservations, say, world.alerts
    )
    return Attempts(
        supervisor=supervisor,
        memory=memory,
        cases=cases,
        consultation=Consultation(
            supervisor, memory, cases, limits.stack_seconds, world.diagnoser
        ),
        remedies=Remedies(memory, fixes, world.evidence, say),
        code_fixes=fixes,
        ledger=world.ledger,
        evidence=world.evidence,
        action_log=say,
        alerts=world.alerts,
        clock=world.clock,
        wall=world.wall,
    )


def _command_handler(
    settings: Settings,
    supervisor: Supervisor,
    memory: Memory,
    attempts: Attempts,
    say: ActionLog,
) -> CommandHandler:
    """The one that carries out what people ask for."""
    return CommandHandler(
        settings.state_dir,
        supervisor,
        memory,
        attempts,
        say,
        Retries(settings.state_dir, config.PROJECT, say),
    )


def _debugger(settings: Settings, clock: SteadyClock) -> LlmDebugger:
    """The one that asks an LLM."""
    return LlmDebugger(
        settings.state_dir,
        settings.script,
        config.PROJECT,
        settings.environment,
        config.llm_budget(),
        clock,
        config.LOG_LINES_TO_ANALYZE,
        config.DISK_IO_SATURATED_THRESHOLD,
    )
