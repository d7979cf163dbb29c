"""Bookshelves and their items, as the protocol has them.

These are functions over the database. Two shelves may have one name; an ebook is on a
shelf once, and stays as it was put there first.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from bookshelf.errors import FOREIGN_KEY, NOT_FOUND, ApplicationError, HttpError
from bookshelf.storage import views
from bookshelf.storage.catalogue import INTEGER, now
from bookshelf.storage.database import folded
from bookshelf.storage.views import MAX_INDEX, Json, Page

NAME_LENGTH, TEXT_LENGTH = 256, 1_000_000
#: The sort keys of a list of shelves, and of a shelf's items; "" is the usual order.
SHELF_SORTS = {
    "": "id",
    "name": "folded, id",
    "-name": "folded DESC, id DESC",
    "created": "id",
    "-created": "id DESC",
    "modified": "modified, id",
    "-modified": "modified DESC, id DESC",
}
ITEM_SORTS = {
    "": "id",
    "order": "place IS NULL, place, id",
    "-order": "place IS NOT NULL, place DESC, id DESC",
    "created": "id",
    "-created": "id DESC",
}
_DENIED = "Access denied"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at shelves or changes them."""

    id: int
    superuser: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose shelves: those of `user`, or the public ones of others."""

    user: int
    others: bool = False

    @property
    def condition(self) -> str:
        """The condition, with one parameter: the user's id."""
        return "created_by != ? AND public" if self.others else "created_by = ?"


def checked(body: Json, *, partial: bool) -> Json:
    """Returns the columns a POST or PATCH of a shelf sets.

    Raises ApplicationError, and HttpError(400) for nothing at all.
    """
    if not body:
        raise HttpError(400, "Invalid or missing data")
    wrong: Json = {}
    if "name" not in body and not partial:
        wrong["name"] = ["Missing data for required field."]
    columns: Json = {}
    for key, length in (("name", NAME_LENGTH), ("description", TEXT_LENGTH)):
        if key in body:
            columns[key] = text(body[key], key, length, wrong)
    if "name" in body and body["name"] is None:
        wrong["name"] = ["Field may not be null."]
    if "public" in body:
        if not isinstance(body["public"], bool):
            wrong["public"] = ["Not a valid boolean."]
        columns["public"] = body["public"]
    if wrong:
        raise ApplicationError("Invalid data", wrong)
    return columns


def checked_item(body: Json) -> Json:
    """Returns the columns that an item's note and order set.

    Raises ApplicationError.
    """
    wrong: Json = {}
    columns: Json = {}
    if "note" in body:
        columns["note"] = text(body["note"], "note", TEXT_LENGTH, wrong)
    if "order" in body:
        place = body["order"]
        if place is not None and (
            isinstance(place, bool)
            or not isinstance(place, int)
            or place not in INTEGER
        ):
            wrong["order"] = ["Not a valid integer."]
        columns["place"] = place
    if wrong:
        raise ApplicationError("Invalid data", wrong)
    return columns


def text(value: object, key: str, length: int, wrong: Json) -> str | None:
    """Returns a text or None; enters in `wrong` what is wrong with anything else."""
    if not isinstance(value, str | None):
        wrong[key] = ["Not a valid string."]
        return None
    if len(value or "") > length:
        wrong[key] = [f"Longer than maximum length {length}."]
    if "\0" in (value or ""):
        raise ApplicationError(
            "Database error", "A string literal cannot contain NUL (0x00) characters."
        )
    return value


# -- writing ---------------------------------------------------------------------------


def create(db: sqlite3.Connection, columns: Json, user_id: int) -> int:
    """Creates a shelf, public unless it says otherwise; returns its id."""
    stamp = now()
    values = {"description": None, "public": True, **columns}
    made = db.execute(
        "INSERT INTO bookshelf (name, folded, description, public, created, modified,"
        " created_by, modified_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            values["name"],
            folded(values["name"]),
            values["description"],
            values["public"],
            stamp,
            stamp,
            user_id,
            user_id,
        ),
    )
    return int(made.lastrowid or 0)


def add(
    db: sqlite3.Connection,
    shelf_id: int,
    thing: tuple[str, int],
    columns: Json,
    user: Visitor,
) -> None:
    """Puts an ebook or a series on a shelf; one that is on it stays as it is.

    `thing` is ("ebook" | "series", id). Raises HttpError: 404 without the shelf, 403
    for another user's private one, 500 without the thing.
    """
    _visible(db, shelf_id, user)
    kind, number = thing
    # Names of our own.
    if db.execute(f"SELECT 1 FROM {kind} WHERE id = ?", (number,)).fetchone() is None:  # noqa: S608
        raise HttpError(500, FOREIGN_KEY)
    stamp = now()
    db.execute(
        f"INSERT OR IGNORE INTO bookshelf_item (bookshelf_id, {kind}_id, note, place,"  # noqa: S608
        " created, modified, created_by, modified_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            shelf_id,
            number,
            columns.get("note"),
            columns.get("place"),
            stamp,
            stamp,
            user.id,
            user.id,
        ),
    )
    _touch(db, shelf_id)


def change(
    db: sqlite3.Connection,
    table: str,
    number: int,
    columns: Json,
    version: Any,
    user: Visitor,
) -> None:
    """Changes a shelf (`bookshelf`) or an item (`bookshelf_item`).

    Raises ApplicationError when the version is not the current one, HttpError: 404
    without it, 403 without the role superuser.
    """
    try:
        given = int(version)
    except (TypeError, ValueError):
        raise ApplicationError("Version_id missing", "") from None
    row = _row(db, table, number)
    if row is None:
        raise HttpError(404, NOT_FOUND)
    _must_be_superuser(user)
    if given != row["version_id"]:
        raise ApplicationError(
            "Stalled record", f"Your version {given}, db version {row['version_id']}"
        )
    values = {**columns, "modified": now(), "modified_by": user.id}
    if "name" in columns:
        values["folded"] = folded(columns["name"])
    names = ", ".join(f"{name} = :{name}" for name in values)
    db.execute(
        # Column names of our own.
        f"UPDATE {table} SET {names}, version_id = version_id + 1 WHERE id = :id",  # noqa: S608
        {**values, "id": number},
    )


def delete(db: sqlite3.Connection, table: str, number: int, user: Visitor) -> None:
    """Deletes a shelf with its items, or one item.

    Raises HttpError: 404 without it, 403 without the role superuser.
    """
    row = _row(db, table, number)
    if row is None:
        raise HttpError(404, NOT_FOUND)
    _must_be_superuser(user)
    db.execute(f"DELETE FROM {table} WHERE id = ?", (number,))  # noqa: S608 - ours
    if table == "bookshelf_item":
        _touch(db, row["bookshelf_id"])


def hold(db: sqlite3.Connection, ebook_id: int) -> bool:
    """Whether an ebook is on anybody's shelf."""
    found = db.execute(
        "SELECT 1 FROM bookshelf_item WHERE ebook_id = ? LIMIT 1", (ebook_id,)
    )
    return found.fetchone() is not None


# -- reading ---------------------------------------------------------------------------


def shelf(db: sqlite3.Connection, shelf_id: int, user: Visitor) -> Json:
    """Returns a shelf. Raises HttpError: 404 without it, 403 when it is not for them."""
    row = _visible(db, shelf_id, user)
    return views.present(
        {
            **_listed(db, row),
            "public": bool(row["public"]),
            "created": row["created"],
            "modified": row["modified"],
            "created_by": row["created_by"],
            "modified_by": row["modified_by"],
            "version_id": row["version_id"],
        }
    )


def shelves(db: sqlite3.Connection, owner: Owner, part: str, page: Page) -> Json:
    """Returns a page of shelves whose names contain `part`."""
    where = f"{owner.condition} AND instr(folded, ?)" if part else owner.condition
    parameters = (owner.user, folded(part)) if part else (owner.user,)
    total = db.execute(
        f"SELECT COUNT(*) FROM bookshelf WHERE {where}",  # noqa: S608 - ours
        parameters,
    ).fetchone()[0]
    rows = db.execute(
        f"SELECT * FROM bookshelf WHERE {where} ORDER BY {_order(SHELF_SORTS, page)}"  # noqa: S608 - ours
        " LIMIT ? OFFSET ?",
        (*parameters, page.size, (page.number - 1) * page.size),
    ).fetchall()
    return views.paged(page, total, [_listed(db, row) for row in rows])


def index(db: sqlite3.Connection, owner: Owner, prefix: str) -> Json:
    """Returns at most 100 shelves whose names begin so."""
    beginning = folded(prefix)
    where = f"{owner.condition} AND folded >= ? AND folded < ?"
    bounds = (owner.user, beginning, beginning + "\U0010ffff")
    total = db.execute(
        f"SELECT COUNT(*) FROM bookshelf WHERE {where}",  # noqa: S608 - ours
        bounds,
    ).fetchone()[0]
    rows = db.execute(
        f"SELECT * FROM bookshelf WHERE {where} ORDER BY folded, id LIMIT {MAX_INDEX}",  # noqa: S608 - ours
        bounds,
    ).fetchall()
    return {"total": total, "items": [_named(db, row) for row in rows]}


def items(db: sqlite3.Connection, shelf_id: int, user: Visitor, page: Page) -> Json:
    """Returns a page of a shelf's items."""
    _visible(db, shelf_id, user)
    total = db.execute(
        "SELECT COUNT(*) FROM bookshelf_item WHERE bookshelf_id = ?", (shelf_id,)
    ).fetchone()[0]
    rows = db.execute(
        "SELECT * FROM bookshelf_item WHERE bookshelf_id = ? ORDER BY "  # noqa: S608 - ours
        f"{_order(ITEM_SORTS, page)} LIMIT ? OFFSET ?",
        (shelf_id, page.size, (page.number - 1) * page.size),
    ).fetchall()
    return views.paged(page, total, [_item(db, row) for row in rows])


def with_ebook(db: sqlite3.Connection, ebook_id: int, user: Visitor) -> Json:
    """Returns at most 100 shelves that hold an ebook: one's own, and public ones.

    MyBookshelf2 also names the private ones of others.
    """
    rows = db.execute(
        "SELECT * FROM bookshelf WHERE id IN (SELECT bookshelf_id FROM bookshelf_item "
        "WHERE ebook_id = ?) AND (public OR created_by = ?)"
        " ORDER BY public, folded, id LIMIT ?",
        (ebook_id, user.id, MAX_INDEX),
    ).fetchall()
    return {"total": len(rows), "items": [_named(db, row) for row in rows]}


def _row(db: sqlite3.Connection, table: str, number: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        f"SELECT * FROM {table} WHERE id = ?",  # noqa: S608 - ours
        (number,),
    ).fetchone()
    return row


def _visible(db: sqlite3.Connection, shelf_id: int, user: Visitor) -> sqlite3.Row:
    row = _row(db, "bookshelf", shelf_id)
    if row is None:
        raise HttpError(404, NOT_FOUND)
    if not (row["public"] or row["created_by"] == user.id):
        raise HttpError(403, _DENIED)
    return row


def _must_be_superuser(user: Visitor) -> None:
    if not user.superuser:
        raise HttpError(403, _DENIED)


def _touch(db: sqlite3.Connection, shelf_id: int) -> None:
    db.execute(
        "UPDATE bookshelf SET modified = ?, version_id = version_id + 1 WHERE id = ?",
        (now(), shelf_id),
    )


def _order(sorts: dict[str, str], page: Page) -> str:
    order = sorts.get(page.sort)
    if order is None:
        raise HttpError(400, f"Invalid sort key {page.sort[:60]}")
    return order


def _named(db: sqlite3.Connection, row: sqlite3.Row) -> Json:
    owner = db.execute(
        "SELECT user_name FROM user WHERE id = ?", (row["created_by"],)
    ).fetchone()
    return views.present(
        {"id": row["id"], "name": row["name"], "owner": owner[0] if owner else None}
    )


def _listed(db: sqlite3.Connection, row: sqlite3.Row) -> Json:
    count = db.execute(
        "SELECT COUNT(*) FROM bookshelf_item WHERE bookshelf_id = ?", (row["id"],)
    ).fetchone()[0]
    named = {**_named(db, row), "items_count": count}
    return views.present({**named, "description": row["description"]})


def _item(db: sqlite3.Connection, row: sqlite3.Row) -> Json:
    """Returns an item; of its ebook what a list shows, without the language."""
    ebook: Json | None = None
    held = _row(db, "ebook", row["ebook_id"]) if row["ebook_id"] else None
    if held is not None:
        ebook = views.brief(db, [held])[0]
        del ebook["language"]
    series = _row(db, "series", row["series_id"]) if row["series_id"] else None
    return views.present(
        {
            "id": row["id"],
            "version_id": row["version_id"],
            "note": row["note"],
            "order": row["place"],
            "ebook": ebook,
            "series": {"id": series["id"], "title": series["title"]}
            if series
            else None,
        }
    )
