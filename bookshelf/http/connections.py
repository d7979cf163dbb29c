"""Connections: their number, their idle time, and the answer to what is not HTTP."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from bookshelf.access.throttle import pair_of
from bookshelf.http.middleware import secure

log = logging.getLogger("bookshelf")

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: "
    b"bookshelf\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 5\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 21\r\nConnection: close\r\n\r\nToo "
    b"many connections\n"
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on connections.

    Seconds a connection may be open without a complete request head; seconds for which
    the rest of a refused body is discarded; the number of connections in all and from
    one address.
    """

    idle_seconds: float = 75.0
    linger_seconds: float = 5.0
    connections: int = 512
    per_address: int = 384


class Runner(web.AppRunner):
    """Runs an application with these limits."""

    def __init__(
        self, app: web.Application, limits: ConnectionLimits, shutdown_seconds: float
    ) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_seconds)
        self._limits = limits

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, self._limits)


class _Server(web.Server):
    """Makes a `_Connection` for each client, and counts them by address."""

    def __init__(self, made: web.Server, limits: ConnectionLimits) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self.limits = limits
        self._open: Counter[str] = Counter()

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self.limits)

    def come(self, address: str) -> bool:
        """Counts a connection; returns False when it is one too many."""
        self._open[address] += 1
        return (
            self._open[address] <= self.limits.per_address
            and self._open.total() <= self.limits.connections
        )

    def go(self, address: str) -> None:
        """Uncounts a connection that has ended."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class _Connection(web.RequestHandler):
    """aiohttp's connection, counted.

    Compressed bodies are left as they are, and the middleware refuses them.
    """

    __slots__ = ("_address", "_counted")

    def __init__(self, server: _Server, limits: ConnectionLimits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=cast(Any, None),
            auto_decompress=False,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=limits.linger_seconds,
        )
        self._counted: _Server | None = server
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answers immediately when there are too many connections."""
        peer = transport.get_extra_info("peername")
        self._address = pair_of("", str(peer[0]) if isinstance(peer, tuple) else "")[1]
        if self._counted is not None and self._counted.come(self._address):
            super().connection_made(transport)
            return
        stream = cast(asyncio.Transport, transport)
        stream.write(_BUSY)
        stream.close()
        self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Makes room for another connection."""
        server, self._counted = self._counted, None
        if server is not None:
            server.go(self._address)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - holds what was sent
    ) -> web.StreamResponse:
        """Answers what is not HTTP, without repeating or logging any of it."""
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= 500:
            log.error("a request could not be answered", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(
            status=status,
            text=f"{status}: {'Bad Request' if status < 500 else 'Server error'}\n",
        )
        secure(response)
        response.force_close()
        return response
