"""The collaborators of a monitor, and how they are put together from its settings."""

from dataclasses import dataclass

from auto_monitor import config
from auto_monitor.act.alerts import Alerts
from auto_monitor.act.supervisor import Staff
from auto_monitor.cli.command_handler import Retries, Wishes
from auto_monitor.cli.command_line import Settings
from auto_monitor.llm_debugger import LlmDebugger
from auto_monitor.model import MonitorState
from auto_monitor.observe.disk import DiskMeter, DiskProbe
from auto_monitor.observe.workers import Observer
from auto_monitor.processes import Command, Workers
from auto_monitor.record.action_log import Journal
from auto_monitor.record.history import History, StateFile, history_path, state_path
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.ports import Adviser
from common.clock import SteadyClock
from migration.state_files.names import LEDGER_NAME

#: The ledger's name in the state directory.


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators of a monitor."""

    staff: Staff
    memory: Memory
    observer: Observer
    attempts: Attempts
    meter: DiskMeter
    probe: DiskProbe
    alerts: Alerts
    journal: Journal
    state_file: StateFile
    wishes: Wishes | None = None
    adviser: Adviser | None = None


def put_together(settings: Settings, say: Journal, clock: SteadyClock) -> Parts:
    """The real parts of a monitor; `clock` is the steady clock of decisions."""
    command = Command(
        settings.script, settings.library, settings.server, settings.state_dir, config.PROJECT, settings.environment,
        config.ends_at(settings.environment))  # fmt: skip
    workers = Workers(command, grace_seconds=config.KILL_GRACE_SECONDS)
    state_file = StateFile(state_path(settings.state_dir))
    target = config.scaling_policy(settings.target).target
    memory = Memory(MonitorState(target, target, clock()), state_file, writes=not settings.dry_run, tell=say.error)
    staff = Staff(workers, memory, say)
    alerts = Alerts("" if settings.dry_run else settings.environment.get("ALERT_WEBHOOK_URL", ""), say)
    adviser = _debugger(settings, clock) if settings.llm_enabled else None
    history = History(history_path(settings.state_dir), tell=say.warning)
    ledger = settings.state_dir / LEDGER_NAME
    fixes = CodeFixes(staff, memory, say, alerts, settings.script, settings.state_dir, ledger, clock)
    attempts = Attempts(staff, memory, history, say, alerts, clock, settings.state_dir, ledger, fixes, adviser)
    return Parts(
        staff=staff,
        memory=memory,
        observer=Observer(settings.state_dir, workers),
        attempts=attempts,
        meter=DiskMeter(settings.library, seconds=config.IOSTAT_SECONDS),
        probe=DiskProbe(settings.library),
        alerts=alerts,
        journal=say,
        state_file=state_file,
        wishes=None if settings.dry_run else _wishes(settings, staff, memory, attempts, say),
        adviser=adviser,
    )


def _wishes(settings: Settings, staff: Staff, memory: Memory, attempts: Attempts, say: Journal) -> Wishes:
    """The one that carries out what people ask for."""
    return Wishes(settings.state_dir, staff, memory, attempts, say, Retries(settings.state_dir, config.PROJECT, say))


def _debugger(settings: Settings, clock: SteadyClock) -> LlmDebugger:
    """The one that asks an LLM."""
    return LlmDebugger(
        settings.state_dir, settings.script, config.PROJECT, settings.environment, config.llm_budget(), clock,
        config.LOG_LINES_TO_ANALYZE, config.DISK_IO_SATURATED_THRESHOLD,
    )  # fmt: skip
