"""What is answered: the page, its data, commands. Text from books leaves as JSON and is
shown as text by the page."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import jinja2
from aiohttp import web

from auto_monitor import llm_debugger
from auto_monitor.cli import commands, daemon
from auto_monitor.cli.commands import CommandKind
from auto_monitor.record.history import to_json
from common.clock import utc_now
from common.files import StateUnwritable
from common.json_value import Json
from dashboard import search
from dashboard import series as rates
from dashboard import sources as reading
from dashboard.access import SESSION_SECONDS, Access
from dashboard.config import Config
from dashboard.metrics import CONTENT_TYPE_LATEST, exposition
from dashboard.sources import Sources
from dashboard.stream import Stream

HERE = Path(__file__).parent
#: The charts show so much of the end, or the whole pass.
RECENT = timedelta(minutes=15)
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


@dataclass(frozen=True, slots=True)
class Board:
    """The parts of a running dashboard."""

    config: Config
    access: Access
    sources: Sources
    stream: Stream


BOARD = web.AppKey("board", Board)


def cookie_name(request: web.Request) -> str:
    """Cookies know no ports: two dashboards on one machine must not share theirs."""
    folder = str(request.app[BOARD].config.folder)
    return f"migration-{hashlib.sha256(folder.encode()).hexdigest()[:8]}"


# -- coming and going ------------------------------------------------------------------


async def enter(request: web.Request) -> NoReturn:
    """GET /enter?link=…: lets one browser in, once, and takes the secret out of the
    address."""
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
    """The answer to everybody who has no key."""
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


# -- the page --------------------------------------------------------------------------


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


# -- its data --------------------------------------------------------------------------


async def events(request: web.Request) -> web.StreamResponse:
    """GET /api/events: see Stream."""
    return await request.app[BOARD].stream.events(request)


async def status(request: web.Request) -> web.Response:
    """GET /api/status: one snapshot."""
    now = await request.app[BOARD].stream.latest()
    return web.json_response(now.to_json())


async def series(request: web.Request) -> web.Response:
    """GET /api/series[?window=recent]: columns for the charts, times in seconds since
    1970."""
    await request.app[BOARD].stream.latest()
    since = utc_now() - RECENT if request.query.get("window") == "recent" else None
    found = rates.rates(request.app[BOARD].sources.history.samples(since))
    return web.json_response(
        {
            "at": [round(rate.at.timestamp(), 1) for rate in found],
            "files_per_min": [round(rate.files_per_min, 1) for rate in found],
            "mb_per_second": [round(rate.bytes_per_second / 1e6, 3) for rate in found],
            "disk": [rate.disk for rate in found],
            "desired": [rate.desired for rate in found],
            "running": [rate.running for rate in found],
        }
    )


async def history(request: web.Request) -> web.Response:
    """GET /api/history: a line per attempt, newest first."""
    found = await asyncio.to_thread(request.app[BOARD].sources.fixes)
    return web.json_response(
        {"entries": [reading.brief(entry) for entry in reversed(found)]}
    )


async def entry(request: web.Request) -> web.Response:
    """GET /api/history/<key>: one attempt, whole."""
    key = request.match_info["key"]
    for found in await asyncio.to_thread(request.app[BOARD].sources.fixes):
        if found.key == key:
            return web.json_response(
                {**to_json(found), "verdict": reading.verdict(found)}
            )
    raise web.HTTPNotFound(text="There is no such attempt.")


async def failed(request: web.Request) -> web.Response:
    """GET /api/failed[?q=…&after=17:EPUB]: a page of failed files."""
    board = request.app[BOARD]
    now = (await board.stream.latest()).status
    found = now.totals
    if found is None:
        return web.json_response(search.to_json(search.Found([], None)))
    text, after = (
        request.query.get("q", "").strip()[:200],
        search.cursor(request.query.get("after", "")),
    )
    place = None if now.library is None else Path(now.library)
    try:
        page_of = await asyncio.to_thread(
            search.search,
            board.sources.ledger,
            place,
            found.pass_id,
            text,
            after,
        )
    except search.UNREADABLE as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    return web.json_response(search.to_json(page_of))


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: for Prometheus."""
    board = request.app[BOARD]
    now = await board.stream.latest()
    fixes = await asyncio.to_thread(board.sources.fixes)
    spent = await asyncio.to_thread(llm_debugger.spent, board.config.state_dir)
    return web.Response(
        body=exposition(now, fixes, spent),
        headers={"Content-Type": CONTENT_TYPE_LATEST},
    )


# -- what people ask for ---------------------------------------------------------------


async def command(request: web.Request) -> web.Response:
    """POST /api/commands: leaves one command for the monitor; 202 and a sentence."""
    board = request.app[BOARD]
    kind = await _kind(request)
    if kind.worker_id is not None:
        now = (await board.stream.latest()).status
        known = {one.worker_id for one in now.workers if one.known_to_monitor}
        if kind.worker_id not in known:
            raise web.HTTPConflict(text=f"The monitor has no worker {kind.worker_id}.")
    watched = await asyncio.to_thread(daemon.alive, board.config.state_dir) is not None
    if not watched and kind.kind is not CommandKind.RETRY:
        raise web.HTTPConflict(
            text="No monitor runs, so nobody would carry this out; ./start.sh starts one."
        )
    try:
        await asyncio.to_thread(commands.leave, board.config.state_dir, kind)
    except StateUnwritable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    return web.json_response({"message": _said(kind, watched)}, status=202)


async def _kind(request: web.Request) -> commands.Command:
    try:
        value: Json = json.loads(await request.text())
    except ValueError:
        value = None
    kind = commands.parse(value)
    if kind is None:
        raise web.HTTPBadRequest(text="This is not a command.")
    return kind


def _said(kind: commands.Command, watched: bool) -> str:
    if kind.kind is CommandKind.RETRY:
        what = (
            f"{len(kind.files)} failed file{'s' if len(kind.files) > 1 else ''}"
            if kind.files
            else "all failed files"
        )
        return (
            f"Asked to retry {what}."
            if watched
            else f"No monitor runs; the next ./start.sh retries {what}."
        )
    return f"Asked to {kind.kind.value} worker {kind.worker_id}; the monitor does it in a moment."
