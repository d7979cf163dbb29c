"""Checking that the database is still the file that was opened.

A file that was deleted or replaced goes on working for the process that has it open,
and everything written to it is lost.
"""

import os
from pathlib import Path

from common.errors import CodedError

#: SQLite's header. In an open WAL database it changes only when the server itself
#: writes the log back.
HEADER_BYTES = 100


class DatabaseGone(CodedError):
    """The database is no longer the one that was opened; `what` happened to it."""

    code = "database-gone"


class FileWatch:
    """Checks that the files at a path are those that were there at construction."""

    def __init__(self, path: Path) -> None:
        """Expects a database that is open in WAL mode. Raises OSError."""
        self._paths = (os.fspath(path), f"{path}-wal")
        # Never closed while SQLite has the file open, since that would drop SQLite's
        # locks.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._files, self._header = self._look(), self._read()

    def check_files(self) -> None:
        """Raises DatabaseGone if the files have changed. Takes microseconds."""
        try:
            files = self._look()
        except OSError as error:
            raise DatabaseGone(
                f"{error.filename} was deleted ({error.strerror})"
            ) from None
        if files != self._files:
            raise DatabaseGone(f"{self._paths[0]}, or the -wal beside it, was replaced")

    def check(self) -> None:
        """Does what `check_files` does.

        Also raises Gone if another program wrote to the database. Do not call it while
        the server itself writes.
        """
        self.check_files()
        if self._read() != self._header:
            raise DatabaseGone(f"{self._paths[0]} was overwritten by another program")

    def settle(self) -> None:
        """Does what `check_files` does after a commit; records the new header."""
        self.check_files()
        self._header = self._read()

    def close(self) -> None:
        """Closes the descriptor; call it after SQLite has closed the file."""
        os.close(self._descriptor)

    def _look(self) -> list[tuple[int, int]]:
        return [(status.st_dev, status.st_ino) for status in map(os.stat, self._paths)]

    def _read(self) -> bytes:
        return os.pread(self._descriptor, HEADER_BYTES, 0)
