"""The progress of a migration on a terminal."""

import subprocess
import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from migration.ledger import totals
from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME

#: Seconds between two checks, and between two lines when there is no terminal.
LOOK_SECONDS, LINE_SECONDS = 0.25, 5.0


def watch(state_dir: Path, daemon: "subprocess.Popen[bytes]", console: Console) -> None:
    """Shows the progress until the monitor ends: live, or as lines."""
    if console.is_terminal:
        with Live(
            _display(state_dir), console=console, refresh_per_second=4, transient=True
        ) as live:
            while daemon.poll() is None:
                time.sleep(LOOK_SECONDS)
                live.update(_display(state_dir))
        return
    said = 0.0
    while daemon.poll() is None:
        if time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            console.print(_line(state_dir), markup=False, highlight=False)
        time.sleep(LOOK_SECONDS)


def totals_of(state_dir: Path) -> totals.Totals | None:
    """Returns the totals of the newest pass; None when they cannot be read."""
    try:
        return totals.read(state_dir / LEDGER_NAME)
    except totals.UNREADABLE:
        return None


def _display(state_dir: Path) -> Group:
    table = Table(show_header=True, box=None)
    for column in ("worker", "status", "files/min", "now"):
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for path in progress.progress_paths(state_dir):
        seen = progress.read(path)
        if seen is not None:
            current = seen.current[0].file if seen.current else ""
            table.add_row(
                str(seen.worker_id),
                seen.status.value,
                f"{seen.rate_files_per_min:.0f}",
                Text(current),
            )
    return Group(Text(_line(state_dir)), table)


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
