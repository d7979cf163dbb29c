"""Looks at things we made on the server, and deletes those that nobody has touched.

`removal` decides. Everything may be done twice: a thing is read again right before it
is deleted, and one that is gone is only forgotten.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace

from common.sanitize import for_log
from migration.checks import removal
from migration.checks.removal import (
    Fate,
    Reason,
    SeenEbook,
    SeenItem,
    SeenShelf,
    SeenSource,
    Sent,
    Verdict,
    stays,
)
from migration.errors import Rejected, ServerFault, SuperuserMissing
from migration.ledger.ledger import Ledger
from migration.ledger.records import Made, MadeKind
from migration.ledger.tables.undoing import RATING
from migration.metadata.shelves import fingerprint
from migration.model import BookId, EbookId, ItemId, ShelfId, SourceId
from migration.server.bookshelves import Bookshelves, ShelfItem
from migration.server.client import BookshelfClient
from migration.server.editing import Editor

#: A server that fails this often on one thing, but answers otherwise, will not do it.
TRIES = 3
#: What is counted when something was not on the server any more.
GONE_ALREADY = "gone already"


@dataclass(frozen=True, slots=True)
class EbookToGo:
    """An ebook of a book, and the sources in it that go with it."""

    book_id: BookId
    ebook_id: EbookId
    ours: Mapping[SourceId, Sent]


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Takes things back, or only looks at them unless it may `act`.

    `pass_id` is the pass in which what is deleted counts. `sleep` waits that many
    seconds, and may raise to stop. Every method raises Transient when the server is
    away.
    """

    client: BookshelfClient
    ledger: Ledger
    sleep: Callable[[float], None]
    pass_id: int
    act: bool

    @property
    def _shelves(self) -> Bookshelves:
        return Bookshelves(self.client.session)

    def _attempt(self, do: Callable[[], Verdict]) -> Verdict:
        """Tries; a thing on which the server fails, or that it refuses, stays."""
        fault = ""
        for _ in range(TRIES):
            try:
                return do()
            except SuperuserMissing:
                return stays(Reason.ROLE)
            except Rejected as refusal:
                return stays(Reason.REFUSED, str(refusal))
            except ServerFault as error:
                fault = str(error)
                if error.retry_after or self.client.probe() is not None:
                    raise
                self.sleep(1.0)
        return stays(Reason.REFUSED, f"it fails on it: {fault}")

    # -- ebooks ------------------------------------------------------------------------

    def ebook(self, it: EbookToGo) -> Verdict:
        """Deletes an ebook with all that is in it."""
        off: dict[ShelfId, ShelfItem] = {}
        verdict = self._attempt(lambda: self._ebook(it, off))
        if not self.act:
            return verdict
        if verdict.fate is Fate.STAYS:
            self._give_back(it, off)
            return verdict
        what = MadeKind.EBOOK if verdict.fate is Fate.GOES else GONE_ALREADY
        self.ledger.undoing.ebook_is_gone(
            self.pass_id, it.book_id, it.ebook_id, it.ours, what
        )
        return verdict

    def _ebook(self, it: EbookToGo, off: dict[ShelfId, ShelfItem]) -> Verdict:
        """Judges an ebook and deletes it; `off` collects what is taken off shelves."""
        seen, verdict = self._judged(it)
        if verdict.fate is not Fate.GOES:
            return verdict
        items = self._items_of(it, seen)
        if isinstance(items, Verdict) or not self.act:
            return items if isinstance(items, Verdict) else verdict
        rating = seen.ebook.fields.rating if seen.ebook is not None else None
        if rating is not None:
            self.ledger.undoing.keep_rating(it.book_id, it.ebook_id, rating)
            self.client.unrate(it.ebook_id)
            seen = replace(seen, taken=rating)
        for shelf_id, item in items.items():
            self._shelves.remove_item(item.id)
            off[shelf_id] = item
        # Read again right before: what somebody did meanwhile counts.
        now = replace(seen, ebook=self.client.ebook(it.ebook_id))
        if items:
            now = replace(now, shelves=self._on_shelves(it.ebook_id))
        verdict = removal.of_ebook(now)
        if verdict.fate is Fate.GOES:
            self.client.delete_whole(it.ebook_id)
        return verdict

    def _judged(self, it: EbookToGo) -> tuple[SeenEbook, Verdict]:
        """Returns what is known of an ebook, asking for no more than decides."""
        ebook = self.client.ebook(it.ebook_id)
        made = self.ledger.undoing.find(MadeKind.EBOOK, it.ebook_id)
        taken = made.detail.get(RATING) if made is not None else None
        shown = (
            [source_id for source_id, _name, _size in ebook.sources] if ebook else []
        )
        seen = SeenEbook(
            ebook,
            self.ledger.carried.get(it.book_id),
            it.ours,
            self._passes(source_id for source_id in shown if source_id not in it.ours),
            self.client.session.user_id,
            self.client.session.is_superuser(),
            our_shelves=frozenset(self.ledger.shelves.items(it.book_id)),
            taken=taken if isinstance(taken, int | float) else None,
        )
        verdict = removal.of_ebook(seen)
        if verdict.fate is Fate.GOES:
            cover = Editor(self.client.session).cover(it.ebook_id)
            seen = replace(seen, cover=cover, neighbours=self._neighbours(it, seen))
            verdict = removal.of_ebook(seen)
        if verdict.fate is Fate.GOES:
            seen = replace(seen, shelves=self._on_shelves(it.ebook_id))
            verdict = removal.of_ebook(seen)
        return seen, verdict

    def _neighbours(self, it: EbookToGo, seen: SeenEbook) -> frozenset[EbookId]:
        """Returns other ebooks whose files are in the same folder.

        MyBookshelf2 keeps one cover per folder, and deletes it with either ebook. Our
        folders are named after working titles, so only another migration of the same
        library can be in one: by another user, of the same books with other bytes.
        """
        ebook, state = seen.ebook, self.ledger.books.get(it.book_id)
        if ebook is None or state is None or not ebook.folders:
            return frozenset()
        titles = {ebook.title, state.working_title}
        named = {found for title in titles for found in self.client.find(title)}
        others = [self.client.ebook(found) for found in sorted(named - {ebook.id})]
        return frozenset(
            other.id
            for other in others
            if other is not None and other.folders & ebook.folders
        )

    def _passes(self, sources: Iterable[SourceId]) -> dict[SourceId, int]:
        """Returns which pass sent each of these sources, of those some pass sent."""
        found = {
            source_id: self.ledger.undoing.find(MadeKind.SOURCE, source_id)
            for source_id in sources
        }
        return {number: made.pass_id for number, made in found.items() if made}

    def _on_shelves(self, ebook_id: EbookId) -> dict[int, str]:
        return {
            int(one): name for one, name in self._shelves.with_ebook(ebook_id).items()
        }

    def _items_of(
        self, it: EbookToGo, seen: SeenEbook
    ) -> dict[ShelfId, ShelfItem] | Verdict:
        """Returns our items with the ebook, or why it stays because of one."""
        made = self.ledger.shelves.items(it.book_id)
        found: dict[ShelfId, ShelfItem] = {}
        for number, name in (seen.shelves or {}).items():
            known = made[ShelfId(number)]
            item = self._shelves.item(ShelfId(number), it.ebook_id, known.id)
            if item is None:
                continue
            if fingerprint(item.note) != known.note:
                return stays(Reason.SHELVED, f"note on {for_log(name, 60)!r}")
            found[ShelfId(number)] = item
        return found

    def _give_back(self, it: EbookToGo, off: Mapping[ShelfId, ShelfItem]) -> None:
        """Gives an ebook that stays its rating and its places on shelves again."""
        made = self.ledger.undoing.find(MadeKind.EBOOK, it.ebook_id)
        taken = made.detail.get(RATING) if made is not None else None
        if isinstance(taken, int | float):
            ebook = self.client.ebook(it.ebook_id)
            if ebook is not None and ebook.fields.rating is None:
                self.client.rate(it.ebook_id, round(taken))
            self.ledger.undoing.keep_rating(it.book_id, it.ebook_id, None)
        for shelf_id, item in off.items():
            self._shelves.add(shelf_id, it.ebook_id, item.note)

    # -- files -------------------------------------------------------------------------

    def source(
        self,
        it: EbookToGo,
        source_id: SourceId,
        others: tuple[int, ...] = (),
    ) -> Verdict:
        """Deletes one file of an ebook that stays; `others` have no file but this."""
        return self._attempt(lambda: self._source(it, source_id, others))

    def _source(
        self, it: EbookToGo, source_id: SourceId, others: tuple[int, ...]
    ) -> Verdict:
        seen = SeenSource(
            self.client.ebook(it.ebook_id),
            source_id,
            it.ours[source_id],
            self.client.session.user_id,
            others,
        )
        verdict = removal.of_source(seen)
        if not self.act or verdict.fate is Fate.STAYS:
            return verdict
        if verdict.fate is Fate.GOES:
            self.client.delete_source(source_id)
        what = MadeKind.SOURCE if verdict.fate is Fate.GOES else GONE_ALREADY
        self.ledger.undoing.source_is_gone(self.pass_id, it.book_id, source_id, what)
        return verdict

    # -- shelves -----------------------------------------------------------------------

    def item(self, made: Made, ebook_id: EbookId | None) -> Verdict:
        """Takes an ebook that stays off a shelf of ours."""
        return self._attempt(lambda: self._take_off(made, ebook_id))

    def _take_off(self, made: Made, ebook_id: EbookId | None) -> Verdict:
        shelf_id = ShelfId(int(str(made.detail.get("shelf", 0))))
        item_id = ItemId(made.server_id)
        found = (
            None
            if ebook_id is None
            else self._shelves.item(shelf_id, ebook_id, item_id)
        )
        is_ours = found is not None and found.id == item_id
        # A later pass may have changed the note.
        known = self.ledger.shelves.items(made.book_id).get(shelf_id)
        verdict = removal.of_item(
            SeenItem(
                fingerprint(found.note) if found is not None and is_ours else None,
                known.note if known else str(made.detail.get("note", "")),
                self.client.session.is_superuser(),
            )
        )
        if not self.act or verdict.fate is Fate.STAYS:
            return verdict
        if verdict.fate is Fate.GOES:
            self._shelves.remove_item(ItemId(made.server_id))
        what = MadeKind.ITEM if verdict.fate is Fate.GOES else GONE_ALREADY
        self.ledger.undoing.item_is_gone(
            self.pass_id, made.book_id, made.server_id, shelf_id, what
        )
        return verdict

    def shelf(self, made: Made, items: Set[ItemId], ebooks: Set[EbookId]) -> Verdict:
        """Deletes a shelf of ours.

        `items` and `ebooks` are those that go, or are gone.
        """
        return self._attempt(lambda: self._shelf(made, items, ebooks))

    def _shelf(self, made: Made, going: Set[ItemId], ebooks: Set[EbookId]) -> Verdict:
        shelf_id = ShelfId(made.server_id)
        shown = self._shelves.get(shelf_id)
        items = [*self._shelves.items(shelf_id)] if shown else []
        verdict = removal.of_shelf(
            SeenShelf(
                shown.name if shown else None,
                str(made.detail.get("name", "")),
                frozenset(one.id for one in items),
                frozenset(
                    one.id for one in items if one.id in going or one.ebook_id in ebooks
                ),
                self.client.session.is_superuser(),
            )
        )
        if not self.act or verdict.fate is Fate.STAYS:
            return verdict
        if verdict.fate is Fate.GOES:
            self._shelves.delete(shelf_id)
        what = MadeKind.SHELF if verdict.fate is Fate.GOES else GONE_ALREADY
        self.ledger.undoing.shelf_is_gone(self.pass_id, shelf_id, what)
        return verdict
