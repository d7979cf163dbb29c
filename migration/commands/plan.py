"""`--dry-run`: what would be sent or refused, and how long it may take.

It sends nothing and writes only its log.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import told
from migration.calibre.library import CalibreLibrary
from migration.calibre.lock_wait import LockWait
from migration.errors import (
    EmptyFile,
    ExitCode,
    Fatal,
    MigrationError,
    TooBig,
    Unsupported,
)
from migration.ledger import totals
from migration.metadata.mime import SHIPPED_FORMATS
from migration.model import BookFile
from migration.state_files import logs
from migration.state_files.names import LEDGER_NAME
from migration.worker.options import Options
from migration.worker.progress import report

if TYPE_CHECKING:
    from rich.table import Table

#: Books read at a time.
PAGE = 1000


@dataclass(slots=True)
class Plan:
    """Files and bytes by format that would be sent; files by reason that would not.

    `longest` is in bytes.
    """

    longest: int
    books: int = 0
    files: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def add(self, file: BookFile, formats: frozenset[str]) -> None:
        """Counts one file of the library."""
        if file.id.format.startswith("ORIGINAL_") or (
            formats and file.id.format not in formats
        ):
            self.skipped += 1
        elif reason := refusal(file, self.longest):
            self.refused[reason] += 1
        else:
            self.files[file.id.format] += 1
            self.sizes[file.id.format] += file.size


def refusal(file: BookFile, longest: int) -> str:
    """Returns why a standard MyBookshelf2 server would not accept a file, or ""."""
    if file.problem is not None:
        return file.problem.reason
    if file.id.format.lower() not in SHIPPED_FORMATS:
        return f"{Unsupported.reason}: {file.id.format}"
    if file.size == 0:
        return EmptyFile.reason
    return TooBig.reason if file.size > longest else ""


def make(library: CalibreLibrary, options: Options, lock: LockWait) -> Plan:
    """Reads the whole library in pages.

    Plans at most `limit` files unless that is 0.
    """
    plan = Plan(options.max_content_length)
    after = 0

    def end_of_page() -> int | None:
        return library.last_id_of_range(after, PAGE)

    while (last := lock.read(end_of_page)) is not None:
        for book in lock.read(partial(library.read_books, after + 1, last)):
            plan.books += 1
            for file in book.files:
                if options.limit and plan.files.total() >= options.limit:
                    return plan
                plan.add(file, options.formats)
        after = last
    return plan


def run(options: Options) -> ExitCode:
    """Prints the plan.

    If the state directory exists, the log goes to the worker's log file there.
    """
    # rich is imported where a plan is shown, not at every start of a worker.
    from rich.console import Console

    console = Console()
    try:
        if options.state_dir.is_dir():
            logs.configure(
                options.state_dir,
                options.worker_id,
                console=False,
                as_json=options.log_json,
            )
        lock = LockWait(_say, seconds=options.library_lock_seconds)
        private = options.state_dir / "migration_library_copy"
        wait = options.library_busy_seconds
        with lock.read(
            lambda: CalibreLibrary(options.library, private, busy_timeout_seconds=wait)
        ) as library:
            plan = make(library, options, lock)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        return error.exit_code if isinstance(error, Fatal) else ExitCode.INTERNAL
    console.print(_table(plan, options))
    console.print(_estimate(plan, options.rate or measured_rate(options.state_dir)))
    return ExitCode.OK


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def measured_rate(state_dir: Path) -> float:
    """Returns the files per minute of the newest pass here; 0 before any upload."""
    found = totals.read(state_dir / LEDGER_NAME)
    if found is None or found.closed_at is None or not found.counts.uploaded:
        return 0.0
    return found.counts.uploaded / max(found.minutes(found.closed_at), 1 / 60)


def _table(plan: Plan, options: Options) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"Plan for {options.library}: {plan.books} books",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("format")
    table.add_column("files", justify="right")
    table.add_column("size", justify="right")
    for name, n in sorted(plan.files.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(name), str(n), report.size_in_words(plan.sizes[name]))
    table.add_row(
        "to be sent",
        str(plan.files.total()),
        report.size_in_words(plan.sizes.total()),
        style="bold",
    )
    for reason, n in sorted(plan.refused.items()):
        table.add_row(Text(f"refused: {reason}"), str(n), "", style="yellow")
    if plan.skipped:
        table.add_row("skipped by your choice", str(plan.skipped), "")
    return table


def _estimate(plan: Plan, rate: float) -> str:
    if not rate:
        return (
            "No rate was measured here yet; give one with --rate FILES_PER_MINUTE "
            "for an estimate."
        )
    return (
        f"About {report.minutes_in_words(plan.files.total() / rate)} at {rate:.0f} "
        "files/min; what the server has "
        "already is not sent again."
    )
