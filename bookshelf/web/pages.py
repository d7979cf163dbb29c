"""Pages for browsers: login, a searchable list, one book.

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
from bookshelf.storage import views
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


@cache
def _templates() -> "jinja2.Environment":
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"size": size_in_words, "person": person}
    return made


async def home(request: web.Request) -> web.Response:
    """GET /: the list, or the results of a search."""
    user = await _user(request)
    text = request.query.get("q", "").strip()[:200]
    number = request.query.get("page", "1")
    page = views.Page(
        int(number) if number.isdecimal() and len(number) < 7 and int(number) else 1,
        PAGE_SIZE,
    )
    database = request.app[SHELF].database
    try:
        found = await database.read(
            lambda db: views.search(db, text, page) if text else views.ebooks(db, page)
        )
    except HttpError:
        raise web.HTTPFound("/") from None
    pages = max(1, -(-found["total"] // PAGE_SIZE))
    return _page(
        "list.html", user, found=found, text=text, page=page.number, pages=pages
    )


async def book(request: web.Request) -> web.Response:
    """GET /book/<id>."""
    user = await _user(request)
    number = int(request.match_info["id"])
    try:
        ebook = await request.app[SHELF].database.read(
            lambda db: views.ebook(db, number, user.id)
        )
    except HttpError:
        raise web.HTTPNotFound(text="There is no such book.") from None
    return _page("book.html", user, book=ebook)


async def login_form(_request: web.Request) -> web.Response:
    """GET /login."""
    return _page("login.html", None, failed=False)


async def login(request: web.Request) -> web.Response:
    """POST of the login form: sets the session cookie."""
    if not same_origin(request):
        raise web.HTTPForbidden(text="This form was sent from another site.")
    fields = await form(request)
    user = await check_password(
        request, fields.get("username", ""), "", fields.get("password", "")
    )
    if user is None:
        return _page("login.html", None, failed=True)
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


async def _user(request: web.Request) -> User:
    user = await current_user(request)
    if user is None:
        raise web.HTTPFound("/login")
    return user


def _page(template: str, user: User | None, **values: Any) -> web.Response:
    text = _templates().get_template(template).render(user=user, **values)
    return web.Response(text=text, content_type="text/html")
