"""The library, server and user a ledger is bound to, and how books are recognised.

Functions over an open transaction of the ledger; only `ledger.parts` calls them.
"""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.state_dir import same_server
from migration.errors import WrongLedger
from migration.model import BookId, Origin

#: Bytes of a folder's hash, enough to tell the folders of one book id apart.
_FOLDER_BYTES = 8
#: Where the server was before, as a JSON list of `url` and `until`.
FORMER_SERVERS = "former_servers"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A book as the ledger has it: Calibre's uuid, a hash of its folder, its files.

    `uuid` and `folder` are empty for books registered by earlier versions; `files` are
    (format, size in bytes, mtime in ns) of those that could be read.
    """

    uuid: str
    folder: bytes
    files: frozenset[tuple[str, int, int]]


def bind(db: sqlite3.Connection, path: Path, wanted: Mapping[str, str]) -> None:
    """Binds a new ledger to `library`, `server` and `user`.

    Raises WrongLedger when it is bound to others.
    """
    for key, value in wanted.items():
        db.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", (key, value)
        )
        bound = _meta(db, key)
        same = same_server(bound, value) if key == "server" else bound == value
        if not same:
            raise WrongLedger(_wrong(path, key, bound, value))


def _wrong(path: Path, key: str, bound: str, value: str) -> str:
    said = f"{path} belongs to {key} {bound}, not {value}; "
    if key == "server":
        return said + (
            "if it is the same server at a new address, start once with --rebind; for "
            "another server give another --state-dir"
        )
    if key != "library":
        return said + "give another --state-dir for another library, server or user"
    return said + (
        "if Calibre restored this library (which gives it a new id), start once with "
        "--adopt-library; "
        "for another library give another --state-dir"
    )


def library(db: sqlite3.Connection) -> str:
    """Returns the uuid of the library the ledger belongs to; "" for a new ledger."""
    return _meta(db, "library")


def first_library(db: sqlite3.Connection) -> str:
    """Returns the library's uuid when the ledger was begun.

    The working titles bear its mark for ever.
    """
    return _meta(db, "first_library") or library(db)


def adopt(db: sqlite3.Connection, uuid: str, origins: Mapping[BookId, Origin]) -> None:
    """Rebinds the ledger to this library, with these origins of its books."""
    db.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('first_library', ?)",
        (library(db),),
    )
    db.execute("UPDATE meta SET value = ? WHERE key = 'library'", (uuid,))
    _write(db, "REPLACE", origins)


def server(db: sqlite3.Connection) -> str:
    """Returns the URL of the server the ledger belongs to; "" for a new ledger."""
    return _meta(db, "server")


def user(db: sqlite3.Connection) -> str:
    """Returns the id of the user the ledger belongs to; "" for a new ledger."""
    return _meta(db, "user")


def rebind(db: sqlite3.Connection, url: str, at: str) -> None:
    """Binds the ledger to a new URL of its server, and keeps the old one."""
    former = json.loads(_meta(db, FORMER_SERVERS) or "[]")
    former.append({"url": server(db), "until": at})
    db.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
        (FORMER_SERVERS, json.dumps(former)),
    )
    db.execute("UPDATE meta SET value = ? WHERE key = 'server'", (url,))


def lacks(db: sqlite3.Connection, first: int, last: int, books: int) -> bool:
    """Whether fewer than `books` origins are kept for the range."""
    span = (first, last)
    row = db.execute(
        "SELECT COUNT(*) FROM origins WHERE book_id BETWEEN ? AND ?", span
    ).fetchone()
    return bool(row[0] < books)


def remember(db: sqlite3.Connection, origins: Mapping[BookId, Origin]) -> None:
    """Keeps the origins of books; those kept already stay."""
    _write(db, "IGNORE", origins)


def known(db: sqlite3.Connection, first: int, last: int) -> dict[BookId, Remembered]:
    """Returns the books of a range that have files in the ledger."""
    files: dict[int, set[tuple[str, int, int]]] = {}
    span = (first, last)
    for book, form, size, mtime in db.execute(
        "SELECT book_id, format, size, mtime_ns FROM files WHERE book_id BETWEEN ? AND ?",
        span,
    ).fetchall():
        files.setdefault(book, set()).update([(form, size, mtime)] if size else [])
    kept = {
        row[0]: (row[1], row[2])
        for row in db.execute(
            "SELECT book_id, uuid, folder FROM origins WHERE book_id BETWEEN ? AND ?",
            span,
        ).fetchall()
    }
    return {
        BookId(book): Remembered(*kept.get(book, ("", b"")), frozenset(held))
        for book, held in files.items()
    }


def folder_hash(folder: bytes) -> bytes:
    """Returns the hash that is kept of a folder; b"" for none."""
    return (
        hashlib.blake2b(folder, digest_size=_FOLDER_BYTES).digest() if folder else b""
    )


def _write(
    db: sqlite3.Connection, otherwise: str, origins: Mapping[BookId, Origin]
) -> None:
    db.executemany(
        # `otherwise` is a word of our own.
        f"INSERT OR {otherwise} INTO origins (book_id, uuid, folder) VALUES (?, ?, ?)",  # noqa: S608
        (
            (book, origin.uuid, folder_hash(origin.folder))
            for book, origin in origins.items()
        ),
    )


def _meta(db: sqlite3.Connection, key: str) -> str:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return "" if row is None else str(row[0])
