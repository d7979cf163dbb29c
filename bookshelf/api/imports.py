"""A batch of Calibre's books in one request; only this server has these routes.

The body is a length of eight bytes, that much JSON, and then the bytes of each book:
its cover, where there is one, and its files. A book is made completely or refused, and
what is answered is on the disk.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from bookshelf.access.users import User
from bookshelf.application import SHELF, Shelf, require_user
from bookshelf.content import covers, epub
from bookshelf.errors import NOT_FOUND, ApplicationError, HttpError, json_answer
from bookshelf.http.bodies import IMPORT_BYTES, BodyStream, parse_json
from bookshelf.storage import calibre_fields, catalogue, imports, vocabulary
from bookshelf.storage.files import create
from bookshelf.storage.imports import Found, ImportedBook, ImportedFile
from common.files import durable

#: The most books of a batch, files of a book, and bytes of the JSON.
MOST_BOOKS, MOST_FILES, HEAD_BYTES = 256, 20, 16 * 1024 * 1024

_LIBRARY = re.compile(r"[0-9a-f]{8}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_EXTENSIONS = frozenset(extension for _id, extension, _mime in vocabulary.FORMATS)


@dataclass(slots=True)
class _Asked:
    """A book on its way in.

    `cover` is the number of bytes of its cover, None without one, and `files` those of
    its files; `refused` says why it is not taken. The rest is what arrived.
    """

    number: int
    cover: int | None
    files: tuple[ImportedFile, ...]
    book: ImportedBook | None = None
    refused: str = ""
    paths: list[Path] = field(default_factory=list)
    picture: bytes = b""


async def import_books(request: web.Request) -> web.Response:
    """POST /api/calibre/books: a batch of books."""
    user = await require_user(request)
    shelf = request.app[SHELF]
    if shelf.config.protocol_only:
        raise HttpError(404, NOT_FOUND)
    body = _Parts(BodyStream(request, IMPORT_BYTES))
    library, asked = _read_head(await body.head(), shelf)
    folder = shelf.files.new_upload("batch").parent
    try:
        await _receive(body, asked, folder)
        async with shelf.importing:
            await asyncio.to_thread(_draw, asked, shelf.config.max_cover_file_size)
            found = await _settle(shelf, library, asked, user)
    finally:
        asyncio.get_running_loop().run_in_executor(
            None, shelf.files.drop_upload, folder / "batch"
        )
    shown = await shelf.database.read(
        lambda db: [
            imports.shown(db, one, user.id) if isinstance(one, Found) else one
            for one in found
        ]
    )
    answers = [
        {"book": book.number, "refused": one}
        if isinstance(one, str)
        else {"book": book.number, **one, "cover_sha1": _cover_sha1(shelf, one)}
        for book, one in zip(asked, shown, strict=True)
    ]
    return json_answer({"books": answers})


async def imported_book(request: web.Request) -> web.Response:
    """GET /api/calibre/books/<library>/<book>: what a batch made of it."""
    user = await require_user(request)
    shelf = request.app[SHELF]
    library, number = request.match_info["library"], int(request.match_info["id"])

    def look(db: Any) -> dict[str, Any] | None:
        rows = imports.files_of(db, library, number)
        ebooks = {row["ebook_id"] for row in rows}
        if len(ebooks) != 1:
            return None
        sources = tuple(int(row["id"]) for row in rows)
        files = [
            {"format": row["extension"], "sha1": row["hash"], "size": row["size"]}
            for row in rows
        ]
        found = Found(int(ebooks.pop()), sources, False)
        return {**imports.shown(db, found, user.id), "files": files}

    shown = await shelf.database.read(look)
    if shown is None:
        raise HttpError(404, NOT_FOUND)
    return json_answer(
        {"book": number, **shown, "cover_sha1": _cover_sha1(shelf, shown)}
    )


# -- what is asked ---------------------------------------------------------------------


def _read_head(raw: bytes, shelf: Shelf) -> tuple[str, list[_Asked]]:
    """Returns the library and the books of a batch. Raises HttpError(400)."""
    try:
        head = parse_json(raw.decode())
    except ValueError as error:
        raise HttpError(400, f"Failed to decode JSON object: {error}") from None
    library = head.get("library") if isinstance(head, dict) else None
    books = head.get("books") if isinstance(head, dict) else None
    if (
        not isinstance(library, str)
        or not _LIBRARY.fullmatch(library)
        or not isinstance(books, list)
        or not 0 < len(books) <= MOST_BOOKS
    ):
        raise HttpError(400, "Invalid schema")
    return library, [_asked(book, shelf) for book in books]


def _asked(body: object, shelf: Shelf) -> _Asked:
    """Returns one book; one whose values are not accepted is refused alone.

    Raises HttpError(400) where its sizes are not clear: then those of all others behind
    it are not either.
    """
    if not isinstance(body, dict) or not _is_size(body.get("book"), 1):
        raise HttpError(400, "Invalid schema")
    files, cover = body.get("files"), body.get("cover")
    if not isinstance(files, list) or not 0 < len(files) <= MOST_FILES:
        raise HttpError(400, "Invalid schema")
    if cover is not None and not _is_size(cover, 1):
        raise HttpError(400, "Invalid schema")
    asked = _Asked(body["book"], cover, tuple(map(_file, files)))
    try:
        asked.book = _book(body, asked, shelf)
    except (ApplicationError, HttpError) as error:
        asked.refused = imports.refusal(error)
    return asked


def _file(body: object) -> ImportedFile:
    if not isinstance(body, dict) or not _is_size(body.get("size"), 1):
        raise HttpError(400, "Invalid schema")
    sha1, extension = body.get("sha1"), body.get("format")
    if not isinstance(sha1, str) or not isinstance(extension, str):
        raise HttpError(400, "Invalid schema")
    if not _SHA1.fullmatch(sha1):
        raise HttpError(400, "Invalid schema")
    return ImportedFile(extension, sha1, body["size"])


def _book(body: dict[str, Any], asked: _Asked, shelf: Shelf) -> ImportedBook:
    """Returns the checked book. Raises ApplicationError or HttpError."""
    if (asked.cover or 0) > shelf.config.max_cover_file_size:
        raise ApplicationError("The cover is too large")
    for file in asked.files:
        if file.size > shelf.config.max_content_length:
            raise ApplicationError("file too big")
        if file.extension not in _EXTENSIONS:
            raise ApplicationError(f"unsupported file type {file.extension[:20]}")
    if len({file.extension for file in asked.files}) != len(asked.files):
        raise ApplicationError("A format is there twice")
    rating, fields = body.get("rating"), body.get("calibre")
    if rating is not None and not (_is_number(rating) and 0 <= rating <= 100):
        raise ApplicationError("Invalid rating")
    return ImportedBook(
        asked.number,
        catalogue.checked(body.get("ebook"), partial=False),
        asked.files,
        rating,
        calibre_fields.checked(fields) if isinstance(fields, dict) else None,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: object, least: int) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and least <= value < 2**63
    )


# -- what arrives ----------------------------------------------------------------------


class _Parts:
    """The parts of a body, one behind the other."""

    def __init__(self, stream: BodyStream) -> None:
        self._stream = stream
        self._pending = b""

    async def head(self) -> bytes:
        """Returns the JSON."""
        length = int.from_bytes(await self.whole(8), "big")
        if length > HEAD_BYTES:
            raise HttpError(400, "Invalid schema")
        return await self.whole(length)

    async def whole(self, size: int) -> bytes:
        """Returns the next part. Raises HttpError(400) when the body ends before."""
        return b"".join([block async for block in self.blocks(size)])

    async def blocks(self, size: int) -> AsyncIterator[bytes]:
        """Yields the next part as it arrives."""
        while size:
            block = self._pending or await self._stream.block()
            if not block:
                raise HttpError(400, "The body of the request is broken")
            part, self._pending = block[:size], block[size:]
            size -= len(part)
            yield part

    async def end(self) -> None:
        """Raises HttpError(400) when there is more."""
        if self._pending or await self._stream.block():
            raise HttpError(400, "The body of the request is broken")


async def _receive(body: _Parts, asked: list[_Asked], folder: Path) -> None:
    """Stores the files; a book whose bytes are not as announced is refused."""
    for book in asked:
        if book.cover is not None:
            book.picture = await body.whole(book.cover)
        for file in book.files:
            # Such a name says to the next start that nobody was told about the file.
            path = folder / f".{book.number}.{len(book.paths)}"
            sha1 = hashlib.sha1(usedforsecurity=False)
            with create(path) as kept:
                async for block in body.blocks(file.size):
                    sha1.update(block)
                    kept.write(block)
            book.paths.append(path)
            if sha1.hexdigest() != file.sha1:
                book.refused = book.refused or "Other bytes than announced"
    await body.end()


def _draw(asked: list[_Asked], largest: int) -> None:
    """Draws the covers: the one that was sent, or that of a book's first EPUB."""
    for book in asked:
        if book.refused:
            book.picture = b""
        elif book.cover is not None:
            try:
                book.picture = covers.make(book.picture)
            except covers.BadPicture:
                book.refused = "The cover cannot be drawn"
        else:
            book.picture = _found_cover(book, largest)


def _found_cover(book: _Asked, largest: int) -> bytes:
    """Returns the cover drawn from an EPUB; b"" without one."""
    for path, file in zip(book.paths, book.files, strict=True):
        if file.extension != "epub":
            continue
        with path.open("rb") as opened:
            picture = epub.read(opened).cover
        if picture and len(picture) <= largest:
            try:
                return covers.make(picture)
            except covers.BadPicture:
                continue
    return b""


# -- what is kept ----------------------------------------------------------------------


async def _settle(
    shelf: Shelf, library: str, asked: list[_Asked], user: User
) -> list[Found | str]:
    """Puts what arrived on the disk, then makes the ebooks in one transaction."""
    taken = [book for book in asked if not book.refused and book.book is not None]
    if not taken:
        return [book.refused for book in asked]
    files = [file for book in taken for file in book.files]
    database = shelf.database
    reserved = await database.write(lambda db: imports.reserve(db, len(taken), files))
    try:
        await asyncio.to_thread(_place, shelf, taken, reserved.first)
        books = [book.book for book in taken if book.book is not None]
        pictured = [bool(book.picture) for book in taken]
        settled = await database.write(
            lambda db: imports.settle(db, library, books, reserved, pictured, user.id)
        )
    except BaseException:
        await database.write(lambda db: imports.withdraw(db, shelf.files, reserved))
        raise
    await asyncio.to_thread(_tidy, shelf, taken, settled, reserved.first)
    left = [
        file
        for book, found in zip(taken, settled, strict=True)
        for file in book.files
        if isinstance(found, str)
    ]
    # Whoever has linked the same bytes since looks for them once more.
    for file in await database.read(lambda db: imports.unnamed(db, left)):
        shelf.files.remove_book(file.sha1, file.extension)
    results = iter(settled)
    return [book.refused if book.refused else next(results) for book in asked]


def _place(shelf: Shelf, taken: list[_Asked], first: int) -> None:
    """Links the files among the books and writes the covers, all of it durably."""
    written: list[Path] = []
    for place, book in enumerate(taken):
        for path, file in zip(book.paths, book.files, strict=True):
            written.append(shelf.files.link(path, file.sha1, file.extension))
        if book.picture:
            written.append(shelf.files.write_cover(first + place, book.picture))
    durable.sync_together(written)


def _tidy(
    shelf: Shelf, taken: list[_Asked], settled: list[Found | str], first: int
) -> None:
    """Removes the covers of books that were not made now, and misses no file.

    Another ebook may have had the same bytes and was being deleted.
    """
    lost: list[Path] = []
    for place, (book, found) in enumerate(zip(taken, settled, strict=True)):
        if isinstance(found, str) or not found.made:
            shelf.files.remove_cover(first + place)
        if isinstance(found, str):
            continue
        for path, file in zip(book.paths, book.files, strict=True):
            if not shelf.files.book(file.sha1, file.extension).is_file():
                lost.append(shelf.files.link(path, file.sha1, file.extension))
    if lost:
        durable.sync_together(lost)


def _cover_sha1(shelf: Shelf, shown: dict[str, Any]) -> str:
    """Returns the SHA-1 of an ebook's cover as it is served; "" without one."""
    if not shown["ebook"].get("cover"):
        return ""
    try:
        picture = shelf.files.cover(shown["id"]).read_bytes()
    except FileNotFoundError:
        return ""
    return hashlib.sha1(picture, usedforsecurity=False).hexdigest()
