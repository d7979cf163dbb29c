"""What MyBookshelf2's libraries expect of older versions of Python and aiohttp.

Python 3.11 and aiohttp 3 no longer have it. The image's virtual environment imports
this file when it starts (deploy/server/Dockerfile), so that the server's own code runs
unchanged. Nothing of the project imports it.
"""

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientWebSocketResponse
from aiohttp.web import WebSocketResponse


class _Task(asyncio.Task[Any]):
    """asexor's server calls `asyncio.Task.current_task()`, removed in Python 3.9."""

    current_task = staticmethod(asyncio.current_task)


def _coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Replaces `asyncio.coroutine`, removed in Python 3.11, for asexor."""

    @functools.wraps(function)
    async def awaitable(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    return awaitable


def _getargspec(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Flask-Script calls `inspect.getargspec`, removed in Python 3.11.

    It reads the arguments of manage.py's commands.
    """
    return tuple(inspect.getfullargspec(function)[:4])


_sending: "set[asyncio.Future[None]]" = set()


def _at_once(
    send_str: Callable[..., Awaitable[None]],
) -> Callable[..., "asyncio.Future[None]"]:
    """asexor calls `send_str` without awaiting it, as in aiohttp 2.

    Both the server's and the command line's. Tasks begin, and so frames leave, in the
    order of the calls.
    """

    @functools.wraps(send_str)
    def send(
        self: object, data: str, compress: int | None = None
    ) -> "asyncio.Future[None]":
        sent = asyncio.ensure_future(send_str(self, data, compress))
        _sending.add(sent)  # the event loop itself keeps no strong reference to a task
        sent.add_done_callback(_sent)
        return sent

    return send


def _sent(sent: "asyncio.Future[None]") -> None:
    """Ignores a lost connection: asexor drops it when its reader ends."""
    _sending.discard(sent)
    if not sent.cancelled():
        sent.exception()


# asexor logs every request with its query, which contains the access token.
logging.getLogger("aiohttp.access").setLevel(logging.WARNING)

for _owner, _name, _value in (
    (asyncio, "Task", _Task),
    # what the event loop makes: `asyncio.Task` must be the same class
    (asyncio.tasks, "Task", _Task),
    (asyncio, "coroutine", _coroutine),
    (inspect, "getargspec", _getargspec),
    (WebSocketResponse, "send_str", _at_once(WebSocketResponse.send_str)),
    (ClientWebSocketResponse, "send_str", _at_once(ClientWebSocketResponse.send_str)),
):
    setattr(_owner, _name, _value)
