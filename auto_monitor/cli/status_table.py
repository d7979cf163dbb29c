"""`monitor.py --status` without --watch: as text and a table, or as JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auto_monitor.cli.status import Status, WorkerStatus, collect, to_json
from auto_monitor.patch import confinement
from common.clock import utc_now


def show(state_dir: Path, *, as_json: bool) -> int:
    """Prints the status; returns 2 when the monitor should be running but is not."""
    value = collect(state_dir, utc_now())
    if as_json:
        text = json.dumps(to_json(value), ensure_ascii=False, indent=1)
        sys.stdout.write(f"{text}\n")
    else:
        draw(value, Console())
        Console().print(Text(f"Code fixes: {confinement.here()}"))
    return 2 if value.monitor.stale else 0


def draw(value: Status, console: Console) -> None:
    """Prints the status as text."""
    monitor, found, busy = value.monitor, value.totals, value.disk_utilization_percent
    lives = "runs" if monitor.alive else monitor.ended or "does not run"
    late = " (ITS HEARTBEAT IS STALE)" if monitor.stale and monitor.alive else ""
    age = monitor.heartbeat_age_seconds
    beat = "" if age is None else f", last look {age:.0f} s ago"
    console.print(Text(f"Monitor: {lives}{late}{beat}"))
    if value.watch is not None:
        console.print(Text(f"Library: {value.watch.text}"))
    if value.changed_script:
        console.print(Text(value.changed_script))
    if value.llm is not None:
        console.print(
            Text(f"LLM: {value.llm and 'DOES NOT ANSWER: '}{value.llm or 'answers'}")
        )
    console.print(
        Text(
            f"Workers desired: {value.desired_workers} of {value.target_workers}; disk: "
            + ("not known" if busy is None else f"{busy:.0f} % busy")
        )
    )
    if found is not None:
        counts = ", ".join(f"{n} {name}" for name, n in asdict(found.counts).items())
        about = f"; {found.selection}" if found.selection else ""
        if found.undoes is None:
            line = f"Pass {found.pass_id}: {counts}{about}{found.deletions}"
        else:
            line = found.deletions
        console.print(Text(line))
    eta = value.eta_seconds
    rest = "" if eta is None else f", about {timedelta(seconds=eta)} to go"
    console.print(Text(f"Rate: {value.rate_files_per_min} files/min{rest}"))
    console.print(_table(value.workers))


def _table(workers: Sequence[WorkerStatus]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in (
        "worker",
        "status",
        "files/min",
        "beat",
        "progress",
        "attempts",
        "now",
    ):
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for worker in workers:
        gone = "" if worker.lives else " (gone)"
        table.add_row(
            str(worker.worker_id),
            "PAUSED" if worker.paused else f"{worker.status}{gone}",
            str(worker.rate_files_per_min or 0),
            _ago(worker.beat_age_seconds),
            _ago(worker.progress_age_seconds),
            str(worker.attempts),
            Text(worker.case or "".join(worker.current[:1])),
        )
    return table


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s ago"
