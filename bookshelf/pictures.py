"""Covers and thumbnails, drawn when somebody first asks. Until then a cover is where it came from: in an EPUB."""

import asyncio
import sqlite3
from pathlib import Path

from bookshelf import covers, epub
from bookshelf.application import Shelf
from bookshelf.files import Files


async def cover(shelf: Shelf, ebook_id: int) -> Path | None:
    """The file of an ebook's cover; None when it has none."""
    path = shelf.files.cover(ebook_id)
    if path.is_file():
        return path
    books = shelf.database.look(lambda db: _epubs(db, ebook_id))
    return await asyncio.get_running_loop().run_in_executor(None, _draw, shelf.files, ebook_id, books)


async def thumb(shelf: Shelf, ebook_id: int) -> Path | None:
    """The file of an ebook's thumbnail; None when it has no cover."""
    if await cover(shelf, ebook_id) is None:
        return None
    make = shelf.files.make_thumb
    return await asyncio.get_running_loop().run_in_executor(None, make, ebook_id, covers.thumbnail)


async def upload_cover(shelf: Shelf, upload: Path) -> Path | None:
    """The file of the cover found in an upload; None when it has none."""
    path = shelf.files.upload_cover(upload)
    if not path.is_file():
        drawn = await asyncio.get_running_loop().run_in_executor(None, _drawn, upload)
        if drawn is None:
            return None
        path.write_bytes(drawn)
    return path


def _epubs(db: sqlite3.Connection, ebook_id: int) -> list[str]:
    """The hashes of the EPUBs of an ebook that is said to have a cover, the first one first."""
    rows = db.execute(
        "SELECT hash FROM source JOIN format ON format.id = format_id JOIN ebook ON ebook.id = ebook_id"
        " WHERE ebook_id = ? AND cover AND extension = 'epub' ORDER BY source.id",
        (ebook_id,),
    ).fetchall()
    return [row[0] for row in rows]


def _draw(files: Files, ebook_id: int, books: list[str]) -> Path | None:
    for sha1 in books:
        drawn = _drawn(files.book(sha1, "epub"))
        if drawn is not None:
            return files.new_cover(ebook_id, drawn)
    return None


def _drawn(book: Path) -> bytes | None:
    """The cover an EPUB has."""
    picture = epub.read(book).cover
    try:
        return covers.make(picture) if picture else None
    except covers.BadPicture:
        return None
