"""The gate before the client: every route of the protocol against every kind of what is
no answer."""

import hashlib
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.json_value import Json
from migration.errors import ResponseLost, ServerFault, ServerUnreachable, Transient
from migration.server.http import responses, shapes, untrusted
from migration.server.http.responses import InvalidResponse, RawResponse, Response
from tests.support.network.answerkit import (
    CLAIMS,
    EBOOK,
    GONE,
    ROUTES,
    TOKEN,
    UPLOAD,
    Raw,
    as_json,
    kinds,
    own_page,
    page,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CELLS = [
    (method, path, kind, raw)
    for method, path, good, _key in ROUTES
    for kind, raw in kinds(good).items()
]


def assessed(
    method: str, path: str, raw: Raw | RawResponse
) -> Response | InvalidResponse:
    """What the gate says."""
    response = raw if isinstance(raw, RawResponse) else raw.response()
    return responses.assess(responses.route_of(method, path), path, response, NOW)


@pytest.mark.parametrize(
    ("method", "path", "good", "key"), ROUTES, ids=lambda value: str(value)[:40]
)
def test_a_good_answer_passes_and_one_without_its_keys_does_not(
    method: str, path: str, good: Json, key: str
) -> None:
    """Each key missing, null, or of another type."""
    assert assessed(method, path, as_json(good)) == Response(200, good)
    indented = Raw(
        200,
        json.dumps(good, indent=2).encode(),
        {"content-type": "application/json; charset=utf-8"},
    )
    assert assessed(method, path, indented) == Response(200, good)
    if not isinstance(good, dict):
        assert isinstance(assessed(method, path, as_json([{"id": 1}])), InvalidResponse)
        return
    for worse in (
        {name: value for name, value in good.items() if name != key},
        good | {key: None},
        good | {key: {"id": 1}},
        good | {key: -1},
        good | {key: ""},
    ):
        verdict = assessed(method, path, as_json(worse))
        assert isinstance(verdict, InvalidResponse)
        assert f"{key!r} missing or of another type" in verdict.reason


@pytest.mark.parametrize(
    ("method", "path", "kind", "raw"),
    CELLS,
    ids=[f"{method} {path} {kind}"[:70] for method, path, kind, _ in CELLS],
)
def test_what_is_no_answer_says_nothing(
    method: str, path: str, kind: str, raw: Raw
) -> None:
    """Neither yes nor no, on no route."""
    verdict = assessed(method, path, raw)
    assert isinstance(verdict, InvalidResponse), verdict
    assert verdict.reason
    assert "secret" not in verdict.reason
    assert verdict.retry_after == {
        "429 with seconds": 7.0,
        "503 with a date": 30.0,
    }.get(kind, 0.0)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (Raw(200, b"\xff\xd8x", {"content-type": "image/jpeg"}), True),
        (Raw(200, b"\x89PNG", {"content-type": "image/png"}), True),
        (own_page(404, GONE), None),
        (Raw(200, b"", {"content-type": "image/jpeg"}), False),
        (Raw(200, b"<p>login</p>", {"content-type": "text/html"}), False),
        (as_json({"error": "no"}), False),
        (page(404), False),
        (page(503), False),
        (Raw(302, b"", {"location": "http://portal/"}), False),
    ],
)
def test_a_cover_is_a_picture(raw: Raw, found: bool | None) -> None:
    """Its SHA-1 is kept; None: the server says that there is none."""
    verdict = assessed("GET", "/api/ebooks/5/cover", raw)
    if found is False:
        assert isinstance(verdict, InvalidResponse)
        return
    assert isinstance(verdict, Response)
    if found:
        sha1 = hashlib.sha1(raw.body, usedforsecurity=False).hexdigest()
        assert verdict == Response(200, {"sha1": sha1})
    else:
        assert verdict.status == 404


@pytest.mark.parametrize(
    "path", ["/api/download/5", "/api/uploads-meta/5/cover", "/thumb/5"]
)
@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (Raw(200, b"PK", {"content-type": "application/epub+zip"}), True),
        (Raw(200, b"", {}), True),
        (own_page(404, GONE), None),
        (page(404), False),
        (page(503), False),
        (Raw(302, b"", {"location": "http://portal/"}), False),
    ],
)
def test_of_a_file_the_sha1_is_kept(path: str, raw: Raw, found: bool | None) -> None:
    """Whatever its type: the caller knows which bytes it must be."""
    verdict = assessed("GET", path, raw)
    if found is False:
        assert isinstance(verdict, InvalidResponse)
        return
    assert isinstance(verdict, Response)
    if found:
        sha1 = hashlib.sha1(raw.body, usedforsecurity=False).hexdigest()
        assert verdict == Response(200, {"sha1": sha1})
    else:
        assert verdict.status == 404


def test_every_request_of_the_client_is_in_the_tables() -> None:
    """A route without a row would have no gate, and one without a good answer here
    would not be tried."""
    assert {
        (route.method, route.path.pattern)
        for route in responses.ROUTES
        if not (route.picture or route.content)
    } == {
        (
            responses.route_of(method, path).method,
            responses.route_of(method, path).path.pattern,
        )
        for method, path, _good, _key in ROUTES
    }
    with pytest.raises(
        LookupError, match="GET /api/nosuch is no request of the protocol"
    ):
        responses.route_of("GET", "/api/nosuch?x=1")
    once = {
        (route.method, route.path.pattern) for route in responses.ROUTES if route.once
    }
    assert once == {
        ("POST", "/api/ebooks"),
        ("POST", r"/api/ebooks/(\d+)/add-upload"),
        ("POST", "/api/bookshelves/mine"),
    }


OWN = [
    ("POST", "/login", own_page(400, "Provide credentials")),
    ("POST", "/login", as_json({"error": "Invalid Login"})),
    ("GET", "/api/languages", as_json({"message": "Access denied"}, 401)),
    ("POST", "/api/upload/check", own_page(401, "Access denied")),
    ("POST", "/api/upload/check", own_page(400, "Invalid schema")),
    ("POST", "/api/upload/check", as_json({"error": "file too big"})),
    (
        "POST",
        "/api/upload/check",
        as_json({"error": "unsupported file type application/zip, extension cbz"}),
    ),
    ("POST", "/api/upload", as_json({"error": "file already exists"})),
    (
        "POST",
        "/api/upload",
        own_page(413, "The data value transmitted exceeds the capacity limit."),
    ),
    ("POST", "/api/upload", page(413, "413 Request Entity Too Large")),
    ("POST", "/api/upload-cover", as_json({"error": "Invalid file type text/plain"})),
    ("GET", "/api/uploads-meta/7", as_json({"message": GONE}, 404)),
    ("GET", "/api/ebooks/5", as_json({"message": GONE}, 404)),
    ("DELETE", "/api/ebooks/5", as_json({"message": "Access denied"}, 403)),
    (
        "POST",
        "/api/ebooks",
        as_json(
            {"error": "Invalid data", "error_details": {"title": ["deadlock detected"]}}
        ),
    ),
    ("POST", "/api/ebooks", as_json({"message": "Bad Request"}, 400)),
    (
        "PATCH",
        "/api/ebooks/5",
        as_json(
            {"error": "Stalled record", "error_details": "Your version 4, db version 5"}
        ),
    ),
    ("POST", "/api/ebooks/5/add-upload", own_page(404, GONE)),
    ("POST", "/api/bookshelves/mine", as_json({"error": "Invalid data"})),
    ("POST", "/api/bookshelves/3/add", own_page(404, GONE)),
    ("GET", "/api/bookshelves/3/items?page=9", own_page(404, GONE)),
    ("GET", "/api/bookshelves/mine?page=9", as_json({"message": GONE}, 404)),
    ("PATCH", "/api/bookshelf-items/8", as_json({"error": "Stalled record"})),
    ("PATCH", "/api/bookshelf-items/8", as_json({"message": "Access denied"}, 403)),
    ("DELETE", "/api/bookshelf-items/8", as_json({"message": "Access denied"}, 403)),
    ("DELETE", "/api/bookshelves/3", as_json({"message": "Access denied"}, 403)),
    (
        "POST",
        "/api/ebooks/5/add-upload",
        as_json({"error": "File already exists", "error_details": "Existing …"}),
    ),
]


@pytest.mark.parametrize(
    ("method", "path", "raw"),
    OWN,
    ids=[f"{case[0]} {case[1]} {i}" for i, case in enumerate(OWN)],
)
def test_the_servers_own_no_is_an_answer(method: str, path: str, raw: Raw) -> None:
    """Errors of the application, JSON of resource routes, pages of plain ones; 413 also
    of its proxy."""
    verdict = assessed(method, path, raw)
    assert isinstance(verdict, Response), verdict
    assert verdict.status == raw.status
    assert verdict.error or verdict.status >= 400


@pytest.mark.parametrize(
    ("details", "about_values"),
    [
        (
            "(psycopg2.errors.StringDataRightTruncation) value too long for type "
            "character varying(512)",
            True,
        ),
        (
            "(psycopg2.IntegrityError) duplicate key value violates unique constraint",
            True,
        ),
        ("(psycopg2.DataError) integer out of range", True),
        (
            "(raised as a result of Query-invoked autoflush; see docs) "
            "(psycopg2.IntegrityError) null value",
            True,
        ),
        (
            "(builtins.ValueError) A string literal cannot contain NUL (0x00) characters.",
            True,
        ),
        ("A string literal cannot contain NUL (0x00) characters.", True),
        (
            'null value in column "code" of relation "language" violates not-null constraint',
            True,
        ),
        ("UNIQUE constraint failed: author.name", True),
        (
            "value too long for type character varying(256) [SQL: 'INSERT'] ['deadlock detected']",
            True,
        ),
        (
            "(psycopg2.OperationalError) server closed the connection unexpectedly",
            False,
        ),
        (
            "(psycopg2.OperationalError) FATAL: the database system is starting up",
            False,
        ),
        (
            "(psycopg2.errors.AdminShutdown) terminating connection due to administrator command",
            False,
        ),
        (
            "(psycopg2.errors.DeadlockDetected) deadlock detected [parameters: value too long]",
            False,
        ),
        (
            "(psycopg2.errors.QueryCanceled) canceling statement due to statement timeout",
            False,
        ),
        (
            "(psycopg2.errors.DiskFull) could not extend file: No space left on device",
            False,
        ),
        ("(psycopg2.InterfaceError) connection already closed", False),
        (
            "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30",
            False,
        ),
        ("Can't reconnect until invalid transaction is rolled back", False),
        ("database is locked", False),
        ("disk I/O error: value too long", False),
        ("", False),
    ],
)
def test_a_database_error_is_a_refusal_only_when_it_is_about_the_values(
    details: str, about_values: bool
) -> None:
    """By its class or its beginning: what follows quotes titles."""
    verdict = assessed(
        "POST",
        "/api/ebooks",
        as_json({"error": "Database error", "error_details": details}),
    )
    assert isinstance(verdict, Response) is about_values
    if isinstance(verdict, InvalidResponse):
        assert verdict.over
        assert "trouble of its own: Database error" in verdict.reason


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/ebooks/6", EBOOK),
        ("GET", "/api/uploads-meta/8", UPLOAD),
        ("PATCH", "/api/ebooks/6", {"id": 5, "success": True}),
        ("POST", "/api/ebooks/6/rate", {"id": 5, "rating": 1.0}),
        ("POST", "/api/bookshelves/4/add", {"id": 3}),
        ("POST", "/api/bookshelves/3/add", {"id": 3, "status": "maintenance"}),
        ("GET", "/api/bookshelves/4", {"id": 3, "name": "Read", "version_id": 1}),
        ("GET", "/api/bookshelves/3", {"id": 3, "version_id": 1}),
        (
            "GET",
            "/api/bookshelves/3/items",
            {
                "page": 1,
                "page_size": 10,
                "total": 1,
                "items": [{"id": 8, "version_id": 1, "ebook": {"title": "w"}}],
            },
        ),
        ("POST", "/api/ebooks", {"id": 2**63, "success": True}),
        ("POST", "/api/ebooks", {"id": 0, "success": True}),
        ("POST", "/api/ebooks", {"id": True, "success": True}),
        ("POST", "/api/ebooks", {"id": 5, "success": False}),
        ("GET", "/api/uploads-meta/7", UPLOAD | {"hash": "AB" * 20}),
        ("GET", "/api/ebooks/5", EBOOK | {"sources": [{"id": 1, "format": "epub"}]}),
        ("POST", "/login", {"access_token": "abc"}),
        ("POST", "/login", {"access_token": "a.b.c"}),
    ],
)
def test_an_answer_about_something_else_is_none(
    method: str, path: str, body: Json
) -> None:
    """A cache that mixes up two ebooks, ids no database has, hashes in another
    spelling, tokens that are none."""
    assert isinstance(assessed(method, path, as_json(body)), InvalidResponse)


def test_a_redirect_is_named_with_its_target() -> None:
    """Without what its query or a login in it may hold."""
    verdict = assessed(
        "GET",
        "/api/genres",
        page(302, location="http://me:pw@portal.example/login?next=secret"),
    )
    assert isinstance(verdict, InvalidResponse)
    assert verdict.reason.startswith(
        "a redirect to http://portal.example/login; a proxy or a portal stands before"
    )
    relative = assessed("GET", "/api/genres", page(301, location="/elsewhere"))
    assert isinstance(relative, InvalidResponse)
    assert "a redirect to /elsewhere;" in relative.reason


@pytest.mark.parametrize(
    "raw",
    [
        Raw(
            200,
            json.dumps({"access_token": TOKEN}).encode(),
            {"content-type": "text/html"},
        ),
        Raw(
            200,
            json.dumps({"access_token": TOKEN}).encode()[:-1],
            {"content-type": "application/json"},
        ),
        Raw(201, json.dumps([TOKEN]).encode(), {"content-type": "application/json"}),
        page(200, f"Your token is {TOKEN}, keep it"),
        Raw(502, f"token={TOKEN}".encode(), {"content-type": "text/plain"}),
        Raw(
            502, b"password " + b"0123456789abcdef" * 4, {"content-type": "text/plain"}
        ),
    ],
)
def test_no_secret_of_a_spoiled_answer_gets_into_a_message(raw: Raw) -> None:
    """A login's answer that was cut, mislabelled or put on a page: what it is, never
    what it says."""
    verdict = assessed("POST", "/login", raw)
    assert isinstance(verdict, InvalidResponse)
    assert "sig" not in verdict.reason
    assert CLAIMS[:12] not in verdict.reason
    assert "0123456789abcdef" not in verdict.reason


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", "", 0.0),
        ("120", "", 120.0),
        ("86400", "", 900.0),
        ("9" * 500, "", 900.0),
        ("-5", "", 0.0),
        ("soon", "", 0.0),
        ("1.5", "", 0.0),
        ("Wed, 25 Nov 2026 12:01:00 GMT", "", 60.0),
        ("Wed, 25 Nov 2026 11:59:00 GMT", "", 0.0),
        ("Wed, 25 Nov 2026 23:00:00 GMT", "", 900.0),
        ("Wed, 25 Nov 2026 15:01:00 GMT", "Wed, 25 Nov 2026 15:00:00 GMT", 60.0),
        ("Wed, 25 Nov 2026 13:01:00 +0100", "", 60.0),
        ("Wed, 99 Nov 2026 12:01:00 GMT", "", 0.0),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(
    value: str, date: str, seconds: float
) -> None:
    """Capped at 15 minutes; a date by the clock of whoever sent it, when it says what
    that shows."""
    assert responses.retry_after({"retry-after": value, "date": date}, NOW) == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 100_000,
        b"[1e999]",
        b"[NaN]",
        b"[-Infinity]",
        b"[" + b"9" * 5000 + b"]",
        b"[9223372036854775808]",
        b"[1." + b"0" * 1000 + b"]",
        b'["\\ud800"]',
        b'["\xff"]',
        b"",
        b"[1",
    ],
)
def test_json_of_strangers_is_bounded(body: bytes) -> None:
    """Depth, numbers, characters: nothing that breaks later what passes here."""
    with pytest.raises(ValueError, match=r"\S"):
        untrusted.parsed(body)


def test_json_of_the_server_is_read() -> None:
    """What the protocol has: five deep, 64 bits, escaped letters."""
    deep = b"[" * 32 + b"]" * 32
    assert untrusted.parsed(deep) is not None
    assert untrusted.parsed(
        b'[9223372036854775807, -1.5e3, "\\u041a\\u043e\\u0442", true, null]'
    ) == [
        2**63 - 1,
        -1500.0,
        "Кот",
        True,
        None,
    ]


def test_claims_of_what_is_no_token() -> None:
    """Neither a word nor a token without a user names anybody."""
    assert shapes.claims(TOKEN)["id"] == 1
    for token in (
        "",
        "abc",
        "a.b.c",
        "e30.e30.e30",
        "." * 50,
        "e30." + "W" * 9999 + ".x",
    ):
        assert shapes.claims(token) == {}


@pytest.mark.parametrize(
    "kind", [Transient, ServerFault, ServerUnreachable, ResponseLost]
)
def test_what_the_server_asked_for_travels(kind: type[Transient]) -> None:
    """From a machine of a cluster to the worker, errors are pickled."""
    error = pickle.loads(pickle.dumps(kind("busy", retry_after=7.5)))
    assert (type(error), str(error), error.retry_after) == (kind, "busy", 7.5)


def test_the_client_reads_no_answer_past_the_gate() -> None:
    """Every request goes through `Wire.send` and its connection; nothing else of the
    worker speaks HTTP."""
    folder = Path(responses.__file__).parent
    speaking = {
        path.name
        for path in folder.parent.rglob("*.py")
        if "import requests" in path.read_text("utf-8")
    }
    assert speaking == {"transport.py", "connection.py"}
    users = {
        path.name
        for path in folder.parent.rglob("*.py")
        if "http.connection import" in path.read_text("utf-8")
    }
    assert users == {"transport.py"}
