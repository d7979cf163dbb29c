"""What the monitor acts on: processes, the script, the ledger's ranges, and alerts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from auto_monitor import config, ports
from auto_monitor.act import final_report
from auto_monitor.act.alerts import WebhookAlerts
from auto_monitor.act.comparer import ProcessComparer
from auto_monitor.act.opening import OpeningProcess
from auto_monitor.act.reservations import TrialReservations
from auto_monitor.fix_applier import WorkerScript
from auto_monitor.processes import Workers
from auto_monitor.record.action_log import ActionLog
from common.clock import SteadyClock


@dataclass(frozen=True, slots=True)
class ActedOn:
    """Everything the monitor can change.

    `report` writes the report of the newest pass, `end` logs how it has ended.
    """

    processes: ports.Processes
    script: ports.Script
    reservations: ports.Reservations
    alerts: ports.Alerts
    opener: ports.PassOpener
    report: Callable[[], None]
    comparer: ports.TrialComparer
    end: Callable[[], None]


def real(
    workers: Workers,
    clock: SteadyClock,
    say: ActionLog,
    webhook: str,
    trial: timedelta,
    end: Callable[[], None],
) -> ActedOn:
    """Makes them for these workers; `trial` is the longest trial of a code fix."""
    state_dir: Path = workers.command.state_dir
    return ActedOn(
        processes=workers,
        script=WorkerScript(workers.command.script, state_dir),
        reservations=TrialReservations(state_dir, clock, trial),
        alerts=WebhookAlerts(webhook, say),
        opener=OpeningProcess(
            workers.command, lock_seconds=config.LIBRARY_LOCK_SECONDS
        ),
        report=partial(
            final_report.write_report,
            state_dir,
            config.PROJECT,
            say,
            config.REPORT_SECONDS,
        ),
        comparer=ProcessComparer(workers.command),
        end=end,
    )
