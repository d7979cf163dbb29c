"""Logging in and out, and the page with its files."""

from pathlib import Path
from typing import NoReturn

import jinja2
from aiohttp import web

from dashboard.web.access import SESSION_SECONDS, Access
from dashboard.web.board import BOARD, cookie_name

HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


async def enter(request: web.Request) -> NoReturn:
    """GET /enter?link=…: lets one browser in, once.

    The redirect takes the secret out of the address.
    """
    session = request.app[BOARD].access.enter(request.query.get("link", ""))
    if session is None:
        raise web.HTTPForbidden(
            text=_plain("This link was used already, or is too old."),
            content_type="text/html",
        )
    answer = web.HTTPSeeOther("/")
    answer.set_cookie(
        cookie_name(request),
        session,
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="Strict",
        secure=request.secure,
    )
    raise answer


def stranger(request: web.Request) -> web.Response:
    """The answer to requests without a valid key."""
    if request.path == "/":
        return web.Response(
            text=_plain("This page is for those who have a link."),
            status=401,
            content_type="text/html",
        )
    return web.Response(
        text="Access denied: open the link that start.sh printed, or send the token.\n",
        status=401,
    )


def _plain(sentence: str) -> str:
    return _templates.get_template("stranger.html").render(sentence=sentence)


async def leave(request: web.Request) -> web.Response:
    """POST /leave: ends the session."""
    name = cookie_name(request)
    request.app[BOARD].access.leave(request.cookies.get(name, ""))
    answer = web.json_response({"message": "Signed out"})
    answer.del_cookie(name)
    return answer


async def page(request: web.Request) -> web.Response:
    """GET /: the page; its script fetches the rest."""
    session = request.cookies.get(cookie_name(request), "")
    text = _templates.get_template("page.html").render(
        token=Access.form_token(session) if session else ""
    )
    return web.Response(text=text, content_type="text/html")


async def static(request: web.Request) -> web.StreamResponse:
    """GET /static/…: the files that belong to the page, and no others."""
    name = request.match_info["name"]
    path = HERE / "static" / name
    if ".." in name or path.suffix not in _TYPES or not path.is_file():
        raise web.HTTPNotFound(text="There is no such file.")
    return web.FileResponse(
        path,
        headers={
            "Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8",
            "Cache-Control": "no-cache",
        },
    )


async def icon(_request: web.Request) -> web.StreamResponse:
    """GET /favicon.ico."""
    return web.FileResponse(
        HERE / "static" / "icon.svg", headers={"Content-Type": "image/svg+xml"}
    )
