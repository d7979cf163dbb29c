"""Every request of the protocol, with what its answers may be. Pure.

A new request needs a row here; `responses` decides by it what counts as an answer.
"""

import re
from dataclasses import dataclass

from migration.server.http.shapes import (
    AUTHOR,
    CREATED,
    EBOOK,
    IMPORTED,
    IMPORTED_BOOK,
    INDEX,
    LIST,
    PICTURE,
    RATED,
    SHELF,
    SHELF_INDEX,
    SHELF_ITEMS,
    SHELVED,
    SHELVES,
    SOURCE,
    TOKEN,
    UPLOAD,
    UPLOADED,
    VERDICT,
    Shape,
    vocabulary,
)


@dataclass(frozen=True, slots=True)
class Route:
    """One request of the protocol.

    `shape` returns what a good answer lacks; `errors` are the beginnings of errors
    about what was sent; `refusals` are the statuses by which the server itself refuses;
    `once` means that the request must not be repeated before its fate is known;
    `picture` that a good answer is a picture, of which the body of the `Response` has
    the `sha1`; `content` the same of any bytes, which the caller must know beforehand.
    """

    method: str
    path: re.Pattern[str]
    shape: Shape
    plain: bool
    refusals: frozenset[int]
    errors: tuple[str, ...] = ()
    once: bool = False
    picture: bool = False
    content: bool = False

    def ids(self, path: str) -> tuple[int, ...]:
        """Returns the numbers in a path of this route."""
        found = self.path.fullmatch(path.partition("?")[0])
        return tuple(int(part) for part in found.groups()) if found else ()


_ON_FILES = ("file too big", "unsupported file type", "file already exists", "no file")
_ON_COVERS = ("invalid file type", "file too big", "no file")
_ON_EBOOKS = (
    "invalid data",
    "version_id missing",
    "stalled record",
    "value must be list",
)
_ON_SHELVES = ("invalid data", "version_id missing", "stalled record")


def _route(
    method: str,
    path: str,
    shape: Shape,
    kind: str,
    *refusals: int,
    errors: tuple[str, ...] = (),
    once: bool = False,
    picture: bool = False,
    content: bool = False,
) -> Route:
    pattern = re.compile(path.replace("<id>", r"(\d+)").replace("<text>", ".+"))
    return Route(
        method,
        pattern,
        shape,
        kind == "P",
        frozenset(refusals),
        errors,
        once,
        picture,
        content,
    )


#: Every request the worker sends. R: errors with a status are JSON; P: they are pages.
ROUTES = (
    _route("POST", "/login", TOKEN, "P", 400, errors=("invalid login",)),
    _route("GET", "/api/languages", vocabulary("code"), "R", 401),
    _route("GET", "/api/genres", vocabulary("name"), "R", 401),
    _route("POST", "/api/upload/check", VERDICT, "P", 400, 401, errors=_ON_FILES),
    _route("POST", "/api/upload", UPLOADED, "P", 400, 401, 413, errors=_ON_FILES),
    _route(
        "POST", "/api/upload-cover", UPLOADED, "P", 400, 401, 413, errors=_ON_COVERS
    ),
    _route("GET", "/api/uploads-meta/<id>", UPLOAD, "R", 401, 404),
    _route("GET", "/api/uploads-meta/<id>/cover", PICTURE, "P", 401, 404, content=True),
    _route("GET", "/api/download/<id>", PICTURE, "P", 401, 404, content=True),
    _route("GET", "/thumb/<id>", PICTURE, "P", 401, 404, content=True),
    _route("GET", "/api/ebooks/index/<text>", INDEX, "P", 401),
    _route("GET", "/api/ebooks", LIST, "R", 400, 401, 404),
    _route("GET", "/api/search/<text>", LIST, "R", 400, 401, 404),
    _route("POST", "/api/ebooks", CREATED, "R", 400, 401, errors=_ON_EBOOKS, once=True),
    _route("GET", "/api/ebooks/<id>", EBOOK, "R", 401, 404),
    _route("GET", "/api/authors/<id>", AUTHOR, "R", 401, 404),
    _route("GET", "/api/ebooks/<id>/cover", PICTURE, "P", 401, 404, picture=True),
    _route("PATCH", "/api/ebooks/<id>", CREATED, "R", 400, 401, 403, errors=_ON_EBOOKS),
    _route("DELETE", "/api/ebooks/<id>", CREATED, "R", 401, 403, 404),
    _route(
        "PUT",
        "/api/ebooks/<id>/calibre",
        CREATED,
        "R",
        400,
        401,
        403,
        404,
        errors=("invalid data",),
    ),
    _route("POST", "/api/calibre/books", IMPORTED, "R", 400, 401),
    _route("GET", "/api/calibre/books/[0-9a-f]{8}/<id>", IMPORTED_BOOK, "R", 401, 404),
    _route(
        "POST",
        "/api/ebooks/<id>/add-upload",
        SOURCE,
        "P",
        400,
        401,
        404,
        errors=("file already",),
        once=True,
    ),
    _route("POST", "/api/ebooks/<id>/rate", RATED, "P", 400, 401, 404),
    _route("DELETE", "/api/sources/<id>", CREATED, "R", 401, 403, 404),
    _route("GET", "/api/bookshelves/mine", SHELVES, "R", 400, 401, 404),
    _route(
        "POST",
        "/api/bookshelves/mine",
        CREATED,
        "R",
        400,
        401,
        errors=_ON_SHELVES,
        once=True,
    ),
    _route("GET", "/api/bookshelves/mine/index/<text>", SHELF_INDEX, "P", 401),
    _route("GET", "/api/bookshelves/with-ebook/<id>", SHELF_INDEX, "P", 401),
    _route("GET", "/api/bookshelves/<id>", SHELF, "R", 401, 403, 404),
    _route("DELETE", "/api/bookshelves/<id>", CREATED, "R", 401, 403, 404),
    _route("POST", "/api/bookshelves/<id>/add", SHELVED, "P", 400, 401, 403, 404),
    _route("GET", "/api/bookshelves/<id>/items", SHELF_ITEMS, "P", 400, 401, 403, 404),
    _route(
        "PATCH",
        "/api/bookshelf-items/<id>",
        CREATED,
        "R",
        400,
        401,
        403,
        404,
        errors=_ON_SHELVES,
    ),
    _route("DELETE", "/api/bookshelf-items/<id>", CREATED, "R", 401, 403, 404),
)


def route_of(method: str, path: str) -> Route:
    """Returns the route of a request; raises LookupError if it has none."""
    bare = path.partition("?")[0]
    for route in ROUTES:
        if route.method == method and route.path.fullmatch(bare):
            return route
    raise LookupError(
        f"{method} {bare} is no request of the protocol; enter it in "
        "migration/server/http/routes.py"
    )
