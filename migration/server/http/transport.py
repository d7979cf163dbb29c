"""HTTP to the server: one connection per thread, bounded answers, failures as our errors.

`responses` decides what counts as an answer; everything else is an error here.
"""

import http.client
import os
import re
import select
import threading
import uuid
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies

from common.clock import utc_now
from common.json_value import Json
from common.resources import raise_if_exhausted
from common.sanitize import for_log
from common.settings.worker import Waits
from migration.errors import (
    ResponseLost,
    ServerFault,
    ServerUnreachable,
    Transient,
    WrongServerUrl,
)
from migration.server.http import responses
from migration.server.http.connection import Connection
from migration.server.http.deadline import PunctualResponse
from migration.server.http.responses import (
    InvalidResponse,
    RawResponse,
    Response,
    Route,
)

#: Seconds to wait for a connection.
CONNECT_SECONDS = 5.0
#: Seconds within which a server that closes connections after its answers has done so.
CLOSE_SECONDS = 0.3
#: An upload's answer may take this many times as long, counted from the end of the
#: body: the server hashes and stores all of it.
UPLOAD_TIMES = 10
#: Bytes of an answer read at a time.
_BLOCK = 64 * 1024

#: Variables that name a file of certificates to trust.
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

#: How OpenSSL says which certificate it does not trust, and why.
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED\] ([^('\"]*[^('\" ])")

Body = dict[str, Json] | None


class HttpTransport:
    """Sends requests below one base URL.

    Thread-safe: each thread has its own connection.
    """

    def __init__(
        self, base_url: str, answer_seconds: float = Waits.answer_seconds
    ) -> None:
        """An answer must be complete within `answer_seconds`.

        Raises Misconfigured when the URL is not http(s).
        """
        if not base_url.startswith(("http://", "https://")):
            raise WrongServerUrl(
                f"{base_url!r} is not a server URL; give one such as http://127.0.0.1:6006"
            )
        self.base_url = base_url.rstrip("/")
        self._proxies = get_environ_proxies(self.base_url)
        # Names of requests and of OpenSSL, which the task engine's connections heed.
        trusted = (os.environ.get(name) for name in _CERTIFICATES)
        self._trusted = next(filter(None, trusted), None)
        self._answer_seconds = answer_seconds
        self._local = threading.local()
        self._closes_silently = False

    def learn_manners(self) -> None:
        """Finds out whether the server closes connections silently, as uwsgi does.

        A request on such a connection may be lost on the way, and one that must not be
        repeated would have to be reconciled each time. For such a server every request
        gets its own connection.
        """
        if not self._proxies:
            self._closes_silently = closes_silently(self.base_url)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Body = None,
        upload: tuple[IO[bytes] | Any, str] | None = None,
        token: str = "",
    ) -> Response:
        """Sends one request and returns its answer.

        `upload` is a readable body with its content type. Raises ServerUnreachable when
        the server certainly did not act or the request may be repeated, and ServerFault
        when the response is no answer; for a route that must not be repeated,
        ResponseLost instead of either if the request may have been carried out. Each
        carries the server's `Retry-After`. Raises OutOfResources.
        """
        route = responses.route_of(method, path)
        what = f"{method} {self.base_url}{path}"
        headers = {"Accept-Encoding": "identity", "Cache-Control": "no-cache"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        data: Any = None
        if upload is not None:
            data, headers["Content-Type"] = upload
        try:
            raw = self._exchange(
                method,
                _never_asked(path) if method == "GET" else path,
                headers,
                body,
                data,
                responses.LARGEST_PICTURE
                if route.picture or route.content
                else responses.LARGEST,
            )
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise _failure(error, what, route) from error
        verdict = responses.assess(route, path, raw, utc_now())
        if isinstance(verdict, InvalidResponse):
            raise _fault(verdict, what, route)
        return verdict

    def close(self) -> None:
        """Closes the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Body,
        data: Any,
        largest: int,
    ) -> RawResponse:
        if self._closes_silently:
            headers["Connection"] = "close"
        read_seconds = self._answer_seconds * (1 if data is None else UPLOAD_TIMES)
        try:
            raw = self._connection().send(
                method, path, headers, body, data, (CONNECT_SECONDS, read_seconds)
            )
            try:
                names = {name.lower(): value for name, value in raw.headers.items()}
                blocks = raw.stream(_BLOCK, decode_content=False)
                return _whole(raw.status, names, blocks, largest)
            finally:
                # Only an answer that was not read to its end closes the connection.
                raw.close()
                raw.release_conn()
        finally:
            if self._closes_silently:
                # The answer may arrive before the connection's end does; the next
                # request must not use it.
                self.close()

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = Connection(self.base_url, self._proxies, self._trusted or True)
            self._local.connection = connection
        return connection


def _never_asked(path: str) -> str:
    """Adds a parameter that no cache has seen; the server ignores it.

    Many caches ignore `Cache-Control`, and the answer decides whether an ebook is made,
    deleted or done, so an old one must not be used.
    """
    return f"{path}{'&' if '?' in path else '?'}_={uuid.uuid4().hex}"


def closes_silently(base_url: str) -> bool:
    """Whether the server closes a connection after an answer that does not announce it.

    False when that cannot be determined. A response that is not the server's, such as a
    portal's page, proves nothing about it.
    """
    parts = urlsplit(base_url)
    kind = (
        http.client.HTTPSConnection
        if parts.scheme == "https"
        else http.client.HTTPConnection
    )
    connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
    connection.response_class = PunctualResponse
    path = "/api/languages"
    try:
        connection.request(
            "GET", parts.path + path, headers={"Accept-Encoding": "identity"}
        )
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        blocks = iter(lambda: response.read(_BLOCK), b"")
        raw = _whole(response.status, names, blocks, responses.LARGEST)
        verdict = responses.assess(
            responses.route_of("GET", path), path, raw, utc_now()
        )
        if (
            isinstance(verdict, InvalidResponse)
            or response.will_close
            or connection.sock is None
        ):
            return False
        # Not select(), which fails on descriptors of 1024 and more.
        readable = select.poll()
        readable.register(connection.sock, select.POLLIN)
        return bool(readable.poll(CLOSE_SECONDS * 1000))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _whole(
    status: int, headers: dict[str, str], blocks: Iterator[bytes], largest: int
) -> RawResponse:
    """Reads a body of at most `largest` bytes.

    Returns it with status and headers.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return RawResponse(
            status,
            headers,
            b"",
            f"HTTP {status}, compressed ({for_log(encoding, 40)}) without being asked",
        )
    body = bytearray()
    for block in blocks:
        body += block
        if len(body) > largest:
            return RawResponse(
                status,
                headers,
                b"",
                f"HTTP {status} and more than {largest} bytes",
            )
    return RawResponse(status, headers, bytes(body))


def _fault(verdict: InvalidResponse, what: str, route: Route) -> Transient:
    message = f"{for_log(what, 200)} answered with {verdict.reason}"
    if not route.once:
        return ServerFault(message, retry_after=verdict.retry_after)
    return ResponseLost(
        message, still_running=not verdict.over, retry_after=verdict.retry_after
    )


def _failure(error: Exception, what: str, route: Route) -> Transient:
    # A process that cannot open a connection for lack of resources must not take that
    # for an outage and wait.
    raise_if_exhausted(error)
    message = f"{for_log(what, 200)}: {_cause(error)}"
    if route.once and not _never_connected(error):
        return ResponseLost(message)
    return ServerUnreachable(message)


def _never_connected(error: Exception) -> bool:
    return isinstance(
        getattr(error, "reason", None),
        urllib3.exceptions.ConnectTimeoutError
        | urllib3.exceptions.NewConnectionError
        | urllib3.exceptions.NameResolutionError,
    )


def _is_timeout(error: object) -> bool:
    return isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError) and (
        not isinstance(error, urllib3.exceptions.NewConnectionError)
    )


def _cause(error: Exception) -> str:
    if any(map(_is_timeout, (error, getattr(error, "reason", None)))):
        return "no answer in time"
    text = str(error)
    untrusted = _UNTRUSTED.search(text)
    if untrusted:
        return f"CERTIFICATE_VERIFY_FAILED: {for_log(untrusted[1], 100)}"
    for sign, meaning in (
        ("WRONG_VERSION_NUMBER", "no answer in TLS (WRONG_VERSION_NUMBER)"),
        ("Connection refused", "connection refused"),
        ("Connection reset", "connection reset"),
        ("Broken pipe", "connection closed while sending"),
        ("closed connection without response", "connection closed without an answer"),
        ("IncompleteRead", "connection closed in the middle of an answer"),
        ("resolve", "host name not found"),
    ):
        if sign in text:
            return meaning
    return for_log(text, 200)
