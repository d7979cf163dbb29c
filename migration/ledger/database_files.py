"""Checks the ledger's files on disk: still those this process opened, and whole?

SQLite would go on writing into a file that was deleted, and may not notice until much
later that one was overwritten. A check costs a few system calls and takes no lock.
"""

import os
import threading
from pathlib import Path

_DATABASE, _WAL = b"SQLite format 3\0", (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
#: A WAL shorter than its header has not been begun.
_WAL_HEADER = 32


class _Held:
    """One descriptor for each ledger of this process, counted by users.

    Closing any descriptor of a database drops all the locks the process has on it, also
    those of its other connections; so it is closed with the last user.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, int]] = {}

    def take(self, path: Path) -> int:
        """Returns a descriptor for reading the file. Raises OSError."""
        with self._lock:
            known, users = self._open.get(path.stat().st_ino, (-1, 0))
            descriptor = known if users else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._open[os.fstat(descriptor).st_ino] = (descriptor, users + 1)
            return descriptor

    def let_go(self, inode: int) -> None:
        """Drops one user of the descriptor, and closes it after the last."""
        with self._lock:
            descriptor, users = self._open.pop(inode)
            if users > 1:
                self._open[inode] = (descriptor, users - 1)
            else:
                os.close(descriptor)


_held = _Held()


class DatabaseFiles:
    """The database, its `-wal` and its `-shm`.

    Used from when SQLite has opened them until it has closed them.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        # A file that is held open keeps its inode number: no other file can be mistaken
        # for it.
        self._directory = os.open(
            path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            self._database = _held.take(path)
        except OSError:
            os.close(self._directory)
            raise
        self.inode = os.fstat(self._database).st_ino
        self._seen: dict[str, tuple[int, int]] = {}

    def close(self) -> None:
        """Releases the files; call it after SQLite's connections are closed."""
        _held.let_go(self.inode)
        os.close(self._directory)

    def directory_is_gone(self) -> bool:
        """Whether the directory itself was deleted."""
        return os.fstat(self._directory).st_nlink == 0

    def trouble(self) -> str:
        """Says what was done to the files, in words that follow the path.

        Returns "" if nothing.
        """
        if _inode(self.path) != self.inode:
            return "was deleted or replaced while this worker was using it"
        if os.pread(self._database, len(_DATABASE), 0) != _DATABASE:
            return "was overwritten while this worker was using it"
        for side in ("", "-wal", "-shm"):
            found = self._changed(side)
            if found:
                return found
        return ""

    def _changed(self, side: str) -> str:
        """While SQLite has them open, the files keep their inodes and never shrink."""
        path = self.path.with_name(self.path.name + side)
        known = self._seen.get(side)
        try:
            now = path.stat()
        except OSError:
            return (
                f"has lost its {path.name} while this worker was using it"
                if known
                else ""
            )
        if known is not None and now.st_ino != known[0]:
            return f"has lost its {path.name} while this worker was using it"
        if known is not None and now.st_size < known[1]:
            return f"was cut short ({path.name}) while this worker was using it"
        if side == "-wal" and now.st_size >= _WAL_HEADER and not _is_wal(path):
            return f"was overwritten ({path.name}) while this worker was using it"
        self._seen[side] = (now.st_ino, now.st_size)
        return ""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _is_wal(path: Path) -> bool:
    """Whether the file begins as a WAL does; True when it cannot be opened now."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _WAL
    except OSError:
        return True
