"""Reading the catalogue: ebooks and lists as the protocol shows them.

Null fields are left out.
"""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookshelf.errors import NOT_FOUND, HttpError
from bookshelf.storage.database import folded

Json = dict[str, Any]
MAX_PAGE_SIZE, MAX_INDEX = 100, 100
_SORTS = {
    "title": "folded, id",
    "-title": "folded DESC, id",
    "created": "id",
    "-created": "id DESC",
    "rating": "rating, id",
    "-rating": "rating DESC, id",
    "series_index": "series_index, id",
}


@dataclass(frozen=True, slots=True)
class Page:
    """The requested part of a list; pages count from 1."""

    number: int = 1
    size: int = 10
    sort: str = "title"


def ebook(db: sqlite3.Connection, ebook_id: int, user_id: int) -> Json:
    """Returns one ebook with all its parts. Raises HttpError(404)."""
    row = db.execute("SELECT * FROM ebook WHERE id = ?", (ebook_id,)).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    mine = db.execute(
        "SELECT rating, description FROM ebook_rating WHERE ebook_id = ? AND user_id = ?",
        (ebook_id, user_id),
    ).fetchone()
    body = brief(db, [row])[0]
    return present(
        {
            **body,
            "genres": _genres(db, ebook_id),
            "sources": sources(db, ebook_id),
            "version_id": row["version_id"],
            "created": row["created"],
            "modified": row["modified"],
            "created_by": row["created_by"],
            "modified_by": row["modified_by"],
            "my_rating": mine["rating"] if mine else None,
            "downloads": row["downloads"] or None,
        }
    )


def sources(db: sqlite3.Connection, ebook_id: int) -> list[Json]:
    """Returns the files of an ebook."""
    rows = db.execute(
        "SELECT source.id, location, size, quality, source.created_by, "
        "source.modified, extension FROM source"
        " JOIN format ON format.id = format_id WHERE ebook_id = ? ORDER BY source.id",
        (ebook_id,),
    ).fetchall()
    return [
        present(
            {
                "id": row["id"],
                "location": row["location"],
                "size": row["size"],
                "format": row["extension"],
                "quality": row["quality"],
                "created_by": row["created_by"],
                "modified": row["modified"],
            }
        )
        for row in rows
    ]


def ebooks(
    db: sqlite3.Connection,
    page: Page,
    where: str = "1",
    parameters: Sequence[object] = (),
) -> Json:
    """Returns a page of ebooks that match a condition of our own.

    Raises HttpError for a page that does not exist.
    """
    total = db.execute(
        f"SELECT COUNT(*) FROM ebook WHERE {where}",  # noqa: S608
        parameters,
    ).fetchone()[0]
    order = _SORTS.get(page.sort)
    if order is None:
        raise HttpError(400, f"Unknown sort {page.sort}")
    rows = db.execute(
        f"SELECT * FROM ebook WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608 - ours
        (*parameters, page.size, (page.number - 1) * page.size),
    ).fetchall()
    return paged(page, total, brief(db, rows))


def search(db: sqlite3.Connection, text: str, page: Page) -> Json:
    """Returns ebooks that match every word of the text as a prefix.

    The words may be in authors, title or series.
    """
    words = re.findall(r"\w+", text)
    if not words:
        return paged(page, 0, [])
    query = " AND ".join(f'"{word}"*' for word in words[:20])
    return ebooks(
        db,
        page,
        "id IN (SELECT rowid FROM ebook_text WHERE ebook_text MATCH ?)",
        (query,),
    )


def index(db: sqlite3.Connection, kind: str, prefix: str) -> Json:
    """Returns at most 100 ebooks, authors or series with this prefix.

    Case and accents are ignored.
    """
    beginning = folded(prefix)
    condition, bounds = (
        "folded >= ? AND folded < ?",
        (beginning, beginning + "\U0010ffff"),
    )
    total = db.execute(
        f"SELECT COUNT(*) FROM {kind} WHERE {condition}",  # noqa: S608
        bounds,
    ).fetchone()[0]
    rows = db.execute(
        # Names of our own.
        f"SELECT * FROM {kind} WHERE {condition} ORDER BY folded, id LIMIT {MAX_INDEX}",  # noqa: S608
        bounds,
    ).fetchall()
    if kind == "ebook":
        items = brief(db, rows)
    elif kind == "author":
        items = [author(row) for row in rows]
    else:
        items = [{"id": row["id"], "title": row["title"]} for row in rows]
    return {"items": items, "total": total}


def named(db: sqlite3.Connection, kind: str, page: Page) -> Json:
    """Returns a page of authors or series."""
    total = db.execute(f"SELECT COUNT(*) FROM {kind}").fetchone()[0]  # noqa: S608 - ours
    rows = db.execute(
        f"SELECT * FROM {kind} ORDER BY folded, id LIMIT ? OFFSET ?",  # noqa: S608 - ours
        (page.size, (page.number - 1) * page.size),
    ).fetchall()
    items = [
        author(row) if kind == "author" else {"id": row["id"], "title": row["title"]}
        for row in rows
    ]
    return paged(page, total, items)


def one_named(db: sqlite3.Connection, kind: str, number: int) -> Json:
    """Returns one author (with the ids of the ebooks) or one series.

    Raises HttpError(404).
    """
    # Names of our own.
    row = db.execute(f"SELECT * FROM {kind} WHERE id = ?", (number,)).fetchone()  # noqa: S608
    if row is None:
        raise HttpError(404, NOT_FOUND)
    if kind == "series":
        return {"id": row["id"], "title": row["title"]}
    held = db.execute(
        "SELECT ebook_id FROM ebook_authors WHERE author_id = ?", (number,)
    ).fetchall()
    made = {"created": row["created"], "ebooks": [ebook[0] for ebook in held]}
    return {**author(row), **present(made)}


def author(row: sqlite3.Row) -> Json:
    """Returns an author without the fields that are not known."""
    return present(
        {
            "id": row["id"],
            "last_name": row["last_name"],
            "first_name": row["first_name"],
        }
    )


def upload(db: sqlite3.Connection, upload_id: int, meta: Any) -> Json:
    """Returns one upload's record; `meta` parses its JSON. Raises HttpError(404)."""
    row = db.execute("SELECT * FROM upload WHERE id = ?", (upload_id,)).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    return {
        "id": row["id"],
        "file": row["file"],
        "load_source": row["load_source"],
        "format": row["format_id"],
        "size": row["size"],
        "hash": row["hash"],
        "meta": meta(row["meta"]),
        "cover": bool(row["cover"]),
        "created": row["created"],
        "modified": row["modified"],
        "created_by": row["created_by"],
        "modified_by": row["created_by"],
    }


def brief(db: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> list[Json]:
    """Returns what a list shows of each ebook."""
    languages = {
        row["id"]: dict(row)
        for row in db.execute("SELECT id, code, name FROM language").fetchall()
    }
    return [
        present(
            {
                "id": row["id"],
                "title": row["title"],
                "authors": _authors(db, row["id"]),
                "language": languages[row["language_id"]],
                "series": _series(db, row["series_id"]),
                "series_index": row["series_index"],
                "cover": bool(row["cover"]),
                "rating": row["rating"],
                "rating_count": row["rating_count"] or None,
            }
        )
        for row in rows
    ]


def _authors(db: sqlite3.Connection, ebook_id: int) -> list[Json]:
    rows = db.execute(
        "SELECT author.* FROM ebook_authors JOIN author ON author.id = author_id "
        "WHERE ebook_id = ? ORDER BY author.id",
        (ebook_id,),
    ).fetchall()
    return [author(row) for row in rows]


def _genres(db: sqlite3.Connection, ebook_id: int) -> list[Json]:
    rows = db.execute(
        "SELECT genre.id, name FROM ebook_genres JOIN genre ON genre.id = genre_id "
        "WHERE ebook_id = ? ORDER BY name",
        (ebook_id,),
    ).fetchall()
    return [dict(row) for row in rows]


def _series(db: sqlite3.Connection, series_id: int | None) -> Json | None:
    row = db.execute(
        "SELECT id, title FROM series WHERE id = ?", (series_id,)
    ).fetchone()
    return dict(row) if row else None


def paged(page: Page, total: int, items: list[Json]) -> Json:
    if not items and page.number > 1:
        raise HttpError(404, NOT_FOUND)
    return {"page": page.number, "page_size": page.size, "total": total, "items": items}


def present(body: Json) -> Json:
    return {key: value for key, value in body.items() if value is not None}
