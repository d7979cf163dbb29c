"""The REST routes for ebooks, authors, series, ratings, files; and the login."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from bookshelf import auth, catalogue, pictures, views
from bookshelf.application import SHELF, require_user
from bookshelf.auth import User
from bookshelf.errors import NOT_FOUND, Failed, Refused, json_answer

#: Seconds a failed login takes longer, so that guessing is slow.
FAILED_LOGIN_SECONDS = 0.5


async def login(request: web.Request) -> web.Response:
    """POST /login as JSON: user name or email with a password, or a refresh token."""
    body = await _body(request, login=True)
    if "refresh_token" in body:
        return await _refresh(request, str(body["refresh_token"]))
    name, email, password = body.get("username"), body.get("email"), body.get("password")
    if (name is None and email is None) or not isinstance(password, str):
        raise Failed(400, "Provide credentials")
    user = await check_password(request, str(name or ""), "" if name is not None else str(email), password)
    if user is None:
        raise Refused("Invalid Login")
    return json_answer(auth.issue(request.app[SHELF].tokens, user))


async def check_password(request: web.Request, name: str, email: str, password: str) -> User | None:
    """The user when the password is right; slow when it is not."""
    shelf = request.app[SHELF]
    user = await shelf.database.read(lambda db: auth.load_user(db, name=name, email=email))
    hashed = await shelf.database.read(lambda db: auth.stored_password(db, user.name if user else ""))
    if await asyncio.to_thread(auth.verify, hashed, password):
        return user
    await asyncio.sleep(FAILED_LOGIN_SECONDS)
    return None


async def _refresh(request: web.Request, token: str) -> web.Response:
    shelf = request.app[SHELF]
    header = request.headers.get("Authorization")
    if not header:
        raise Failed(400, "Need authorization header to refresh token")
    scheme, _, old = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Failed(400, "Invalid authorization header")
    user_id, refresh_id = shelf.tokens.user_id(old, expired_too=True), shelf.tokens.refresh_id(token)
    if user_id is None:
        raise Failed(400, "Invalid token")
    if refresh_id is None:
        raise Failed(400, "Invalid refresh token")
    if refresh_id != user_id:
        raise Failed(400, "Inconsistent tokens")
    user = await shelf.database.read(lambda db: auth.load_user(db, user_id=user_id))
    if user is None:
        raise Refused("Invalid Login")
    return json_answer({"access_token": auth.issue(shelf.tokens, user)["access_token"]})


# -- ebooks ---------------------------------------------------------------------------------------------------------


async def create_ebook(request: web.Request) -> web.Response:
    """POST /api/ebooks."""
    user = await require_user(request)
    body = await _body(request)
    if body.get("id") is not None:
        raise Refused("Invalid data", "id is given by the server")
    change = catalogue.checked(body, partial=False)
    ebook_id = await request.app[SHELF].database.write(lambda db: catalogue.create(db, change, user.id))
    return json_answer({"id": ebook_id, "success": True})


async def get_ebook(request: web.Request) -> web.Response:
    """GET /api/ebooks/<id>."""
    user = await require_user(request)
    ebook_id = _number(request)
    return json_answer(request.app[SHELF].database.look(lambda db: views.ebook(db, ebook_id, user.id)))


async def change_ebook(request: web.Request) -> web.Response:
    """PATCH /api/ebooks/<id>: any of the fields, with the current version_id."""
    user = await require_user(request)
    ebook_id, body = _number(request), await _body(request)
    change = catalogue.checked(body, partial=True)

    def work(db: Any) -> None:
        _owned(db, ebook_id, user)
        catalogue.update(db, ebook_id, change, body.get("version_id"), user.id)

    await request.app[SHELF].database.write(work)
    return json_answer({"id": ebook_id, "success": True})


async def delete_ebook(request: web.Request) -> web.Response:
    """DELETE /api/ebooks/<id>."""
    user = await require_user(request)
    shelf, ebook_id = request.app[SHELF], _number(request)

    def work(db: Any) -> list[tuple[str, str]]:
        if db.execute("SELECT 1 FROM ebook WHERE id = ?", (ebook_id,)).fetchone() is None:
            raise Failed(404, NOT_FOUND)
        _owned(db, ebook_id, user)
        return catalogue.delete(db, ebook_id)

    for sha1, extension in await shelf.database.write(work):
        shelf.files.remove_book(sha1, extension)
    shelf.files.remove_cover(ebook_id)
    return json_answer({"id": ebook_id, "success": True})


def _owned(db: Any, ebook_id: int, user: User) -> None:
    row = db.execute("SELECT created_by FROM ebook WHERE id = ?", (ebook_id,)).fetchone()
    if row is not None and row[0] != user.id and not user.may("superuser"):
        raise Failed(403, "Access denied")


async def rate_ebook(request: web.Request) -> web.Response:
    """POST /api/ebooks/<id>/rate."""
    user = await require_user(request)
    ebook_id, body = _number(request), await _body(request)
    rating, description = body.get("rating"), body.get("description")
    if rating is not None and (
        isinstance(rating, bool) or not isinstance(rating, int | float) or not 0 <= rating <= 100
    ):
        raise Failed(400, "Invalid rating")
    text = description if isinstance(description, str) else None

    def work(db: Any) -> dict[str, Any]:
        views.ebook(db, ebook_id, user.id)
        catalogue.rate(db, ebook_id, user.id, rating, text)
        return views.ebook(db, ebook_id, user.id)

    after = await request.app[SHELF].database.write(work)
    return json_answer({key: after[key] for key in ("id", "rating", "rating_count") if key in after})


async def delete_source(request: web.Request) -> web.Response:
    """DELETE /api/sources/<id>."""
    user = await require_user(request)
    shelf, source_id = request.app[SHELF], _number(request)

    ebook_id = shelf.database.look(lambda db: catalogue.ebook_of(db, source_id))
    if ebook_id is not None:
        # Its cover may be nowhere but in this file.
        await pictures.cover(shelf, ebook_id)

    def work(db: Any) -> list[tuple[str, str]]:
        row = db.execute("SELECT created_by FROM source WHERE id = ?", (source_id,)).fetchone()
        if row is None:
            raise Failed(404, NOT_FOUND)
        if row[0] != user.id and not user.may("superuser"):
            raise Failed(403, "Access denied")
        return catalogue.delete_source(db, source_id)

    for sha1, extension in await shelf.database.write(work):
        shelf.files.remove_book(sha1, extension)
    return json_answer({"id": source_id, "success": True})


# -- lists -----------------------------------------------------------------------------------------------------------


async def list_ebooks(request: web.Request) -> web.Response:
    """GET /api/ebooks, .../author/<id>, .../series/<id>."""
    await require_user(request)
    page = page_of(request)
    conditions, parameters = ["1"], []
    for genre in request.query.get("genres", "").split(","):
        if genre.strip().isdecimal():
            conditions.append("id IN (SELECT ebook_id FROM ebook_genres WHERE genre_id = ?)")
            parameters.append(int(genre))
    kind = request.match_info.get("kind")
    if kind is not None:
        conditions.append(
            "series_id = ?" if kind == "series" else "id IN (SELECT ebook_id FROM ebook_authors WHERE author_id = ?)"
        )
        parameters.append(_number(request))
    where = " AND ".join(conditions)
    return json_answer(await request.app[SHELF].database.read(lambda db: views.ebooks(db, page, where, parameters)))


async def search(request: web.Request) -> web.Response:
    """GET /api/search/<text>."""
    await require_user(request)
    text, page = request.match_info["text"], page_of(request)
    if "sort" in request.query:
        raise Failed(400, "Sort is not supported for search")
    return json_answer(await request.app[SHELF].database.read(lambda db: views.search(db, text, page)))


async def index(request: web.Request) -> web.Response:
    """GET /api/{ebooks,authors,series}/index/<prefix>."""
    await require_user(request)
    kind = {"ebooks": "ebook", "authors": "author", "series": "series"}[request.match_info["kind"]]
    prefix = request.match_info["prefix"]
    found = await request.app[SHELF].database.read(lambda db: views.index(db, kind, prefix))
    if request.app[SHELF].config.rated_index_fails and any("rating" in item for item in found["items"]):
        raise Failed(500, "Internal Server Error")
    return json_answer(found)


async def list_named(request: web.Request) -> web.Response:
    """GET /api/authors, /api/series, and one of them by id."""
    await require_user(request)
    kind = {"authors": "author", "series": "series"}[request.match_info["kind"]]
    database = request.app[SHELF].database
    if "id" in request.match_info:
        number = _number(request)
        return json_answer(await database.read(lambda db: views.one_named(db, kind, number)))
    page = page_of(request)
    return json_answer(await database.read(lambda db: views.named(db, kind, page)))


async def vocabulary(request: web.Request) -> web.Response:
    """GET /api/languages, /api/genres."""
    await require_user(request)
    columns = {"languages": "language", "genres": "genre"}[request.match_info["kind"]]
    names = "id, code, name" if columns == "language" else "id, name"
    rows = await request.app[SHELF].database.read(
        lambda db: db.execute(f"SELECT {names} FROM {columns} ORDER BY id").fetchall()  # noqa: S608 - ours
    )
    return json_answer([dict(row) for row in rows])


# -- files -----------------------------------------------------------------------------------------------------------


async def download(request: web.Request) -> web.StreamResponse:
    """GET /api/download/<source id>: the bytes, as an attachment that no browser runs."""
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
        raise Failed(500, "Internal Server Error")
    plain = "".join(char if char.isascii() and (char.isalnum() or char in " -") else "_" for char in row["title"])
    name = f"{plain.strip()[:80] or 'book'}.{row['extension']}"
    return web.FileResponse(
        shelf.files.book(row["hash"], row["extension"]),
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": "application/octet-stream"},
    )


async def cover(request: web.Request) -> web.StreamResponse:
    """GET /api/ebooks/<id>/cover."""
    await require_user(request)
    return _picture(await pictures.cover(request.app[SHELF], _number(request)))


async def thumb(request: web.Request) -> web.StreamResponse:
    """GET /thumb/<ebook id>; without a login, as on the real server."""
    return _picture(await pictures.thumb(request.app[SHELF], _number(request)))


def _picture(path: Path | None) -> web.FileResponse:
    if path is None:
        raise Failed(404, NOT_FOUND)
    return web.FileResponse(path, headers={"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=60"})


def page_of(request: web.Request) -> views.Page:
    """page, page_size and sort of the query. Raises Failed(400)."""
    try:
        number, size = int(request.query.get("page", "1")), int(request.query.get("page_size", "10"))
    except ValueError:
        raise Failed(400, "Invalid page") from None
    if number < 1 or size < 1:
        raise Failed(400, "Not positive number page")
    if size > views.MAX_PAGE_SIZE:
        raise Failed(400, "Page size bigger then maximum")
    return views.Page(number, size, request.query.get("sort", "title"))


def _number(request: web.Request) -> int:
    return int(request.match_info["id"])


async def _body(request: web.Request, *, login: bool = False) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise Failed(400, "Provide credentials" if login else "Invalid or missing data")
    try:
        body = await request.json()
    except ValueError:
        raise Failed(400, "Failed to decode JSON object") from None
    if isinstance(body, list) and not login:
        raise Refused("Invalid data", "Invalid data type")
    if not isinstance(body, dict):
        raise Failed(400, "Invalid or missing data")
    return body
