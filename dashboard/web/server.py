"""The dashboard's application: access control, security headers, routes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from common.clock import utc_now
from dashboard.config import DashboardConfig
from dashboard.reading.state_reader import StateReader
from dashboard.web import commands, data, ends, pages
from dashboard.web.access import Access, host_of, same_origin
from dashboard.web.board import BOARD, Board, cookie_name
from dashboard.web.stream import SnapshotStream

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
#: The most bytes of a request's body; commands are small.
MOST_BYTES = 64_000


def make_application(config: DashboardConfig) -> web.Application:
    """Makes the application for a state directory.

    Raises OSError when its own folder cannot be created.
    """
    access = Access(config.folder)
    access.prepare()
    app = web.Application(middlewares=[_headers, _gate], client_max_size=MOST_BYTES)
    reader = StateReader(config.state_dir)
    app[BOARD] = Board(config, access, reader, SnapshotStream(reader, utc_now))
    app.add_routes(
        [
            web.get("/enter", pages.enter, allow_head=False),
            web.get("/", pages.page),
            web.get("/static/{name:[A-Za-z0-9./_-]+}", pages.static),
            web.get("/favicon.ico", pages.icon),
            web.get("/api/events", data.events, allow_head=False),
            web.get("/api/status", data.status),
            web.get("/api/series", data.series),
            web.get("/api/history", data.history),
            web.get("/api/history/{key}", data.entry),
            web.get("/api/failed", data.failed),
            web.get("/api/end", ends.end),
            web.get("/reports/{pass_id:[0-9]{1,18}}", ends.report),
            web.get("/metrics", data.metrics),
            web.post("/api/commands", commands.command),
            web.post("/leave", pages.leave),
        ]
    )
    app.cleanup_ctx.append(_running)
    app.on_shutdown.append(_close)
    return app


async def _running(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[BOARD].stream.run())
    task.add_done_callback(app[BOARD].stream.tell_end)
    yield
    task.cancel()
    await asyncio.wait([task])


async def _close(app: web.Application) -> None:
    app[BOARD].stream.close()


@web.middleware
async def _gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Rejects other host names and requests without session, token or link."""
    board = request.app[BOARD]
    if host_of(request.headers.get("Host", "")) not in board.config.hosts:
        raise web.HTTPMisdirectedRequest(
            text="This name is not allowed; see --allowed-hosts."
        )
    if request.path == "/enter":
        return await handler(request)
    session = request.cookies.get(cookie_name(request), "")
    known = board.access.knows(session)
    reading = request.method in ("GET", "HEAD")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not known and not (
        reading and scheme.lower() == "bearer" and board.access.is_token(token.strip())
    ):
        return pages.stranger(request)
    if not reading:
        if not same_origin(request.headers, request.host):
            raise web.HTTPForbidden(text="This was sent from another site.")
        if not board.access.is_form_token(
            session, request.headers.get("X-Form-Token", "")
        ):
            raise web.HTTPForbidden(
                text="This was not sent by a page of this session; reload it."
            )
    return await handler(request)


@web.middleware
async def _headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Adds security headers to every answer, including refusals."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        _secure(error)
        raise
    _secure(response)
    return response


def _secure(response: web.StreamResponse) -> None:
    if not response.prepared:
        # A report has a policy of its own.
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Server"] = "dashboard"
        response.headers.setdefault("Cache-Control", "no-store")
