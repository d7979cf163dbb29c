"""The client's part for bookshelves: look, create, fill, change.

The server takes two shelves of one name: look before creating one. Putting an ebook on
a shelf twice changes nothing. Changing and removing needs the role superuser, also for
one's own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from common.json_value import Json
from migration.errors import RefusedByServer, ServerFault, SuperuserMissing
from migration.model import EbookId, ItemId, ShelfId
from migration.server import payloads
from migration.server.http.responses import Response
from migration.server.session import Session, accepted

#: Shelves and items per page. A note may have 10,000 characters, and JSON twelve bytes
#: for each; a page has to stay below the longest answer that is read.
SHELVES_PER_PAGE, ITEMS_PER_PAGE = 100, 20
#: The longest name of a shelf.
NAME_LENGTH = 256
#: How often an add is tried: as many as may be under way for one shelf.
ADDS = 10


@dataclass(frozen=True, slots=True)
class Bookshelf:
    """A shelf. `public` and `items_count` are None where the answer did not say."""

    id: ShelfId
    name: str
    description: str = ""
    public: bool | None = None
    items_count: int | None = None


@dataclass(frozen=True, slots=True)
class ShelfItem:
    """An item of a shelf; `ebook_id` is None for a series."""

    id: ItemId
    version: int
    note: str
    ebook_id: EbookId | None


class Bookshelves:
    """The shelves of one user on one server. Thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def may_change(self) -> bool:
        """Whether the user may change and remove items, and shelves."""
        return self._session.is_superuser()

    def mine(self) -> Iterator[Bookshelf]:
        """Yields all shelves of this user, by name."""
        path = f"/api/bookshelves/mine?sort=name&page_size={SHELVES_PER_PAGE}"
        for item in self._paged(path, SHELVES_PER_PAGE):
            yield _shelf(item)

    def find(self, name: str) -> tuple[ShelfId, ...]:
        """Returns this user's shelves of exactly this name, the oldest first.

        The index of names is asked where a path can hold the name and its wildcards
        mean themselves; all shelves are read otherwise, and when it shows not all.
        """
        if not _plain(name):
            return self._found(name)
        response = self._session.call(
            "GET", f"/api/bookshelves/mine/index/{quote(name, safe='')}"
        )
        listed = payloads.items(accepted(response))
        if len(listed) < payloads.integer(response.mapping().get("total")):
            return self._found(name)
        return _named(map(_shelf, listed), name)

    def _found(self, name: str) -> tuple[ShelfId, ...]:
        return _named(self.mine(), name)

    def get(self, shelf_id: ShelfId) -> Bookshelf | None:
        """Returns a shelf, or None when it does not exist."""
        response = self._session.call("GET", f"/api/bookshelves/{shelf_id}")
        return None if response.status == 404 else _shelf(accepted(response).mapping())

    def create(self, name: str, *, public: bool, description: str = "") -> ShelfId:
        """Makes a shelf.

        Raises ResponseLost when it may have been made: look then.
        """
        body: dict[str, Json] = {"name": name, "public": public}
        if description:
            body["description"] = description
        response = accepted(self._session.call("POST", "/api/bookshelves/mine", body))
        return ShelfId(payloads.integer(response.mapping().get("id")))

    def items(self, shelf_id: ShelfId) -> Iterator[ShelfItem]:
        """Yields a shelf's items in the order they were put there.

        Those of a shelf that does not exist are none.
        """
        path = f"{_items(shelf_id)}&page_size={ITEMS_PER_PAGE}"
        for item in self._paged(path, ITEMS_PER_PAGE):
            yield _item(item)

    def newest(self, shelf_id: ShelfId, count: int) -> list[ShelfItem]:
        """Returns at most so many items of a shelf, the newest first: one request."""
        path = f"{_items(shelf_id, '-created')}&page_size={count}&page=1"
        response = self._session.call("GET", path)
        if response.status == 404:
            return []
        return [_item(item) for item in payloads.items(accepted(response))]

    def item(
        self, shelf_id: ShelfId, ebook_id: EbookId, item_id: ItemId | None = None
    ) -> ShelfItem | None:
        """Returns an ebook's item on a shelf, or None when it is not there.

        With its id its page is searched by halving, as ids grow; without, or if that
        does not find it, the whole shelf is read.
        """
        near = self._page_of(shelf_id, item_id) if item_id is not None else []
        found = next((item for item in near if item.ebook_id == ebook_id), None)
        if found is not None:
            return found
        every = self.items(shelf_id)
        return next((item for item in every if item.ebook_id == ebook_id), None)

    def _page_of(self, shelf_id: ShelfId, item_id: ItemId) -> list[ShelfItem]:
        """Returns the page on which an item is, if it is there."""
        low, high, page = (
            1,
            -(-self._total(shelf_id) // ITEMS_PER_PAGE),
            list[ShelfItem](),
        )
        while low <= high:
            middle = (low + high) // 2
            path = f"{_items(shelf_id)}&page_size={ITEMS_PER_PAGE}&page={middle}"
            response = self._session.call("GET", path)
            # A page that is gone: the shelf has become shorter.
            listed = (
                [] if response.status == 404 else payloads.items(accepted(response))
            )
            page = [_item(item) for item in listed]
            if not page or item_id < page[0].id:
                high = middle - 1
            elif item_id > page[-1].id:
                low = middle + 1
            else:
                break
        return page

    def _total(self, shelf_id: ShelfId) -> int:
        response = self._session.call("GET", f"{_items(shelf_id)}&page_size=1")
        if response.status == 404:
            return 0
        return payloads.integer(accepted(response).mapping().get("total"))

    def add(self, shelf_id: ShelfId, ebook_id: EbookId, note: str = "") -> bool:
        """Puts an ebook on a shelf; one that is on it stays as it is, with its note.

        Returns whether the shelf exists. An ebook that does not is a ServerFault, as
        the server tells nobody. To a MyBookshelf2 this is a change of the shelf: of
        several at the same moment all but one fail with HTTP 500, and are made again.
        """
        for _ in range(ADDS - 1):
            try:
                return self._add(shelf_id, ebook_id, note)
            except ServerFault as fault:
                if fault.retry_after:
                    raise
        return self._add(shelf_id, ebook_id, note)

    def _add(self, shelf_id: ShelfId, ebook_id: EbookId, note: str) -> bool:
        body: dict[str, Json] = {"ebook": {"id": ebook_id}}
        if note:
            body["note"] = note
        response = self._session.call("POST", f"/api/bookshelves/{shelf_id}/add", body)
        if response.status == 404:
            return False
        accepted(response)
        return True

    def with_ebook(self, ebook_id: EbookId) -> dict[ShelfId, str]:
        """Returns the shelves that hold an ebook: name by id, at most a hundred."""
        response = self._session.call("GET", f"/api/bookshelves/with-ebook/{ebook_id}")
        shelves = map(_shelf, payloads.items(accepted(response)))
        return {shelf.id: shelf.name for shelf in shelves}

    def change_note(self, item: ShelfItem, note: str) -> None:
        """Changes an item's note.

        Raises SuperuserMissing, and RefusedByServer when somebody changed the item
        meanwhile.
        """
        body: dict[str, Json] = {"note": note, "version_id": item.version}
        path = f"/api/bookshelf-items/{item.id}"
        accepted(_allowed(lambda: self._session.call("PATCH", path, body)))

    def remove_item(self, item_id: ItemId) -> None:
        """Takes an item off its shelf; one that is gone is fine.

        Raises SuperuserMissing.
        """
        self._remove(f"/api/bookshelf-items/{item_id}")

    def delete(self, shelf_id: ShelfId) -> None:
        """Deletes a shelf with its items; one that is gone is fine.

        Raises SuperuserMissing.
        """
        self._remove(f"/api/bookshelves/{shelf_id}")

    def _remove(self, path: str) -> None:
        response = _allowed(lambda: self._session.call("DELETE", path))
        if response.status != 404:
            accepted(response)

    def _paged(self, path: str, size: int) -> Iterator[dict[str, Json]]:
        """Yields the objects of all pages; a page after the last is 404."""
        number = 1
        while True:
            response = self._session.call("GET", f"{path}&page={number}")
            if response.status == 404:
                return
            listed = payloads.items(accepted(response))
            yield from listed
            if len(listed) < size:
                return
            number += 1


def _items(shelf_id: ShelfId, sort: str = "created") -> str:
    return f"/api/bookshelves/{shelf_id}/items?sort={sort}"


def _allowed(send: Callable[[], Response]) -> Response:
    """Sends what needs the role superuser."""
    try:
        return send()
    except RefusedByServer as refused:
        # The session raises it for HTTP 403 only.
        raise SuperuserMissing(
            "the user lacks the role 'superuser', without which MyBookshelf2 lets "
            "nobody change or remove items of shelves, or shelves, not even one's own"
        ) from refused


def _plain(name: str) -> bool:
    """Whether a name can be asked for as a path's last part, without wildcards."""
    return bool(name.strip(" .")) and not any(
        char in "/%_\\" or not char.isprintable() for char in name
    )


def _named(shelves: Iterator[Bookshelf], name: str) -> tuple[ShelfId, ...]:
    return tuple(sorted(shelf.id for shelf in shelves if shelf.name == name))


def _shelf(body: dict[str, Json]) -> Bookshelf:
    public, count = body.get("public"), body.get("items_count")
    return Bookshelf(
        ShelfId(payloads.integer(body.get("id"))),
        payloads.text(body, "name"),
        str(body.get("description") or ""),
        public if isinstance(public, bool) else None,
        None if count is None else payloads.integer(count),
    )


def _item(body: dict[str, Json]) -> ShelfItem:
    ebook = body.get("ebook")
    return ShelfItem(
        ItemId(payloads.integer(body.get("id"))),
        payloads.integer(body.get("version_id")),
        str(body.get("note") or ""),
        EbookId(payloads.integer(ebook.get("id"))) if isinstance(ebook, dict) else None,
    )
