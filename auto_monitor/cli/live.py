"""`monitor.py --status --watch`: a live status until Ctrl-C or the end of the pass.

Read-only.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from auto_monitor.cli import status_table
from auto_monitor.cli.status import Status, WorkerStatus, collect
from common.clock import utc_now
from common.files.tail import last_bytes
from common.sanitize import for_log

#: Seconds between two updates; log lines shown; bytes read from the end of the log for
#: them.
EVERY, ACTIONS, TAIL_BYTES = 1.0, 6, 4096
_COLOURS = {
    "uploaded": "green",
    "duplicate": "blue",
    "skipped": "dim",
    "failed": "red",
    "pending": "",
}


def show(state_dir: Path, *, as_json: bool, watch: bool) -> int:
    """Shows the status once or live.

    Returns the exit status of `status_table.show`, or 0.
    """
    if watch:
        return live(state_dir, Console())
    return status_table.show(state_dir, as_json=as_json)


def live(state_dir: Path, console: Console) -> int:
    """Shows the status until the pass is closed or Ctrl-C; returns 0."""
    stop = threading.Event()
    try:
        with Live(
            console=console, auto_refresh=False, screen=console.is_terminal
        ) as shown:
            while not stop.is_set():
                value = collect(state_dir, utc_now())
                shown.update(
                    picture(value, last_actions(state_dir), utc_now()), refresh=True
                )
                if _over(value):
                    break
                stop.wait(EVERY)
    except KeyboardInterrupt:
        return 0
    if console.is_terminal:
        # The live screen is gone now: print the last state so that it stays visible.
        console.print(picture(value, last_actions(state_dir), utc_now()))
    return 0


def _over(value: Status) -> bool:
    closed = value.totals is not None and value.totals.closed_at is not None
    return closed and not value.monitor.alive


def picture(value: Status, actions: list[str], now: datetime) -> RenderableType:
    """Draws progress, workers and the monitor's last actions.

    Text from books is never interpreted as markup.
    """
    parts: list[RenderableType] = [_progress(value, now), _workers(value.workers)]
    if actions:
        lines = Group(
            *(Text(line, overflow="ellipsis", no_wrap=True) for line in actions)
        )
        parts.append(
            Panel(
                lines,
                title="What the monitor did",
                title_align="left",
                box=box.ROUNDED,
                border_style="dim",
            )
        )
    return Group(*parts)


def _progress(value: Status, now: datetime) -> RenderableType:
    found, eta = value.totals, value.eta_seconds
    if found is None:
        return Panel(Text("No pass has been opened yet"), box=box.ROUNDED)
    line = Text()
    for name, colour in _COLOURS.items():
        line.append(
            f"{getattr(found.counts, name):,}", style=f"bold {colour}".strip()
        ).append(f" {name}   ")
    took = (found.closed_at or now) - found.opened_at
    left = "" if eta is None else f", about {_span(eta)} left"
    facts = Text(
        f"{value.rate_files_per_min} files/min, {decimal(found.bytes_uploaded)} uploaded, "
        f"{_span(took.total_seconds())} so far{left}"
    )
    share = (
        f"{100 * found.settled / found.total:.1f} %"
        if found.total
        else "total not known"
    )
    bar = ProgressBar(
        total=found.total or None, completed=found.settled, complete_style="green"
    )
    return Panel(
        Group(
            Padding(bar, 0),
            line,
            facts,
            *([Text(found.selection)] if found.selection else []),
            _monitor(value),
            *_watch(value),
        ),
        title=f"Pass {found.pass_id}: {share}",
        title_align="left",
        box=box.ROUNDED,
    )


def _monitor(value: Status) -> Text:
    monitor = value.monitor
    age, busy = monitor.heartbeat_age_seconds, value.disk_utilization_percent
    text = Text("Monitor ").append(
        "runs" if monitor.alive else monitor.ended or "does not run",
        style="" if monitor.alive else "red",
    )
    text.append("" if age is None else f", last look {age:.0f} s ago")
    text.append("  STALE" if monitor.stale and monitor.alive else "", style="bold red")
    text.append(
        f"; {value.desired_workers} of {value.target_workers} workers desired; disk "
    )
    return text.append("not measured" if busy is None else f"{busy:.0f} % busy")


def _watch(value: Status) -> list[Text]:
    return [] if value.watch is None else [Text(f"Library: {value.watch.text}")]


def _span(seconds: float) -> str:
    """Formats seconds: 2:05:09, with days before it if there are any."""
    return str(timedelta(seconds=round(seconds)))


def _workers(workers: Sequence[WorkerStatus]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for name in ("worker", "status", "files/min", "progress", "attempts"):
        table.add_column(name, no_wrap=True)
    table.add_column("now", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("sent", justify="right", no_wrap=True)
    for worker in workers:
        state, colour = _state(worker)
        current, sent = worker.case or worker.stuck_why, ""
        if worker.lives and worker.files:
            first = worker.files[0]
            current = current or first.file
            sent = f"{decimal(first.bytes_sent)} of {decimal(first.size)}"
        age = worker.progress_age_seconds
        table.add_row(
            str(worker.worker_id),
            Text(state, style=colour),
            str(worker.rate_files_per_min or 0),
            "-" if age is None else f"{age:.0f} s ago",
            str(worker.attempts),
            Text(for_log(current)),
            sent,
        )
    return table


def _state(worker: WorkerStatus) -> tuple[str, str]:
    if worker.paused:
        return "paused by you" if worker.paused_by_hand else "PAUSED", "bold red"
    if worker.stuck:
        return "stuck", "bold red"
    if not worker.lives:
        colour = "dim" if worker.status == "completed" else "yellow"
        return f"{worker.status} (gone)", colour
    return worker.status, "yellow" if worker.status == "waiting" else "green"


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
