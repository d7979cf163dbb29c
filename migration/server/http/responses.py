"""What counts as an answer of MyBookshelf2: status, content type and shape. Pure.

Between the worker and the server are proxies, portals and gateways, and behind the
server a database; each of them answers too. What is not the protocol's own answer says
nothing: neither "done" nor "not there" nor "refused". `routes` is the protocol; a new
request needs a row there.

The server's errors come with HTTP 200 and a key `error`, or with a status: "resource"
routes then answer JSON, "plain" ones a small HTML page.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from common.json_value import Json
from common.sanitize import for_log
from migration.server.http.routes import ROUTES as ROUTES
from migration.server.http.routes import Route as Route
from migration.server.http.routes import route_of as route_of
from migration.server.http.untrusted import parsed

#: The longest wait a `Retry-After` may ask for, in seconds.
LONGEST_WAIT = 900.0
#: The most bytes of an answer that are read; the longest of the protocol, a page of
#: ebooks, has some 100 KB.
LARGEST = 4 * 1024 * 1024
#: The same for files and for a cover, which some servers keep as it was sent.
LARGEST_PICTURE = 64 * 1024 * 1024

_DENIED, _GONE = "Access denied", "The requested URL was not found on the server"
#: What looks like a token: of the server's kind, or anything longer than a word of a
#: sentence.
_TOKEN = re.compile(r"[\w+/=-]+\.[\w+/=-]{8,}\.[\w+/=-]+|[\w+/=-]{40,}")
_PAGE = re.compile(
    r"\s*<!doctype html[^>]*>\s*(?:<html "
    r"lang=en>\s*)?<title>\s*(\d{3})[^<]*</title>\s*<h1>[^<]*</h1>"
    r"\s*<p>(.*)</p>\s*(?:</html>)?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response as received.

    Names of `headers` are in lower case; `defect` says why `body` is not complete.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    defect: str = ""

    @property
    def kind(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the protocol.

    `body` is its JSON, or None for a page; `text` is the page's cleaned sentence.
    """

    status: int
    body: Json
    text: str = ""

    def mapping(self) -> dict[str, Json]:
        """Returns the body if it is a JSON object, else {}."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def error(self) -> str:
        """The server's `error` with its details, or ""."""
        body = self.mapping()
        if "error" not in body:
            return ""
        details = body.get("error_details")
        text = (
            str(body["error"])
            if details is None
            else f"{body['error']}: {json.dumps(details, ensure_ascii=False)}"
        )
        return for_log(text)


@dataclass(frozen=True, slots=True)
class InvalidResponse:
    """A response that says nothing.

    `reason` completes "… answered with"; `retry_after` is in seconds, 0 when it was not
    asked for. `over` means that it comes from the server itself all the same, so the
    request is not running any more.
    """

    reason: str
    retry_after: float = 0.0
    over: bool = False


def assess(
    route: Route, path: str, raw: RawResponse, now: datetime
) -> Response | InvalidResponse:
    """Decides whether a response is the protocol's answer to a request of this route.

    `now` is timezone-aware; a date in `Retry-After` is compared with it.
    """
    verdict = _assessed(route, path, raw)
    if isinstance(verdict, Response):
        return verdict
    wait = retry_after(raw.headers, now)
    return InvalidResponse(verdict.reason, wait, verdict.over) if wait else verdict


def _assessed(route: Route, path: str, raw: RawResponse) -> Response | InvalidResponse:
    status = raw.status
    if raw.defect:
        return InvalidResponse(raw.defect)
    if 300 <= status < 400:
        return InvalidResponse(_redirect(raw.headers.get("location", "")))
    if status == 200:
        return _yes_or_error(route, path, raw)
    own = _own_words(route, raw)
    if status in route.refusals and own is not None:
        return own
    page = f" {text}" if (text := _sentence(raw)) else ""
    return InvalidResponse(
        f"HTTP {status}{page}", over=status == 500 and own is not None
    )


def _yes_or_error(
    route: Route, path: str, raw: RawResponse
) -> Response | InvalidResponse:
    if route.picture or route.content:
        return _bytes(raw, any_type=route.content)
    if raw.kind != "application/json":
        shown = for_log(raw.kind, 60) or "no content type"
        return InvalidResponse(
            f"{shown} instead of JSON: {_sentence(raw) or 'nothing'}"
        )
    try:
        body = parsed(raw.body)
    except ValueError as error:
        return InvalidResponse(f"JSON that cannot be read: {for_log(str(error), 120)}")
    response = Response(200, body)
    if isinstance(body, dict) and "error" in body:
        if refuses(route, body["error"], body.get("error_details")):
            return response
        return InvalidResponse(f"trouble of its own: {response.error}", over=True)
    lack = route.shape(body, route.ids(path))
    return InvalidResponse(f"JSON of another kind: {lack}") if lack else response


def _bytes(raw: RawResponse, *, any_type: bool) -> Response | InvalidResponse:
    """Returns what is kept of a picture or a file: the SHA-1 of its bytes."""
    if any_type:
        return Response(200, {"sha1": _sha1(raw.body)})
    if not raw.kind.startswith("image/") or not raw.body:
        shown = for_log(raw.kind, 60) or "no content type"
        return InvalidResponse(f"{shown} instead of a picture")
    return Response(200, {"sha1": _sha1(raw.body)})


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


# -- refusal or trouble ----------------------------------------------------------------

#: Database errors about the values that were sent: class names of PostgreSQL and
#: Python.
_ABOUT_VALUES = frozenset(
    {
        "IntegrityError",
        "DataError",
        "ValueError",
        "NotNullViolation",
        "UniqueViolation",
        "ForeignKeyViolation",
        "CheckViolation",
        "StringDataRightTruncation",
        "NumericValueOutOfRange",
        "InvalidTextRepresentation",
        "CharacterNotInRepertoire",
        "UntranslatableCharacter",
        "DatetimeFieldOverflow",
        "InvalidDatetimeFormat",
    }
)
_AUTOFLUSH = re.compile(r"\A\s*\(raised as a result of [^)]*\)")
_CLASS = re.compile(r"\s*\((?:\w+\.)*(\w+)\)")
#: The same without a class: how the message begins.
_VALUE = re.compile(
    r"null value in column|duplicate key value violates|value too long|a string "
    r"literal cannot contain nul"
    r"|(?:insert or update|update or delete) on table .* violates|new row for relation .* violates"
    r"|(?:bigint|integer|smallint|numeric field|value) .*out of range|invalid "
    r"(?:input syntax|byte sequence)"
    r"|(?:unique|not null|foreign key|check) constraint failed",
    re.IGNORECASE,
)


def refuses(route: Route, error: Json, details: Json) -> bool:
    """Whether this `error` refuses what was sent; any other is the server's trouble."""
    if not isinstance(error, str):
        return False
    if error.casefold().startswith("database error"):
        return isinstance(details, str) and _about_values(details)
    return error.casefold().startswith(route.errors) if route.errors else False


def _about_values(details: str) -> bool:
    """Whether a database error is about values.

    Only its class or its beginning counts: the rest quotes the statement, titles
    included.
    """
    said = _AUTOFLUSH.sub("", details, count=1)
    found = _CLASS.match(said)
    return found[1] in _ABOUT_VALUES if found else bool(_VALUE.match(said.lstrip()))


# -- the server's own answers ----------------------------------------------------------


def _own_words(route: Route, raw: RawResponse) -> Response | None:
    """Returns the answer if a status other than 200 comes from the server itself.

    As far as that can be determined; else None.
    """
    status = raw.status
    if status == 413 and status in route.refusals:
        # Whether the server or its proxy sets the limit: a file of this size does not
        # get through.
        return Response(status, None, _sentence(raw))
    if "www-authenticate" in raw.headers:
        # The server never sends this header; a proxy that wants a login of its own
        # does.
        return None
    if raw.kind != "application/json":
        return _own_page(raw) if route.plain else None
    try:
        body = parsed(raw.body)
    except ValueError:
        return None
    message = body.get("message") if isinstance(body, dict) else None
    return (
        Response(status, body, for_log(message))
        if isinstance(message, str) and _fits(status, message)
        else None
    )


def _own_page(raw: RawResponse) -> Response | None:
    page = _PAGE.fullmatch(raw.body.decode("utf-8", "replace"))
    if raw.kind != "text/html" or page is None or int(page[1]) != raw.status:
        return None
    # For a missing upload the page says no more than any other; only its form shows
    # that it is the server's.
    if raw.status == 401 and _DENIED not in page[2]:
        return None
    return Response(raw.status, None, _sentence(raw))


def _fits(status: int, message: str) -> bool:
    """Whether a message begins as the server's own; gateways answer JSON too."""
    begins = {401: _DENIED, 403: _DENIED, 404: _GONE}.get(status, "")
    return message.startswith(begins)


def _sentence(raw: RawResponse) -> str:
    """Returns what a page or a body says, cleaned and short.

    JSON is never quoted: it may be a login's, with its token.
    """
    text = raw.body[:65536].decode("utf-8", "replace")
    if text.lstrip()[:1] in tuple('{["'):
        return "JSON"
    for begin, end in (("<p>", "</p>"), ("<title>", "</title>")):
        start, stop = text.rfind(begin), text.rfind(end)
        if 0 <= start < stop:
            return for_log(
                _TOKEN.sub(
                    "…", re.sub(r"<[^>]*>", " ", text[start + len(begin) : stop])
                ),
                200,
            )
    return for_log(_TOKEN.sub("…", text), 200)


def _redirect(location: str) -> str:
    """Describes a redirect, without what a login or a query may contain."""
    try:
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
        target = for_log(
            f"{parts.scheme}://{host}{parts.path}" if host else parts.path, 200
        )
    except ValueError:
        target = ""
    return (
        f"a redirect to {target or 'nowhere'}; a proxy or a portal stands before the "
        "server, or --server "
        "should name another address"
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Returns the seconds that `Retry-After` asks for, as a number or a date.

    At most `LONGEST_WAIT`; 0 without one.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value[:12]), LONGEST_WAIT)
    until, sent = _date(value), _date(headers.get("date", ""))
    # Measured by the sender's own clock where it sends its date: ours may be an hour
    # off.
    seconds = (until - (sent or now)).total_seconds() if until is not None else 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
