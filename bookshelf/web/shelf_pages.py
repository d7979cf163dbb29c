"""Pages of bookshelves: mine and the public ones of others; one with its items."""

import re

from aiohttp import web

from bookshelf.access.users import User
from bookshelf.application import SHELF
from bookshelf.errors import HttpError
from bookshelf.storage import browsing
from bookshelf.storage import shelves as stored
from bookshelf.storage.shelves import Owner, Visitor
from bookshelf.storage.views import Page
from bookshelf.web.pages import PAGE_SIZE, logged_in, page_number, render

#: Shelves of others that are shown.
OTHERS_SHOWN = 100
_BLANK_LINES = re.compile(r"\n\s*\n")


async def shelves(request: web.Request) -> web.Response:
    """GET /shelves."""
    user = await logged_in(request)
    number = page_number(request)
    database = request.app[SHELF].database
    try:
        mine = await database.read(
            lambda db: stored.shelves(
                db, Owner(user.id), "", Page(number, PAGE_SIZE, "name")
            )
        )
    except HttpError:
        raise web.HTTPFound("/shelves") from None
    others = await database.read(
        lambda db: stored.shelves(
            db, Owner(user.id, others=True), "", Page(1, OTHERS_SHOWN, "name")
        )
    )
    return render(
        "shelves.html", user, mine=mine, others=others, page=number, path="/shelves"
    )


async def shelf(request: web.Request) -> web.Response:
    """GET /shelf/<id>: its books with their notes."""
    user = await logged_in(request)
    shelf_id, number = int(request.match_info["id"]), page_number(request)
    visitor = _visitor(user)
    database = request.app[SHELF].database
    try:
        one = await database.read(lambda db: stored.shelf(db, shelf_id, visitor))
    except HttpError:
        raise web.HTTPNotFound(text="There is no such shelf.") from None
    try:
        items = await database.read(
            lambda db: stored.items(
                db, shelf_id, visitor, Page(number, PAGE_SIZE, "order")
            )
        )
    except HttpError:
        raise web.HTTPFound(f"/shelf/{shelf_id}") from None
    for item in items["items"]:
        item["note"] = _BLANK_LINES.split(item.get("note", "").strip())
    books = [item["ebook"] for item in items["items"] if "ebook" in item]
    await database.read(lambda db: browsing.with_indexes(db, books))
    return render(
        "shelf.html",
        user,
        shelf=one,
        found=items,
        page=number,
        path=f"/shelf/{shelf_id}",
    )


def _visitor(user: User) -> Visitor:
    return Visitor(user.id, user.may("superuser"))
