"""`monitor.py --status`: once, as JSON, or live until Ctrl-C or the end of the pass.

Read-only.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from auto_monitor.cli import end
from auto_monitor.cli.picture import picture
from auto_monitor.cli.status import Status, collect, to_json
from auto_monitor.patch import confinement
from common.clock import utc_now
from common.files.tail import last_bytes
from common.sanitize import for_log
from migration.ledger import totals

#: Seconds between two updates; log lines shown; bytes read from the end of the log for
#: them.
EVERY, ACTIONS, TAIL_BYTES = 1.0, 6, 4096


def show(state_dir: Path, *, as_json: bool, watch: bool) -> int:
    """Shows the status once or live.

    Returns 0, or, when shown once, 2 if a monitor should be running but is not.
    """
    if watch:
        return live(state_dir, Console())
    now = utc_now()
    value = collect(state_dir, now)
    if as_json:
        text = json.dumps(to_json(value), ensure_ascii=False, indent=1)
        sys.stdout.write(f"{text}\n")
    else:
        notes = [f"Code fixes: {confinement.here()}", *_ended(state_dir, now, value)]
        Console().print(picture(value, now, last_actions(state_dir), notes))
    return 2 if value.monitor.stale else 0


def _ended(state_dir: Path, now: datetime, value: Status) -> list[str]:
    """Returns how the migration has ended, and where to read more."""
    try:
        found = end.read_ended(state_dir, now, value)
    except totals.UNREADABLE:
        return []
    if found is None:
        return []
    return [found.title, *([f"Report: {found.report}"] if found.report else [])]


def live(state_dir: Path, console: Console) -> int:
    """Shows the status until the pass is closed or Ctrl-C; returns 0."""
    try:
        follow(state_dir, console, EVERY, _over, stays=True)
    except KeyboardInterrupt:
        return 0
    if console.is_terminal:
        # The live screen is gone now: print the last state so that it stays visible.
        now = utc_now()
        console.print(picture(collect(state_dir, now), now, last_actions(state_dir)))
    return 0


def follow(
    state_dir: Path,
    console: Console,
    every: float,
    over: Callable[[Status], bool],
    *,
    stays: bool,
) -> None:
    """Shows the status, and again every so many seconds, until it is over.

    What `stays` has the whole screen of a terminal meanwhile; else nothing is left.
    """
    full = stays and console.is_terminal
    with Live(
        console=console, auto_refresh=False, screen=full, transient=not stays
    ) as shown:
        while True:
            now = utc_now()
            value = collect(state_dir, now)
            drawn = picture(value, now, last_actions(state_dir))
            shown.update(drawn, refresh=True)
            if over(value):
                return
            time.sleep(every)


def _over(value: Status) -> bool:
    closed = value.totals is not None and value.totals.closed_at is not None
    return closed and not value.monitor.alive


def last_actions(state_dir: Path) -> list[str]:
    """Returns the last lines of auto_restart.log."""
    try:
        lines = (
            last_bytes(state_dir / "auto_restart.log", TAIL_BYTES)
            .decode("utf-8", "replace")
            .splitlines()
        )
    except OSError:
        return []
    return [for_log(line) for line in lines[-ACTIONS:]]
