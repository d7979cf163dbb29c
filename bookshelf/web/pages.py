"""Pages for browsers: login, a searchable list, the books of one author or series.

One book has a page with what Calibre knows of it, too.

Everything from books is escaped; no script runs.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from aiohttp import web

from bookshelf.access.tokens import ACCESS_SECONDS, end_session
from bookshelf.access.users import User
from bookshelf.api.login import check_password
from bookshelf.application import SESSION_COOKIE, SHELF, current_user, same_origin
from bookshelf.errors import HttpError
from bookshelf.http.bodies import form
from bookshelf.storage import browsing, calibre_fields, shelves, views
from common.lazily import jinja2

HERE = Path(__file__).parent
PAGE_SIZE = 24


def size_in_words(size: int) -> str:
    """Formats bytes: 1234567 -> '1.2 MB'."""
    return (
        f"{size} bytes"
        if size < 1000
        else f"{size / 1000:.0f} kB"
        if size < 1_000_000
        else f"{size / 1e6:.1f} MB"
    )


def person(author: dict[str, Any]) -> str:
    """Formats first and last name."""
    return f"{author.get('first_name', '')} {author['last_name']}".strip()


def stars(rating: float) -> str:
    """Formats a rating of 0-100: 70 -> '★★★½'."""
    halves = round(rating / 10)
    return "★" * (halves // 2) + "½" * (halves % 2)


@cache
def _templates() -> "jinja2.Environment":
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"size": size_in_words, "person": person, "stars": stars}
    return made


async def home(request: web.Request) -> web.Response:
    """GET /: the list, or the results of a search."""
    user = await logged_in(request)
    text = request.query.get("q", "").strip()[:200]
    page = views.Page(page_number(request), PAGE_SIZE)
    database = request.app[SHELF].database
    try:
        found = await database.read(
            lambda db: (
                browsing.search(db, text, page) if text else browsing.ebooks(db, page)
            )
        )
    except HttpError:
        raise web.HTTPFound("/") from None
    heading = (
        f"{found['total']} found for “{text}”" if text else f"{found['total']} books"
    )
    return render(
        "list.html",
        user,
        found=found,
        text=text,
        heading=heading,
        page=page.number,
        path="/",
    )


async def listed(request: web.Request) -> web.Response:
    """GET /author/<id>, /series/<id>: all books of one."""
    user = await logged_in(request)
    number, kind = int(request.match_info["id"]), request.match_info["kind"]
    page = views.Page(page_number(request), PAGE_SIZE)
    of = browsing.of_author if kind == "author" else browsing.of_series
    path = f"/{kind}/{number}"
    try:
        one, found = await request.app[SHELF].database.read(
            lambda db: of(db, number, page)
        )
    except HttpError:
        if page.number > 1:
            raise web.HTTPFound(path) from None
        raise web.HTTPNotFound(text="There are no such books.") from None
    heading = person(one) if kind == "author" else one["title"]
    return render(
        "list.html",
        user,
        found=found,
        text="",
        heading=heading,
        page=page.number,
        path=path,
    )


async def book(request: web.Request) -> web.Response:
    """GET /book/<id>."""
    user = await logged_in(request)
    number = int(request.match_info["id"])
    visitor = shelves.Visitor(user.id, user.may("superuser"))
    database = request.app[SHELF].database
    try:
        ebook = await database.read(lambda db: views.ebook(db, number, user.id))
        own = await database.read(lambda db: calibre_fields.stored(db, number))
    except HttpError:
        raise web.HTTPNotFound(text="There is no such book.") from None
    on = await database.read(lambda db: shelves.with_ebook(db, number, visitor))
    return render(
        "book.html",
        user,
        book=ebook,
        own=own,
        index=calibre_fields.shown_index(ebook.get("series_index"), own.series_index),
        comments=own.comments.split("\n\n") if own.comments else [],
        shelves=on["items"],
    )


async def login_form(_request: web.Request) -> web.Response:
    """GET /login."""
    return render("login.html", None, failed=False)


async def login(request: web.Request) -> web.Response:
    """POST of the login form: sets the session cookie."""
    if not same_origin(request):
        raise web.HTTPForbidden(text="This form was sent from another site.")
    fields = await form(request)
    user = await check_password(
        request, fields.get("username", ""), "", fields.get("password", "")
    )
    if user is None:
        return render("login.html", None, failed=True)
    answer = web.HTTPFound("/")
    token = request.app[SHELF].tokens.session(user, time.time())
    answer.set_cookie(
        SESSION_COOKIE, token, max_age=ACCESS_SECONDS, httponly=True, samesite="Lax"
    )
    raise answer


async def logout(request: web.Request) -> NoReturn:
    """POST /logout: revokes the session's token, whoever has a copy of it."""
    if not same_origin(request):
        raise web.HTTPForbidden(text="This form was sent from another site.")
    shelf, now = request.app[SHELF], time.time()
    if ended := shelf.tokens.end(request.cookies.get(SESSION_COOKIE, ""), now):
        await shelf.database.write(lambda db: end_session(db, *ended, now))
    answer = web.HTTPFound("/login")
    answer.del_cookie(SESSION_COOKIE)
    raise answer


async def style(_request: web.Request) -> web.StreamResponse:
    """GET /style.css."""
    return web.FileResponse(
        HERE / "static" / "style.css",
        headers={"Content-Type": "text/css; charset=utf-8"},
    )


def page_number(request: web.Request) -> int:
    """Returns the page a query asks for; 1 for anything that is none."""
    number = request.query.get("page", "1")
    return int(number) if number.isdecimal() and len(number) < 7 and int(number) else 1


async def logged_in(request: web.Request) -> User:
    """Returns the user of the session; sends everybody else to the login form."""
    user = await current_user(request)
    if user is None:
        raise web.HTTPFound("/login")
    return user


def render(template: str, user: User | None, **values: Any) -> web.Response:
    """Returns a page; its values are escaped."""
    text = _templates().get_template(template).render(user=user, **values)
    return web.Response(text=text, content_type="text/html")
