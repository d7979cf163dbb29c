"""Reading the catalogue for pages: lists by sort title, with exact series indexes."""

import re
import sqlite3
from collections.abc import Sequence

from bookshelf.errors import NOT_FOUND, HttpError
from bookshelf.storage import calibre_fields, views
from bookshelf.storage.views import Json, Page

_BY_TITLE = "sorted, ebook.id"
_BY_INDEX = "COALESCE(exact, ebook.series_index), sorted, ebook.id"


def ebooks(db: sqlite3.Connection, page: Page) -> Json:
    """Returns a page of all ebooks."""
    return _listed(db, page, "1", ())


def search(db: sqlite3.Connection, text: str, page: Page) -> Json:
    """Returns a page of those that match every word, as `views.search` does."""
    words = re.findall(r"\w+", text)
    if not words:
        return views.paged(page, 0, [])
    query = " AND ".join(f'"{word}"*' for word in words[:20])
    return _listed(
        db,
        page,
        "ebook.id IN (SELECT rowid FROM ebook_text WHERE ebook_text MATCH ?)",
        (query,),
    )


def of_author(db: sqlite3.Connection, number: int, page: Page) -> tuple[Json, Json]:
    """Returns an author and a page of their ebooks. Raises HttpError(404)."""
    row = db.execute("SELECT * FROM author WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    where = "ebook.id IN (SELECT ebook_id FROM ebook_authors WHERE author_id = ?)"
    return views.author(row), _listed(db, page, where, (number,))


def of_series(db: sqlite3.Connection, number: int, page: Page) -> tuple[Json, Json]:
    """Returns a series and a page of its ebooks in its order. Raises HttpError(404)."""
    row = db.execute("SELECT * FROM series WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    found = _listed(db, page, "ebook.series_id = ?", (number,), _BY_INDEX)
    return {"id": row["id"], "title": row["title"]}, found


def with_indexes(db: sqlite3.Connection, books: Sequence[Json]) -> None:
    """Gives ebooks of a list their `index` as it is shown."""
    for book in books:
        row = db.execute(
            "SELECT series_index FROM calibre_fields WHERE ebook_id = ?", (book["id"],)
        ).fetchone()
        exact = row[0] if row else None
        book["index"] = calibre_fields.shown_index(book.get("series_index"), exact)


def _listed(
    db: sqlite3.Connection,
    page: Page,
    where: str,
    parameters: tuple[object, ...],
    order: str = _BY_TITLE,
) -> Json:
    total = db.execute(
        f"SELECT COUNT(*) FROM ebook WHERE {where}",  # noqa: S608 - conditions of ours
        parameters,
    ).fetchone()[0]
    # Only the order's own index gives a page of everything without sorting it.
    join = "CROSS JOIN" if where == "1" else "JOIN"
    rows = db.execute(
        "SELECT ebook.*, (SELECT series_index FROM calibre_fields WHERE ebook_id = "  # noqa: S608 - ours
        f"ebook.id) AS exact FROM ebook_order {join} ebook ON ebook.id = ebook_id "
        f"WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
        (*parameters, page.size, (page.number - 1) * page.size),
    ).fetchall()
    found = views.paged(page, total, views.brief(db, rows))
    with_indexes(db, found["items"])
    return found
