"""A proxy on loopback that does to requests what networks do: refuse, reset, delay,
cut, lie.

`decide` is asked about every request and every task frame; what it returns happens. It
runs in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import aiohttp
from aiohttp import web


class Do(Enum):
    """What happens to one request."""

    PASS = auto()  #: forwarded, answered
    RESET = auto()  #: the connection is closed before the server hears of it
    CUT = auto()  #: the server acts, its answer is lost
    LATE = auto()  #: forwarded after the client has been told nothing and was cut off
    DROP = auto()  #: a frame that never arrives
    TWICE = auto()  #: forwarded, answered, and forwarded once more a second later


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer made up by the proxy. The server never hears of the request, or has
    `acted` on it all the same.

    `spoil` makes the body out of the server's own (empty when it was not asked);
    `promised` bytes more are announced than are sent before the connection ends; with
    `drip` it goes byte by byte, so many seconds apart."""

    status: int
    body: str = "<p>made up</p>"
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
    acted: bool = False
    spoil: Callable[[bytes], bytes] | None = None
    promised: int = 0
    drip: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Forwarded after so many seconds."""

    seconds: float


Decision = Do | Answer | Wait
Decide = Callable[[str, str], Decision]


@dataclass(slots=True)
class Seen:
    """What has passed: (method or `ws`, path or frame kind)."""

    requests: list[tuple[str, str]] = field(default_factory=list)


class Proxy:
    """In front of one server; `decide(method, path)`; frames to the client are `("ws",
    "r"|"started"|"success"|…)`."""

    def __init__(self, target: str, decide: Decide) -> None:
        self._target = target
        self.decide = decide
        self.seen = Seen()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(
            20
        )

    def stop(self) -> None:
        """Closes everything."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> str:
        self._client = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120)
        )
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/ws":
            return await self._tasks(request)
        self.seen.requests.append((request.method, request.path))
        decision = self.decide(request.method, request.path)
        if isinstance(decision, Answer):
            return await self._lie(request, decision)
        if decision is Do.RESET:
            return self._hang_up(request)
        if isinstance(decision, Wait):
            await asyncio.sleep(decision.seconds)
        try:
            body = await request.read()
        except ConnectionError:
            return self._hang_up(request)
        if decision is Do.LATE:
            self._loop.call_later(
                1.0, lambda: self._loop.create_task(self._forward(request, body))
            )
            return self._hang_up(request)
        status, headers, answer = await self._forward(request, body)
        if decision is Do.CUT:
            return self._hang_up(request)
        if decision is Do.TWICE:
            self._loop.call_later(
                1.0, lambda: self._loop.create_task(self._forward(request, body))
            )
        return web.Response(status=status, headers=headers, body=answer)

    async def _lie(self, request: web.Request, lie: Answer) -> web.StreamResponse:
        """The made-up answer, after the server has acted if it is to."""
        body, true = await request.read(), b""
        if lie.acted:
            _status, _headers, true = await self._forward(request, body)
        told = lie.spoil(true) if lie.spoil is not None else lie.body.encode()
        response = web.StreamResponse(
            status=lie.status,
            headers={
                **lie.headers,
                "Content-Type": f"{lie.content_type}; charset=utf-8",
            },
        )
        response.content_length = len(told) + lie.promised
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            for start in range(len(told)) if lie.drip else ():
                await response.write(told[start : start + 1])
                await asyncio.sleep(lie.drip)
            if not lie.drip:
                await response.write(told)
        return self._hang_up(request) if lie.promised else response

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        kept = {
            key: value
            for key, value in request.headers.items()
            if key.lower() in ("authorization", "content-type")
        }
        async with self._client.request(
            request.method,
            self._target + request.raw_path,
            data=body,
            headers=kept,
            allow_redirects=False,
        ) as answer:
            return (
                answer.status,
                {"Content-Type": answer.headers.get("Content-Type", "text/html")},
                await answer.read(),
            )

    @staticmethod
    def _hang_up(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _tasks(self, request: web.Request) -> web.StreamResponse:
        self.seen.requests.append(("ws", "connect"))
        decision = self.decide("ws", "connect")
        if decision is Do.RESET:
            return self._hang_up(request)
        if isinstance(decision, Answer):
            return await self._lie(request, decision)
        near = web.WebSocketResponse()
        try:
            far = await self._client.ws_connect(self._target + request.raw_path)
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)
        try:
            await near.prepare(request)
        except ConnectionError:
            await far.close()
            return self._hang_up(request)
        pumps = [
            asyncio.create_task(self._pump(near, far)),
            asyncio.create_task(self._pump_back(far, near, request)),
        ]
        _done, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pending:
            pump.cancel()
        with contextlib.suppress(ConnectionError):
            await far.close()
            await near.close()
        return near

    async def _pump(
        self, near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse
    ) -> None:
        async for message in near:
            self.seen.requests.append(("ws", "call"))
            decision = self.decide("ws", "call")
            if decision is Do.DROP:
                continue
            await far.send_str(message.data)

    async def _pump_back(
        self,
        far: aiohttp.ClientWebSocketResponse,
        near: web.WebSocketResponse,
        request: web.Request,
    ) -> None:
        async for message in far:
            frame = message.json()
            kind = frame[2]["status"] if frame[0] == "m" else frame[0]
            decision = self.decide("ws", kind)
            if decision is Do.DROP:
                continue
            if decision is Do.CUT:
                self._hang_up(request)
                return
            with contextlib.suppress(ConnectionError):
                await near.send_str(message.data)


class Script:
    """Does something to the first requests that match, then passes everything."""

    def __init__(self, method: str, part: str, decision: Decision, times: int) -> None:
        self._wanted = (method, part, decision)
        self._left = times
        self._lock = threading.Lock()
        self.done = 0

    def __call__(self, method: str, path: str) -> Decision:
        wanted, part, decision = self._wanted
        with self._lock:
            if self._left and method == wanted and part in path:
                self._left -= 1
                self.done += 1
                return decision
        return Do.PASS
