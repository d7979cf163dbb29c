"""Puts books on shelves and keeps them in step. Repeatable.

`metadata.shelves` decides. An item is recorded before it is asked for, so that a killed
worker's items are known as ours; a name is claimed while its shelf is made.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.sanitize import for_log
from migration.errors import Deferred, RefusedByServer, ResponseLost, ServerFault
from migration.ledger.parts.shelves import Shelves
from migration.metadata.shelves import (
    Outcome,
    Plan,
    ShelfChoice,
    Wanted,
    decide,
    fingerprint,
    wanted,
)
from migration.model import Book, BookId, EbookId, EbookMetadata, ItemId, ShelfId
from migration.server.bookshelves import Bookshelves, ShelfItem

#: By this a shelf whose making was lost is known again as ours.
DESCRIPTION = "From Calibre"
#: The newest items of a shelf, among which one just made is looked for.
NEWEST = (2, 20)


@dataclass(frozen=True, slots=True)
class _Book:
    """One book that is shelved: what it is on the server, where it belongs."""

    id: BookId
    ebook_id: EbookId
    pass_id: int
    note: str
    made: Mapping[ShelfId, ItemId]


@dataclass(frozen=True, slots=True)
class Shelver:
    """Shelves books. Thread-safe.

    `columns` are the names of custom columns by label.
    """

    shelves: Bookshelves
    ledger: Shelves
    choice: ShelfChoice
    columns: Mapping[str, str]
    superuser: bool
    log: logging.Logger
    _making: threading.Lock = field(default_factory=threading.Lock)

    def wanted(self, book: Book, metadata: EbookMetadata) -> Wanted:
        """Returns where a book belongs."""
        if not self.choice.any:
            return Wanted()
        return wanted(book, metadata, self.choice, self.columns)

    def shelve(
        self, book: Book, metadata: EbookMetadata, ebook_id: EbookId, pass_id: int
    ) -> Outcome:
        """Puts the book's ebook where it belongs, and takes it off where it does not.

        Raises Transient or Deferred.
        """
        aim = self.wanted(book, metadata)
        made = self.ledger.items(book.id)
        if not self.choice.any or not (aim.names or made):
            return Outcome()
        ids, refused = self._ids(aim, book.id, pass_id)
        present = self.shelves.with_ebook(ebook_id)
        belongs = frozenset(ids.values())
        plan = decide(belongs, aim.note, made, frozenset(present))
        one = _Book(
            book.id, ebook_id, pass_id, aim.note, self.ledger.made_items(book.id)
        )
        self._add(one, plan)
        known = {shelf_id: item.note for shelf_id, item in made.items()}
        self.ledger.settle(
            pass_id,
            book.id,
            {shelf_id: known[shelf_id] for shelf_id in plan.settle},
            {},
        )
        self.ledger.drop(book.id, plan.forget, [])
        removed, edited = self._as_superuser(one, plan, known)
        names = {
            **self.ledger.names_of([*made, *belongs]),
            **{number: name for name, number in ids.items()},
        }
        there = ((frozenset(present) | plan.add) - removed) & names.keys()
        unallowed = () if self.superuser else plan.needs_role
        return Outcome(
            aim.names,
            frozenset(names[number] for number in there),
            aim.carried if not refused else frozenset(),
            _sorted(names, unallowed),
            _sorted(names, edited),
            refused,
        )

    # -- shelves -----------------------------------------------------------------------

    def _ids(
        self, aim: Wanted, book_id: BookId, pass_id: int
    ) -> tuple[dict[str, ShelfId], dict[str, str]]:
        """Returns the shelves by name, making those that are missing; and refusals."""
        found = self.ledger.known(aim.names)
        refused = {}
        for name in sorted(aim.names - found.keys()):
            try:
                with self._making:
                    found[name] = self._shelf(name, book_id, pass_id)
            except RefusedByServer as error:
                refused[name] = for_log(str(error))
        return found, refused

    def _shelf(self, name: str, book_id: BookId, pass_id: int) -> ShelfId:
        """Finds a shelf, or makes it. Raises Deferred, Transient, RefusedByServer."""
        known = self.ledger.known([name])
        if name in known:
            return known[name]
        lost = self.ledger.claim(name)
        try:
            there = self.shelves.find(name)
            if there:
                ours = lost and self._is_ours(there[0])
                self.ledger.keep(name, there[0], pass_id, book_id, made=ours)
                return there[0]
            made = self.shelves.create(
                name, public=self.choice.public, description=DESCRIPTION
            )
        except ResponseLost as error:
            # The claim stays, and says until when that request may be running.
            raise Deferred(
                f"the answer to making the shelf {name!r}: {error}"
            ) from error
        except BaseException:
            self.ledger.release(name)
            raise
        self.ledger.keep(name, made, pass_id, book_id, made=True)
        self.log.info("Made the shelf %r", name)
        return made

    def _is_ours(self, shelf_id: ShelfId) -> bool:
        shelf = self.shelves.get(shelf_id)
        return shelf is not None and shelf.description == DESCRIPTION

    # -- items -------------------------------------------------------------------------

    def _add(self, one: _Book, plan: Plan) -> None:
        """Puts the ebook on the shelves it is missing on."""
        if not plan.add:
            return
        self.ledger.intend(one.id, plan.add, one.note)
        ids = {}
        for shelf_id in sorted(plan.add):
            if not self.shelves.add(shelf_id, one.ebook_id, one.note):
                self.ledger.forget(shelf_id)
                raise ServerFault(
                    f"shelf {shelf_id} was deleted on the server; another one is made"
                )
            item = self._newest(shelf_id, one.ebook_id)
            if item is not None:
                ids[shelf_id] = item.id
        notes = dict.fromkeys(plan.add, fingerprint(one.note))
        self.ledger.settle(one.pass_id, one.id, notes, ids)

    def _newest(self, shelf_id: ShelfId, ebook_id: EbookId) -> ShelfItem | None:
        """Returns the ebook's item if it is among the newest, as one just made is."""
        for count in NEWEST:
            for item in self.shelves.newest(shelf_id, count):
                if item.ebook_id == ebook_id:
                    return item
        return None

    def _as_superuser(
        self, one: _Book, plan: Plan, known: Mapping[ShelfId, str]
    ) -> tuple[frozenset[ShelfId], list[ShelfId]]:
        """Removes items and changes notes, where the user may.

        Returns the shelves the ebook is off now, and those whose item is somebody's by
        now: its note is not ours.
        """
        removed, edited = set[ShelfId](), []
        for shelf_id in sorted(plan.needs_role) if self.superuser else ():
            item = self.shelves.item(shelf_id, one.ebook_id, one.made.get(shelf_id))
            is_theirs = item is not None and fingerprint(item.note) != known[shelf_id]
            if is_theirs:
                edited.append(shelf_id)
            if shelf_id in plan.renote:
                if item is not None and not is_theirs:
                    self.shelves.change_note(item, one.note)
                note = {shelf_id: fingerprint(one.note)}
                self.ledger.settle(one.pass_id, one.id, note, {})
                continue
            if item is not None and not is_theirs:
                self.shelves.remove_item(item.id)
            if not is_theirs:
                removed.add(shelf_id)
            gone = [one.made[shelf_id]] if shelf_id in one.made else []
            self.ledger.drop(one.id, [shelf_id], gone)
        return frozenset(removed), edited


def _sorted(
    names: Mapping[ShelfId, str], ids: "frozenset[ShelfId] | list[ShelfId] | tuple[()]"
) -> tuple[str, ...]:
    return tuple(sorted(names.get(shelf_id, str(shelf_id)) for shelf_id in ids))
