"""A WebSocket connection whose messages are bounded in bytes and in time."""

import select
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import websocket

from common.resources import raise_if_exhausted
from common.sanitize import for_log
from migration.errors import ServerUnreachable
from migration.server.engine.frames import FRAME_BYTES
from migration.server.http.transport import CONNECT_SECONDS

#: Bytes of frame headers and control frames allowed beside a message.
_OVERHEAD = 64 * 1024
#: How the task engine's refusal of a token begins; a proxy's does not.
_REFUSES_TOKEN = b"401: Unauthorized"


class Unauthorized(Exception):
    """The server does not accept the token."""


class EngineGone(ServerUnreachable):
    """Nothing listens there, or a proxy says so: the engine lost all its calls."""


class EngineSocket(websocket.WebSocket):
    """A connection; `heard` is the steady time at which it last received any bytes."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.heard = time.monotonic()
        self._until = float("inf")
        self._left = FRAME_BYTES + _OVERHEAD

    def ended(self) -> bool:
        """Whether an idle connection is unusable: closed, or with unexpected data."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def message(self, until: float) -> bytes:
        """Returns the next text message, b"" for one of another kind.

        Raises TimeoutError at `until` (steady clock); the next call continues a message
        that has begun to arrive. Raises OSError or WebSocketException when the
        connection is at its end.
        """
        self._until = until
        try:
            opcode, data = self.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError from error
        self._left = FRAME_BYTES + _OVERHEAD
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise websocket.WebSocketConnectionClosedException("connection closed")
        return bytes(data) if opcode == websocket.ABNF.OPCODE_TEXT else b""

    def _recv(self, bufsize: int) -> bytes:
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise websocket.WebSocketTimeoutException("no message in time")
        if self._left <= 0:
            raise websocket.WebSocketPayloadException(
                f"a message of more than {FRAME_BYTES} bytes"
            )
        if self.sock is not None:
            self.sock.settimeout(remaining)
        received: bytes = super()._recv(bufsize)  # type: ignore[no-untyped-call]  # the library's
        self.heard = time.monotonic()
        self._left -= len(received)
        return received


def connect(
    urls: tuple[str, ...], token: str, session: str, found: Callable[[str], None]
) -> EngineSocket:
    """Connects to the first of `urls` that accepts; calls `found` with it.

    Raises Unauthorized, EngineGone when nothing is there, or ServerUnreachable.
    Redirects are not followed, since the token is in the query.
    """
    query = urlencode({"token": token, "session_id": session})
    failures, refused, gone = [], 0, 0
    for url in urls:
        try:
            socket = websocket.create_connection(
                f"{url}?{query}",
                timeout=CONNECT_SECONDS,
                class_=EngineSocket,
                redirect_limit=0,
                enable_multithread=False,
                skip_utf8_validation=True,
            )
        except websocket.WebSocketBadStatusException as error:
            body = bytes(error.resp_body or b"")
            refused += error.status_code == 401 and body.startswith(_REFUSES_TOKEN)
            gone += error.status_code in (404, 502, 503, 504)
            failures.append(f"{url}: HTTP {error.status_code}")
        except (
            OSError,
            websocket.WebSocketException,
            ValueError,
            OverflowError,
            MemoryError,
        ) as error:
            # The last three come from a length that the other side made up for its
            # error page, not from a shortage of ours.
            if isinstance(error, OSError | websocket.WebSocketException):
                raise_if_exhausted(error)
            gone += isinstance(error, ConnectionRefusedError)
            failures.append(f"{url}: {cause(error)}")
        else:
            found(url)
            assert isinstance(socket, EngineSocket)
            return socket
    if refused and refused + gone == len(failures):
        raise Unauthorized
    kind = EngineGone if gone == len(failures) else ServerUnreachable
    raise kind("task engine: " + "; ".join(failures))


def cause(error: BaseException) -> str:
    """Describes a connection error in a few words."""
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "connection closed"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return for_log(str(error), 200) or type(error).__name__
