"""`monitor.py --status` in words and as a table, for people."""

from datetime import timedelta

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.json_value import Json


def show(value: dict[str, Json]) -> None:
    """Prints what `status.collect` found."""
    console = Console()
    monitor, found = value["monitor"], value["totals"]
    assert isinstance(monitor, dict)
    lives = "runs" if monitor["alive"] else monitor["ended"] or "does not run"
    late = " (ITS HEARTBEAT IS STALE)" if monitor["stale"] and monitor["alive"] else ""
    beat = monitor["heartbeat_age_seconds"]
    console.print(
        Text(
            f"Monitor: {lives}{late}"
            + (f", last look {beat:.0f} s ago" if isinstance(beat, float) else "")
        )
    )
    busy = value["disk_utilization_percent"]
    console.print(
        Text(
            f"Workers desired: {value['desired_workers']} of {value['target_workers']}; disk: "
            + (f"{busy:.0f} % busy" if isinstance(busy, float) else "not known")
        )
    )
    if isinstance(found, dict):
        counts = found["counts"]
        assert isinstance(counts, dict)
        console.print(
            Text(
                f"Pass {found['pass_id']}: "
                + ", ".join(f"{n} {name}" for name, n in counts.items())
            )
        )
    eta = value["eta_seconds"]
    rest = f", about {timedelta(seconds=eta)} to go" if isinstance(eta, float) else ""
    console.print(Text(f"Rate: {value['rate_files_per_min']} files/min{rest}"))
    console.print(_table(value["workers"]))


def _table(workers: Json) -> Table:
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
    for worker in workers if isinstance(workers, list) else []:
        assert isinstance(worker, dict)
        state = (
            "PAUSED"
            if worker["paused"]
            else str(worker["status"]) + ("" if worker["lives"] else " (gone)")
        )
        current = worker["current"]
        now = worker["case"] or (
            current[0] if isinstance(current, list) and current else ""
        )
        table.add_row(
            str(worker["worker_id"]),
            state,
            str(worker["rate_files_per_min"] or 0),
            _ago(worker["beat_age_seconds"]),
            _ago(worker["progress_age_seconds"]),
            str(worker["attempts"]),
            Text(str(now)),
        )
    return table


def _ago(seconds: Json) -> str:
    return f"{seconds:.0f} s ago" if isinstance(seconds, float) else "-"
