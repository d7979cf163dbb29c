"""The server's task engine over WebSocket (MYBOOKSHELF2.md section 4): call a task, wait for its result.

Frames are JSON arrays: call `[id, name, {"args": [...]}]`; answers `["r", id, task]`, `["m", id, {"status": …}]`,
`["e", id, text, trace]`. Malformed calls get no answer at all, so every wait has an end. With a `session_id` the
server keeps results for 60 s while the connection is gone: a call survives a reconnect.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import websocket

from migration.errors import AnswerLost, RefusedByServer, ServerFault, ServerUnreachable
from migration.model import Json
from migration.resources import raise_if_exhausted
from migration.sanitize import for_log
from migration.wire import CONNECT_SECONDS

#: Seconds for the server to accept a call.
ACCEPT_SECONDS = 30.0
#: Seconds for a task to run once it has started; the server itself gives it 60, and 10 for a cover.
RUN_SECONDS = float(os.environ.get("TASK_SECONDS", "120"))
#: Seconds a call may wait in the server's queue, where an administrator's tasks run last.
QUEUE_SECONDS = 1800.0
#: Seconds within which a result is still kept for a session that lost its connection.
RESUME_SECONDS = 45.0
#: Seconds after which an idle connection is not trusted any more but opened anew.
IDLE_SECONDS = 600.0


class Unauthorized(Exception):
    """The server does not accept the token."""


@dataclass(slots=True)
class _Connection:
    socket: websocket.WebSocket
    session: str
    used: float
    calls: int = 0


class TaskEngine:
    """Calls tasks; each thread has a connection of its own."""

    def __init__(self, urls: tuple[str, ...], token: Callable[[], str]) -> None:
        """`urls` are tried in their order until one accepts a connection; `token` gives the access token."""
        self._urls = urls
        self._token = token
        self._local = threading.local()

    def call(self, name: str, args: list[Json]) -> Json:
        """The result of a task. Raises RefusedByServer when the task says no, Unauthorized for the token.

        Raises ServerUnreachable when the call certainly did not start, AnswerLost when it may have, ServerFault when
        the engine failed for reasons of its own.
        """
        connection = self._connected()
        connection.calls += 1
        call_id = connection.calls
        try:
            connection.socket.settimeout(ACCEPT_SECONDS)
            connection.socket.send(json.dumps([call_id, name, {"args": args}]))
        except (OSError, websocket.WebSocketException) as error:
            self.close()
            raise ServerUnreachable(f"task {name}: {_cause(error)}") from error
        return self._result(connection, call_id, name)

    def close(self) -> None:
        """Closes the calling thread's connection."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.socket.close(timeout=0)

    def _result(self, connection: _Connection, call_id: int, name: str) -> Json:
        """Waits for the frames of one call: accepted, started, and its end."""
        accepted = False
        deadline = time.monotonic() + ACCEPT_SECONDS
        while True:
            try:
                frame = self._receive(connection, deadline)
            except TimeoutError as error:
                self.close()
                raise AnswerLost(f"task {name}: no result in time") from error
            except (OSError, websocket.WebSocketException) as error:
                if not accepted or not self._resume(connection):
                    self.close()
                    raise AnswerLost(f"task {name}: {_cause(error)}") from error
                deadline = max(deadline, time.monotonic() + RUN_SECONDS)
                continue
            if len(frame) < 3 or frame[1] != call_id:
                continue
            kind, payload = frame[0], frame[2]
            if kind == "e":
                raise ServerFault(f"task {name}: {for_log(str(payload))}")
            accepted = True
            status = payload.get("status") if isinstance(payload, dict) else None
            if isinstance(payload, dict) and status in ("success", "error"):
                connection.used = time.monotonic()
                return _outcome(name, payload)
            deadline = time.monotonic() + (RUN_SECONDS if status else QUEUE_SECONDS)

    def _receive(self, connection: _Connection, deadline: float) -> list[Json]:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        connection.socket.settimeout(remaining)
        try:
            text = connection.socket.recv()
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError from error
        try:
            frame = json.loads(text)
        except ValueError:
            return []
        return frame if isinstance(frame, list) else []

    def _resume(self, connection: _Connection) -> bool:
        """Connects again under the same session, so that a result sent meanwhile is not lost."""
        connection.socket.close(timeout=0)
        give_up = time.monotonic() + RESUME_SECONDS
        while time.monotonic() < give_up:
            try:
                connection.socket = self._open(connection.session)
            except (ServerUnreachable, Unauthorized):
                time.sleep(2.0)
            else:
                return True
        return False

    def _connected(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and time.monotonic() - connection.used < IDLE_SECONDS:
            return connection
        self.close()
        session = uuid.uuid4().hex
        connection = _Connection(self._open(session), session, time.monotonic())
        self._local.connection = connection
        return connection

    def _open(self, session: str) -> websocket.WebSocket:
        query = urlencode({"token": self._token(), "session_id": session})
        failures, refused = [], 0
        for url in self._urls:
            try:
                socket = websocket.create_connection(
                    f"{url}?{query}", timeout=CONNECT_SECONDS, enable_multithread=False, skip_utf8_validation=True
                )
            except websocket.WebSocketBadStatusException as error:
                refused += error.status_code == 401
                failures.append(f"{url}: HTTP {error.status_code}")
            except (OSError, websocket.WebSocketException) as error:
                raise_if_exhausted(error)
                failures.append(f"{url}: {_cause(error)}")
            else:
                # Where it was found once it is looked for from now on: another port may be somebody else's.
                self._urls = (url,)
                return socket
        if refused == len(failures):
            raise Unauthorized
        raise ServerUnreachable("task engine: " + "; ".join(failures))


def _outcome(name: str, payload: dict[str, Json]) -> Json:
    if payload["status"] == "success":
        return payload.get("result")
    error = for_log(str(payload.get("error")))
    if any(sign in error for sign in ("Connection refused", "connection", "Timeout after", "Cannot allocate")):
        raise ServerFault(f"task {name}: {error}")
    raise RefusedByServer(f"task {name}: {error}")


def _cause(error: BaseException) -> str:
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "connection closed"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return for_log(str(error), 200) or type(error).__name__
