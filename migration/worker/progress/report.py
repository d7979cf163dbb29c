"""The totals of a pass in words and as a table.

Pure, except for the rendering, which rich does.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from migration.ledger.totals import Totals

if TYPE_CHECKING:
    from rich.console import RenderableType

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size_in_words(size: float) -> str:
    """Formats bytes in powers of 1000: 1234567 -> '1.2 MB'."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable: the last unit always returns")


def minutes_in_words(minutes: float) -> str:
    """Formats minutes: 0.5 -> '30 s', 90 -> '1 h 30 min'."""
    seconds = round(minutes * 60)
    if seconds < 100:
        return f"{seconds} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def summary(totals: Totals, now: datetime) -> "RenderableType":
    """Returns the table shown at the end of a pass.

    It has files by outcome, failures by reason, and what was left out.
    """
    # rich is imported only where something is drawn, not at every start of a worker.
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts, minutes = totals.counts, totals.minutes(now)
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    table.add_row("files discovered", str(counts.discovered), style="bold")
    for name in ("uploaded", "duplicate", "skipped", "failed", "pending"):
        table.add_row(f"  {name}", str(getattr(counts, name)))
        if name == "failed":
            for reason, n in sorted(totals.failed.items()):
                table.add_row(Text(f"    {reason}"), str(n), style="yellow")
    table.add_row("bytes uploaded", size_in_words(totals.bytes_uploaded))
    table.add_row("time", minutes_in_words(minutes))
    settled = counts.discovered - counts.pending
    table.add_row("files/min", f"{settled / minutes:.0f}" if minutes else "-")
    audited = totals.audited
    if audited.state:
        of = f" ({audited.read} of {audited.changed} books)" if audited.read else ""
        table.add_row("changes read back", f"{audited.state}{of}")
    for kind, n in sorted(totals.differences.items()):
        table.add_row(Text(f"on the server: {kind}"), str(n), style="bold red")
    if totals.orphaned_uploads:
        table.add_row(
            "uploads left to the server's clean-up", str(totals.orphaned_uploads)
        )
    return Group(
        Text(f"Pass {totals.pass_id}", style="bold"),
        *([Text(str(totals.scope))] if totals.scope else []),
        table,
        *_counted("Updated, by field", totals.updated),
        *_not_carried(totals),
        *_noticed(totals),
    )


def _not_carried(totals: Totals) -> "list[RenderableType]":
    return _counted("Not carried, kept in not_carried.jsonl", totals.not_carried)


def _noticed(totals: Totals) -> "list[RenderableType]":
    return _counted(
        "Left out or taken otherwise, each named in the report and the workers' logs",
        totals.noticed,
    )


def _counted(title: str, counts: Mapping[str, int]) -> "list[RenderableType]":
    """Returns a table of the counts, largest first; nothing when there are none."""
    if not counts:
        return []
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(name), str(n))
    return [Text(title, style="bold"), table]
