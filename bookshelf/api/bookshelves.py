"""REST routes for bookshelves and their items.

Changing and deleting either needs the role superuser, also for one's own, as on the
real server.
"""

from typing import Any

from aiohttp import web

from bookshelf.api.ebooks import DIGITS, page_of
from bookshelf.application import SHELF, require_user
from bookshelf.errors import ApplicationError, HttpError, json_answer
from bookshelf.http.bodies import NOTE_BYTES, json_object
from bookshelf.storage import shelves
from bookshelf.storage.catalogue import INTEGER
from bookshelf.storage.shelves import Owner, Visitor

_NUMBER = r"{id:\d{1,18}}"


async def _visitor(request: web.Request) -> Visitor:
    """Returns who asks. Raises HttpError(401)."""
    user = await require_user(request)
    return Visitor(user.id, user.may("superuser"))


async def _list(request: web.Request) -> web.Response:
    """GET /api/bookshelves/mine, .../others."""
    user = await _visitor(request)
    page = page_of(request, "")
    owner = Owner(user.id, others=request.match_info["kind"] == "others")
    part = request.query.get("filter", "")
    return json_answer(
        await request.app[SHELF].database.read(
            lambda db: shelves.shelves(db, owner, part, page)
        )
    )


async def _create(request: web.Request) -> web.Response:
    """POST /api/bookshelves/mine."""
    user = await _visitor(request)
    body = await json_object(request, limit=NOTE_BYTES)
    if body.get("id") is not None:
        raise ApplicationError("Invalid data", "id is given by the server")
    columns = shelves.checked(body, partial=False)
    shelf_id = await request.app[SHELF].database.write(
        lambda db: shelves.create(db, columns, user.id)
    )
    return json_answer({"id": shelf_id, "success": True})


async def _index(request: web.Request) -> web.Response:
    """GET /api/bookshelves/mine/index/<prefix>."""
    user = await _visitor(request)
    prefix = request.match_info["prefix"]
    return json_answer(
        await request.app[SHELF].database.read(
            lambda db: shelves.index(db, Owner(user.id), prefix)
        )
    )


async def _get(request: web.Request) -> web.Response:
    """GET /api/bookshelves/<id>."""
    user = await _visitor(request)
    return json_answer(
        request.app[SHELF].database.look(
            lambda db: shelves.shelf(db, _number(request), user)
        )
    )


async def _add(request: web.Request) -> web.Response:
    """POST /api/bookshelves/<id>/add: an ebook or a series, with a note."""
    user = await _visitor(request)
    shelf_id, body = _number(request), await json_object(request, limit=NOTE_BYTES)
    thing, columns = _thing(body), shelves.checked_item(body)
    await request.app[SHELF].database.write(
        lambda db: shelves.add(db, shelf_id, thing, columns, user)
    )
    return json_answer({"id": shelf_id})


def _thing(body: dict[str, Any]) -> tuple[str, int]:
    """Returns what a body puts on a shelf. Raises HttpError(400)."""
    for kind in ("ebook", "series"):
        named = body.get(kind)
        number = named.get("id") if isinstance(named, dict) else None
        if isinstance(number, int) and not isinstance(number, bool):
            return kind, number
        text = number if isinstance(number, str) else ""
        if text.isdecimal() and len(text) <= DIGITS and int(text) in INTEGER:
            return kind, int(text)
    raise HttpError(400, "Invalid request")


async def _items(request: web.Request) -> web.Response:
    """GET /api/bookshelves/<id>/items."""
    user = await _visitor(request)
    page = page_of(request, "")
    return json_answer(
        await request.app[SHELF].database.read(
            lambda db: shelves.items(db, _number(request), user, page)
        )
    )


async def _with_ebook(request: web.Request) -> web.Response:
    """GET /api/bookshelves/with-ebook/<ebook id>."""
    user = await _visitor(request)
    return json_answer(
        request.app[SHELF].database.look(
            lambda db: shelves.with_ebook(db, _number(request), user)
        )
    )


async def _change_shelf(request: web.Request) -> web.Response:
    """PATCH /api/bookshelves/<id>."""
    return await _change(request, "bookshelf")


async def _change_item(request: web.Request) -> web.Response:
    """PATCH /api/bookshelf-items/<id>."""
    return await _change(request, "bookshelf_item")


async def _change(request: web.Request, table: str) -> web.Response:
    user = await _visitor(request)
    number, body = _number(request), await json_object(request, limit=NOTE_BYTES)
    columns = (
        shelves.checked(body, partial=True)
        if table == "bookshelf"
        else shelves.checked_item(body)
    )
    version = body.get("version_id")
    await request.app[SHELF].database.write(
        lambda db: shelves.change(db, table, number, columns, version, user)
    )
    return json_answer({"id": number, "success": True})


async def _delete_shelf(request: web.Request) -> web.Response:
    """DELETE /api/bookshelves/<id>."""
    return await _delete(request, "bookshelf")


async def _delete_item(request: web.Request) -> web.Response:
    """DELETE /api/bookshelf-items/<id>."""
    return await _delete(request, "bookshelf_item")


async def _delete(request: web.Request, table: str) -> web.Response:
    user = await _visitor(request)
    number = _number(request)
    await request.app[SHELF].database.write(
        lambda db: shelves.delete(db, table, number, user)
    )
    return json_answer({"id": number, "success": True})


def _number(request: web.Request) -> int:
    return int(request.match_info["id"])


def routes() -> list[web.RouteDef]:
    """Returns the routes of bookshelves."""
    one, item = f"/api/bookshelves/{_NUMBER}", f"/api/bookshelf-items/{_NUMBER}"
    return [
        web.get("/api/bookshelves/{kind:mine|others}", _list),
        web.post("/api/bookshelves/mine", _create),
        web.get("/api/bookshelves/mine/index/{prefix:.+}", _index),
        web.get(f"/api/bookshelves/with-ebook/{_NUMBER}", _with_ebook),
        web.get(one, _get),
        web.patch(one, _change_shelf),
        web.delete(one, _delete_shelf),
        web.post(f"{one}/add", _add),
        web.get(f"{one}/items", _items),
        web.patch(item, _change_item),
        web.delete(item, _delete_item),
    ]
