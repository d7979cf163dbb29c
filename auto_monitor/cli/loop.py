"""The loop of a monitor's process: rounds, until there is nothing left to watch."""

import threading
import time
from typing import Protocol

from auto_monitor import config
from auto_monitor.cli.command_line import Settings
from auto_monitor.cli.daemon import MonitorLock, keep_place
from auto_monitor.record.action_log import ActionLog
from common.files.json_files import StateUnwritable
from common.sd_notify import Notifier


class Looks(Protocol):
    """A monitor, as the loop needs it."""

    settings: Settings
    say: ActionLog

    def tick(self) -> bool:
        """Runs one round; returns True when there is nothing left to watch."""
        ...

    def line(self) -> str:
        """Returns the state of the migration in one line."""
        ...

    def stopped(self) -> None:
        """Ends because somebody asked for it."""
        ...

    def prepare(self, seconds: float) -> None:
        """Starts measurements for the next round, `seconds` away."""
        ...

    def wanted_soon(self) -> bool:
        """Whether something should be handled before the next round."""
        ...


def watch(
    monitor: Looks, stop: threading.Event, service: Notifier, lock: MonitorLock | None
) -> None:
    """Runs rounds until the pass is closed or the monitor is asked to stop."""
    while not stop.is_set():
        began = time.monotonic()
        service.alive()
        try:
            over = monitor.tick()
            service.status(monitor.line())
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
    monitor.stopped()
