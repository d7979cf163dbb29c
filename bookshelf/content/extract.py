"""The `metadata` task: a file's own metadata, merged with the proposed, and resolved.

Resolving means looking names up in the database.
"""

import asyncio
import hashlib
import io
import os
import re
import shutil
import signal
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bookshelf.content import covers, epub
from bookshelf.storage import vocabulary
from bookshelf.storage.catalogue import MOST_ENTRIES
from bookshelf.storage.database import folded
from bookshelf.storage.files import FileStore, write_file
from common.errors import CodedError

#: Seconds `ebook-meta` may take, as on the real server.
EBOOK_META_SECONDS = 60.0
#: How much of its error output is reported.
COMPLAINT_BYTES = 2000
#: Files up to this size are read into memory.
SMALL_BYTES = 4_000_000
_LINE = re.compile(r"^([A-Z][A-Za-z() ]+?)\s*: (.*)$")


class TaskError(CodedError):
    """A task that ends with `error` and this text."""

    code = "task-failed"


@dataclass(frozen=True, slots=True)
class ExaminedFile:
    """What is known of an uploaded file.

    `meta` has the keys of the protocol; `pictured` says whether it has a cover.
    """

    meta: dict[str, Any]
    sha1: str
    size: int
    pictured: bool


async def examine(files: FileStore, path: Path) -> ExaminedFile:
    """Examines an uploaded file. Raises TaskError.

    The cover of an EPUB stays in it until it is first requested (`pictures`); one that
    `ebook-meta` extracted is put beside the file.
    """
    if path.suffix == ".epub":
        return await asyncio.to_thread(_examine_epub, path)
    meta, picture = await _ebook_meta(path)
    return await asyncio.to_thread(_examine_other, files, path, meta, picture)


def _examine_epub(path: Path) -> ExaminedFile:
    with _opened(path) as file:
        found = epub.read(file)
        try:
            covers.check(found.cover or b"")
            pictured = True
        except covers.BadPicture:
            pictured = False
        return _seen(file, path, found.meta, pictured)


def _examine_other(
    files: FileStore, path: Path, meta: dict[str, Any], picture: bytes | None
) -> ExaminedFile:
    try:
        # There is no other copy: it must not be found empty after a power cut.
        write_file(files.upload_cover(path), covers.make(picture or b""))
        pictured = True
    except covers.BadPicture:
        pictured = False
    with _opened(path) as file:
        return _seen(file, path, meta, pictured)


def _opened(path: Path) -> io.BytesIO | io.BufferedReader:
    """Opens the file; reads a small one into memory.

    Reading its parts then does not wait for the GIL each time.
    """
    return (
        io.BytesIO(path.read_bytes())
        if path.stat().st_size <= SMALL_BYTES
        else path.open("rb")
    )


def _seen(
    file: io.BytesIO | io.BufferedReader,
    path: Path,
    meta: dict[str, Any],
    pictured: bool,
) -> ExaminedFile:
    file.seek(0)
    sha1 = hashlib.file_digest(file, "sha1").hexdigest()
    return ExaminedFile(
        {"title": path.stem, **meta}, sha1, file.seek(0, io.SEEK_END), pictured
    )


def merge(found: dict[str, Any], proposed: object) -> dict[str, Any]:
    """Merges the proposed metadata over the file's own, key by key.

    Raises TaskError for what the real server fails on.
    """
    if not isinstance(proposed, dict):
        raise TaskError(f"'{type(proposed).__name__}' object is not iterable")
    meta = {**found, **proposed}
    for key in ("series", "language"):
        if key in meta and not isinstance(meta[key], dict):
            raise TaskError(f"'{type(meta[key]).__name__}' object is not subscriptable")
    for key in ("authors", "genres"):
        if not isinstance(meta.get(key), list | None):
            raise TaskError(f"'{type(meta[key]).__name__}' object is not iterable")
        if len(proposed.get(key) or []) > MOST_ENTRIES:
            raise TaskError(f"Longer than maximum length {MOST_ENTRIES}.")
    for text in _texts(meta):
        if "\0" in text:
            raise TaskError("A string literal cannot contain NUL (0x00) characters.")
    return meta


def resolve(db: sqlite3.Connection, meta: dict[str, Any]) -> dict[str, Any]:
    """Adds ids to known authors, genres, language and series.

    Leaves the rest unchanged.
    """
    resolved = dict(meta)
    resolved["authors"] = [_author(db, author) for author in meta.get("authors") or []]
    resolved["genres"] = [_genre(db, genre) for genre in meta.get("genres") or []]
    if "language" in meta:
        resolved["language"] = _language(db, meta["language"])
    if "series" in meta:
        resolved["series"] = _series(db, meta["series"])
    return resolved


def _author(db: sqlite3.Connection, author: Any) -> dict[str, Any]:
    if not isinstance(author, dict) or not isinstance(author.get("last_name"), str):
        raise TaskError("'last_name'")
    if not isinstance(author.get("first_name"), str | None):
        raise TaskError("'first_name'")
    row = db.execute(
        "SELECT id FROM author WHERE last_name = ? AND first_name IS ?",
        (author["last_name"], author.get("first_name")),
    ).fetchone()
    return {**author, "id": row[0]} if row else author


def _genre(db: sqlite3.Connection, genre: Any) -> dict[str, Any]:
    if not isinstance(genre, dict) or not isinstance(genre.get("name"), str):
        raise TaskError("'name'")
    name = vocabulary.GENRE_SYNONYMS.get(genre["name"].casefold(), genre["name"])
    row = db.execute(
        "SELECT id, name FROM genre WHERE name = ? COLLATE NOCASE", (name,)
    ).fetchone()
    return {"id": row[0], "name": row[1]} if row else genre


def _language(db: sqlite3.Connection, language: dict[str, Any]) -> dict[str, Any]:
    code, name = language.get("code"), language.get("name")
    if not isinstance(name, str | None):
        raise TaskError("'name'")
    known = vocabulary.language_of(code.lower()) if isinstance(code, str) else None
    row = db.execute(
        "SELECT id, code, name FROM language WHERE code = ? OR (? IS NULL AND name = "
        "? COLLATE NOCASE)",
        (known, known, name),
    ).fetchone()
    return {"id": row[0], "code": row[1], "name": row[2]} if row else language


def _series(db: sqlite3.Connection, series: dict[str, Any]) -> dict[str, Any]:
    title = series.get("title")
    if not isinstance(title, str):
        raise TaskError("'title'")
    row = db.execute(
        "SELECT id, title FROM series WHERE title = ? OR folded = ? ORDER BY title = "
        "? DESC LIMIT 1",
        (title, folded(title), title),
    ).fetchone()
    return {"id": row[0], "title": row[1]} if row else series


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return (
        [text for item in value for text in _texts(item)]
        if isinstance(value, list)
        else []
    )


async def _ebook_meta(path: Path) -> tuple[dict[str, Any], bytes | None]:
    """Runs Calibre's `ebook-meta`, if installed, as a child process with a deadline."""
    program = shutil.which("ebook-meta")
    if program is None:
        return {}, None
    picture = path.with_name("found-cover")
    process = await asyncio.create_subprocess_exec(
        program,
        f"--get-cover={picture}",
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        start_new_session=True,
    )
    try:
        output, complaint = await asyncio.wait_for(
            process.communicate(), EBOOK_META_SECONDS
        )
    except TimeoutError:
        raise TaskError(f"Timeout after {EBOOK_META_SECONDS:f}") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        # Its error output distinguishes an unreadable file from a full disk.
        said = complaint[-COMPLAINT_BYTES:]
        raise TaskError(
            f'Command "{program}" failed with return code '
            f"{process.returncode}\nError Output: {said!r}"
        )
    cover = picture.read_bytes() if picture.is_file() else None
    picture.unlink(missing_ok=True)
    return parse_ebook_meta(output.decode("utf-8", "replace")), cover


def parse_ebook_meta(output: str) -> dict[str, Any]:
    """Parses the output of `ebook-meta` into the keys of the protocol."""
    lines = {
        match[1].strip(): match[2].strip()
        for line in output.splitlines()
        if (match := _LINE.match(line))
    }
    meta: dict[str, Any] = {}
    if title := lines.get("Title"):
        meta["title"] = title
    if authors := re.sub(r"\[.*?\]", "", lines.get("Author(s)", "")).strip():
        meta["authors"] = [
            epub.person(name) for name in authors.split("&") if name.strip()
        ]
    if tags := lines.get("Tags"):
        meta["genres"] = [
            {"name": name.strip()} for name in tags.split(",") if name.strip()
        ]
    if language := lines.get("Languages", "").split(",")[0].strip():
        meta["language"] = {"code": language}
    series, _, index = lines.get("Series", "").rpartition(" #")
    if series:
        meta["series"] = {"title": series}
        meta["series_index"] = (
            int(float(index)) if re.fullmatch(r"\d+(\.\d+)?", index) else 1
        )
    return meta
