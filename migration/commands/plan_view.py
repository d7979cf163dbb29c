"""A plan as --dry-run shows it: a table for people, JSON for programs. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.json_value import Json
from migration.calibre.selection import Selection
from migration.commands.foresight import Plan
from migration.worker.options import Options
from migration.worker.progress import report

if TYPE_CHECKING:
    from rich.table import Table

#: The version of --json; new fields do not change it.
SCHEMA = 1
#: What the ledger alone does not say.
NOT_ASKED = (
    "the server was not asked: what it has already is not sent again, and a field that "
    "somebody changed there as well stays as it is there (--prefer)"
)
REMOVAL = (
    "which of those removed in Calibre --delete-removed would delete: only those that "
    "are missing in two passes, and that nobody has touched on the server"
)
NO_LEDGER = "nothing was migrated with this state directory yet: everything is new"


@dataclass(frozen=True, slots=True)
class Shown:
    """A plan with what it is about; `scope` is the selection with its numbers."""

    plan: Plan
    options: Options
    selection: Selection
    scope: dict[str, Json] | None
    rate: float
    open_pass: int | None
    ledger: bool

    @property
    def minutes(self) -> float | None:
        """About how long it takes; None when no rate is known."""
        return self.plan.requests / self.rate if self.rate else None

    @property
    def not_known(self) -> list[str]:
        """What the figures leave open, as sentences."""
        found = [*self.plan.not_known, NOT_ASKED if self.ledger else NO_LEDGER]
        if self.options.delete_removed and self.plan.files["removed"]:
            found.append(REMOVAL)
        return found


# -- for programs ----------------------------------------------------------------------

#: The keys of --json under `books` and `files`, with the plan's own words.
BOOKS = {
    "listed": "all",
    "new": "new",
    "changed": "changed",
    "to_compare": "to be compared",
    "reshelved": "reshelved",
    "recorded_anew": "recorded anew",
    "unfinished": "unfinished",
    "without_files": "without files",
    "removed": "removed",
}
FILES = {
    "new": "new",
    "replaced": "replaced",
    "tried_again": "tried again",
    "unchanged": "unchanged",
    "done": "done",
    "skipped": "skipped",
    "refused": "refused",
    "removed": "removed",
}


def as_json(shown: Shown) -> dict[str, Json]:
    """Returns the plan as --json prints it (docs/operations.md)."""
    plan = shown.plan
    by_format: dict[str, Json] = {
        name: {"files": n, "bytes": plan.sizes[name]}
        for name, n in sorted(plan.sending.items())
    }
    scope = shown.scope
    return {
        "schema": SCHEMA,
        "library": str(shown.options.library),
        "state_dir": str(shown.options.state_dir) if shown.ledger else None,
        "open_pass": shown.open_pass,
        "selection": None
        if scope is None
        else {name: scope[name] for name in ("words", "books", "outside")},
        "books": {key: plan.books[word] for key, word in BOOKS.items()},
        "files": {key: plan.files[word] for key, word in FILES.items()},
        "send": {
            "files": plan.sending.total(),
            "bytes": plan.sizes.total(),
            "by_format": by_format,
        },
        "changed_fields": dict(sorted(plan.fields.items())),
        "refused": dict(sorted(plan.refused.items())),
        "estimate": {
            "minutes": None if shown.minutes is None else round(shown.minutes, 2),
            "files_per_min": round(shown.rate, 1) if shown.rate else None,
        },
        "not_known": [*shown.not_known],
    }


# -- for people ------------------------------------------------------------------------


_SENT = ("new", "replaced", "tried again")
_OF_BOOKS = {
    "to be compared": "books to be compared with the server",
    "reshelved": "books whose shelves or notes change",
    "recorded anew": "books of which only the record changes",
    "unfinished": "books left unfinished",
    "removed": "books removed in Calibre, which stay on the server",
}
_OF_FILES = {
    "removed": "files removed in Calibre, which stay on the server",
    "unchanged": "unchanged",
    "done": "done in this pass",
    "skipped": "skipped by your choice",
}


def table(shown: Shown) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    plan = shown.plan
    about = f"; selection: {shown.selection}" if shown.selection else ""
    going_on = f" (pass {shown.open_pass} is open)" if shown.open_pass else ""
    drawn = Table(
        title=Text(
            f"Plan for {shown.options.library}: {plan.books['all']} books{about}"
            f"{going_on}"
        ),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    drawn.add_column("what")
    drawn.add_column("number", justify="right")
    drawn.add_column("size", justify="right")
    for name, n in sorted(plan.sending.items(), key=lambda item: (-item[1], item[0])):
        drawn.add_row(Text(name), str(n), report.size_in_words(plan.sizes[name]))
    drawn.add_row(
        "to be sent",
        str(plan.sending.total()),
        report.size_in_words(plan.sizes.total()),
        style="bold",
    )
    for what, n in _rows(plan):
        if n:
            drawn.add_row(Text(what), str(n), "")
    for reason, n in sorted(plan.refused.items()):
        drawn.add_row(Text(f"refused: {reason}"), str(n), "", style="yellow")
    return drawn


def _rows(plan: Plan) -> Iterator[tuple[str, int]]:
    """Yields what there is to say besides the files to be sent."""
    yield from ((f"  {what}", plan.files[what]) for what in _SENT)
    yield "books that get an ebook", plan.books["new"]
    yield "books changed in Calibre", plan.books["changed"]
    yield from (
        (f"  {name.replace('_', ' ')}", n) for name, n in plan.fields.most_common()
    )
    yield from ((what, plan.books[word]) for word, what in _OF_BOOKS.items())
    yield from ((what, plan.files[word]) for word, what in _OF_FILES.items())


def estimate(shown: Shown) -> str:
    if shown.minutes is None:
        return (
            "No rate was measured here yet; give one with --rate FILES_PER_MINUTE "
            "for an estimate"
        )
    return (
        f"About {report.minutes_in_words(shown.minutes)} at {shown.rate:.0f} files/min"
    )
