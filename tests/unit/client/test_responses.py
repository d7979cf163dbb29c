"""What an answer says, and which JSON is none: bound by bound."""

from datetime import UTC, datetime

import pytest

from common.json_value import Json
from migration.server.http.responses import (
    InvalidResponse,
    Response,
    assess,
    route_of,
)
from migration.server.http.untrusted import DEEPEST, parsed
from tests.support.network.answerkit import Raw, as_json, own_page, page

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": "no"}, "no"),
        ({"error": "no", "error_details": None}, "no"),
        ({"error": "no", "error_details": "why"}, 'no: "why"'),
        ({"error": "no", "error_details": {"é": 1}}, 'no: {"é": 1}'),
        ({"error_details": "why"}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_error_of_an_answer(body: Json, error: str) -> None:
    """With its details, if any."""
    assert Response(200, body).error == error


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1." + "0" * 398, 1.0),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        ("1e308", 1e308),
        ("[" * DEEPEST + "]" * DEEPEST, ...),
        ('{"a": 1, "b": 2}', {"a": 1, "b": 2}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_is_read(text: str, value: object) -> None:
    """Up to the bounds."""
    found = parsed(text.encode())
    assert value is ... or found == value


@pytest.mark.parametrize(
    "text",
    [
        "1." + "0" * 399,
        str(2**63),
        str(-(2**63) - 1),
        "1e309",
        "NaN",
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        '{"a": 1, "a": 2}',
        "",
    ],
    ids=lambda value: value[:20],
)
def test_json_that_is_none(text: str) -> None:
    """Just beyond them."""
    with pytest.raises(ValueError):
        parsed(text.encode())


PATH = "/api/ebooks/5"
SAID: list[tuple[Raw, InvalidResponse]] = [
    (page(200), InvalidResponse("text/html instead of JSON: Under maintenance")),
    (Raw(200, b""), InvalidResponse("no content type instead of JSON: nothing")),
    (page(502), InvalidResponse("HTTP 502 Under maintenance")),
    (as_json({"token": "x"}, 502), InvalidResponse("HTTP 502 JSON")),
    (Raw(503, b""), InvalidResponse("HTTP 503")),
    (
        Raw(300, b""),
        InvalidResponse(
            "a redirect to nowhere; a proxy or a portal stands before the server, or "
            "--server should name another address"
        ),
    ),
    (
        page(302, location="http://portal.example/login?token=secret"),
        InvalidResponse(
            "a redirect to http://portal.example/login; a proxy or a portal stands "
            "before the server, or --server should name another address"
        ),
    ),
    (
        as_json({"error": "Maintenance"}),
        InvalidResponse("trouble of its own: Maintenance", over=True),
    ),
    (
        as_json({"message": "Internal Server Error"}, 500),
        InvalidResponse("HTTP 500 JSON", over=True),
    ),
    (
        own_page(500, "It broke.  Sorry"),
        InvalidResponse("HTTP 500 It broke. Sorry"),
    ),
    (as_json([]), InvalidResponse("JSON of another kind: a list instead of an object")),
]


@pytest.mark.parametrize(("raw", "verdict"), SAID, ids=range(len(SAID)))
def test_what_is_no_answer_is_named(raw: Raw, verdict: InvalidResponse) -> None:
    """Word for word, for the log and for a person."""
    found = assess(route_of("GET", PATH), PATH, raw.response(), NOW)
    assert isinstance(found, InvalidResponse)
    assert found == verdict


def test_a_request_that_the_protocol_does_not_have() -> None:
    """Neither this method nor this path."""
    for method, path in (("PUT", PATH), ("GET", PATH + "x"), ("GET", "/api/nothing")):
        with pytest.raises(LookupError):
            route_of(method, path)
    assert route_of("GET", PATH + "?a=b") is route_of("GET", "/api/ebooks/77")


@pytest.mark.parametrize(
    ("method", "path", "refusals"),
    [
        ("POST", "/login", {400}),
        ("GET", "/api/languages", {401}),
        ("GET", "/api/genres", {401}),
        ("POST", "/api/upload/check", {400, 401}),
        ("POST", "/api/upload", {400, 401, 413}),
        ("POST", "/api/upload-cover", {400, 401, 413}),
        ("GET", "/api/uploads-meta/7", {401, 404}),
        ("GET", "/api/ebooks/index/w", {401}),
        ("GET", "/api/ebooks", {400, 401, 404}),
        ("GET", "/api/search/w", {400, 401, 404}),
        ("POST", "/api/ebooks", {400, 401}),
        ("GET", "/api/ebooks/5", {401, 404}),
        ("PATCH", "/api/ebooks/5", {400, 401, 403}),
        ("DELETE", "/api/ebooks/5", {401, 403, 404}),
        ("POST", "/api/ebooks/5/add-upload", {400, 401, 404}),
        ("POST", "/api/ebooks/5/rate", {400, 401, 404}),
        ("DELETE", "/api/sources/9", {401, 403, 404}),
    ],
)
def test_which_statuses_are_the_servers_own(
    method: str, path: str, refusals: set[int]
) -> None:
    """By route; every other one is no answer. Two requests are sent once only."""
    route = route_of(method, path)
    assert route.refusals == refusals
    once = ("/api/ebooks", "/api/ebooks/5/add-upload")
    assert route.once is (method == "POST" and path in once)
