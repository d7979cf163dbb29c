"""Middleware: limits before the handlers; errors and security headers after."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable

from aiohttp import web

from bookshelf.application import SHELF
from bookshelf.errors import TOO_LARGE, ApplicationError, HttpError, json_answer
from bookshelf.http.bodies import BODY_BYTES, IMPORT_BYTES, NOTE_BYTES
from bookshelf.storage.file_watch import DatabaseGone

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger("bookshelf")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src "
    "'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "bookshelf",
}
#: Routes whose errors are pages, not JSON ("plain" in the protocol reference).
_PLAIN = (
    "/login",
    "/api/upload/",
    "/api/upload-cover",
    "/api/ebooks/index/",
    "/api/bookshelves/mine/index/",
    "/api/bookshelves/with-ebook/",
    "/thumb/",
    "/api/download/",
)
_PLAIN_ENDS = ("/api/upload", "/add-upload", "/rate", "/cover", "/add", "/items")
#: Routes that accept large bodies.
_UPLOADS = ("/api/upload", "/api/upload-cover")
#: The route that accepts a batch of books.
_IMPORT = "/api/calibre/books"
#: Routes that accept notes; comments are as long.
_SHELVES = ("/api/bookshelves/", "/api/bookshelf-items/")


def secure(response: web.StreamResponse) -> None:
    """Adds security headers; they do not name any library or version."""
    response.headers.update(_HEADERS)


async def secure_prepared(_request: web.Request, response: web.StreamResponse) -> None:
    """Adds security headers to every answer of the application as it is sent."""
    secure(response)


@web.middleware
async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns refusals, and whatever else was raised, into the protocol's answers."""
    plain = request.path.startswith(_PLAIN) or request.path.endswith(_PLAIN_ENDS)
    try:
        return await _limited(request, handler)
    except ApplicationError as refused:
        return refused.answer()
    except HttpError as failed:
        return _closing(failed.answer(as_json=not plain), request)
    except (DatabaseGone, sqlite3.Error) as error:
        return _closing(_database_error(error), request)
    except web.HTTPMethodNotAllowed:
        if request.path.startswith("/api") and not plain:
            return json_answer(
                {"message": "The method is not allowed for the requested URL."}, 405
            )
        raise
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:
        log.exception("request failed")
        return HttpError(500, "Internal Server Error").answer(as_json=not plain)


def _database_error(error: Exception) -> web.Response:
    if isinstance(error, DatabaseGone):
        gone = (
            "The database was deleted or replaced while the server was running; "
            "its log says what to do"
        )
        return json_answer({"error": gone}, 503)
    if isinstance(error, sqlite3.IntegrityError):
        return ApplicationError("Database error", str(error)).answer()
    # Full, locked or broken: that says nothing about the request.
    log.error("the database does not work: %s", error)
    return json_answer({"error": "Database error", "error_details": str(error)}, 503)


async def _limited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handles a request unless the database is gone or the body is unacceptable."""
    shelf = request.app[SHELF]
    shelf.database.check()
    if (request.content_length or 0) > _longest(request):
        raise HttpError(413, TOO_LARGE)
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in (
        "",
        "identity",
    ):
        raise HttpError(415, "Compressed request bodies are not taken")
    if request.path.startswith("/api"):
        await asyncio.sleep(shelf.config.delay_seconds)
    return await handler(request)


def _longest(request: web.Request) -> int:
    """Returns how many bytes the body of this request may have."""
    if request.method == "POST" and request.path in _UPLOADS:
        return request.app[SHELF].config.max_content_length
    if request.method == "POST" and request.path == _IMPORT:
        return IMPORT_BYTES
    long = request.path.startswith(_SHELVES) or request.path.endswith("/calibre")
    return NOTE_BYTES if long else BODY_BYTES


def _closing(answer: web.Response, request: web.Request) -> web.Response:
    """Closes the connection if the rest of a refused body is still to come."""
    if request.can_read_body:
        answer.force_close()
    return answer
