"""For tests: the trouble a real server has, switched on and off while this one runs, in
its words.

A file (`--trouble FILE`) says which: words, each for as long as it stands there, or
`word:N` for the next N times.

    database        away: REST is HTTP 500, tasks end with `could not translate host name "db" …`
    app             only a proxy is there: HTTP 502 for everything but the task engine
    engine          ended: its connections are cut, its tasks forgotten, new
                    connections get HTTP 502
    engine-hangs    takes connections and calls, and answers nothing
    insert, update  the database's connection is ended in the middle of the next such
                    statement: nothing is written
    insert-kept, update-kept    the same after it was written: only the answer is lost
    deadlock        told of the next change of an ebook; nothing is written
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from bookshelf.errors import ApplicationError, HttpError

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Seconds between two readings of the file.
LOOK_SECONDS = 0.05
#: For as long as the word is in the file.
_ALWAYS = 10**9

AWAY = 'could not translate host name "db" to address: Name or service not known\n'
ENDED = (
    "server closed the connection unexpectedly\n\tThis probably means the server "
    "terminated abnormally\n\t"
    "before or while processing the request.\n"
)
DEADLOCK = (
    "(psycopg2.errors.DeadlockDetected) deadlock detected\nDETAIL:  Process 71 waits "
    "for ShareLock on transaction 802; "
    "blocked by process 73.\nHINT:  See server log for query details.\n"
)
_BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad "
    "Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad "
    "Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


class Trouble:
    """The trouble that the file asks for.

    `ended` is called when the task engine ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = 0
        self._left: Counter[str] = Counter()
        self._met: set[tuple[str, str]] = set()
        self.ended: Callable[[], None] = lambda: None

    def has(self, word: str) -> bool:
        """Whether this trouble is on now."""
        return self._left[word] > 0

    def take(self, word: str, path: str = "") -> bool:
        """Whether this trouble is on; if so, counts it as having happened.

        With a path, it happens only once on that path.
        """
        if self._left[word] <= 0 or (word, path) in self._met:
            return False
        self._left[word] -= self._left[word] < _ALWAYS
        if path and self._left[word] < _ALWAYS:
            self._met.add((word, path))
        return True

    async def over(self, word: str) -> None:
        """Waits until this trouble is over."""
        while self.has(word):
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Reads the file again if it has changed."""
        try:
            stamp = self._path.stat().st_mtime_ns
            words = (
                self._path.read_text("utf-8").split() if stamp != self._stamp else None
            )
        except FileNotFoundError:
            stamp, words = 0, []
        if words is not None:
            self._stamp = stamp
            parts = (word.partition(":") for word in words)
            self._left = Counter(
                {name: int(n) if n else _ALWAYS for name, _colon, n in parts}
            )
        if self.has("engine"):
            self.ended()

    async def run_task(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a task like an engine with this trouble.

        Raises HttpError with the task's error.
        """
        if self.has("database"):
            raise HttpError(500, AWAY)
        if self.take("insert"):
            raise HttpError(500, ENDED)
        result = await work()
        if self.take("insert-kept"):
            raise HttpError(500, ENDED)
        return result

    async def watched(self, _app: web.Application) -> AsyncIterator[None]:
        """Follows the file while the server runs."""

        async def follow() -> None:
            while True:
                self.look()
                await asyncio.sleep(LOOK_SECONDS)

        watcher = asyncio.create_task(follow())
        yield
        watcher.cancel()

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Answers like a server with this trouble."""
        if self.has("engine" if request.path == "/ws" else "app"):
            return web.Response(status=502, text=_BAD_GATEWAY, content_type="text/html")
        if request.path == "/ws" or not request.path.startswith(("/api", "/login")):
            return await handler(request)
        if self.has("database"):
            raise HttpError(500, "Internal Server Error")
        statement = _statement(request)
        # No ebook is hit again and again: a worker gives up for this run on what fails
        # three times alone.
        path = request.path if statement == "update" else ""
        if statement and self.take(statement, path):
            raise _told(request, ENDED)
        if (
            statement
            and request.path.startswith("/api/ebooks")
            and self.take("deadlock", path)
        ):
            raise _told(request, DEADLOCK)
        answer = await handler(request)
        if statement and self.take(f"{statement}-kept", path):
            raise _told(request, ENDED)
        return answer


def _statement(request: web.Request) -> str:
    """Returns what a request does in the database that a trigger can break, or ""."""
    if request.method == "PATCH" or request.path.endswith("/rate"):
        return "update"
    inserts = request.path == "/api/ebooks" or request.path.endswith("/add-upload")
    return "insert" if request.method == "POST" and inserts else ""


def _told(request: web.Request, details: str) -> Exception:
    """Returns the error as a route reports it.

    POST and PATCH of an ebook report it inside HTTP 200, other routes fail.
    """
    if request.method == "PATCH" or request.path == "/api/ebooks":
        text = (
            details
            if details.startswith("(")
            else f"(psycopg2.OperationalError) {details}"
        )
        return ApplicationError("Database error", text)
    return HttpError(500, "Internal Server Error")
