"""Bookshelves of a batch: found by exact name or made, and filled by COPY.

The server looks before it puts an ebook on a shelf; a new ebook is on none yet.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from migration.model import EbookId, ItemId, ShelfId
from migration.server.direct.batch import Placed, Shelved
from migration.server.direct.connection import Cursor, DatabaseSession
from migration.server.direct.names import lock_names

#: The oldest of each name: the server takes two shelves of one name.
_FIND = """
    SELECT min(id), name FROM public.bookshelf
    WHERE created_by_id = %s AND name = ANY(%s) GROUP BY name
"""
_MAKE = """
    INSERT INTO public.bookshelf (version_id, created, modified, name, description,
        public, created_by_id, modified_by_id)
    SELECT 1, localtimestamp + n * interval '1 microsecond',
        localtimestamp + n * interval '1 microsecond', name, %s, %s, %s, %s
    FROM unnest(%s::text[]) WITH ORDINALITY AS w (name, n) ORDER BY n
    RETURNING id, name
"""
_IDS = """
    SELECT nextval('public.bookshelf_item_id_seq') FROM generate_series(1, %s)
"""
_COPY = """
    COPY public.bookshelf_item (id, version_id, created, modified, type, bookshelf_id,
        ebook_id, note, created_by_id, modified_by_id) FROM STDIN
"""
#: In the order of their ids, as all lanes lock them, and so that who is adding an item
#: meanwhile does not stand in the way.
_TOUCH = """
    WITH changed AS (
        SELECT id FROM public.bookshelf WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE public.bookshelf b SET modified = localtimestamp, version_id = version_id + 1
    FROM changed WHERE b.id = changed.id
"""


@dataclass(slots=True)
class ShelfRows:
    """The shelves of the user `owner`; `public` and `description` are of new ones."""

    owner: int
    public: bool
    description: str
    ids: dict[str, ShelfId] = field(default_factory=dict)
    #: Shelves made here on which nothing was put yet.
    made: set[ShelfId] = field(default_factory=set)

    def forget(self) -> None:
        """Forgets all ids: somebody has deleted a shelf."""
        self.ids.clear()

    def learn(self, session: DatabaseSession, names: Collection[str]) -> None:
        """Finds or makes shelves, in a short transaction."""
        unknown = sorted(set(names) - self.ids.keys())
        if not unknown:
            return
        with session.transaction() as db:
            lock_names(db)
            db.execute(_FIND, (self.owner, unknown))
            found = {name: ShelfId(number) for number, name in db}
            new = [name for name in unknown if name not in found]
            made = self._make(db, new) if new else {}
        self.ids.update(found | made)
        self.made.update(made.values())

    def _make(self, db: Cursor, names: list[str]) -> dict[str, ShelfId]:
        values = (self.description, self.public, self.owner, self.owner, names)
        db.execute(_MAKE, values)
        return {name: ShelfId(number) for number, name in db}

    def fill(
        self, db: Cursor, books: Sequence[Placed]
    ) -> Mapping[EbookId, tuple[Shelved, ...]]:
        """Puts books on their shelves, in the transaction of their rows."""
        wanted = [
            (book, name) for book in books for name in sorted(book.drawn.book.shelves)
        ]
        found: dict[EbookId, tuple[Shelved, ...]] = {}
        if not wanted:
            return found
        row = db.execute("SELECT localtimestamp").fetchone()
        assert row is not None
        at = row[0]
        db.execute(_IDS, (len(wanted),))
        numbers = [ItemId(number) for (number,) in db]
        with db.copy(_COPY) as copy:
            for number, (book, name) in zip(numbers, wanted, strict=True):
                ebook, shelf = book.drawn.ebook_id, self.ids[name]
                note = book.drawn.book.note or None
                what = (number, 1, at, at, "EBOOK", shelf, ebook, note)
                copy.write_row((*what, self.owner, self.owner))
                made = Shelved(name, shelf, number, made_shelf=shelf in self.made)
                found[ebook] = (*found.get(ebook, ()), made)
        db.execute(_TOUCH, (list({self.ids[name] for _book, name in wanted}),))
        return found

    def filled(self, items: Mapping[EbookId, Sequence[Shelved]]) -> None:
        """Takes note that these items are committed."""
        for shelved in items.values():
            self.made.difference_update(one.shelf_id for one in shelved)
