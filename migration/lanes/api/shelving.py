"""Puts books on shelves and keeps them in step. Thread-safe; repeatable.

`metadata.shelves` decides. An item is recorded before it is asked for, so that a killed
worker's items are known as ours; a name is claimed while its shelf is made.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from common.json_value import Json
from common.sanitize import for_log
from migration.errors import (
    Deferred,
    RefusedByServer,
    ResponseLost,
    ServerFault,
    SuperuserMissing,
)
from migration.lanes.lane import Work
from migration.ledger.ledger import Ledger
from migration.ledger.records import Carried, Standing, StandingKind
from migration.metadata.compare import Field, Fields
from migration.metadata.shelves import (
    MadeItem,
    Outcome,
    Plan,
    ShelfChoice,
    Wanted,
    decide,
    fingerprint,
    wanted,
)
from migration.model import EbookId, ShelfId
from migration.server.bookshelves import Bookshelves, ShelfItem

#: By this a shelf whose making was lost is known again as ours.
DESCRIPTION = "From Calibre"
#: How many of a shelf's newest items are looked at for one just made.
NEWEST = (2, 20)
#: The most shelves of an ebook that the server names.
MOST_NAMED = 100
#: The longest sentence about a book's shelves in the log, in characters.
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Shelver:
    """Shelves books; `columns` returns the names of custom columns by label."""

    shelves: Bookshelves
    ledger: Ledger
    choice: ShelfChoice
    columns: Callable[[], Mapping[str, str]]
    log: logging.Logger
    _making: threading.Lock = field(default_factory=threading.Lock)

    def wanted(self, work: Work) -> Wanted:
        """Returns where a book belongs."""
        if not self.choice.any:
            return Wanted()
        return wanted(work.book, work.metadata, self.choice, self.columns())

    def is_current(self, work: Work) -> bool:
        """Whether the book belongs where it did when it was carried; asks nobody."""
        known = self.ledger.carried.get(work.book.id)
        if not self.choice.any or known is None:
            return True
        aim = self.wanted(work)
        notes = {item.note for item in self.ledger.shelves.items(work.book.id).values()}
        waits = any(
            one.field is Field.SHELVES and one.kind is StandingKind.REFUSED
            for one in known.standing
        )
        return (
            known.base.calibre.shelves == aim.names
            and notes <= {fingerprint(aim.note)}
            and not (waits and self.shelves.may_change())
        )

    def carry(
        self,
        work: Work,
        ebook_id: EbookId,
        pass_id: int,
        carried: Carried,
        lost: Mapping[str, Json],
    ) -> tuple[Carried, dict[str, Json]]:
        """Puts a book's ebook where it belongs.

        Returns what was carried with it, and what was not. Raises Transient or
        Deferred.
        """
        outcome = self.shelve(work, ebook_id, pass_id)
        before = next(
            (
                one
                for one in self.ledger.carried.standing(work.book.id)
                if one.field is Field.SHELVES
            ),
            None,
        )
        stands = _standing(outcome, before, pass_id)
        if stands is not None and stands is not before:
            for sentence in outcome.sentences():
                self.log.warning(
                    "Book %s %r: %s",
                    work.book.id,
                    for_log(work.book.title, 120),
                    for_log(sentence, LONGEST),
                )
        base = replace(
            carried.base,
            calibre=replace(carried.base.calibre, shelves=outcome.names),
            server=replace(carried.base.server, shelves=outcome.on_server),
        )
        others = [one for one in carried.standing if one.field is not Field.SHELVES]
        standing = (*others, *([stands] if stands else []))
        kept = {name: lost[name] for name in lost if name not in outcome.carried}
        return replace(carried, base=base, standing=standing), kept

    def shelve(self, work: Work, ebook_id: EbookId, pass_id: int) -> Outcome:
        """Puts the ebook on the shelves it is missing on, and takes it off others.

        Raises Transient or Deferred.
        """
        aim = self.wanted(work)
        made = self.ledger.shelves.items(work.book.id)
        if not self.choice.any or not (aim.names or made):
            return Outcome()
        ids, refused = self._ids(work, aim.names, pass_id)
        belongs = frozenset(ids.values())
        names = {
            **self.ledger.shelves.names_of([*made, *belongs]),
            **{number: name for name, number in ids.items()},
        }
        one = _Items(self, work, ebook_id, pass_id, aim.note, made)
        present = one.present(belongs)
        plan = decide(belongs, aim.note, made, present)
        not_taken = one.add(plan.add)
        refused |= {names[number]: why for number, why in not_taken.items()}
        one.settle(plan)
        changed = one.change(plan)
        added = plan.add - not_taken.keys()
        there = ((present | added) - changed.removed) & names.keys()
        return Outcome(
            aim.names,
            _named(names, there),
            aim.carried if not refused else frozenset(),
            tuple(sorted(_named(names, changed.unallowed))),
            tuple(sorted(_named(names, [*changed.theirs, *plan.left_off]))),
            refused,
        )

    # -- shelves -----------------------------------------------------------------------

    def _ids(
        self, work: Work, names: frozenset[str], pass_id: int
    ) -> tuple[dict[str, ShelfId], dict[str, str]]:
        """Returns the shelves by name, making those that are missing; and refusals."""
        found, refused = self.ledger.shelves.known(names), {}
        for name in sorted(names - found.keys()):
            try:
                with self._making:
                    found[name] = self._shelf(work, name, pass_id)
            except RefusedByServer as error:
                refused[name] = for_log(str(error))
        return found, refused

    def _shelf(self, work: Work, name: str, pass_id: int) -> ShelfId:
        """Finds a shelf, or makes it. Raises Deferred, Transient, RefusedByServer."""
        ledger, book_id = self.ledger.shelves, work.book.id
        if name in (known := ledger.known([name])):
            return known[name]
        lost = ledger.claim(name)
        try:
            there = self.shelves.find(name)
            if there:
                ours = lost and self._is_ours(there[0])
                ledger.keep(name, there[0], pass_id, book_id, made=ours)
                return there[0]
            made = self.shelves.create(
                name, public=self.choice.public, description=DESCRIPTION
            )
        except ResponseLost as error:
            # The claim stays, and says until when that request may be running.
            raise Deferred(f"making the shelf {name!r}: {error}") from error
        except BaseException:
            ledger.release(name)
            raise
        ledger.keep(name, made, pass_id, book_id, made=True)
        self.log.info("Made the shelf %r", name)
        return made

    def _is_ours(self, shelf_id: ShelfId) -> bool:
        shelf = self.shelves.get(shelf_id)
        return shelf is not None and shelf.description == DESCRIPTION


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of one book; `made` are those of ours as they were before."""

    shelver: Shelver
    work: Work
    ebook_id: EbookId
    pass_id: int
    note: str
    made: Mapping[ShelfId, MadeItem]

    def present(self, belongs: frozenset[ShelfId]) -> frozenset[ShelfId]:
        """Returns the shelves the ebook is on, as far as they matter.

        The server names a hundred at most; the others are looked at one by one.
        """
        shelves = self.shelver.shelves
        found = frozenset(shelves.with_ebook(self.ebook_id))
        if len(found) < MOST_NAMED:
            return found
        return found | {
            shelf_id
            for shelf_id in (belongs | self.made.keys()) - found
            if shelves.item(shelf_id, self.ebook_id) is not None
        }

    def add(self, ids: frozenset[ShelfId]) -> dict[ShelfId, str]:
        """Puts the ebook on shelves; returns the server's words where it refuses."""
        if not ids:
            return {}
        ledger, shelves = self.shelver.ledger.shelves, self.shelver.shelves
        book_id = self.work.book.id
        ledger.intend(book_id, ids, self.note)
        new, refused = {}, {}
        for shelf_id in sorted(ids):
            try:
                there = shelves.add(shelf_id, self.ebook_id, self.note)
            except RefusedByServer as error:
                refused[shelf_id] = for_log(str(error))
                continue
            if not there:
                ledger.forget(shelf_id)
                raise ServerFault(
                    f"shelf {shelf_id} was deleted on the server; another one is made"
                )
            item = self._newest(shelf_id)
            number = None if item is None else item.id
            new[shelf_id] = MadeItem(fingerprint(self.note), id=number)
        ledger.settle(self.pass_id, book_id, new, new=True)
        ledger.drop(book_id, {shelf_id: MadeItem("") for shelf_id in refused})
        return refused

    def _newest(self, shelf_id: ShelfId) -> ShelfItem | None:
        """Returns the ebook's item if it is among the newest, as one just made is."""
        for count in NEWEST:
            for item in self.shelver.shelves.newest(shelf_id, count):
                if item.ebook_id == self.ebook_id:
                    return item
        return None

    def settle(self, plan: Plan) -> None:
        """Records what turned out to be there, and what is gone."""
        ledger, book_id = self.shelver.ledger.shelves, self.work.book.id
        found = {}
        for shelf_id in plan.settle:
            item = self.shelver.shelves.item(shelf_id, self.ebook_id)
            number = None if item is None else item.id
            found[shelf_id] = MadeItem(self.made[shelf_id].note, id=number)
        ledger.settle(self.pass_id, book_id, found, new=True)
        ledger.drop(book_id, {one: self.made[one] for one in plan.forget})

    def change(self, plan: Plan) -> "_Changed":
        """Removes items and changes notes, which needs the role superuser."""
        changed = _Changed()
        for shelf_id in sorted(plan.needs_role):
            if not self.shelver.shelves.may_change():
                changed.unallowed.add(shelf_id)
                continue
            try:
                self._change(shelf_id, changed, keeps=shelf_id in plan.renote)
            except SuperuserMissing:
                changed.unallowed.add(shelf_id)
            except RefusedByServer:
                # Somebody changed it this very moment.
                changed.theirs.add(shelf_id)
        return changed

    def _change(self, shelf_id: ShelfId, changed: "_Changed", *, keeps: bool) -> None:
        """Changes the note of an item, or removes it unless the book `keeps` it.

        An item whose note is not ours any more is somebody's.
        """
        ledger, shelves = self.shelver.ledger.shelves, self.shelver.shelves
        ours = self.made[shelf_id]
        item = shelves.item(shelf_id, self.ebook_id, ours.id)
        if item is not None and fingerprint(item.note) != ours.note:
            changed.theirs.add(shelf_id)
        elif item is not None and keeps:
            shelves.change_note(item, self.note)
        elif not keeps:
            changed.removed.add(shelf_id)
            if item is not None:
                shelves.remove_item(item.id)
        if keeps:
            after = replace(ours, note=fingerprint(self.note), pending=False)
            ledger.settle(self.pass_id, self.work.book.id, {shelf_id: after})
        else:
            ledger.drop(self.work.book.id, {shelf_id: ours})


@dataclass(frozen=True, slots=True)
class _Changed:
    """What came of changes: `theirs` are items that are somebody's by now."""

    removed: set[ShelfId] = field(default_factory=set)
    theirs: set[ShelfId] = field(default_factory=set)
    unallowed: set[ShelfId] = field(default_factory=set)


def _named(names: Mapping[ShelfId, str], ids: Collection[ShelfId]) -> frozenset[str]:
    return frozenset(names.get(shelf_id, f"shelf {shelf_id}") for shelf_id in ids)


def _standing(
    outcome: Outcome, before: Standing | None, pass_id: int
) -> Standing | None:
    """Returns the difference that stands after all, as it was reported if it was."""
    if outcome.unallowed or outcome.refused:
        kind = StandingKind.REFUSED
    elif outcome.kept:
        kind = StandingKind.KEPT
    elif before is not None and outcome.names != outcome.on_server:
        return before
    else:
        return None
    calibre, server = (
        Fields(shelves=names).reported(Field.SHELVES)
        for names in (outcome.names, outcome.on_server)
    )
    now = Standing(Field.SHELVES, kind, calibre, server, pass_id)
    if before is not None and replace(before, pass_id=pass_id) == now:
        return before
    return now
