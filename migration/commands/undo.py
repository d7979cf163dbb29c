"""`--undo PASS`: takes back from the server what a pass made and nobody changed since.

One line per thing goes to stdout, a summary to stderr. With `--dry-run` it only looks.
It may be ended at any instant: the same command goes on. What is taken back is a pass
of its own in the ledger, and a later run sends it again.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Protocol, TypeVar

from common.files import lock
from common.hints import hint
from common.sanitize import for_log
from migration.checks import removal
from migration.checks.removal import Fate, Reason, Verdict, stays
from migration.checks.taking_back import EbookToGo, TakeBack
from migration.errors import ExitCode, PassIsOpen
from migration.ledger.records import Made, MadeKind
from migration.model import BookId, EbookId, ItemId, Phase, SourceId
from migration.state_files.names import MONITOR_PID
from migration.state_files.owner import any_alive
from migration.worker.resources import Resources

T = TypeVar("T")

#: The most names of authors and series that are listed.
MOST_NAMES = 1000
_PLURALS = {
    MadeKind.EBOOK: "ebooks",
    MadeKind.SOURCE: "files",
    MadeKind.SHELF: "shelves",
    MadeKind.ITEM: "places on shelves",
}
_MARKS = {Fate.GOES: "-", Fate.STAYS: "=", Fate.GONE: "."}


class Asks(Protocol):
    """Asks the server, waiting while it does not answer."""

    def __call__(self, ask: Callable[[], T]) -> T:
        """Returns what `ask` returns."""


def undo(opened: Resources, ask: Asks) -> ExitCode:
    """Undoes a pass, or shows what would be undone.

    Returns OK, or SOME_FAILED when something that the pass made stays. Raises Fatal,
    and Stopping after a signal.
    """
    undone = opened.options.undo or 0
    refuse_while_running(opened)
    opened.ledger.undoing.check(undone)
    act = not opened.options.dry_run
    pass_id = opened.ledger.undoing.begin(undone) if act else 0
    if act:
        opened.log.info("Pass %d undoes pass %d", pass_id, undone)
    opened.tracker.set(run_id=pass_id or undone, status=Phase.MIGRATING)
    return _Undo(opened, ask, undone, pass_id, act).run()


def refuse_while_running(opened: Resources) -> None:
    """Raises PassIsOpen while other programs of this migration run."""
    state_dir = opened.options.state_dir
    if lock.holder(state_dir / MONITOR_PID) is not None:
        raise PassIsOpen(
            f"a monitor runs on {state_dir}: end it first "
            f"({hint('stop', state_dir=state_dir)})"
        )
    if any_alive(state_dir, besides=opened.options.worker_id):
        raise PassIsOpen(
            f"a worker runs on {state_dir}: let it end, or end it, before a pass is "
            "undone"
        )


@dataclass(slots=True)
class _Undo:
    """One undo, or a look at what it would do."""

    opened: Resources
    ask: Asks
    undone: int
    pass_id: int
    act: bool
    made: Counter[MadeKind] = field(default_factory=Counter)
    goes: Counter[str] = field(default_factory=Counter)
    stays: Counter[str] = field(default_factory=Counter)
    names: set[tuple[str, str]] = field(default_factory=set)
    off: set[ItemId] = field(default_factory=set)
    gone: set[EbookId] = field(default_factory=set)

    def run(self) -> ExitCode:
        """Goes through everything the pass made."""
        for records in self._books():
            self.opened.pool.check(0.0)
            self._book(records)
            self.opened.publish()
        taker = self._taker()
        for made in self.opened.ledger.undoing.shelves(self.undone):
            verdict = self.ask(partial(taker.shelf, made, self.off, self.gone))
            self._tell(made, str(made.detail.get("name", "")), verdict)
        self._tell_names()
        if self.act:
            self.opened.ledger.undoing.end(self.pass_id, self.stays)
        self._summary()
        return ExitCode.SOME_FAILED if self.stays else ExitCode.OK

    def _taker(self) -> TakeBack:
        opened = self.opened
        return TakeBack(
            opened.client, opened.ledger, opened.pool.sleep, self.pass_id, self.act
        )

    def _books(self) -> Iterator[list[Made]]:
        """Yields what the pass made for each book."""
        after = -1
        while records := self.opened.ledger.undoing.page(self.undone, after):
            after = records[-1].book_id
            for _book, of_book in groupby(records, lambda made: made.book_id):
                yield list(of_book)

    def _book(self, records: list[Made]) -> None:
        """Takes back what the pass made for one book: its ebook, or parts of it."""
        book_id, taker = records[0].book_id, self._taker()
        ours = {
            SourceId(made.server_id): _sent(made)
            for made in records
            if made.kind is MadeKind.SOURCE
        }
        rest = [made for made in records if made.kind is not MadeKind.EBOOK]
        for made in records:
            if made.kind is not MadeKind.EBOOK:
                continue
            it = EbookToGo(book_id, EbookId(made.server_id), ours)
            title, names = self._title(book_id), self._names_of(book_id)
            verdict = self.ask(partial(taker.ebook, it))
            self._tell(made, title, verdict)
            for part in rest:
                self._tell(part, _name(part), _with_ebook(verdict))
            if verdict.fate is Fate.GOES and len(self.names) < MOST_NAMES:
                self.names |= names
            rest = []
        self._parts(book_id, rest, ours, taker)

    def _parts(
        self,
        book_id: BookId,
        records: list[Made],
        ours: dict[SourceId, removal.Sent],
        taker: TakeBack,
    ) -> None:
        """Takes back files and items of an ebook that was there before the pass."""
        state = self.opened.ledger.books.get(book_id)
        ebook_id = None if state is None else state.ebook_id
        for made in records:
            if made.kind is MadeKind.ITEM:
                verdict = self.ask(partial(taker.item, made, ebook_id))
            else:
                it = EbookToGo(book_id, ebook_id or EbookId(0), ours)
                number = SourceId(made.server_id)
                verdict = self.ask(partial(taker.source, it, number))
            self._tell(made, _name(made), verdict)

    # -- telling -----------------------------------------------------------------------

    def _tell(self, made: Made, name: str, verdict: Verdict) -> None:
        """Prints and counts what becomes of one thing."""
        self.made[made.kind] += 1
        if verdict.fate is not Fate.STAYS:
            if made.kind is MadeKind.ITEM:
                self.off.add(ItemId(made.server_id))
            elif made.kind is MadeKind.EBOOK:
                self.gone.add(EbookId(made.server_id))
        if verdict.fate is Fate.STAYS and verdict.reason is not None:
            self.stays[verdict.reason] += 1
        else:
            self.goes[made.kind] += 1
        shown = f"{made.kind} {made.server_id} {for_log(name, 120)!r}"
        line = f"book {made.book_id}: {shown}: {self._word(verdict)}"
        if self.act:
            self.opened.log.info("Undo of pass %d: %s", self.undone, line)
        if not self.opened.options.json:
            sys.stdout.write(f"{_MARKS[verdict.fate]} {line}\n")
            return
        self._json(made.kind, made.server_id, made.book_id, name, verdict)

    def _word(self, verdict: Verdict) -> str:
        if verdict.fate is Fate.STAYS:
            return f"stays: {verdict}"
        if verdict.fate is Fate.GONE:
            return "is gone already"
        return "deleted" if self.act else "would be deleted"

    def _json(
        self,
        kind: str,
        server_id: int | None,
        book_id: int | None,
        name: str,
        verdict: Verdict,
    ) -> None:
        value = {
            "kind": kind,
            "server_id": server_id,
            "book_id": book_id,
            "name": for_log(name, 500),
            "fate": verdict.fate,
            "done": self.act and verdict.fate is Fate.GOES,
            "reason": verdict.reason,
            "detail": verdict.detail,
        }
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")

    def _tell_names(self) -> None:
        """Lists the authors and series of what goes: no request deletes them."""
        verdict = stays(Reason.NO_ROUTE)
        for kind, name in sorted(self.names)[:MOST_NAMES]:
            if self.opened.options.json:
                self._json(kind, None, None, name, verdict)
            else:
                sys.stdout.write(f"= {kind} {for_log(name, 120)!r}: stays: {verdict}\n")

    def _summary(self) -> None:
        """Prints, on stderr, how much goes and how much stays, and why."""
        sys.stdout.flush()
        did = "taken back" if self.act else "would be taken back"
        made = ", ".join(
            f"{n} {_PLURALS.get(kind, kind)}" for kind, n in sorted(self.made.items())
        )
        lines = [
            f"Pass {self.undone} made {made or 'nothing that is still there'}: "
            f"{self.goes.total()} {did}, {self.stays.total()} stay"
        ]
        lines += [f"  {n} × {why}" for why, n in sorted(self.stays.items())]
        edits = self.opened.ledger.undoing.updated(self.undone)
        if edits:
            lines.append(
                f"It also sent edits of {edits} books that were there before; these "
                "are not taken back"
            )
        if self.names:
            lines.append(f"Authors and series stay: {Reason.NO_ROUTE}")
        sys.stderr.write("\n".join(lines) + "\n")

    # -- names -------------------------------------------------------------------------

    def _title(self, book_id: BookId) -> str:
        known = self.opened.ledger.carried.get(book_id)
        if known is not None:
            return known.base.server.title
        state = self.opened.ledger.books.get(book_id)
        return "" if state is None else state.title or state.working_title

    def _names_of(self, book_id: BookId) -> set[tuple[str, str]]:
        known = self.opened.ledger.carried.get(book_id)
        if known is None:
            return set()
        shown = known.base.server
        people = {
            ("author", f"{one.first} {one.last}".strip()) for one in shown.authors
        }
        return people | ({("series", shown.series)} if shown.series else set())


def _with_ebook(verdict: Verdict) -> Verdict:
    """Returns what becomes of the parts of an ebook of the pass."""
    return stays(Reason.WITH_EBOOK) if verdict.fate is Fate.STAYS else verdict


def _sent(made: Made) -> removal.Sent:
    size = made.detail.get("size")
    return (
        str(made.detail.get("format", "")).lower(),
        size if isinstance(size, int) else 0,
    )


def _name(made: Made) -> str:
    if made.kind is MadeKind.SOURCE:
        return str(made.detail.get("format", ""))
    return f"shelf {made.detail.get('shelf', '')}"
