"""The shelves part of the ledger: shelves of ours by name, and the items we made."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from common.clock import SteadyClock
from migration.ledger.database import LedgerDatabase
from migration.ledger.records import MadeKind
from migration.ledger.tables import carried, shelves
from migration.metadata.shelves import MadeItem, fingerprint
from migration.model import BookId, ShelfId


class Shelves:
    """Shelves and their items, safe to use from several threads."""

    def __init__(
        self,
        database: LedgerDatabase,
        owner: str,
        clock: SteadyClock,
        settle: timedelta,
        is_alive: Callable[[str], bool],
    ) -> None:
        """`settle` is how long a request whose answer was lost may still be running."""
        self._database = database
        self._owner = owner
        self._clock = clock
        self._settle = settle
        self._is_alive = is_alive

    def known(self, names: Collection[str]) -> dict[str, ShelfId]:
        """Returns those of these shelves that the ledger knows."""
        with self._database.reading() as db:
            found = {name: shelves.id_of(db, name) for name in names}
        return {name: number for name, number in found.items() if number is not None}

    def names_of(self, ids: Collection[ShelfId]) -> dict[ShelfId, str]:
        """Returns the names of shelves."""
        with self._database.reading() as db:
            return shelves.names_of(db, ids)

    def claim(self, name: str) -> bool:
        """Claims a name to look for it and make it.

        Returns whether an earlier request may have made it. Raises Deferred while
        another process has the claim, and while a lost request may still be running.
        """
        with self._database.transaction() as db:
            return shelves.claim(
                db,
                name,
                owner=self._owner,
                clock=self._clock,
                alive=self._is_alive,
                settle=self._settle,
            )

    def release(self, name: str) -> None:
        """Releases a name: no request to make it is under way."""
        with self._database.transaction(durable=False) as db:
            shelves.release(db, name)

    def keep(
        self, name: str, shelf_id: ShelfId, pass_id: int, book_id: BookId, *, made: bool
    ) -> None:
        """Records a shelf that was made, or found there; releases its name."""
        with self._database.transaction() as db:
            shelves.keep(db, name, shelf_id)
            if made:
                carried.made(db, pass_id, MadeKind.SHELF, shelf_id, book_id, name=name)

    def forget(self, shelf_id: ShelfId) -> None:
        """Forgets a shelf that somebody deleted on the server, with its items."""
        with self._database.transaction() as db:
            shelves.forget(db, shelf_id)
            carried.made_is_gone(db, MadeKind.SHELF, shelf_id)

    # -- items -------------------------------------------------------------------------

    def items(self, book_id: BookId) -> dict[ShelfId, MadeItem]:
        """Returns the book's items that we made, or were about to make."""
        with self._database.reading() as db:
            return shelves.items_of(db, book_id)

    def intend(self, book_id: BookId, ids: Collection[ShelfId], note: str) -> None:
        """Records that a book is about to be put on these shelves."""
        with self._database.transaction() as db:
            for shelf_id in ids:
                item = MadeItem(fingerprint(note), pending=True)
                shelves.write_item(db, book_id, shelf_id, item)

    def settle(
        self,
        pass_id: int,
        book_id: BookId,
        items: Mapping[ShelfId, MadeItem],
        *,
        new: bool = False,
    ) -> None:
        """Records items that are there; `new` are made in this pass."""
        with self._database.transaction(durable=False) as db:
            for shelf_id, item in items.items():
                shelves.write_item(db, book_id, shelf_id, item)
                if new and item.id is not None:
                    carried.made(
                        db,
                        pass_id,
                        MadeKind.ITEM,
                        item.id,
                        book_id,
                        shelf=shelf_id,
                        note=item.note,
                    )

    def drop(self, book_id: BookId, items: Mapping[ShelfId, MadeItem]) -> None:
        """Forgets items that are not ours any more, or not there."""
        with self._database.transaction(durable=False) as db:
            for shelf_id, item in items.items():
                shelves.drop_item(db, book_id, shelf_id)
                if item.id is not None:
                    carried.made_is_gone(db, MadeKind.ITEM, item.id)
