"""The progress of a migration on a terminal, while its monitor runs."""

import subprocess
import time
from pathlib import Path

from rich.console import Console

from auto_monitor.cli import end as ending
from auto_monitor.cli import end_text, live
from auto_monitor.cli.status import Status
from common.clock import utc_now
from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME

#: Seconds between two checks, and between two lines when there is no terminal.
LOOK_SECONDS, LINE_SECONDS = 0.25, 5.0


def say(console: Console, text: str) -> None:
    """Prints a text as it is: nothing in it is markup, and no path is broken in two."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def watch(state_dir: Path, daemon: "subprocess.Popen[bytes]", console: Console) -> None:
    """Shows the progress until the monitor ends: live, or as lines."""
    if console.is_terminal:

        def ended(_value: Status) -> bool:
            return daemon.poll() is not None

        live.follow(state_dir, console, LOOK_SECONDS, ended, stays=False)
        return
    said = 0.0
    while daemon.poll() is None:
        if time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            say(console, _line(state_dir))
        time.sleep(LOOK_SECONDS)


def end(state_dir: Path, console: Console) -> None:
    """Shows how the migration has ended; nothing when there was none."""
    try:
        found = ending.read(state_dir, utc_now())
    except totals.UNREADABLE as error:
        say(console, f"How it has ended cannot be read: {error}")
        return
    if found is not None:
        end_text.draw(found, console)


def totals_of(state_dir: Path) -> totals.Totals | None:
    """Returns the totals of the newest pass; None when they cannot be read."""
    try:
        return totals.read(state_dir / LEDGER_NAME)
    except totals.UNREADABLE:
        return None


def _line(state_dir: Path) -> str:
    found = totals_of(state_dir)
    if found is None:
        return "Starting"
    counts = found.counts
    return (
        f"{counts.discovered} files found: {counts.uploaded} uploaded, "
        f"{counts.duplicate} duplicate, "
        f"{counts.skipped} skipped, {counts.failed} failed, {counts.pending} to do"
    )
