"""The client of the server's task engine: calls a task and waits for its result.

It speaks WebSocket (MYBOOKSHELF2.md section 4). Malformed calls get no answer at all,
so every wait has an end (`frames`). With a `session_id` the engine keeps results for 60
s while the connection is gone: a call survives a reconnect, but not the end of the
engine that knew it.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import websocket

from common.json_value import Json
from common.sanitize import for_log
from common.settings.worker import Waits
from migration.errors import (
    RefusedByServer,
    ResponseLost,
    ServerFault,
    ServerUnreachable,
)
from migration.server.engine import task_errors
from migration.server.engine.backends import Backend, Backends
from migration.server.engine.frames import (
    CallState,
    Frame,
    FrameKind,
    TaskTimeouts,
    gives_up_at,
    parse,
)
from migration.server.engine.socket import (
    EngineGone,
    EngineSocket,
    Unauthorized,
    cause,
    connect,
)

__all__ = ["TaskEngine", "Unauthorized"]

#: Time-outs of a probe, in seconds. They are short because the next probe is due soon.
PROBE_TIMEOUTS = TaskTimeouts(
    accept=10.0, queue=30.0, run=30.0, settle=5.0, ping=5.0, silent=15.0, resume=5.0
)
#: After this many idle seconds a connection is replaced.
IDLE_SECONDS = 600.0
#: Seconds between attempts to reconnect.
_AGAIN_SECONDS = 2.0
#: A call that goes through the queue as every other does and changes nothing: without
#: its argument it ends at once.
_NOTHING: tuple[str, list[Json]] = ("metadata", [])
#: A call that reads the database and changes nothing: there is no source 0. Not every
#: server has this task.
_LOOK: tuple[str, list[Json]] = ("convert", [0, "epub"])


def task_timeouts(task_seconds: float) -> TaskTimeouts:
    """Returns the time-outs for tasks that run at most `task_seconds`.

    The server itself gives a task 60 s, and 10 s for a cover.
    """
    return TaskTimeouts(
        accept=30.0,
        queue=1800.0,
        run=task_seconds,
        settle=10.0,
        ping=10.0,
        silent=30.0,
        resume=45.0,
    )


class _Overdue(Exception):
    """No frame arrived in time."""


@dataclass(slots=True)
class _Connection:
    socket: EngineSocket
    session: str
    used: float
    calls: int = 0

    def send(self, name: str, args: list[Json], seconds: float) -> int:
        """Calls a task; returns the number of the call.

        Raises OSError or WebSocketException.
        """
        self.calls += 1
        self.socket.settimeout(seconds)
        self.socket.send(json.dumps([self.calls, name, {"args": args}]))
        self.socket.heard = time.monotonic()
        return self.calls


class TaskEngine:
    """Calls tasks; each thread has its own connection."""

    def __init__(
        self,
        urls: tuple[str, ...],
        token: Callable[[], str],
        backends: Backends | None = None,
        timeouts: TaskTimeouts | None = None,
    ) -> None:
        """`urls` are tried in order until one accepts a connection.

        `token` returns the access token.
        """
        self._urls = urls
        self._token = token
        self._backends = backends or Backends()
        self._timeouts = timeouts or task_timeouts(Waits.task_seconds)
        self._local = threading.local()
        #: When the last probe that had its turn began and ended.
        self._passed = (float("-inf"), float("-inf"))

    def call(self, name: str, args: list[Json]) -> Json:
        """Returns the result of a task, an id.

        Raises RefusedByServer when the task refuses this file, Unauthorized,
        ServerUnreachable when the call certainly did not start, ResponseLost when it
        may have, and ServerFault when the engine failed for reasons of its own.
        """
        with self._backends.asking(Backend.ENGINE):
            end = self._ended(name, args, self._timeouts)
        if end.kind is FrameKind.SUCCESS:
            return end.value
        message = f"task {name}: {for_log(str(end.value))}"
        if end.kind is FrameKind.ERROR and task_errors.refuses(name, str(end.value)):
            raise RefusedByServer(message)
        raise ServerFault(message)

    def probe(self) -> None:
        """Checks that the engine runs tasks and reaches its database.

        Raises Transient or Unauthorized.
        """
        began = time.monotonic()
        try:
            self._ended(*_NOTHING, PROBE_TIMEOUTS)
            self._passed = (began, time.monotonic())
            end = self._ended(*_LOOK, PROBE_TIMEOUTS)
        finally:
            self.close()
        if end.kind is FrameKind.ERROR and task_errors.tells_of_database(
            str(end.value)
        ):
            raise ServerFault(
                f"the task engine does not reach its database: {for_log(str(end.value))}"
            )

    def close(self) -> None:
        """Closes the calling thread's connection."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.socket.close(timeout=0)

    # -- frames and connections --------------------------------------------------------

    def _ended(self, name: str, args: list[Json], timeouts: TaskTimeouts) -> Frame:
        """Calls a task; returns the frame it ended with."""
        connection = self._connected()
        try:
            number = connection.send(name, args, timeouts.accept)
        except (OSError, websocket.WebSocketException) as error:
            self.close()
            raise ServerUnreachable(f"task {name}: {cause(error)}") from error
        try:
            end = self._end(connection, number, timeouts)
        except _Overdue as error:
            self.close()
            raise ResponseLost(f"task {name}: {error}") from error
        except (OSError, websocket.WebSocketException, ServerUnreachable) as error:
            self.close()
            raise ResponseLost(f"task {name}: {cause(error)}") from error
        connection.used = time.monotonic()
        return end

    def _end(
        self, connection: _Connection, number: int, timeouts: TaskTimeouts
    ) -> Frame:
        """Waits for the frames of one call: accepted, started, and its end."""
        call, witness = CallState(sent=time.monotonic()), 0
        while True:
            try:
                frame = self._next(connection.socket, call, timeouts)
            except (OSError, websocket.WebSocketException):
                if call.accepted is None:
                    raise
                witness = self._resume(connection, timeouts)
                call = call.gone(time.monotonic())
                continue
            self._backends.heard(Backend.ENGINE)
            if frame.call == number:
                if frame.kind in (
                    FrameKind.SUCCESS,
                    FrameKind.ERROR,
                    FrameKind.UNKNOWN,
                ):
                    return frame
                call = call.after(frame.kind, time.monotonic())
            elif frame.call == witness:
                call = call.after_witness(frame, time.monotonic())

    def _next(
        self, socket: EngineSocket, call: CallState, timeouts: TaskTimeouts
    ) -> Frame:
        """Returns the next meaningful frame.

        Raises _Overdue, and OSError or WebSocketException for a dead connection. A
        connection may die silently; so after some silence it is pinged, which a live
        engine answers.
        """
        while True:
            now = time.monotonic()
            call = call.passed_by(*self._passed)
            until = gives_up_at(call, timeouts)
            if now >= until:
                forgotten = call.resumed is not None
                raise _Overdue(
                    "forgotten by the task engine" if forgotten else "no result in time"
                )
            if now - socket.heard >= timeouts.silent:
                raise ConnectionError(f"nothing heard for {timeouts.silent:g} s")
            heard = socket.heard
            try:
                frame = parse(socket.message(min(until, now + timeouts.ping)))
            except TimeoutError:
                socket.settimeout(timeouts.ping)
                socket.ping()
                continue
            if frame is not None:
                return frame
            if call.started is not None and socket.heard > heard:
                # A pong: an engine that has begun this task is at work.
                self._backends.heard(Backend.ENGINE)

    def _resume(self, connection: _Connection, timeouts: TaskTimeouts) -> int:
        """Reconnects under the same session and calls a witness; returns its number.

        A result sent meanwhile is not lost that way. Raises ServerUnreachable:
        EngineGone at once, since then the call has been forgotten.
        """
        connection.socket.close(timeout=0)
        give_up = time.monotonic() + timeouts.resume
        while True:
            try:
                connection.socket = self._open(connection.session)
                return connection.send(*_NOTHING, timeouts.accept)
            except EngineGone:
                raise
            except Unauthorized:
                raise ServerUnreachable("the token is not accepted any more") from None
            except (OSError, websocket.WebSocketException, ServerUnreachable) as error:
                if time.monotonic() >= give_up:
                    raise ServerUnreachable(
                        f"not reached again: {cause(error)}"
                    ) from error
                time.sleep(_AGAIN_SECONDS)

    def _connected(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        # An engine that was restarted meanwhile has closed it: the call would be lost.
        if (
            connection is not None
            and time.monotonic() - connection.used < IDLE_SECONDS
            and not connection.socket.ended()
        ):
            return connection
        self.close()
        session = uuid.uuid4().hex
        connection = _Connection(self._open(session), session, time.monotonic())
        self._local.connection = connection
        return connection

    def _open(self, session: str) -> EngineSocket:
        def found(url: str) -> None:
            # Once the engine was found, only that URL is used: on another port there
            # may be another service.
            self._urls = (url,)

        return connect(self._urls, self._token(), session, found)
