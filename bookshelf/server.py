"""Puts the server together: its parts, its routes, what it looks after."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator

from aiohttp import web

from bookshelf import api, auth, housekeeping, login, middleware, pages, uploads
from bookshelf.application import SHELF, Shelf
from bookshelf.auth import Tokens
from bookshelf.bodies import BODY_BYTES
from bookshelf.config import Config
from bookshelf.database import Database
from bookshelf.files import Files
from bookshelf.tasks import Engine
from bookshelf.trouble import Trouble
from bookshelf.watch import Gone

ENGINE = web.AppKey("engine", Engine)
#: Seconds between two looks at the database's file while nobody asks for anything.
WATCH_SECONDS = 1.0



def make_application(config: Config) -> web.Application:
    """The application over a data directory; makes the first user."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    housekeeping.make_private(config.data_dir)
    database = Database(config.data_dir / "bookshelf.db", permissive=config.permissive)
    ended = database.write_now(lambda db: _first_look(db, config))
    files = Files(config.data_dir)
    housekeeping.sweep_uploads(files)
    database.look(lambda db: housekeeping.sweep_books(db, files, new=database.new))
    trouble = Trouble(config.trouble) if config.trouble is not None else None
    # Trouble comes last: what it raises is told as everything else is.
    middlewares = [middleware.answers, *([trouble.middleware] if trouble else [])]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES)
    app[SHELF] = Shelf(config, database, files, Tokens(config.data_dir, ended), trouble=trouble)
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


def _first_look(db: sqlite3.Connection, config: Config) -> dict[str, float]:
    """Makes the first user; returns the sessions that were ended."""
    auth.first_user(db, config.data_dir, config.username, config.password)
    return auth.ended(db)


def routes(engine: Engine) -> list[web.RouteDef]:
    """All there are."""
    number = r"{id:\d{1,18}}"
    return [
        web.get("/", pages.home),
        web.get(f"/book/{number}", pages.book),
        web.get("/login", pages.login_form),
        web.post("/login", _login),
        web.post("/logout", pages.logout),
        web.get("/style.css", pages.style),
        web.get("/ws", engine.connect),
        web.get(f"/thumb/{number}", api.thumb),
        web.post("/api/upload/check", uploads.check),
        web.post("/api/upload", uploads.upload),
        web.post("/api/upload-cover", uploads.upload_cover),
        web.get(f"/api/uploads-meta/{number}", uploads.uploads_meta),
        web.get(f"/api/uploads-meta/{number}/cover", uploads.upload_picture),
        web.post("/api/ebooks", api.create_ebook),
        web.get("/api/ebooks", api.list_ebooks),
        web.get(r"/api/{kind:ebooks|authors|series}/index/{prefix:.+}", api.index),
        web.get(rf"/api/ebooks/{{kind:author|series}}/{number}", api.list_ebooks),
        web.get(f"/api/ebooks/{number}", api.get_ebook),
        web.patch(f"/api/ebooks/{number}", api.change_ebook),
        web.delete(f"/api/ebooks/{number}", api.delete_ebook),
        web.post(f"/api/ebooks/{number}/add-upload", uploads.add_upload),
        web.post(f"/api/ebooks/{number}/rate", api.rate_ebook),
        web.get(f"/api/ebooks/{number}/cover", api.cover),
        web.delete(f"/api/sources/{number}", api.delete_source),
        web.get(f"/api/download/{number}", api.download),
        web.get("/api/search/{text}", api.search),
        web.get("/api/{kind:authors|series}", api.list_named),
        web.get(rf"/api/{{kind:authors|series}}/{number}", api.list_named),
        web.get("/api/{kind:languages|genres}", api.vocabulary),
    ]


async def _login(request: web.Request) -> web.StreamResponse:
    """POST /login: JSON is the protocol's, a form is a browser's."""
    form = request.content_type == "application/x-www-form-urlencoded"
    return await (pages.login(request) if form else login.login(request))


async def _watch(app: web.Application) -> AsyncIterator[None]:
    """Looks after the database's file, too, while nobody asks for anything."""
    watching = asyncio.create_task(_until_gone(app))
    yield
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def _until_gone(app: web.Application) -> None:
    while True:
        try:
            app[SHELF].database.check()
        except Gone:
            # Whoever waits for a task comes back, and is told.
            await app[ENGINE].close()
            return
        await asyncio.sleep(WATCH_SECONDS)


async def _stop(app: web.Application) -> None:
    await app[ENGINE].close()


async def _close(app: web.Application) -> None:
    await app[SHELF].database.close()
