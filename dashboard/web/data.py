"""The data for the page and for scripts.

Text from books is sent as JSON, and the page shows it as text.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from auto_monitor import llm_debugger
from auto_monitor.record.history import to_json
from common.clock import utc_now
from dashboard.reading import search
from dashboard.reading import series as rates
from dashboard.reading import state_reader as reading
from dashboard.web.board import BOARD
from dashboard.web.metrics import CONTENT_TYPE_LATEST, exposition

#: How much of the end the recent charts show.
RECENT = timedelta(minutes=15)


async def events(request: web.Request) -> web.StreamResponse:
    """GET /api/events: the event stream (`SnapshotStream`)."""
    return await request.app[BOARD].stream.events(request)


async def status(request: web.Request) -> web.Response:
    """GET /api/status: one snapshot."""
    now = await request.app[BOARD].stream.latest()
    return web.json_response(now.to_json())


async def series(request: web.Request) -> web.Response:
    """GET /api/series[?window=recent]: the charts' columns, in Unix time."""
    await request.app[BOARD].stream.latest()
    since = utc_now() - RECENT if request.query.get("window") == "recent" else None
    found = rates.rates(request.app[BOARD].reader.history.samples(since))
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
    """GET /api/history: one line per attempt, newest first."""
    found = await asyncio.to_thread(request.app[BOARD].reader.fixes)
    return web.json_response(
        {"entries": [reading.brief(entry) for entry in reversed(found)]}
    )


async def entry(request: web.Request) -> web.Response:
    """GET /api/history/<key>: one attempt in full."""
    key = request.match_info["key"]
    for found in await asyncio.to_thread(request.app[BOARD].reader.fixes):
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
        return web.json_response(search.to_json(search.FailedPage([], None)))
    text, after = (
        request.query.get("q", "").strip()[:200],
        search.cursor(request.query.get("after", "")),
    )
    place = None if now.library is None else Path(now.library)
    try:
        page_of = await asyncio.to_thread(
            search.search,
            board.reader.ledger,
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
    fixes = await asyncio.to_thread(board.reader.fixes)
    spent = await asyncio.to_thread(llm_debugger.spent, board.config.state_dir)
    return web.Response(
        body=exposition(now, fixes, spent),
        headers={"Content-Type": CONTENT_TYPE_LATEST},
    )
