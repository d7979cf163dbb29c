"""Check, upload, upload-cover, uploads-meta, add-upload: how a file gets into an
ebook."""

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from bookshelf.api import pictures
from bookshelf.application import SHELF, Shelf, require_user
from bookshelf.errors import NOT_FOUND, ApplicationError, HttpError, json_answer
from bookshelf.http.bodies import json_object
from bookshelf.http.multipart import FilePart, file_part
from bookshelf.storage import catalogue, views, vocabulary
from bookshelf.storage.files import FileStore, create, safe_name

BLOCK = 256 * 1024


async def check(request: web.Request) -> web.Response:
    """POST /api/upload/check."""
    await require_user(request)
    body = await json_object(request)
    if set(body) - {"mime_type", "size", "hash", "extension"} or "hash" not in body:
        raise HttpError(400, "Invalid schema")
    mime, size, extension = (
        body.get("mime_type"),
        body.get("size"),
        body.get("extension"),
    )
    if (
        not isinstance(mime, str)
        or len(mime) > 255
        or isinstance(size, bool)
        or not isinstance(size, int | float)
    ):
        raise HttpError(400, "Invalid schema")
    if size < 1 or not isinstance(extension, str | None):
        raise HttpError(400, "Invalid schema")
    if not isinstance(body["hash"], str | None):
        raise HttpError(400, "Invalid schema")
    _acceptable(request.app[SHELF], mime, extension, int(size), body["hash"])
    return json_answer({"result": "ok"})


async def upload(request: web.Request) -> web.Response:
    """POST /api/upload: one multipart part `file`, streamed to the disk."""
    await require_user(request)
    shelf = request.app[SHELF]
    part = await file_part(request, shelf.config.max_content_length)
    name = safe_name(part.filename)
    if not part.filename:
        raise ApplicationError("no file")
    if not name:
        raise HttpError(400, "Invalid file name: nothing is left of it in ASCII")

    def check_received(sha1: str, size: int) -> None:
        if size == 0:
            raise HttpError(400, "Invalid file: it is empty")
        extension = name.rpartition(".")[2] if "." in name else None
        _acceptable(shelf, part.content_type, extension, size, sha1)

    path = await _receive(part, shelf.files.new_upload(name), check_received)
    return json_answer({"file": f"{path.parent.name}/{name}", "result": "ok"})


async def upload_cover(request: web.Request) -> web.Response:
    """POST /api/upload-cover: a picture for the task `cover`."""
    await require_user(request)
    shelf = request.app[SHELF]
    part = await file_part(request, shelf.config.max_content_length)
    if not part.content_type.startswith("image/"):
        raise ApplicationError(f"Invalid file type {part.content_type}")
    path = await _receive(
        part,
        shelf.files.new_upload("cover_in.jpg"),
        lambda _sha1, _size: None,
    )
    return json_answer({"file": f"{path.parent.name}/{path.name}", "result": "ok"})


async def uploads_meta(request: web.Request) -> web.Response:
    """GET /api/uploads-meta/<id>."""
    await require_user(request)
    number = int(request.match_info["id"])
    return json_answer(
        request.app[SHELF].database.look(
            lambda db: views.upload(db, number, json.loads)
        )
    )


async def upload_picture(request: web.Request) -> web.StreamResponse:
    """GET /api/uploads-meta/<id>/cover."""
    await require_user(request)
    shelf, number = request.app[SHELF], int(request.match_info["id"])
    record = await shelf.database.read(lambda db: views.upload(db, number, json.loads))
    path = shelf.files.uploaded(record["file"])
    picture = (
        await pictures.upload_cover(shelf, path)
        if path is not None and record["cover"]
        else None
    )
    if picture is None:
        raise HttpError(404, NOT_FOUND)
    return web.FileResponse(picture)


async def add_upload(request: web.Request) -> web.Response:
    """POST /api/ebooks/<id>/add-upload: moves an upload into an ebook, once."""
    user = await require_user(request)
    shelf, ebook_id = request.app[SHELF], int(request.match_info["id"])
    body = await json_object(request)
    upload_id, quality = body.get("upload_id"), body.get("quality")
    if isinstance(upload_id, bool) or not isinstance(upload_id, int):
        raise HttpError(400, "Invalid request")
    if isinstance(quality, bool) or not isinstance(quality, int | float | None):
        raise HttpError(400, "Invalid request")
    record = shelf.database.look(lambda db: _pending(db, ebook_id, upload_id))
    path = shelf.files.uploaded(record["file"])
    if path is None:
        raise HttpError(404, NOT_FOUND)
    await asyncio.sleep(shelf.config.delay_seconds if shelf.config.permissive else 0)
    extension = next(
        ext
        for number, ext, _mime in vocabulary.FORMATS
        if number == record["format_id"]
    )
    await asyncio.to_thread(_keep, shelf.files, path, record, extension)
    source_id, wants_cover = await shelf.database.write(
        lambda db: _attach(
            db, ebook_id, record, quality, user.id, permissive=shelf.config.permissive
        )
    )
    if not shelf.files.book(record["hash"], extension).is_file():
        # Another ebook had these bytes and was being deleted.
        await asyncio.to_thread(_keep, shelf.files, path, record, extension)
    if wants_cover and shelf.files.upload_cover(path).is_file():
        await asyncio.to_thread(shelf.files.take_cover, path, ebook_id)
    # Nobody waits for the folder of the upload to go: what was left of it would go
    # after a day.
    asyncio.get_running_loop().run_in_executor(None, shelf.files.drop_upload, path)
    return json_answer({"id": source_id})


def _pending(db: sqlite3.Connection, ebook_id: int, upload_id: int) -> dict[str, Any]:
    row = db.execute("SELECT * FROM upload WHERE id = ?", (upload_id,)).fetchone()
    ebook = db.execute("SELECT 1 FROM ebook WHERE id = ?", (ebook_id,)).fetchone()
    if row is None or ebook is None:
        raise HttpError(404, NOT_FOUND)
    existing = catalogue.existing_source(db, row["hash"], row["size"])
    if existing:
        raise ApplicationError("File already exists", existing)
    return dict(row)


def _attach(
    db: sqlite3.Connection,
    ebook_id: int,
    record: dict[str, Any],
    quality: Any,
    user_id: int,
    *,
    permissive: bool,
) -> tuple[int, bool]:
    """One transaction: the source, the consumed upload, the ebook's cover flag."""
    existing = (
        None
        if permissive
        else catalogue.existing_source(db, record["hash"], record["size"])
    )
    if existing:
        raise ApplicationError("File already exists", existing)
    if db.execute("DELETE FROM upload WHERE id = ?", (record["id"],)).rowcount == 0:
        raise HttpError(404, NOT_FOUND)
    stamp = catalogue.now()
    ebook = db.execute(
        "SELECT title, cover FROM ebook WHERE id = ?", (ebook_id,)
    ).fetchone()
    if ebook is None:
        raise HttpError(404, NOT_FOUND)
    location = f"{ebook['title']}/{record['load_source']}"[:512]
    made = db.execute(
        "INSERT INTO source (ebook_id, format_id, size, hash, location, load_source, "
        "quality, created, modified,"
        " created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            ebook_id,
            record["format_id"],
            record["size"],
            record["hash"],
            location,
            record["load_source"],
            quality,
            stamp,
            stamp,
            user_id,
        ),
    )
    wants_cover = bool(record["cover"]) and not ebook["cover"]
    if wants_cover:
        db.execute(
            "UPDATE ebook SET cover = 1, version_id = version_id + 1 WHERE id = ?",
            (ebook_id,),
        )
    return int(made.lastrowid or 0), wants_cover


def _keep(files: FileStore, path: Path, record: dict[str, Any], extension: str) -> None:
    """The upload becomes a book's file. Raises HttpError(404) when a power cut has left
    something else of it: a small upload is not made to last before this."""
    with path.open("rb") as file:
        same = os.fstat(file.fileno()).st_size == record["size"]
        if record["size"] <= BLOCK:
            same = (
                same and hashlib.file_digest(file, "sha1").hexdigest() == record["hash"]
            )
    if not same:
        raise HttpError(404, NOT_FOUND)
    files.keep(path, record["hash"], extension)


def _acceptable(
    shelf: Shelf, mime: str, extension: str | None, size: int, sha1: str | None
) -> None:
    """The server's verdict on a file, in its order. Raises ApplicationError."""
    if size > shelf.config.max_content_length:
        raise ApplicationError("file too big")
    if vocabulary.format_of(mime, extension) is None:
        raise ApplicationError(f"unsupported file type {mime}, extension {extension}")
    if shelf.database.look(lambda db: catalogue.existing_source(db, sha1, size)):
        raise ApplicationError("file already exists")


async def _receive(
    part: FilePart, path: Path, check: Callable[[str, int], None]
) -> Path:
    """Stores a part under a path in a folder of its own, once `check` takes its SHA-1
    and size. Nothing stays of one that is refused, or does not arrive whole."""
    # Not under its name before it is whole: what a killed server leaves is known by
    # that.
    arriving = path.with_name(".arriving")
    try:
        check(*await _store(part, arriving))
        arriving.rename(path)
    except BaseException:
        FileStore.drop_upload(path)
        raise
    return path


async def _store(part: FilePart, path: Path) -> tuple[str, int]:
    """Writes a part to the disk as it arrives, hashing it on the way: SHA-1 and size.
    Raises HttpError.

    It is made to last when it becomes a book's (`FileStore.keep`); of a large file most is
    on the disk already then, so that nobody waits for long."""
    sha1, size = hashlib.sha1(usedforsecurity=False), 0
    with create(path) as file:
        async for block in part.blocks():
            size += len(block)
            sha1.update(block)
            file.write(block)
        file.flush()
        if size > BLOCK:
            await asyncio.to_thread(os.fsync, file.fileno())
    return sha1.hexdigest(), size
