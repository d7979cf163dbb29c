"""A task engine on loopback that does what a test tells it: forgets, hangs, cuts,
drips, says nonsense."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

#: What a healthy engine says to the worker's empty call.
EMPTY = "tuple index out of range"


@dataclass(slots=True)
class Line:
    """One connection, the `number`-th; `session` is the client's."""

    number: int
    session: str
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    later: "asyncio.Task[None] | None" = None

    async def say(self, *frames: list[Any]) -> None:
        """Sends frames."""
        for frame in frames:
            await self.socket.send_str(json.dumps(frame))

    async def end(self, call: int, **body: Any) -> None:
        """Accepted, started, ended."""
        await self.say(
            ["r", call, "t"],
            ["m", call, {"status": "started"}],
            ["m", call, {"task_id": "t", **body}],
        )

    def cut(self) -> None:
        """The connection is gone without a word."""
        self.transport.abort()


Answers = Callable[[Line, int, str, list[Any]], Awaitable[None]]


@dataclass(slots=True)
class Engine:
    """`answers(line, call id, task, args)` is called for every call; `refuse` is
    answered to a handshake instead."""

    answers: Answers
    refuse: Callable[[int], web.Response | None] = lambda _number: None
    pongs: bool = True
    lines: list[Line] = field(default_factory=list)
    handshakes: int = 0
    url: str = ""

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /ws"""
        self.handshakes += 1
        refused = self.refuse(self.handshakes)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(autoping=self.pongs)
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        line = Line(
            len(self.lines) + 1,
            request.query.get("session_id", ""),
            socket,
            request.transport,
        )
        self.lines.append(line)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                call, task, payload = json.loads(message.data)
                if payload["args"] or task != "metadata":
                    await self.answers(line, call, task, payload["args"])
                else:
                    await self.answers(line, call, "", [])
        return socket


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """Serves in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/ws", engine.connect)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    engine.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    try:
        yield engine
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
