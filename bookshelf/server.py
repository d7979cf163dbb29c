"""Puts the server together: routes, error answers, security headers."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

from aiohttp import web

import settings
from bookshelf import api, auth, pages, uploads
from bookshelf.application import SHELF, Shelf
from bookshelf.auth import Tokens
from bookshelf.config import Config
from bookshelf.database import Database
from bookshelf.errors import Failed, Refused, json_answer
from bookshelf.files import Files
from bookshelf.tasks import Engine
from bookshelf.trouble import Trouble

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ENGINE = web.AppKey("engine", Engine)

_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Routes whose errors are pages, not JSON ("plain" in the protocol reference).
_PLAIN = ("/login", "/api/upload/", "/api/upload-cover", "/api/ebooks/index/", "/thumb/", "/api/download/")
_PLAIN_ENDS = ("/api/upload", "/add-upload", "/rate", "/cover")


def make_application(config: Config) -> web.Application:
    """The application over a data directory; makes the first user."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(config.data_dir / "bookshelf.db", permissive=config.permissive)
    database.write_now(lambda db: auth.first_user(db, config.data_dir, config.username, config.password))
    files = Files(config.data_dir)
    files.drop_old_uploads()
    trouble = Trouble(config.trouble) if config.trouble is not None else None
    shelf = Shelf(config, database, files, Tokens(config.data_dir), trouble=trouble)
    # Trouble comes last: what it raises is told as everything else is.
    middlewares = [_headers, _answers, *([trouble.middleware] if trouble else [])]
    app = web.Application(middlewares=middlewares, client_max_size=settings.MAX_CONTENT_LENGTH)
    app[SHELF] = shelf
    app[ENGINE] = Engine(config.task_slots)
    if trouble is not None:
        trouble.ended = app[ENGINE].forget
        app.cleanup_ctx.append(trouble.watched)
    app.add_routes(_routes(app[ENGINE]))
    app.on_shutdown.append(_stop)
    app.on_cleanup.append(_close)
    return app


def _routes(engine: Engine) -> list[web.RouteDef]:
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
    form = request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data")
    return await (pages.login(request) if form else api.login(request))


@web.middleware
async def _headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Security headers on every answer."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        _secure(error)
        raise
    _secure(response)
    return response


def _secure(response: web.StreamResponse) -> None:
    if not response.prepared:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Server"] = "bookshelf"


@web.middleware
async def _answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns refusals into the protocol's answers."""
    if request.path.startswith("/api"):
        await asyncio.sleep(request.app[SHELF].config.delay_seconds)
    plain = request.path.startswith(_PLAIN) or request.path.endswith(_PLAIN_ENDS)
    try:
        return await handler(request)
    except Refused as refused:
        return refused.answer()
    except Failed as failed:
        return failed.answer(as_json=not plain)
    except sqlite3.IntegrityError as error:
        return Refused("Database error", str(error)).answer()
    except web.HTTPMethodNotAllowed:
        if request.path.startswith("/api") and not plain:
            return json_answer({"message": "The method is not allowed for the requested URL."}, 405)
        raise


async def _stop(app: web.Application) -> None:
    await app[ENGINE].close()


async def _close(app: web.Application) -> None:
    await app[SHELF].database.close()
