"""Opening metadata.db without disturbing Calibre or changing the library.

Facts are from Calibre 6.13 and SQLite 3.40. It is opened with `mode=ro` and a busy
time-out. Where that is refused, because a crashed writer left a journal to be rolled
back, or a WAL is on a read-only folder, a private copy is made and recovered, once for
all workers. Never `immutable=1` (uncommitted or stale rows, without an error), and
otherwise never a plain copy (1.4 % are torn).
"""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from common.files import lock
from migration.errors import (
    LibraryBusy,
    LibraryDamaged,
    LibraryUnreadable,
    NotALibrary,
    StateUnwritable,
)

NAME = "metadata.db"
_SIDES = ("", "-journal", "-wal")
_COPY_TRIES = 5
#: Seconds between checks whether a private copy is out of date: making one takes a
#: while.
COPY_SECONDS = 30.0
#: How to repair a damaged database.
_RESTORE = (
    "Calibre's 'Library maintenance > Restore database' makes it anew from the "
    "books' folders and gives it a new "
    "id: restore it there, then start once with --adopt-library"
)


def open_read_only(path: Path, timeout_seconds: float) -> sqlite3.Connection:
    """Opens a connection in autocommit mode that returns text as bytes.

    The caller closes it.
    """
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    db.text_factory = bytes
    return db


class Live:
    """The current metadata.db.

    It is reopened when another file takes its place (restored from a backup, or brought
    by a synchronisation program), since the old one would show outdated data; and when
    it has changed since a private copy was made.
    """

    def __init__(self, root: Path, private_dir: Path, timeout_seconds: float) -> None:
        """Raises LibraryUnreadable or StateUnwritable."""
        self.path = root / NAME
        self._root = root
        self._private = private_dir
        self._timeout = timeout_seconds
        self._db, self._copied = connect(root, private_dir, timeout_seconds)
        self._opened = self._identity()
        self._looked = time.monotonic()

    def renewed(self) -> bool:
        """Reopens the file if it was replaced; returns whether it was.

        Raises as the constructor.
        """
        if self._copied and time.monotonic() - self._looked < COPY_SECONDS:
            return False
        self._looked = time.monotonic()
        identity = self._identity()
        if identity in (self._opened, None):
            return False
        db, copied = connect(self._root, self._private, self._timeout)
        self._db.close()
        self._db, self._copied, self._opened = db, copied, identity
        return True

    def fetch(
        self, sql: str, parameters: tuple[object, ...], what: str
    ) -> list[tuple[object, ...]]:
        """Returns all rows of one SELECT. Raises LibraryUnreadable.

        `what` is being read; the message names it.
        """
        try:
            with readable(self.path, what):
                return self._db.execute(sql, parameters).fetchall()
        except NeedsRecovery as error:
            raise LibraryUnreadable(
                f"{self.path} was left by a crashed program while it was being read "
                f"({error}); start again"
            ) from error

    def close(self) -> None:
        self._db.close()

    def _identity(self) -> object:
        """Returns what distinguishes this file from a replacement.

        For a private copy, what shows that the original is unchanged. None while there
        is no file: it may be about to be replaced.
        """
        try:
            if self._copied:
                return _stamp(self.path)
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def connect(
    root: Path, private_dir: Path, timeout_seconds: float
) -> tuple[sqlite3.Connection, bool]:
    """Connects to the library's database or, returning True with it, to a private copy.

    Raises LibraryUnreadable or StateUnwritable.
    """
    path = root / NAME
    _refuse_obvious(root, path)
    db = open_read_only(path, timeout_seconds)
    try:
        with readable(path):
            db.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
    except NeedsRecovery:
        db.close()
        return open_read_only(
            _recovered_copy(path, private_dir, timeout_seconds), timeout_seconds
        ), True
    except LibraryUnreadable:
        db.close()
        raise
    return db, False


class NeedsRecovery(Exception):
    """The database needs recovery of its journal or WAL, which needs write access."""


@contextmanager
def readable(path: Path, what: str = "") -> Iterator[None]:
    """Turns SQLite's errors into messages for the user.

    `what` says what was being read.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error, path, what) from error


def _meaning(error: sqlite3.Error, path: Path, what: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    where = f"{path}{f' ({what})' if what else ''}"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return NeedsRecovery(str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LibraryBusy(
            f"{where} is locked by another program, perhaps Calibre at work"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return NotALibrary(
            f"{where} is not a database. Is this the folder of a Calibre library? If so, {_RESTORE}"
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return LibraryDamaged(
            f"{where} is damaged ({error}); nothing was changed. {_RESTORE}"
        )
    if "no such table" in str(error):
        return NotALibrary(f"{where} is not a Calibre library: {error}")
    return LibraryUnreadable(f"{where} cannot be read: {error}")


def _refuse_obvious(root: Path, path: Path) -> None:
    if not root.is_dir():
        raise NotALibrary(
            f"{root} is not a folder; name the folder of a Calibre library, with {NAME} in it"
        )
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise NotALibrary(
            f"{root} has no {NAME}; name the folder of a Calibre library"
        ) from None
    except OSError as error:
        raise LibraryUnreadable(f"{path} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise NotALibrary(f"{path} is not a file")
    if size == 0:
        raise NotALibrary(f"{path} is empty (0 bytes). {_RESTORE}")
    if not os.access(path, os.R_OK):
        raise LibraryUnreadable(
            f"{path} may not be read by this user; give it read access"
        )


# -- a private copy --------------------------------------------------------------------


def _recovered_copy(path: Path, private_dir: Path, timeout_seconds: float) -> Path:
    """Returns the path of a verified, current copy of the database.

    The first worker that needs it makes it.
    """
    copy, stamp_file = private_dir / NAME, private_dir / "copied_from.json"
    try:
        private_dir.mkdir(parents=True, exist_ok=True)
        with lock.waiting(private_dir / "lock", mode=0o644):
            if (
                copy.exists()
                and stamp_file.exists()
                and json.loads(stamp_file.read_text()) == _stamp(path)
            ):
                return copy
            stamp_file.unlink(missing_ok=True)
            stamp = _copy(path, private_dir)
            _recover(private_dir / "new.db", path, timeout_seconds)
            (private_dir / "new.db").replace(copy)
            stamp_file.write_text(json.dumps(stamp))
    except OSError as error:
        raise StateUnwritable(
            f"cannot copy {path} to {private_dir}: {error.strerror}"
        ) from error
    return copy


def _stamp(path: Path) -> list[list[int] | None]:
    """Returns sizes and mtimes of the database and its companions (journal, WAL)."""
    stamps: list[list[int] | None] = []
    for side in _SIDES:
        try:
            status = Path(f"{path}{side}").stat()
            stamps.append([status.st_size, status.st_mtime_ns])
        except FileNotFoundError:
            stamps.append(None)
    return stamps


def _copy(path: Path, private_dir: Path) -> list[list[int] | None]:
    """Copies database, journal and WAL together, again if they change meanwhile."""
    for _ in range(_COPY_TRIES):
        before = _stamp(path)
        for side, stamp in zip(_SIDES, before, strict=True):
            target = private_dir / f"new.db{side}"
            target.unlink(missing_ok=True)
            if stamp is not None:
                shutil.copyfile(f"{path}{side}", target)
        (private_dir / "new.db-shm").unlink(missing_ok=True)
        if _stamp(path) == before:
            return before
    raise LibraryUnreadable(
        f"{path} changes all the time; close Calibre, then start again"
    )


def _recover(copy: Path, path: Path, timeout_seconds: float) -> None:
    try:
        with (
            closing(
                sqlite3.connect(copy, timeout=timeout_seconds, isolation_level=None)
            ) as db,
            readable(path),
        ):
            db.execute("PRAGMA journal_mode = DELETE").fetchall()
            verdict = db.execute("PRAGMA quick_check").fetchone()[0]
    except NeedsRecovery as error:
        raise LibraryDamaged(f"{path} needs recovery, which failed: {error}") from error
    if verdict != "ok":
        raise LibraryDamaged(
            f"{path} is damaged ({verdict.splitlines()[0]}). {_RESTORE}"
        )
