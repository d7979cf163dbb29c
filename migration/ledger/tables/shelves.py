"""Bookshelves of ours by name, and the items we put on them.

Functions over an open transaction of the ledger; only `ledger.parts` calls them. The
server takes two shelves of one name, so a name is claimed while it is looked for and
created.
"""

import sqlite3
from collections.abc import Iterable
from datetime import timedelta

from common.clock import SteadyClock
from migration.errors import Deferred
from migration.ledger.tables.claims import Alive
from migration.metadata.shelves import MadeItem
from migration.model import BookId, ItemId, ShelfId

_KIND = "shelf"
#: Before the fingerprint of a note whose item is about to be made.
_PENDING = "?"


def id_of(db: sqlite3.Connection, name: str) -> ShelfId | None:
    """Returns the shelf of this name, if the ledger knows it."""
    row = db.execute("SELECT server_id FROM shelves WHERE name = ?", (name,)).fetchone()
    return None if row is None else ShelfId(row[0])


def names_of(db: sqlite3.Connection, ids: Iterable[ShelfId]) -> dict[ShelfId, str]:
    """Returns the names of shelves as they were made or found."""
    wanted = set(ids)
    if not wanted:
        return {}
    marks = ", ".join("?" * len(wanted))
    rows = db.execute(
        f"SELECT server_id, name FROM shelves WHERE server_id IN ({marks})",  # noqa: S608 - marks
        tuple(wanted),
    ).fetchall()
    return {ShelfId(row[0]): row[1] for row in rows}


def claim(
    db: sqlite3.Connection,
    name: str,
    *,
    owner: str,
    clock: SteadyClock,
    alive: Alive,
    settle: timedelta,
) -> bool:
    """Claims a name; returns whether a request to create it may have been lost.

    The claim belongs to no book, so that it outlives the book's other claims. Raises
    Deferred while another process holds it, and until a lost request has settled.
    """
    now = clock()
    row = db.execute(
        "SELECT owner, since FROM claims WHERE kind = ? AND name = ?", (_KIND, name)
    ).fetchone()
    if row is not None:
        if row["owner"] != owner and alive(row["owner"]):
            raise Deferred(f"the shelf {name!r} is being made by another worker")
        until = clock.since(row["since"]) + settle
        if now < until:
            raise Deferred(f"the shelf {name!r} may be in the making", until)
    db.execute(
        "INSERT OR REPLACE INTO claims (kind, name, owner, book_id, since) VALUES "
        "(?, ?, ?, 0, ?)",
        (_KIND, name, owner, clock.stamp(now)),
    )
    return row is not None


def release(db: sqlite3.Connection, name: str) -> None:
    """Releases a name: no request to create it is under way."""
    db.execute("DELETE FROM claims WHERE kind = ? AND name = ?", (_KIND, name))


def keep(db: sqlite3.Connection, name: str, shelf_id: ShelfId) -> None:
    """Records a shelf that was made or found."""
    db.execute("INSERT OR REPLACE INTO shelves VALUES (?, ?)", (name, shelf_id))
    release(db, name)


def forget(db: sqlite3.Connection, shelf_id: ShelfId) -> None:
    """Forgets a shelf that is not on the server any more, with its items."""
    db.execute("DELETE FROM shelves WHERE server_id = ?", (shelf_id,))
    db.execute("DELETE FROM shelf_items WHERE shelf_id = ?", (shelf_id,))


def items_of(db: sqlite3.Connection, book_id: BookId) -> dict[ShelfId, MadeItem]:
    """Returns the items of a book that we made or were about to make."""
    rows = db.execute(
        "SELECT shelf_id, note, item_id FROM shelf_items WHERE book_id = ?", (book_id,)
    ).fetchall()
    return {
        ShelfId(row["shelf_id"]): MadeItem(
            row["note"].removeprefix(_PENDING),
            pending=row["note"].startswith(_PENDING),
            id=ItemId(row["item_id"]) if row["item_id"] else None,
        )
        for row in rows
    }


def write_item(
    db: sqlite3.Connection, book_id: BookId, shelf_id: ShelfId, item: MadeItem
) -> None:
    """Records an item: about to be made, made, or with another note."""
    mark = _PENDING if item.pending else ""
    db.execute(
        "INSERT OR REPLACE INTO shelf_items (book_id, shelf_id, note, item_id) VALUES "
        "(?, ?, ?, ?)",
        (book_id, shelf_id, f"{mark}{item.note}", item.id or 0),
    )


def drop_item(db: sqlite3.Connection, book_id: BookId, shelf_id: ShelfId) -> None:
    """Forgets an item that is not there any more."""
    db.execute(
        "DELETE FROM shelf_items WHERE book_id = ? AND shelf_id = ?",
        (book_id, shelf_id),
    )
