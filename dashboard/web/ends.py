"""How a migration has ended, and the reports that are kept."""

import asyncio
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from auto_monitor.cli import end as ending
from auto_monitor.cli import status
from auto_monitor.decide.end_page import End
from common.clock import utc_now
from dashboard.web.board import BOARD
from migration.ledger import totals
from migration.state_files import reports

#: A report has its style in itself, and nothing else; its links may be followed.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)


async def end(request: web.Request) -> web.Response:
    """GET /api/end: the page about the end, null while anything works; the reports."""
    state_dir = request.app[BOARD].config.state_dir
    found = await asyncio.to_thread(_read, state_dir)
    kept = await asyncio.to_thread(reports.kept, _folder(state_dir))
    return web.json_response(
        {
            "end": None if found is None else asdict(found),
            "reports": [
                {"pass_id": one.pass_id, "at": one.at.isoformat()} for one in kept
            ],
        }
    )


def _read(state_dir: Path) -> End | None:
    now = utc_now()
    try:
        return ending.read_ended(state_dir, now, status.collect(state_dir, now))
    except totals.UNREADABLE as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error


async def report(request: web.Request) -> web.StreamResponse:
    """GET /reports/<pass>: the report of a pass."""
    folder = _folder(request.app[BOARD].config.state_dir)
    number = int(request.match_info["pass_id"])
    for one in await asyncio.to_thread(reports.kept, folder):
        if one.pass_id == number:
            return web.FileResponse(
                one.page,
                headers={
                    "Content-Type": "text/html; charset=utf-8",
                    "Content-Security-Policy": _POLICY,
                },
            )
    raise web.HTTPNotFound(text="There is no report of this pass.")


def _folder(state_dir: Path) -> Path:
    return state_dir / reports.FOLDER
