"""Covers and thumbnails, generated when first requested.

Until then a cover is where it came from: in an EPUB.
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path

from bookshelf.application import Shelf
from bookshelf.content import covers, epub
from bookshelf.storage.files import FileStore, write_file


async def cover(shelf: Shelf, ebook_id: int) -> Path | None:
    """Returns the file of an ebook's cover, on disk; None without one.

    Raises OSError.
    """
    path = shelf.files.cover(ebook_id)
    if not path.is_file():
        async with shelf.drawing:
            if not path.is_file():
                books = shelf.database.look(lambda db: _epubs(db, ebook_id))
                await asyncio.to_thread(_draw, shelf.files, ebook_id, books)
    return _unless_gone(shelf, ebook_id, path)


async def thumb(shelf: Shelf, ebook_id: int) -> Path | None:
    """Returns the file of an ebook's thumbnail; None without a cover.

    Raises OSError.
    """
    if not shelf.files.has_thumb(ebook_id) and await cover(shelf, ebook_id) is not None:
        async with shelf.drawing:
            if not shelf.files.has_thumb(ebook_id):
                with suppress(FileNotFoundError, covers.BadPicture):
                    await asyncio.to_thread(
                        shelf.files.make_thumb, ebook_id, covers.thumbnail
                    )
    return _unless_gone(shelf, ebook_id, shelf.files.thumb(ebook_id))


async def upload_cover(shelf: Shelf, upload: Path) -> Path | None:
    """Returns the file of the cover found in an upload; None without one.

    Raises OSError.
    """
    path = shelf.files.upload_cover(upload)
    async with shelf.drawing:
        if not path.is_file():
            with suppress(FileNotFoundError):
                await asyncio.to_thread(_draw_beside, upload, path)
    return path if path.is_file() else None


def _unless_gone(shelf: Shelf, ebook_id: int, path: Path) -> Path | None:
    """Returns an existing picture, unless its ebook was deleted meanwhile."""
    if not path.is_file():
        return None
    if (
        shelf.database.look(
            lambda db: db.execute(
                "SELECT 1 FROM ebook WHERE id = ?", (ebook_id,)
            ).fetchone()
        )
        is None
    ):
        shelf.files.remove_cover(ebook_id)
        return None
    return path


def _epubs(db: sqlite3.Connection, ebook_id: int) -> list[str]:
    """Returns the hashes of the EPUBs of an ebook that has a cover, oldest first."""
    rows = db.execute(
        "SELECT hash FROM source JOIN format ON format.id = format_id JOIN ebook ON "
        "ebook.id = ebook_id"
        " WHERE ebook_id = ? AND cover AND extension = 'epub' ORDER BY source.id",
        (ebook_id,),
    ).fetchall()
    return [row[0] for row in rows]


def _draw(files: FileStore, ebook_id: int, books: list[str]) -> None:
    for sha1 in books:
        drawn = _drawn(files.book(sha1, "epub"))
        if drawn is not None:
            files.new_cover(ebook_id, drawn)
            return


def _draw_beside(upload: Path, path: Path) -> None:
    drawn = _drawn(upload)
    if drawn is not None:
        write_file(path, drawn)


def _drawn(book: Path) -> bytes | None:
    """Returns the cover of an EPUB.

    Raises OSError, because a file that cannot be read now may have a cover.
    """
    try:
        with book.open("rb") as file:
            picture = epub.read(file).cover
        return covers.make(picture) if picture else None
    except (FileNotFoundError, covers.BadPicture):
        return None
