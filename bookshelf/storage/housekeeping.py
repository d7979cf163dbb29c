"""Housekeeping at start: permissions, unfinished uploads, leftover files."""

import logging
import os
import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bookshelf.storage import vocabulary
from bookshelf.storage.files import FileStore

#: Uploads that were never attached are removed after this many seconds.
UPLOAD_LIFE_SECONDS = 24 * 3600.0
#: A killed server leaves a few files without a row. If there are more, the database is
#: another one.
LEFT_BEHIND_AT_MOST = 100
#: How many of the reported ones are named.
NAMED = 5

log = logging.getLogger("bookshelf")

_FOLDERS = ("uploads", "books", "covers", "thumbs")
_FILES = re.compile(
    r"(bookshelf\.db(-wal|-shm)?|lock|secrets\.json|credentials|server\.json|server\.log)"
)
_UPLOAD = re.compile(r"tmp[0-9a-f]{8}")
_BOOK = re.compile(
    rf"([0-9a-f]{{40}})\.({'|'.join(extension for _id, extension, _mime in vocabulary.FORMATS)})"
)
#: Files in an upload's folder that no client was told about.
_UNFINISHED = re.compile(r"\..*|drawn\.jpg|found-cover")


# -- permissions -----------------------------------------------------------------------


def make_private(data_dir: Path) -> int:
    """Removes other users' permissions from the server's files.

    Returns how many changed. The result is logged, also when it fails.
    """
    changed = 0
    try:
        changed = sum(
            _private(Path(entry), 0o600)
            for entry in os.scandir(data_dir)
            if _FILES.fullmatch(entry.name)
        )
        changed += sum(
            _private_below(data_dir / name)
            for name in _FOLDERS
            if (data_dir / name).is_dir()
        )
        changed += _private(data_dir, 0o700)
    except OSError as error:
        log.warning(
            "cannot take the rights of others from %s: %s",
            error.filename,
            error.strerror,
        )
    if changed:
        log.warning(
            "others could look into %s: took their rights on %d of its files and folders",
            data_dir,
            changed,
        )
    return changed


def _private_below(folder: Path) -> int:
    """Makes a folder and its content private, the folder last.

    A private folder is skipped: its content is out of reach and was processed before.
    """
    if stat.S_IMODE(folder.stat().st_mode) == 0o700 and folder.name not in _FOLDERS:
        return 0
    changed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                changed += _private_below(Path(entry))
            elif entry.is_file(follow_symlinks=False):
                changed += _private(Path(entry), 0o600)
    return changed + _private(folder, 0o700)


def _private(path: Path, mode: int) -> int:
    """Returns 1 if the permissions had to be changed. A link is left alone."""
    if path.is_symlink() or stat.S_IMODE(path.stat().st_mode) == mode:
        return 0
    path.chmod(mode)
    return 1


# -- uploads ---------------------------------------------------------------------------


def sweep_uploads(files: FileStore) -> int:
    """Removes uploads never attached or incomplete; returns the number of folders."""
    old = time.time() - UPLOAD_LIFE_SECONDS
    stale = [
        folder
        for folder in files.uploads.iterdir()
        if _UPLOAD.fullmatch(folder.name)
        and folder.is_dir()
        and not folder.is_symlink()
        and (
            folder.stat().st_mtime < old
            or all(_UNFINISHED.fullmatch(path.name) for path in folder.iterdir())
        )
    ]
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return len(stale)


# -- books -----------------------------------------------------------------------------


def sweep_books(db: sqlite3.Connection, files: FileStore, *, new: bool) -> None:
    """Removes book files without a row, and reports rows whose file is missing.

    A server that is killed between the two leaves such files. Nothing is removed when
    there are too many, or the database is new: then the database is wrong. Only regular
    files named and placed as this server does are considered.
    """
    unknown: list[Path] = []
    missing: list[int] = []
    for number in range(256):
        prefix = f"{number:02x}"
        there = dict(_files(files.books / prefix, prefix))
        for source_id, name in _rows(db, prefix):
            if (
                there.pop(name, None) is None
                and not (files.books / prefix / name).is_file()
            ):
                missing.append(source_id)
        unknown += there.values()
    if missing:
        log.error(
            "%d files are listed but not there, as sources %s: %s",
            len(missing),
            _some(missing),
            _MISSING,
        )
    if not unknown:
        return
    if new or len(unknown) > LEFT_BEHIND_AT_MOST:
        log.error(
            "%d files in %s are not in the database: %s",
            len(unknown),
            files.books,
            _TOO_MANY,
        )
        return
    for path in unknown:
        with suppress(OSError):
            path.unlink()
    log.warning(
        "removed %d files from %s that no ebook has, left by a server that was killed: %s",
        len(unknown),
        files.books,
        _some([path.name for path in unknown]),
    )


_MISSING = (
    "put them back from a backup, or delete these sources and run the "
    "migration with --recheck"
)
_TOO_MANY = (
    "nothing is removed. This is another or an older database: put the right one "
    "back, or, when these files are not "
    "wanted, remove the folder"
)


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Yields name and path of the book files in a folder.

    Nothing without the folder.
    """
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            known = _BOOK.fullmatch(entry.name)
            if (
                known
                and known[1].startswith(prefix)
                and entry.is_file(follow_symlinks=False)
            ):
                yield entry.name, Path(entry.path)


def _rows(db: sqlite3.Connection, prefix: str) -> Iterator[tuple[int, str]]:
    """Yields source id and file name of the rows whose hash has this prefix.

    There may be several rows for one file.
    """
    rows = db.execute(
        "SELECT source.id, hash || '.' || extension FROM source JOIN format ON "
        "format.id = format_id"
        " WHERE hash >= ? AND hash < ?",
        (prefix, f"{prefix}g"),
    )
    yield from rows


def _some(things: list[int] | list[str]) -> str:
    shown = ", ".join(map(str, things[:NAMED]))
    return f"{shown} and others" if len(things) > NAMED else shown
