"""The users' commands, each of which is left for the monitor."""

import asyncio
import json

from aiohttp import web

from auto_monitor.cli import commands, daemon
from auto_monitor.cli.commands import CommandKind
from common.files.json_files import StateUnwritable
from common.hints import hint
from common.json_value import Json
from dashboard.web.board import BOARD, Board


async def command(request: web.Request) -> web.Response:
    """POST /api/commands: leaves one command for the monitor.

    Answers 202 with a message.
    """
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
            text="No monitor runs, so nobody would carry this out; "
            f"{_start(board)} starts one."
        )
    try:
        await asyncio.to_thread(commands.leave, board.config.state_dir, kind)
    except StateUnwritable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    said = _said(kind, _start(board), watched=watched)
    return web.json_response({"message": said}, status=202)


def _start(board: Board) -> str:
    return hint("start", state_dir=board.config.state_dir)


async def _kind(request: web.Request) -> commands.Command:
    try:
        value: Json = json.loads(await request.text())
    except ValueError:
        value = None
    kind = commands.parse(value)
    if kind is None:
        raise web.HTTPBadRequest(text="This is not a command.")
    return kind


def _said(kind: commands.Command, start: str, *, watched: bool) -> str:
    if kind.kind is CommandKind.RETRY:
        what = (
            f"{len(kind.files)} failed file{'s' if len(kind.files) > 1 else ''}"
            if kind.files
            else "all failed files"
        )
        return (
            f"Asked to retry {what}."
            if watched
            else f"No monitor runs; the next start retries {what}: {start}"
        )
    return f"Asked to {kind.kind.value} worker {kind.worker_id}; the monitor does it in a moment."
