"""`monitor.py --status --watch`: the status live, until Ctrl-C or until the pass is
closed. Read-only."""

import threading
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

from auto_monitor.cli import status
from common.clock import utc_now
from common.files.tail import last_bytes
from common.json_value import Json
from common.sanitize import for_log

#: Seconds between two pictures; lines of what was done that are shown, from so many
#: bytes of the end of the log.
EVERY, ACTIONS, TAIL_BYTES = 1.0, 6, 4096
_COLOURS = {
    "uploaded": "green",
    "duplicate": "blue",
    "skipped": "dim",
    "failed": "red",
    "pending": "",
}


def show(state_dir: Path, *, as_json: bool, watch: bool) -> int:
    """The status, once or live; the exit status of `status.show`, or 0."""
    return (
        live(state_dir, Console()) if watch else status.show(state_dir, as_json=as_json)
    )


def live(state_dir: Path, console: Console) -> int:
    """Shows the status until the pass is closed or Ctrl-C; returns 0."""
    stop = threading.Event()
    try:
        with Live(
            console=console, auto_refresh=False, screen=console.is_terminal
        ) as shown:
            while not stop.is_set():
                value = status.collect(state_dir, utc_now())
                shown.update(
                    picture(value, last_actions(state_dir), utc_now()), refresh=True
                )
                if _over(value):
                    break
                stop.wait(EVERY)
    except KeyboardInterrupt:
        return 0
    if console.is_terminal:
        # The screen is the shell's again: what was last seen stays.
        console.print(picture(value, last_actions(state_dir), utc_now()))
    return 0


def _over(value: dict[str, Json]) -> bool:
    found, monitor = value["totals"], value["monitor"]
    return (
        isinstance(found, dict)
        and found["closed_at"] is not None
        and (isinstance(monitor, dict) and not monitor["alive"])
    )


def picture(
    value: dict[str, Json], actions: list[str], now: datetime
) -> RenderableType:
    """Progress, workers, what the monitor did last. Text from books is text, never
    markup."""
    parts: list[RenderableType] = [_progress(value, now), _workers(value["workers"])]
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


def _progress(value: dict[str, Json], now: datetime) -> RenderableType:
    found = value["totals"]
    if not isinstance(found, dict):
        return Panel(Text("No pass has been opened yet"), box=box.ROUNDED)
    counts, total = found["counts"], found["total"]
    assert isinstance(counts, dict)
    settled = int(str(counts["discovered"])) - int(str(counts["pending"]))
    line = Text()
    for name, colour in _COLOURS.items():
        line.append(f"{counts[name]:,}", style=f"bold {colour}".strip()).append(
            f" {name}   "
        )
    rate, eta = value["rate_files_per_min"], value["eta_seconds"]
    took = (_moment(found["closed_at"]) if found["closed_at"] else now) - _moment(
        found["opened_at"]
    )
    left = f", about {_span(eta)} left" if isinstance(eta, float) else ""
    sent = decimal(int(str(found["bytes_uploaded"])))
    facts = Text(
        f"{rate} files/min, {sent} uploaded, {_span(took.total_seconds())} so far{left}"
    )
    share = (
        f"{100 * settled / total:.1f} %"
        if isinstance(total, int) and total
        else "total not known"
    )
    bar = ProgressBar(
        total=total if isinstance(total, int) and total else None,
        completed=settled,
        complete_style="green",
    )
    title = f"Pass {found['pass_id']}: {share}"
    return Panel(
        Group(Padding(bar, 0), line, facts, _monitor(value)),
        title=title,
        title_align="left",
        box=box.ROUNDED,
    )


def _monitor(value: dict[str, Json]) -> Text:
    monitor = value["monitor"]
    assert isinstance(monitor, dict)
    age, busy = monitor["heartbeat_age_seconds"], value["disk_utilization_percent"]
    text = Text("Monitor ").append(
        "runs" if monitor["alive"] else str(monitor["ended"] or "does not run"),
        style="" if monitor["alive"] else "red",
    )
    text.append(f", last look {age:.0f} s ago" if isinstance(age, float) else "")
    text.append(
        "  STALE" if monitor["stale"] and monitor["alive"] else "", style="bold red"
    )
    text.append(
        f"; {value['desired_workers']} of {value['target_workers']} workers desired; disk "
    )
    return text.append(
        f"{busy:.0f} % busy" if isinstance(busy, float) else "not measured"
    )


def _span(seconds: float) -> str:
    """2:05:09, days before it where there are any."""
    return str(timedelta(seconds=round(seconds)))


def _moment(value: Json) -> datetime:
    return datetime.fromisoformat(str(value))


def _workers(workers: Json) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for name in ("worker", "status", "files/min", "progress", "attempts"):
        table.add_column(name, no_wrap=True)
    table.add_column("now", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("sent", justify="right", no_wrap=True)
    for worker in workers if isinstance(workers, list) else []:
        assert isinstance(worker, dict)
        state, colour = _state(worker)
        files = worker["files"] if worker["lives"] else []
        first = files[0] if isinstance(files, list) and files else None
        current, sent = str(worker["case"] or ""), ""
        if isinstance(first, dict):
            current = current or str(first["file"])
            sent = f"{decimal(int(str(first['bytes_sent'])))} of {decimal(int(str(first['size'])))}"
        age = worker["progress_age_seconds"]
        table.add_row(
            str(worker["worker_id"]),
            Text(state, style=colour),
            str(worker["rate_files_per_min"] or 0),
            f"{age:.0f} s ago" if isinstance(age, float) else "-",
            str(worker["attempts"]),
            Text(for_log(current)),
            sent,
        )
    return table


def _state(worker: dict[str, Json]) -> tuple[str, str]:
    if worker["paused"]:
        return "paused by you" if worker["paused_by_hand"] else "PAUSED", "bold red"
    if worker["stuck"]:
        return "stuck", "bold red"
    if not worker["lives"]:
        return f"{worker['status']} (gone)", "yellow" if worker[
            "status"
        ] != "completed" else "dim"
    return str(worker["status"]), "yellow" if worker["status"] == "waiting" else "green"


def last_actions(state_dir: Path) -> list[str]:
    """The last lines of auto_restart.log."""
    try:
        lines = (
            last_bytes(state_dir / "auto_restart.log", TAIL_BYTES)
            .decode("utf-8", "replace")
            .splitlines()
        )
    except OSError:
        return []
    return [for_log(line) for line in lines[-ACTIONS:]]
