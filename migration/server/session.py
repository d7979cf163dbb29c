"""A user's session with a server: login, token, and requests and tasks with it."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from common.json_value import Json
from common.settings.worker import Waits
from migration.errors import (
    LoginRefused,
    RefusedByServer,
    ServerFault,
    ServerUnreachable,
)
from migration.server import payloads
from migration.server.engine.backends import Backend, Backends
from migration.server.engine.calls import TaskEngine, Unauthorized, task_timeouts
from migration.server.http import address, shapes
from migration.server.http.responses import Response
from migration.server.http.transport import Body, HttpTransport

P = ParamSpec("P")
R = TypeVar("R")

#: The access token is renewed this many seconds before it expires, or at half its life
#: if that is less than twice as long.
RENEW_SECONDS = 600.0
#: The longest life of a token that we rely on (the server's default), and the life
#: assumed when the token does not give a plausible one; seconds. A token that expires
#: earlier is refused, and then we log in again.
LONGEST_LIFE, USUAL_LIFE = 4 * 3600.0, 3600.0
#: The role that may change and remove what others made, and items of shelves.
SUPERUSER = "superuser"
#: A fresh token refused this often in a row means that the user lacks permission, not
#: that the token has expired.
PERSISTENT_REFUSALS = 6


class Session:
    """Safe to use from several threads."""

    def __init__(
        self,
        http: HttpTransport,
        username: str,
        password: str,
        ws_urls: tuple[str, ...],
        waits: Waits | None = None,
    ) -> None:
        """Sends nothing yet; the first request logs in."""
        self.server = http.base_url
        self.http = http
        self._username = username
        self._password = password
        self._token = ""
        self._renew_at = 0.0
        self._login_lock = threading.Lock()
        self._refusals = 0
        waits = waits or Waits()
        self._backends = Backends(waits.silent_seconds)
        self._engine = TaskEngine(
            ws_urls,
            self.access_token,
            self._backends,
            task_timeouts(waits.task_seconds),
        )
        self.user_id = ""
        self.roles: frozenset[str] = frozenset()
        self._beyond: frozenset[str] = frozenset()

    def login(self) -> None:
        """Gets a new access token.

        Raises LoginRefused when the server itself refuses it, and Transient.
        """
        response = self._sent_login()
        if response.error or response.status != 200:
            reason = response.error or response.text or f"HTTP {response.status}"
            raise LoginRefused(
                f"{self.server} refused the login of {self._username!r} ({reason}); "
                "check MBS2_USERNAME and "
                "MBS2_PASSWORD"
            )
        token = payloads.text(response.mapping(), "access_token")
        claims = shapes.claims(token)
        self.user_id = str(claims["id"])
        roles = claims.get("roles")
        self.roles = frozenset(map(str, roles if isinstance(roles, list) else ()))
        self._beyond = frozenset(
            name for name, value in claims.items() if value is True
        )
        self._renew_at = time.monotonic() + renew_after(claims, time.time())
        self._token = token

    def _sent_login(self) -> Response:
        """Sends the login. An error of the first one says what is there instead."""
        body: Body = {"username": self._username, "password": self._password}
        try:
            return self.http.send("POST", "/login", body=body)
        except (ServerUnreachable, ServerFault) as error:
            why = address.explained(str(error), self.server, address.speaks_tls)
            if self.user_id or not why:
                raise
            raise type(error)(
                f"{error}: {why}", retry_after=error.retry_after
            ) from error

    def silent(self) -> str:
        """Names the part of the server that has been silent too long, or returns ""."""
        return self._backends.silent()

    def close(self) -> None:
        """Closes the calling thread's connections."""
        self.http.close()
        self._engine.close()

    def access_token(self) -> str:
        """Returns a token valid for some minutes more.

        Logs in when it is about to expire. Raises LoginRefused.
        """
        if not self._token or time.monotonic() > self._renew_at:
            self.login_again(self._token)
        return self._token

    def is_superuser(self) -> bool:
        """Whether the user may change and remove what is on shelves.

        Logs in when it has not yet.
        """
        self.access_token()
        return SUPERUSER in self.roles

    def takes_calibre_fields(self) -> bool:
        """Whether the server has fields beyond MyBookshelf2's: the embedded one says so.

        Logs in when it has not yet.
        """
        self.access_token()
        return "calibre_fields" in self._beyond

    def takes_calibre_books(self) -> bool:
        """Whether the server takes many books in one request: the embedded one does.

        Logs in when it has not yet.
        """
        self.access_token()
        return "calibre_books" in self._beyond

    def login_again(self, refused: str) -> None:
        """Logs in, unless another thread has done so since `refused` was sent."""
        with self._login_lock:
            if self._token == refused:
                self.login()

    def call(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        upload: tuple[Any, str] | None = None,
        once: bool = False,
    ) -> Response:
        """Sends with the token; on 401 logs in again, once.

        A request answered 401 was certainly not carried out. `once` means that the body
        is a stream that cannot be sent twice; then 401 is a ServerFault, and the next
        try of the whole file finds a fresh token.
        """
        token = self.access_token()
        # An upload takes as long as it takes: only small requests show whether the
        # server is silent.
        with nullcontext() if upload else self._backends.asking(Backend.APP):
            response = self.http.send(
                method, path, body=body, upload=upload, token=token
            )
        self._backends.heard(Backend.APP)
        if response.status == 401:
            self.login_again(token)
            if once:
                raise ServerFault(
                    f"{method} {path}: the token had expired; logged in again"
                )
            response = self.http.send(method, path, body=body, token=self._token)
        self._refusals = self._refusals + 1 if response.status == 401 else 0
        if response.status == 401 and self._refusals < PERSISTENT_REFUSALS:
            raise ServerFault(f"{method} {path}: HTTP 401 right after a login")
        if response.status == 401:
            raise LoginRefused(
                f"{self.server} does not let {self._username!r} do {method} {path}; "
                "the user needs the role 'user'"
            )
        if response.status == 403:
            raise RefusedByServer(
                f"the server says: {response.text}; {self._username!r} may only "
                "change ebooks of its own, "
                "unless it has the role 'superuser'"
            )
        return response

    def task(
        self,
        do: Callable[Concatenate[TaskEngine, P], R],
        *args: P.args,
        **more: P.kwargs,
    ) -> R:
        """Has the task engine do something.

        Logs in again, once, when it refuses the token.
        """
        try:
            return do(self._engine, *args, **more)
        except Unauthorized:
            self.login_again(self._token)
        try:
            return do(self._engine, *args, **more)
        except Unauthorized:
            raise LoginRefused(
                f"the task engine of {self.server} refuses the token of {self._username!r}"
            ) from None


def renew_after(claims: Mapping[str, Json], now: float) -> float:
    """Returns after how many seconds a token issued just now is to be renewed.

    Its life is what the token says (`exp` less `iat`, both by the server's clock), or
    else `exp` less our `now` where that is plausible: the two clocks may be hours
    apart.
    """
    expires, given = claims.get("exp"), claims.get("iat", now)
    life = USUAL_LIFE
    if (
        isinstance(expires, int | float)
        and isinstance(given, int | float)
        and expires - given > 0
    ):
        life = min(float(expires - given), LONGEST_LIFE)
    return max(life - RENEW_SECONDS, life / 2)


def task_urls(server: str, given: str = "") -> tuple[str, ...]:
    """Returns where the task engine may be.

    That is the URL given, or else `/ws` on the server's own port, then port 8080.
    """
    if given:
        return (given.rstrip("/"),)
    parts = urlsplit(server)
    scheme = "wss" if parts.scheme == "https" else "ws"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return (
        f"{scheme}://{parts.netloc.rpartition('@')[2]}/ws",
        f"{scheme}://{host}:8080/ws",
    )


def accepted(response: Response) -> Response:
    """Returns the response if the server accepted the request.

    Raises RefusedByServer with the server's message.
    """
    if response.error or response.status >= 400:
        raise RefusedByServer(
            f"the server says: {response.error or response.text or f'HTTP {response.status}'}"
        )
    return response
