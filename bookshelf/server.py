"""The server's application: its parts, its routes, its background checks."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator

from aiohttp import web

from bookshelf.api import bookshelves, ebooks, imports
from bookshelf.access import tokens, users
from bookshelf.storage import housekeeping
from bookshelf.storage import imports as imported
from bookshelf.api import login
from bookshelf.http import middleware
from bookshelf.web import pages, shelf_pages
from bookshelf.api import uploads
from bookshelf.application import SHELF, Shelf
from bookshelf.access.tokens import Tokens
from bookshelf.http.bodies import BODY_BYTES
from bookshelf.config import ServerConfig
from bookshelf.storage.database import Database
from bookshelf.storage.files import FileStore
from bookshelf.engine.tasks import Engine
from bookshelf.trouble import Trouble
from bookshelf.storage.file_watch import DatabaseGone

ENGINE = web.AppKey("engine", Engine)
#: Seconds between two checks of the database's file while there are no requests.
WATCH_SECONDS = 1.0



def make_application(config: ServerConfig) -> web.Application:
    """Makes the application for a data directory; creates the first user."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    housekeeping.make_private(config.data_dir)
    database = Database(config.data_dir / "bookshelf.db", permissive=config.permissive)
    ended = database.write_now(lambda db: _first_look(db, config))
    files = FileStore(config.data_dir)
    housekeeping.sweep_uploads(files)
    database.write_now(lambda db: imported.sweep(db, files))
    database.look(lambda db: housekeeping.sweep_books(db, files, new=database.new))
    trouble = Trouble(config.trouble) if config.trouble is not None else None
    # Trouble comes last, so that what it raises is reported like everything else.
    middlewares = [middleware.answers, *([trouble.middleware] if trouble else [])]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES)
    # Says that PUT /api/ebooks/<id>/calibre and POST /api/calibre/books are there.
    more = (
        {} if config.protocol_only else {"calibre_fields": True, "calibre_books": True}
    )
    made = Tokens(config.data_dir, ended, more)
    app[SHELF] = Shelf(config, database, files, made, trouble=trouble)
    app[ENGINE] = Engine(config.task_slots)
    if trouble is not None:
        trouble.ended = app[ENGINE].forget
        app.cleanup_ctx.append(trouble.watched)
    app[login.LOGINS] = login.Logins()
    app.add_routes(routes(app[ENGINE]))
    app.on_response_prepare.append(middleware.secure_prepared)
    app.cleanup_ctx.append(_watch)
    app.on_shutdown.append(_stop)
    app.on_cleanup.append(_close)
    return app


def _first_look(db: sqlite3.Connection, config: ServerConfig) -> dict[str, float]:
    """Creates the first user; returns the ended sessions."""
    users.first_user(db, config.data_dir, config.username, config.password)
    return tokens.ended(db)


def routes(engine: Engine) -> list[web.RouteDef]:
    """Returns all routes."""
    number = r"{id:\d{1,18}}"
    return [
        web.get("/", pages.home),
        web.get(f"/book/{number}", pages.book),
        web.get(rf"/{{kind:author|series}}/{number}", pages.listed),
        web.get("/shelves", shelf_pages.shelves),
        web.get(f"/shelf/{number}", shelf_pages.shelf),
        web.get("/login", pages.login_form),
        web.post("/login", _login),
        web.post("/logout", pages.logout),
        web.get("/style.css", pages.style),
        web.get("/ws", engine.connect),
        web.get(f"/thumb/{number}", ebooks.thumb),
        web.post("/api/upload/check", uploads.check),
        web.post("/api/upload", uploads.upload),
        web.post("/api/upload-cover", uploads.upload_cover),
        web.get(f"/api/uploads-meta/{number}", uploads.uploads_meta),
        web.get(f"/api/uploads-meta/{number}/cover", uploads.upload_picture),
        web.post("/api/ebooks", ebooks.create_ebook),
        web.get("/api/ebooks", ebooks.list_ebooks),
        web.get(r"/api/{kind:ebooks|authors|series}/index/{prefix:.+}", ebooks.index),
        web.get(rf"/api/ebooks/{{kind:author|series}}/{number}", ebooks.list_ebooks),
        web.get(f"/api/ebooks/{number}", ebooks.get_ebook),
        web.patch(f"/api/ebooks/{number}", ebooks.change_ebook),
        web.delete(f"/api/ebooks/{number}", ebooks.delete_ebook),
        web.post(f"/api/ebooks/{number}/add-upload", uploads.add_upload),
        web.post(f"/api/ebooks/{number}/rate", ebooks.rate_ebook),
        web.get(f"/api/ebooks/{number}/cover", ebooks.cover),
        web.get(f"/api/ebooks/{number}/calibre", ebooks.calibre_fields),
        web.put(f"/api/ebooks/{number}/calibre", ebooks.set_calibre_fields),
        web.post("/api/calibre/books", imports.import_books),
        web.get(
            rf"/api/calibre/books/{{library:[0-9a-f]{{8}}}}/{number}",
            imports.imported_book,
        ),
        web.delete(f"/api/sources/{number}", ebooks.delete_source),
        web.get(f"/api/download/{number}", ebooks.download),
        web.get("/api/search/{text}", ebooks.search),
        web.get("/api/{kind:authors|series}", ebooks.list_named),
        web.get(rf"/api/{{kind:authors|series}}/{number}", ebooks.list_named),
        web.get("/api/{kind:languages|genres}", ebooks.vocabulary),
        *bookshelves.routes(),
    ]


async def _login(request: web.Request) -> web.StreamResponse:
    """POST /login: JSON is the protocol's, a form is a browser's."""
    form = request.content_type == "application/x-www-form-urlencoded"
    return await (pages.login(request) if form else login.login(request))


async def _watch(app: web.Application) -> AsyncIterator[None]:
    """Checks the database's file even while there are no requests."""
    watching = asyncio.create_task(_until_gone(app))
    yield
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def _until_gone(app: web.Application) -> None:
    while True:
        try:
            app[SHELF].database.check()
        except DatabaseGone:
            # Clients waiting for a task reconnect, and then get the error.
            await app[ENGINE].close()
            return
        await asyncio.sleep(WATCH_SECONDS)


async def _stop(app: web.Application) -> None:
    await app[ENGINE].close()


async def _close(app: web.Application) -> None:
    await app[SHELF].database.close()
