"""Good answers of every route of the protocol, and what else may come in their
place."""

import base64
import json
from dataclasses import dataclass, field

from common.json_value import Json
from migration.server.http.responses import RawResponse

CLAIMS = base64.urlsafe_b64encode(b'{"id": 1, "exp": 4102444800}').decode().rstrip("=")
TOKEN = f"e30.{CLAIMS}.sig"
GONE = (
    "The requested URL was not found on the server.  If you entered the URL "
    "manually please check your spelling."
)
EBOOK: dict[str, Json] = {
    "id": 5,
    "version_id": 2,
    "title": "w ~1-5",
    "cover": False,
    "authors": [],
    "sources": [{"id": 9, "format": "epub", "size": 1942}],
}
UPLOAD: dict[str, Json] = {
    "id": 7,
    "hash": "ab" * 20,
    "size": 1942,
    "meta": {"title": "x"},
    "cover": True,
}
PAGE: dict[str, Json] = {
    "page": 1,
    "page_size": 100,
    "total": 1,
    "items": [{"id": 5, "title": "w ~1-5"}],
}
SHELF: dict[str, Json] = {"id": 3, "name": "Read", "owner": "me"}
ITEM: dict[str, Json] = {"id": 8, "version_id": 1, "ebook": {"id": 5, "title": "w"}}

#: Method, path, a good answer, and a key without which it is none ("" for a list).
#: A book of a batch, as the embedded server has made it.
BATCHED: dict[str, Json] = {
    "book": 5,
    "id": 5,
    "sources": [7],
    "made": True,
    "cover_sha1": "",
    "ebook": EBOOK,
}
ROUTES: list[tuple[str, str, Json, str]] = [
    (
        "POST",
        "/api/calibre/books",
        {"books": [BATCHED, {"book": 6, "refused": "file too big"}]},
        "books",
    ),
    (
        "GET",
        "/api/calibre/books/1a2b3c4d/5",
        {**BATCHED, "files": [{"format": "epub", "sha1": "a" * 40, "size": 9}]},
        "sources",
    ),
    ("POST", "/login", {"access_token": TOKEN, "refresh_token": TOKEN}, "access_token"),
    ("GET", "/api/languages", [{"id": 2, "code": "en", "name": "English"}], ""),
    ("GET", "/api/genres", [{"id": 53, "name": "Action"}], ""),
    ("POST", "/api/upload/check", {"result": "ok"}, "result"),
    ("POST", "/api/upload", {"file": "tmp1/a.epub", "result": "ok"}, "file"),
    ("POST", "/api/upload-cover", {"file": "tmp1/c.jpg", "result": "ok"}, "file"),
    ("GET", "/api/uploads-meta/7", UPLOAD, "hash"),
    (
        "GET",
        "/api/ebooks/index/w%20~1-5",
        {"items": [{"id": 5, "title": "w ~1-5"}], "total": 1},
        "items",
    ),
    ("GET", "/api/ebooks?sort=-created&page_size=100", PAGE, "items"),
    ("GET", "/api/search/w", PAGE, "items"),
    ("POST", "/api/ebooks", {"id": 5, "success": True}, "id"),
    ("GET", "/api/ebooks/5", EBOOK, "sources"),
    (
        "GET",
        "/api/authors/4",
        {"id": 4, "last_name": "Doe", "created": "2026-11-23", "ebooks": [5]},
        "last_name",
    ),
    ("PATCH", "/api/ebooks/5", {"id": 5, "success": True}, "success"),
    ("DELETE", "/api/ebooks/5", {"id": 5, "success": True}, "id"),
    ("PUT", "/api/ebooks/5/calibre", {"id": 5, "success": True}, "success"),
    ("POST", "/api/ebooks/5/add-upload", {"id": 41}, "id"),
    (
        "POST",
        "/api/ebooks/5/rate",
        {"id": 5, "rating": 65.25, "rating_count": 2},
        "rating",
    ),
    ("DELETE", "/api/sources/9", {"id": 9, "success": True}, "success"),
    (
        "GET",
        "/api/bookshelves/mine?sort=name",
        {"page": 1, "page_size": 10, "total": 1, "items": [SHELF]},
        "items",
    ),
    ("POST", "/api/bookshelves/mine", {"id": 3, "success": True}, "id"),
    (
        "GET",
        "/api/bookshelves/mine/index/Read",
        {"items": [SHELF], "total": 1},
        "total",
    ),
    ("GET", "/api/bookshelves/with-ebook/5", {"items": [SHELF], "total": 1}, "items"),
    ("GET", "/api/bookshelves/3", {**SHELF, "version_id": 1}, "id"),
    ("DELETE", "/api/bookshelves/3", {"id": 3, "success": True}, "success"),
    ("POST", "/api/bookshelves/3/add", {"id": 3}, "id"),
    (
        "GET",
        "/api/bookshelves/3/items?sort=created",
        {"page": 1, "page_size": 10, "total": 1, "items": [ITEM]},
        "items",
    ),
    ("PATCH", "/api/bookshelf-items/8", {"id": 8, "success": True}, "id"),
    ("DELETE", "/api/bookshelf-items/8", {"id": 8, "success": True}, "success"),
]


@dataclass(frozen=True, slots=True)
class Raw:
    """Something a proxy, a portal or a broken line puts in the place of an answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> RawResponse:
        """As the HTTP transport returns it."""
        return RawResponse(self.status, self.headers, self.body)


def as_json(body: Json, status: int = 200) -> Raw:
    """JSON with its content type."""
    return Raw(status, json.dumps(body).encode(), {"content-type": "application/json"})


def page(status: int, sentence: str = "Under maintenance", **headers: str) -> Raw:
    """A page as web servers and portals make them."""
    text = (
        f"<html><head><title>{status} "
        f"Sorry</title></head><body><h1>Sorry</h1><p>{sentence}</p></body></html>"
    )
    return Raw(
        status,
        text.encode(),
        {"content-type": "text/html; charset=utf-8"} | _dashed(headers),
    )


def own_page(status: int, sentence: str) -> Raw:
    """A page as the server itself makes them."""
    text = (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n'
        f"<title>{status} Its Name</title>\n<h1>Its Name</h1>\n<p>{sentence}</p>\n"
    )
    return Raw(status, text.encode(), {"content-type": "text/html"})


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def kinds(good: Json) -> dict[str, Raw]:
    """What is no answer on any route, by its name; `good` is the good one of the
    route."""
    return _bodies(good) | _statuses() | _troubles(good)


def _bodies(good: Json) -> dict[str, Raw]:
    """Of a good status, and what comes with it is not what the route promises."""
    whole = json.dumps(good).encode()
    json_type = {"content-type": "application/json"}
    return {
        "HTML 200": page(200),
        "JSON called HTML": Raw(200, whole, {"content-type": "text/html"}),
        "JSON without a type": Raw(200, whole),
        "empty 200": Raw(200, b"", json_type),
        "204": Raw(204, b""),
        "201": Raw(201, whole, json_type),
        "206": Raw(206, whole, json_type),
        "302": page(302, location="http://portal.example/login?token=secret"),
        "304": Raw(304, b""),
        "cut JSON": Raw(200, whole[:-1], json_type),
        "two JSONs": Raw(200, whole + whole, json_type),
        "JSON of another shape": as_json({"status": "ok", "maintenance": True}),
        "an empty object": as_json({}),
        "an empty list": as_json([]),
        "a list": as_json(["id", 1]),
        "a text": as_json("ok"),
        "null": as_json(None),
        "a number": as_json(1),
        "JSON in UTF-16": Raw(200, whole.decode().encode("utf-16"), json_type),
        "deep JSON": Raw(200, b"[" * 2000 + b"]" * 2000, json_type),
        "JSON that never ends to be deep": Raw(200, b"[" * 100_000, json_type),
    }


def _statuses() -> dict[str, Raw]:
    """Statuses that are not the server's own, or not in its words."""
    return {
        "404 HTML": page(404, "Not found"),
        "404 of a gateway in JSON": as_json(
            {"message": "no Route matched with those values"}, 404
        ),
        "401 of a proxy": page(
            401, "Access denied", www_authenticate='Basic realm="proxy"'
        ),
        "401 of a gateway in JSON": as_json({"message": "Unauthorized"}, 401),
        "403 HTML": page(403, "Blocked"),
        "405 HTML": page(405, "Not allowed"),
        "407": page(407, "Proxy login"),
        "408": page(408),
        "425": page(425),
        "429": page(429),
        "429 with seconds": page(429, retry_after="7"),
        "503 with a date": page(
            503,
            retry_after="Wed, 25 Nov 2026 12:00:30 GMT",
            date="Wed, 25 Nov 2026 12:00:00 GMT",
        ),
        "500": page(500),
        "500 of the server": as_json({"message": "Internal Server Error"}, 500),
        "502": page(502),
        "503": page(503),
        "504": page(504),
        "507": page(507),
    }


def _troubles(good: Json) -> dict[str, Raw]:
    """The server speaks of trouble of its own, with a good status."""
    database = "(psycopg2.OperationalError) server closed the connection unexpectedly"
    return {
        "database away": as_json(
            {"error": "Database error", "error_details": database}
        ),
        "deadlock": as_json(
            {
                "error": "Database error",
                "error_details": "(psycopg2.errors.DeadlockDetected) deadlock detected",
            }
        ),
        "database without details": as_json({"error": "Database error"}),
        "host name": as_json(
            {
                "error": 'could not translate host name "db" to address: Name or service not known'
            }
        ),
        "some trouble": as_json({"error": "Maintenance"}),
        "an error that is no text": as_json({"error": None, "result": "ok"}),
        "trouble beside a good answer": as_json(
            {
                "error": "Database error",
                **(good if isinstance(good, dict) else {"items": good}),
            }
        ),
    }
