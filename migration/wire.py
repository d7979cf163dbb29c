"""HTTP to the server: one session per thread, time-outs on every request, failures as our errors."""

import http.client
import json
import select
import threading
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from migration.errors import AnswerLost, Misconfigured, ServerFault, ServerUnreachable, Transient
from migration.model import Json
from migration.resources import raise_if_exhausted
from migration.sanitize import for_log

#: Seconds to wait for a connection.
CONNECT_SECONDS = 5.0
#: Seconds within which a server that ends a connection after its answer has ended it.
CLOSE_SECONDS = 0.3
#: Seconds to wait for an answer, or for the next bytes of one.
READ_SECONDS = 60.0
#: Seconds to wait for the answer to an upload: the server hashes and stores the whole body first.
UPLOAD_READ_SECONDS = 600.0
#: Bytes of a body read and sent at a time.
BLOCK_BYTES = 256 * 1024

Body = dict[str, Json] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer below 500. `body` is its JSON, or None when it is not JSON; `text` is cleaned for a log line."""

    status: int
    body: Json
    text: str

    def mapping(self) -> dict[str, Json]:
        """The body when it is a JSON object, else {}."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def error(self) -> str:
        """The server's `error` with its details (application errors come with HTTP 200), or ""."""
        body = self.mapping()
        if "error" not in body:
            return ""
        details = body.get("error_details")
        text = str(body["error"]) if details is None else f"{body['error']}: {json.dumps(details, ensure_ascii=False)}"
        return for_log(text)


class Wire:
    """Sends requests below one base URL. Thread-safe: each thread has its own session and connection."""

    def __init__(self, base_url: str) -> None:
        """Raises Misconfigured when the URL is not http(s)."""
        if not base_url.startswith(("http://", "https://")):
            raise Misconfigured(f"{base_url!r} is not a server URL; give one such as http://127.0.0.1:6006")
        self.base_url = base_url.rstrip("/")
        self._proxies = get_environ_proxies(self.base_url)
        self._local = threading.local()
        self._closes_silently = False

    def learn_manners(self) -> None:
        """Finds out whether the server closes connections without saying so, as uwsgi's http-socket does.

        A request on such a connection may be lost on the way, and one that must not be repeated would have to be
        reconciled each time; then every request gets a connection of its own.
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
        repeatable: bool = True,
    ) -> Answer:
        """One request and its answer. `upload` is a readable body with its content type.

        Raises ServerUnreachable when it certainly did not act or may be repeated, AnswerLost when a request that is
        not `repeatable` may have been carried out, ServerFault for 5xx on a repeatable one, OutOfResources.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if self._closes_silently:
            headers["Connection"] = "close"
        data: Any = None
        if upload is not None:
            data, headers["Content-Type"] = upload
        read_seconds = READ_SECONDS if upload is None else UPLOAD_READ_SECONDS
        try:
            response = self._session().request(
                method,
                self.base_url + path,
                json=body,
                data=data,
                headers=headers,
                timeout=(CONNECT_SECONDS, read_seconds),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _failure(error, f"{method} {path}", repeatable) from error
        finally:
            if self._closes_silently:
                # The answer may come before the end of its connection does: it must not be taken for the next request.
                self.close()
        return _answer(response, f"{method} {path}", repeatable)

    def close(self) -> None:
        """Closes the calling thread's connection."""
        session = getattr(self._local, "session", None)
        if session is not None:
            session.close()
            self._local.session = None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter())
            # Proxies of the environment were looked up once; doing it again for every request costs more than sending.
            session.trust_env = False
            session.proxies.update(self._proxies)
            self._local.session = session
        return session


def closes_silently(base_url: str) -> bool:
    """Does the server end a connection after an answer that does not say so? False when that cannot be told."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/api/languages")
        answer = connection.getresponse()
        answer.read()
        if answer.will_close or connection.sock is None:
            return False
        return bool(select.select([connection.sock], [], [], CLOSE_SECONDS)[0])
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Adapter(HTTPAdapter):
    """Reads and sends bodies in larger blocks than 16 KB, which for large books cost more than hashing them."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """As the base class, with our block size."""
        super().init_poolmanager(*args, **more, blocksize=BLOCK_BYTES)


def _failure(error: requests.RequestException, what: str, repeatable: bool) -> Transient:
    # A process that cannot open a connection must not take that for an outage and wait.
    raise_if_exhausted(error)
    never_sent = isinstance(error, requests.ConnectTimeout) or _never_connected(error)
    message = f"{what}: {_cause(error)}"
    if never_sent or repeatable:
        return ServerUnreachable(message)
    return AnswerLost(message)


def _never_connected(error: requests.RequestException) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError)


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    text = str(error)
    for sign, meaning in (
        ("Connection refused", "connection refused"),
        ("Connection reset", "connection reset"),
        ("Broken pipe", "connection closed while sending"),
        ("closed connection without response", "connection closed without an answer"),
        ("resolve", "host name not found"),
    ):
        if sign in text:
            return meaning
    return for_log(text, 200)


def _answer(response: requests.Response, what: str, repeatable: bool) -> Answer:
    if response.status_code >= 500:
        message = f"{what}: HTTP {response.status_code} {_title(response)}".rstrip()
        if repeatable:
            raise ServerFault(message)
        # 500 is the server's own word that it is through with the request; a proxy's 502-504 is not.
        raise AnswerLost(message, still_running=response.status_code != 500)
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    return Answer(response.status_code, body, "" if body is not None else _title(response))


def _title(response: requests.Response) -> str:
    """The paragraph of an error page, cleaned; pages are HTML or JSON, depending on the route."""
    text = response.text
    start, end = text.rfind("<p>"), text.rfind("</p>")
    return for_log(text[start + 3 : end] if 0 <= start < end else text, 200)
