"""The task engine: called over the WebSocket, a few tasks at a time; results wait for a
session that comes back."""

import asyncio
import contextlib
import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import WSMsgType, web

from bookshelf.access.users import User, load_user
from bookshelf.application import SHELF, Shelf
from bookshelf.content import covers, extract
from bookshelf.content.extract import TaskError
from bookshelf.errors import HttpError
from bookshelf.http.bodies import BODY_BYTES, parse_json
from bookshelf.storage import catalogue, views, vocabulary
from bookshelf.storage.file_watch import DatabaseGone

#: Seconds for which results wait for a session whose connection is gone.
KEEP_SECONDS = 60.0
#: Largest frame a client may send, bytes: as other bodies.
FRAME_BYTES = BODY_BYTES
#: Calls of one session that wait or run.
CALLS = 500

Task = Callable[[Shelf, User, list[Any]], Awaitable[object]]
log = logging.getLogger("bookshelf")


@dataclass(slots=True)
class _Session:
    """The way to one client: its connection now, and what could not be sent since it
    went."""

    socket: web.WebSocketResponse | None = None
    kept: list[tuple[float, str]] = field(default_factory=list)
    calls: int = 0

    async def send(self, frame: list[Any]) -> None:
        """Sends now, or keeps the frame for the next connection of this session."""
        text = json.dumps(frame)
        if self.socket is not None and not self.socket.closed:
            with contextlib.suppress(ConnectionError):
                await self.socket.send_str(text)
                return
        self.kept.append((time.monotonic(), text))


class Engine:
    """Runs tasks, at most `slots` at once."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._sessions: dict[tuple[int, str], _Session] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._lines: set[asyncio.Transport] = set()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /ws?token=…&session_id=…"""
        shelf = request.app[SHELF]
        user_id = shelf.tokens.user_id(request.query.get("token", ""))
        user = (
            shelf.database.look(lambda db: load_user(db, user_id=user_id))
            if user_id is not None
            else None
        )
        if user is None or not user.may("user"):
            return web.Response(status=401, text="401: Unauthorized")
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES, compress=False)
        await socket.prepare(request)
        # uvloop's are not made from asyncio's class.
        line = cast(asyncio.Transport, request.transport)
        self._lines.add(line)
        try:
            session = await self._join(
                user, request.query.get("session_id", ""), socket
            )
            async for message in socket:
                if shelf.trouble is not None:
                    await shelf.trouble.over("engine-hangs")
                if message.type is WSMsgType.TEXT:
                    await self._called(shelf, user, session, message.data)
            if session.socket is socket:
                session.socket = None
        finally:
            self._lines.discard(line)
        return socket

    def forget(self) -> None:
        """For tests: as an engine that is killed and started anew. Nobody is told."""
        for task in self._running:
            task.cancel()
        self._sessions.clear()
        for line in self._lines:
            line.abort()

    async def close(self) -> None:
        """Closes every connection and waits for the tasks that run."""
        for session in list(self._sessions.values()):
            if session.socket is not None:
                await session.socket.close()
        if self._running:
            await asyncio.wait(self._running, timeout=3)

    async def _join(
        self, user: User, name: str, socket: web.WebSocketResponse
    ) -> _Session:
        """The session of that name, taken over from an older connection; frames kept
        for it are sent."""
        key = (user.id, name or secrets.token_hex(8))
        session = self._sessions.setdefault(key, _Session())
        if session.socket is not None and not session.socket.closed:
            await session.socket.close()
        session.socket = socket
        fresh = time.monotonic() - KEEP_SECONDS
        kept, session.kept = session.kept, []
        for since, text in kept:
            if since >= fresh:
                await socket.send_str(text)
        self._forget_old()
        return session

    def _forget_old(self) -> None:
        old = time.monotonic() - KEEP_SECONDS
        gone = [
            key
            for key, session in self._sessions.items()
            if session.socket is None
            and all(since < old for since, _text in session.kept)
            and not self._running
        ]
        for key in gone:
            del self._sessions[key]

    async def _called(
        self, shelf: Shelf, user: User, session: _Session, text: str
    ) -> None:
        """One call. What is not a call gets no answer, as on the real server."""
        try:
            call = parse_json(text)
        except ValueError:
            return
        if not isinstance(call, list) or not call:
            return
        if len(call) != 3:
            await session.send(
                [
                    "e",
                    call[0],
                    f"not enough values to unpack (expected 3, got {len(call)})",
                    None,
                ]
            )
            return
        call_id, name, payload = call
        args = payload.get("args", []) if isinstance(payload, dict) else None
        if not isinstance(args, list):
            await session.send(["e", call_id, "Invalid message", None])
            return
        work = TASKS.get(name) if isinstance(name, str) else None
        if work is None:
            await session.send(["e", call_id, f"No task with name {name}", None])
            return
        if session.calls >= CALLS:
            await session.send(["e", call_id, "Too many calls at once", None])
            return
        task_id = secrets.token_hex(16)
        session.calls += 1
        await session.send(["r", call_id, task_id])
        running = asyncio.create_task(
            self._run(work, shelf, user, session, (call_id, task_id, args))
        )
        self._running.add(running)
        running.add_done_callback(lambda _ended: self._ended(running, session))

    def _ended(self, running: asyncio.Task[None], session: _Session) -> None:
        self._running.discard(running)
        session.calls -= 1

    async def _run(
        self,
        work: Task,
        shelf: Shelf,
        user: User,
        session: _Session,
        call: tuple[Any, str, list[Any]],
    ) -> None:
        call_id, task_id, args = call
        async with self._slots:
            await session.send(
                ["m", call_id, {"status": "started", "task_id": task_id}]
            )
            started = time.monotonic()
            await asyncio.sleep(shelf.config.delay_seconds)
            try:
                trouble = shelf.trouble
                result = await (
                    trouble.run_task(lambda: work(shelf, user, args))
                    if trouble
                    else work(shelf, user, args)
                )
                body: dict[str, Any] = {"status": "success", "result": result}
            except (TaskError, HttpError) as error:
                body = {"status": "error", "error": str(error)}
            except DatabaseGone:
                # No answer: an error would be taken for a word about this file.
                if session.socket is not None:
                    await session.socket.close()
                return
            except Exception as error:
                # Whatever it was, whoever called waits for a word.
                log.exception("task failed")
                body = {"status": "error", "error": f"{type(error).__name__}: {error}"}
            await asyncio.sleep(
                shelf.config.task_seconds - (time.monotonic() - started)
            )
        body |= {"duration": round(time.monotonic() - started, 4), "task_id": task_id}
        await session.send(["m", call_id, body])


async def metadata(shelf: Shelf, user: User, args: list[Any]) -> int:
    """[file] or [file, proposed] -> upload id."""
    if not args:
        raise TaskError("tuple index out of range")
    path = shelf.files.uploaded(str(args[0]))
    if path is None:
        raise TaskError(f"('File %s does not exists or is not readable', '{args[0]}')")
    known = vocabulary.format_of("", path.suffix[1:])
    if known is None:
        raise TaskError(
            'null value in column "format_id" of relation "upload" violates not-null constraint'
        )
    seen = await extract.examine(shelf.files, path)
    meta = extract.merge(seen.meta, args[1] if len(args) > 1 else {})
    stamp = catalogue.now()

    def record(db: sqlite3.Connection) -> int:
        made = db.execute(
            "INSERT INTO upload (file, load_source, format_id, size, hash, meta, "
            "cover, created, modified, created_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(args[0]),
                path.name,
                known[0],
                seen.size,
                seen.sha1,
                json.dumps(extract.resolve(db, meta)),
                int(seen.pictured),
                stamp,
                stamp,
                user.id,
            ),
        )
        return int(made.lastrowid or 0)

    # An upload lives for a day and is nobody's book yet: what is attached is made to
    # last, this is not.
    return await shelf.database.write(record, lasting=False)


async def cover(shelf: Shelf, user: User, args: list[Any]) -> int:
    """[file, ebook id] -> ebook id; replaces the ebook's cover."""
    if len(args) < 2 or isinstance(args[1], bool) or not isinstance(args[1], int):
        raise TaskError("tuple index out of range")
    path, ebook_id = shelf.files.uploaded(str(args[0])), args[1]
    if path is None:
        raise TaskError("Cover resizing failed")

    def known(db: sqlite3.Connection) -> None:
        try:
            views.ebook(db, ebook_id, user.id)
        except HttpError as error:
            raise TaskError(
                "Ebook directory is null, probably wrong ebook id"
            ) from error

    shelf.database.look(known)
    try:
        largest = shelf.config.max_cover_file_size
        if path.stat().st_size > largest:
            raise covers.BadPicture(f"larger than {largest} bytes")
        picture = await asyncio.to_thread(covers.make, path.read_bytes())
    except covers.BadPicture as error:
        raise TaskError("Cover resizing failed") from error
    await asyncio.to_thread(shelf.files.set_cover, ebook_id, picture)
    await shelf.database.write(
        lambda db: db.execute(
            "UPDATE ebook SET cover = 1, version_id = version_id + 1 WHERE id = ?",
            (ebook_id,),
        )
    )
    shelf.files.drop_upload(path)
    return ebook_id


TASKS: dict[str, Task] = {"metadata": metadata, "cover": cover}
