"""What the handlers share: configuration, database, files, tokens, the current user."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from bookshelf.access.tokens import Tokens
from bookshelf.access.users import User, load_user
from bookshelf.config import ServerConfig
from bookshelf.errors import HttpError
from bookshelf.storage.database import Database
from bookshelf.storage.files import FileStore
from bookshelf.trouble import Trouble

SESSION_COOKIE = "session"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The parts of a running server."""

    config: ServerConfig
    database: Database
    files: FileStore
    tokens: Tokens
    #: One picture is drawn at a time: viewing a page of new books must not take all
    #: threads and memory.
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: So many batches of books at a time are drawn and placed.
    importing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    #: Set in tests only.
    trouble: Trouble | None = None


SHELF = web.AppKey("shelf", Shelf)


async def current_user(request: web.Request) -> User | None:
    """Returns the user of a valid token in header, URL or session cookie."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.query.get("bearer_token", "")
    if not token:
        token = request.cookies.get(SESSION_COOKIE, "")
        if request.method not in ("GET", "HEAD") and not same_origin(request):
            return None
    shelf = request.app[SHELF]
    user_id = shelf.tokens.user_id(token) if token else None
    if user_id is None:
        return None
    return shelf.database.look(lambda db: load_user(db, user_id=user_id))


async def require_user(request: web.Request) -> User:
    """Returns the user, who may use the API.

    Raises HttpError(401), the same for a missing token and for missing rights.
    """
    user = await current_user(request)
    if user is None or not user.may("user"):
        raise HttpError(401, "Access denied")
    return user


def same_origin(request: web.Request) -> bool:
    """Whether the request was sent by a page of ours.

    A browser always says where a form comes from.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    try:
        return origin is not None and urlsplit(origin).netloc == request.host
    except ValueError:
        return False
