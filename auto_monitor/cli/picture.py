"""The status of a migration as it is shown on a terminal, of any width.

One picture for `--status`, `--status --watch` and the live display of `./start.sh`.
What is wrong is never cut: it is told below the table, in lines of its own. Text from
books is never interpreted as markup.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.filesize import decimal
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from auto_monitor.cli.status import PassStatus, Status, WorkerStatus
from auto_monitor.cli.trouble import has_ended, troubles
from common.sanitize import for_log, sanitize_text
from migration.model import Phase

#: From these widths on, in cells, the table has the columns that are good to know.
WIDE, MEDIUM = 110, 70
#: `Author/Title (17)/Title - Author.epub`: the folders say the same again.
_FOLDERS = re.compile(r"^.*\(\d+\)[_/](?=.)")
_COLOURS = {
    "uploaded": "green",
    "duplicate": "blue",
    "skipped": "dim",
    "failed": "red",
    "pending": "",
}


def picture(
    value: Status, now: datetime, actions: Sequence[str] = (), notes: Sequence[str] = ()
) -> RenderableType:
    """Draws the pass, the monitor, the workers, and the monitor's last actions."""
    parts: list[RenderableType] = [
        *_pass(value, now),
        *_surroundings(value),
        *map(Text, notes),
    ]
    if value.workers:
        parts.append(_Workers(value.workers))
        parts += (Text(line, style="red") for line in troubles(value.workers))
    if actions:
        parts += [Text(), Text("What the monitor did", style="bold")]
        parts += (Text(for_log(line)) for line in actions)
    return Group(*parts)


# -- the pass --------------------------------------------------------------------------


def _pass(value: Status, now: datetime) -> Iterator[RenderableType]:
    found = value.totals
    if found is None:
        yield Text("No pass has been opened yet", style="bold")
        yield Text(f"Rate: {value.rate_files_per_min} files/min")
        return
    yield Text(_headline(found), style="bold")
    if found.undoes is not None:
        yield Text(found.deletions)
    else:
        yield Padding(_bar(found), 0)
        yield _Flow(_outcomes(found))
    if found.selection:
        yield Text(for_log(found.selection, 1000))
    took = max(0.0, ((found.closed_at or now) - found.opened_at).total_seconds())
    rate = value.rate_files_per_min
    if found.closed_at is not None:
        rate = round(60 * found.settled / took, 1) if took else 0.0
    facts = [
        f"Rate: {rate} files/min",
        f"{decimal(found.bytes_uploaded)} uploaded",
        f"{_span(took)} so far" if found.closed_at is None else f"took {_span(took)}",
    ]
    if value.eta_seconds is not None:
        facts.append(f"about {_span(value.eta_seconds)} to go")
    yield Text(", ".join(facts))


def _headline(found: PassStatus) -> str:
    closed = "" if found.closed_at is None else ", closed"
    pass_ = f"Pass {found.pass_id}{closed}"
    if found.undoes is not None:
        return pass_
    if found.total is None:
        return f"{pass_}: {found.settled:,} files settled; the total is not known"
    # Rounded down: 100 % is said only when nothing is left.
    share = 1000 * found.settled // found.total / 10 if found.total else 100.0
    return f"{pass_}: {share:.1f} % of {found.total:,} files"


def _bar(found: PassStatus) -> ProgressBar:
    return ProgressBar(
        total=found.total or max(found.counts.discovered, 1),
        completed=found.settled,
        complete_style="green",
    )


def _outcomes(found: PassStatus) -> list[Text]:
    counts = found.counts
    words = [Text(f"{counts.discovered:,} discovered")]
    for name, colour in _COLOURS.items():
        number = f"{getattr(counts, name):,}"
        words.append(
            Text(number, style=f"bold {colour}".strip()).append(
                f" {name}", style="not bold default"
            )
        )
    # It begins with the end of another sentence.
    return words + ([Text(found.deletions[2:])] if found.deletions else [])


class _Flow:
    """Words beside each other, as many as a line holds; none is broken."""

    def __init__(self, words: Sequence[Text], between: str = "   ") -> None:
        self._words = words
        self._between = between

    def __rich_console__(
        self, _console: Console, options: ConsoleOptions
    ) -> RenderResult:
        line = Text()
        for word in self._words:
            gap = self._between if line else ""
            if line and line.cell_len + len(gap) + word.cell_len > options.max_width:
                yield line
                line, gap = Text(), ""
            line.append(gap).append_text(word)
        yield line


# -- what is around it -----------------------------------------------------------------


def _surroundings(value: Status) -> Iterator[Text]:
    monitor, busy = value.monitor, value.disk_utilization_percent
    beat = monitor.heartbeat_age_seconds
    line = Text("Monitor: ").append(
        "runs" if monitor.alive else monitor.ended or "does not run",
        style="" if monitor.alive or monitor.ended == "completed" else "red",
    )
    if monitor.stale and monitor.alive:
        line.append(" (ITS HEARTBEAT IS STALE)", style="bold red")
    yield line.append("" if beat is None else f", last look {ago(beat)}")
    disk = "not known" if busy is None else f"{busy:.0f} % busy"
    desired, target = value.desired_workers, value.target_workers
    asked = "not known" if desired is None else f"{desired} of {target}"
    yield Text(f"Workers desired: {asked}; disk: {disk}")
    if value.watch is not None:
        yield Text(f"Library: {value.watch.text}")
    if value.changed_script:
        yield Text(value.changed_script)
    if value.llm is not None:
        trouble = f"DOES NOT ANSWER: {for_log(value.llm)}" if value.llm else "answers"
        yield Text(f"LLM: {trouble}")


def ago(seconds: float) -> str:
    """Formats an age in one unit: 12 s ago, 90 min ago, 36 h ago, 3 days ago."""
    for size, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if seconds < 100 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} days ago"


def _span(seconds: float) -> str:
    """Formats seconds: 2:05:09, with days before it if there are any."""
    return str(timedelta(seconds=round(seconds)))


# -- the workers -----------------------------------------------------------------------


class _Workers:
    """A line per worker. A narrow one has what matters, a wide one also the rest."""

    def __init__(self, workers: Sequence[WorkerStatus]) -> None:
        self._workers = workers

    def __rich_console__(
        self, _console: Console, options: ConsoleOptions
    ) -> RenderResult:
        width = options.max_width
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True)
        table.add_column("worker" if width >= WIDE else "#", no_wrap=True)
        table.add_column("status", no_wrap=True)
        if width >= MEDIUM:
            table.add_column("files/min", justify="right", no_wrap=True)
        table.add_column("progress", justify="right", no_wrap=True)
        if width >= WIDE:
            table.add_column("attempts", justify="right", no_wrap=True)
        table.add_column("now", no_wrap=True, ratio=1)
        table.add_column("sent", justify="right", no_wrap=True)
        for worker in self._workers:
            table.add_row(*_row(worker, width))
        yield table


def _row(worker: WorkerStatus, width: int) -> list[RenderableType]:
    state, colour = state_of(worker, brief=width < WIDE)
    age = worker.progress_age_seconds
    file, sent = "", ""
    if worker.lives and worker.files:
        first = worker.files[0]
        file = name_of(first.file)
        share = 100 * first.bytes_sent // first.size if first.size else 0
        sent = f"{share} %"
        if width >= WIDE:
            sent = f"{decimal(first.bytes_sent)} of {decimal(first.size)}"
    row: list[RenderableType] = [str(worker.worker_id), Text(state, style=colour)]
    if width >= MEDIUM:
        rate = worker.rate_files_per_min if worker.lives else None
        row.append(f"{rate or 0:.0f}")
    row.append("-" if age is None else ago(age))
    if width >= WIDE:
        row.append(str(worker.attempts))
    more = len(worker.files) - 1
    return [*row, Fitted(file, f" +{more}" if file and more > 0 else ""), sent]


def state_of(worker: WorkerStatus, *, brief: bool = False) -> tuple[str, str]:
    """Returns a worker's state in words, and its colour."""
    status = worker.status
    if worker.paused:
        return "paused by you" if worker.paused_by_hand else "PAUSED", "bold red"
    if worker.stuck:
        return "stuck", "bold red"
    if not worker.lives:
        if status == Phase.COMPLETED:
            return status, "dim"
        word = status if has_ended(worker) else "gone"
        return word if brief else f"{status} (gone)", "yellow"
    return status, "yellow" if status == Phase.WAITING else "green"


def name_of(file: str) -> str:
    """Returns a file's name without the folders that say the same again."""
    return _FOLDERS.sub("", sanitize_text(file))


class Fitted:
    """A name that loses its middle where there is no room: its ending tells a format."""

    def __init__(self, name: str, tail: str = "") -> None:
        self._name = name
        self._tail = tail

    def __rich_console__(
        self, _console: Console, options: ConsoleOptions
    ) -> RenderResult:
        room = options.max_width - len(self._tail)
        yield Text(fit(self._name, room) + self._tail, no_wrap=True, overflow="crop")

    def __rich_measure__(
        self, _console: Console, _options: ConsoleOptions
    ) -> Measurement:
        whole = cell_len(self._name) + len(self._tail)
        return Measurement(min(whole, 12), whole)


def fit(text: str, width: int) -> str:
    """Returns the text in at most so many cells, with … for its middle."""
    if cell_len(text) <= width:
        return text
    tail = ""
    for character in reversed(text):
        if cell_len(character + tail) > min(width // 3, 12):
            break
        tail = character + tail
    room = width - 1
    while room > 0 and cell_len(cut := _beginning(text, room) + "…" + tail) > width:
        room -= 1
    return cut if room > 0 else "…"[: max(width, 0)]


def _beginning(text: str, width: int) -> str:
    """Returns as much of the beginning as has room."""
    return set_cell_size(text, width).rstrip()
