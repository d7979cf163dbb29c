"""REST routes for ebooks, authors, series, ratings and files."""

from pathlib import Path
from typing import Any

from aiohttp import web

from bookshelf.access.users import User
from bookshelf.api import pictures
from bookshelf.application import SHELF, require_user
from bookshelf.errors import (
    FOREIGN_KEY,
    NOT_FOUND,
    ApplicationError,
    HttpError,
    json_answer,
)
from bookshelf.http.bodies import NOTE_BYTES, json_object
from bookshelf.storage import calibre_fields as calibre_fields_of
from bookshelf.storage import catalogue, shelves, views

# -- ebooks ----------------------------------------------------------------------------

#: The most genres in one query; the most digits of a number in a query, so that page
#: times page size fits 64 bits.
MOST_GENRES, DIGITS = 50, 15


async def create_ebook(request: web.Request) -> web.Response:
    """POST /api/ebooks."""
    user = await require_user(request)
    body = await json_object(request)
    if body.get("id") is not None:
        raise ApplicationError("Invalid data", "id is given by the server")
    change = catalogue.checked(body, partial=False)
    ebook_id = await request.app[SHELF].database.write(
        lambda db: catalogue.create(db, change, user.id)
    )
    return json_answer({"id": ebook_id, "success": True})


async def get_ebook(request: web.Request) -> web.Response:
    """GET /api/ebooks/<id>."""
    user = await require_user(request)
    ebook_id = _number(request)
    return json_answer(
        request.app[SHELF].database.look(lambda db: views.ebook(db, ebook_id, user.id))
    )


async def change_ebook(request: web.Request) -> web.Response:
    """PATCH /api/ebooks/<id>: any of the fields, with the current version_id."""
    user = await require_user(request)
    ebook_id, body = _number(request), await json_object(request)
    change = catalogue.checked(body, partial=True)

    def work(db: Any) -> None:
        _owned(db, ebook_id, user)
        catalogue.update(db, ebook_id, change, body.get("version_id"), user.id)

    await request.app[SHELF].database.write(work)
    return json_answer({"id": ebook_id, "success": True})


async def calibre_fields(request: web.Request) -> web.Response:
    """GET /api/ebooks/<id>/calibre: what only this server has a place for."""
    await require_user(request)
    ebook_id = _number(request)
    fields = request.app[SHELF].database.look(
        lambda db: calibre_fields_of.stored(db, ebook_id)
    )
    return json_answer({"id": ebook_id, **fields.as_json()})


async def set_calibre_fields(request: web.Request) -> web.Response:
    """PUT /api/ebooks/<id>/calibre: all of them at once."""
    user = await require_user(request)
    ebook_id, body = _number(request), await json_object(request, limit=NOTE_BYTES)
    fields = calibre_fields_of.checked(body)

    def work(db: Any) -> None:
        _owned(db, ebook_id, user)
        calibre_fields_of.store(db, ebook_id, fields)

    await request.app[SHELF].database.write(work)
    return json_answer({"id": ebook_id, "success": True})


async def delete_ebook(request: web.Request) -> web.Response:
    """DELETE /api/ebooks/<id>."""
    user = await require_user(request)
    shelf, ebook_id = request.app[SHELF], _number(request)

    def work(db: Any) -> list[tuple[str, str]]:
        if (
            db.execute("SELECT 1 FROM ebook WHERE id = ?", (ebook_id,)).fetchone()
            is None
        ):
            raise HttpError(404, NOT_FOUND)
        _owned(db, ebook_id, user)
        if shelves.hold(db, ebook_id):
            # As on the real server: an item of a shelf keeps its ebook.
            raise HttpError(500, FOREIGN_KEY)
        return catalogue.delete(db, ebook_id)

    for sha1, extension in await shelf.database.write(work):
        shelf.files.remove_book(sha1, extension)
    shelf.files.remove_cover(ebook_id)
    return json_answer({"id": ebook_id, "success": True})


def _owned(db: Any, ebook_id: int, user: User) -> None:
    row = db.execute(
        "SELECT created_by FROM ebook WHERE id = ?", (ebook_id,)
    ).fetchone()
    if row is not None and row[0] != user.id and not user.may("superuser"):
        raise HttpError(403, "Access denied")


async def rate_ebook(request: web.Request) -> web.Response:
    """POST /api/ebooks/<id>/rate."""
    user = await require_user(request)
    ebook_id, body = _number(request), await json_object(request)
    rating, description = body.get("rating"), body.get("description")
    if rating is not None and (
        isinstance(rating, bool)
        or not isinstance(rating, int | float)
        or not 0 <= rating <= 100
    ):
        raise HttpError(400, "Invalid rating")
    if not isinstance(description, str | None) or "\0" in (description or ""):
        raise HttpError(400, "Invalid rating")

    def work(db: Any) -> dict[str, Any]:
        views.ebook(db, ebook_id, user.id)
        catalogue.rate(db, ebook_id, user.id, rating, description)
        return views.ebook(db, ebook_id, user.id)

    after = await request.app[SHELF].database.write(work)
    rating, count = after.get("rating"), after.get("rating_count", 0)
    return json_answer({"id": ebook_id, "rating": rating, "rating_count": count})


async def delete_source(request: web.Request) -> web.Response:
    """DELETE /api/sources/<id>."""
    user = await require_user(request)
    shelf, source_id = request.app[SHELF], _number(request)

    ebook_id = shelf.database.look(lambda db: catalogue.ebook_of(db, source_id))
    if ebook_id is not None:
        # Its cover may exist only in this file.
        await pictures.cover(shelf, ebook_id)

    def work(db: Any) -> list[tuple[str, str]]:
        row = db.execute(
            "SELECT created_by FROM source WHERE id = ?", (source_id,)
        ).fetchone()
        if row is None:
            raise HttpError(404, NOT_FOUND)
        if row[0] != user.id and not user.may("superuser"):
            raise HttpError(403, "Access denied")
        return catalogue.delete_source(db, source_id)

    for sha1, extension in await shelf.database.write(work):
        shelf.files.remove_book(sha1, extension)
    return json_answer({"id": source_id, "success": True})


# -- lists -----------------------------------------------------------------------------


async def list_ebooks(request: web.Request) -> web.Response:
    """GET /api/ebooks, .../author/<id>, .../series/<id>."""
    await require_user(request)
    page = page_of(request)
    conditions, parameters = ["1"], []
    genres = [
        genre.strip()
        for genre in request.query.get("genres", "").split(",")
        if genre.strip()
    ]
    if len(genres) > MOST_GENRES or not all(
        genre.isdecimal() and len(genre) <= DIGITS for genre in genres
    ):
        raise HttpError(400, "Invalid genres")
    for genre in genres:
        conditions.append(
            "id IN (SELECT ebook_id FROM ebook_genres WHERE genre_id = ?)"
        )
        parameters.append(int(genre))
    kind = request.match_info.get("kind")
    if kind is not None:
        conditions.append(
            "series_id = ?"
            if kind == "series"
            else "id IN (SELECT ebook_id FROM ebook_authors WHERE author_id = ?)"
        )
        parameters.append(_number(request))
    where = " AND ".join(conditions)
    return json_answer(
        await request.app[SHELF].database.read(
            lambda db: views.ebooks(db, page, where, parameters)
        )
    )


async def search(request: web.Request) -> web.Response:
    """GET /api/search/<text>."""
    await require_user(request)
    text, page = request.match_info["text"], page_of(request)
    if "sort" in request.query:
        raise HttpError(400, "Sort is not supported for search")
    return json_answer(
        await request.app[SHELF].database.read(lambda db: views.search(db, text, page))
    )


async def index(request: web.Request) -> web.Response:
    """GET /api/{ebooks,authors,series}/index/<prefix>."""
    await require_user(request)
    kind = {"ebooks": "ebook", "authors": "author", "series": "series"}[
        request.match_info["kind"]
    ]
    prefix = request.match_info["prefix"]
    found = await request.app[SHELF].database.read(
        lambda db: views.index(db, kind, prefix)
    )
    if request.app[SHELF].config.rated_index_fails and any(
        "rating" in item for item in found["items"]
    ):
        raise HttpError(500, "Internal Server Error")
    return json_answer(found)


async def list_named(request: web.Request) -> web.Response:
    """GET /api/authors, /api/series, and one of them by id."""
    await require_user(request)
    kind = {"authors": "author", "series": "series"}[request.match_info["kind"]]
    database = request.app[SHELF].database
    if "id" in request.match_info:
        number = _number(request)
        return json_answer(
            await database.read(lambda db: views.one_named(db, kind, number))
        )
    page = page_of(request)
    return json_answer(await database.read(lambda db: views.named(db, kind, page)))


async def vocabulary(request: web.Request) -> web.Response:
    """GET /api/languages, /api/genres."""
    await require_user(request)
    columns = {"languages": "language", "genres": "genre"}[request.match_info["kind"]]
    names = "id, code, name" if columns == "language" else "id, name"
    rows = await request.app[SHELF].database.read(
        # Names of our own.
        lambda db: db.execute(f"SELECT {names} FROM {columns} ORDER BY id").fetchall()  # noqa: S608
    )
    return json_answer([dict(row) for row in rows])


# -- files -----------------------------------------------------------------------------


async def download(request: web.Request) -> web.StreamResponse:
    """GET /api/download/<source id>: the bytes, always as an attachment."""
    await require_user(request)
    shelf, source_id = request.app[SHELF], _number(request)
    row = await shelf.database.read(
        lambda db: db.execute(
            "SELECT hash, extension, title, size FROM source JOIN format ON format.id = format_id"
            " JOIN ebook ON ebook.id = ebook_id WHERE source.id = ?",
            (source_id,),
        ).fetchone()
    )
    if row is None:
        raise HttpError(404, NOT_FOUND)
    plain = "".join(
        char if char.isascii() and (char.isalnum() or char in " -") else "_"
        for char in row["title"]
    )
    name = f"{plain.strip()[:80] or 'book'}.{row['extension']}"
    return web.FileResponse(
        shelf.files.book(row["hash"], row["extension"]),
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Type": "application/octet-stream",
        },
    )


async def cover(request: web.Request) -> web.StreamResponse:
    """GET /api/ebooks/<id>/cover."""
    await require_user(request)
    return _picture(await pictures.cover(request.app[SHELF], _number(request)))


async def thumb(request: web.Request) -> web.StreamResponse:
    """GET /thumb/<ebook id>: without a login, as on the real server."""
    return _picture(await pictures.thumb(request.app[SHELF], _number(request)))


def _picture(path: Path | None) -> web.FileResponse:
    if path is None:
        raise HttpError(404, NOT_FOUND)
    return web.FileResponse(
        path,
        headers={"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=60"},
    )


def page_of(request: web.Request, sort: str = "title") -> views.Page:
    """Returns page, page_size and sort of the query, or else `sort`.

    Raises HttpError(400).
    """
    given = request.query.get("page", "1"), request.query.get("page_size", "10")
    if any(len(text) > DIGITS for text in given):
        raise HttpError(400, "Invalid page")
    try:
        number, size = map(int, given)
    except ValueError:
        raise HttpError(400, "Invalid page") from None
    if number < 1 or size < 1:
        raise HttpError(400, "Not positive number page")
    if size > views.MAX_PAGE_SIZE:
        raise HttpError(400, "Page size bigger then maximum")
    return views.Page(number, size, request.query.get("sort", sort))


def _number(request: web.Request) -> int:
    return int(request.match_info["id"])
