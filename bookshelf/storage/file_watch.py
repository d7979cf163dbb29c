"""Is the database still the file that was opened? A file that was deleted or replaced
goes on working for whoever has it open, and everything written to it is lost."""

import os
from pathlib import Path

from common.errors import CodedError

#: SQLite's header. Of an open database in WAL mode it changes only when the server
#: itself writes the log back.
HEADER_BYTES = 100


class DatabaseGone(CodedError):
    """The database is not the one that was opened any more; `what` happened to it."""

    code = "database-gone"


class FileWatch:
    """Looks whether the files at a path are the ones that were there when it was
    made."""

    def __init__(self, path: Path) -> None:
        """For a database that is open in WAL mode. Raises OSError."""
        self._paths = (os.fspath(path), f"{path}-wal")
        # Never closed while SQLite has the file open: that would drop the locks SQLite
        # holds.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._files, self._header = self._look(), self._read()

    def check_files(self) -> None:
        """Are they the same files? Takes microseconds. Raises DatabaseGone."""
        try:
            files = self._look()
        except OSError as error:
            raise DatabaseGone(
                f"{error.filename} was deleted ({error.strerror})"
            ) from None
        if files != self._files:
            raise DatabaseGone(f"{self._paths[0]}, or the -wal beside it, was replaced")

    def check(self) -> None:
        """As `check_files`; and has nobody else written to the database? Not while the
        server itself writes."""
        self.check_files()
        if self._read() != self._header:
            raise DatabaseGone(f"{self._paths[0]} was overwritten by another program")

    def settle(self) -> None:
        """As `check_files`, after a commit of the server: the header is now as that has
        left it."""
        self.check_files()
        self._header = self._read()

    def close(self) -> None:
        """After SQLite has closed the file."""
        os.close(self._descriptor)

    def _look(self) -> list[tuple[int, int]]:
        return [(status.st_dev, status.st_ino) for status in map(os.stat, self._paths)]

    def _read(self) -> bytes:
        return os.pread(self._descriptor, HEADER_BYTES, 0)
