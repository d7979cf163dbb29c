"""Whether somebody has changed the library: `metadata.db` and the files beside it.

Nothing is locked: file statuses, and the first bytes of the file. Events (inotify) come
at once, but only for writers on this machine; what is written elsewhere to a network
mount is seen by looking.
"""

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from auto_monitor.model import LibrarySeen

if TYPE_CHECKING:
    from inotify_simple import INotify

DATABASE = "metadata.db"
#: The files that hold what is committed. An empty one beside the database holds
#: nothing: a reader may have made it.
BESIDE = (f"{DATABASE}-wal", f"{DATABASE}-journal")
_NAMES = {DATABASE, *BESIDE}

_MAGIC, _HEADER = b"SQLite format 3\0", 100


class LibraryFiles:
    """The database of one library."""

    def __init__(self, library: Path, *, seconds: float) -> None:
        """A look takes at most `seconds`: a dead network mount blocks for ever."""
        self._library = library
        self._seconds = seconds
        self._thread: threading.Thread | None = None
        self._seen = LibrarySeen()
        self._events = Events(library)

    def look(self) -> LibrarySeen:
        """Returns what is there now."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._look, name="library-look", daemon=True
            )
            self._thread.start()
        self._thread.join(self._seconds)
        if self._thread.is_alive():
            return LibrarySeen(trouble=f"no answer within {self._seconds:g} s")
        return self._seen

    def _look(self) -> None:
        self._events.listen()
        self._seen = seen_in(self._library)

    def stirred(self) -> bool:
        """Whether something was written on this machine since the last call."""
        return self._events.any()

    def close(self) -> None:
        """Ends listening."""
        self._events.close()


def seen_in(library: Path) -> LibrarySeen:
    """Returns what is there now; may take as long as the file system does."""
    path = library / DATABASE
    try:
        main = path.stat()
        beside = [_mark(library / name) for name in BESIDE]
        with path.open("rb", buffering=0) as file:
            head = file.read(_HEADER)
    except FileNotFoundError:
        return LibrarySeen(trouble=f"{DATABASE} is not there")
    except OSError as error:
        return LibrarySeen(trouble=f"{DATABASE} cannot be read: {error.strerror}")
    trouble = "" if any(beside) else not_whole(head, main.st_size)
    if trouble:
        return LibrarySeen(trouble=trouble)
    marks = [f"{main.st_ino}:{main.st_size}:{main.st_mtime_ns}", *beside]
    return LibrarySeen("/".join(marks))


def _mark(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}" if found.st_size else ""


def not_whole(head: bytes, size: int) -> str:
    """Returns why a file with this beginning is no whole database, or "".

    SQLite's header has the number of pages; a file that is being copied is shorter.
    Anything more is the worker's to find out.
    """
    if len(head) < _HEADER or not head.startswith(_MAGIC):
        return f"{DATABASE} is not a database, or not copied yet"
    page = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    # Versions before 3.7 did not write the number of pages, and left it unmarked.
    known = head[24:28] == head[92:96]
    needs = (65536 if page == 1 else page) * pages
    if known and size < needs:
        return f"{DATABASE} is not whole: {size} of {needs} bytes"
    return ""


class Events:
    """What happens to the database on this machine, where the system tells of it."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._notifier: INotify | None = None

    def listen(self) -> None:
        """Begins to listen, unless it does already.

        Without inotify, or when there are too many watches, looks have to do.
        """
        if self._notifier is not None or sys.platform != "linux":
            return
        from inotify_simple import INotify, flags

        # Not CLOSE_WRITE: whoever may write, such as Calibre, gives it by reading, too.
        wanted = (
            flags.MODIFY
            | flags.ATTRIB
            | flags.MOVED_FROM
            | flags.MOVED_TO
            | flags.CREATE
            | flags.DELETE
            | flags.DELETE_SELF
            | flags.MOVE_SELF
            | flags.ONLYDIR
        )
        made = None
        try:
            made = INotify()
            made.add_watch(self._library, wanted)
        except OSError:
            if made is not None:
                made.close()
            return
        self._notifier = made

    def any(self) -> bool:
        """Whether the database was touched since the last call. Never blocks."""
        if self._notifier is None:
            return False
        from inotify_simple import flags

        try:
            events = self._notifier.read(timeout=0)
        except OSError:
            self.close()
            return True
        gone = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED
        if any(event.mask & gone for event in events):
            # The folder itself was replaced: the next look listens to the new one.
            self.close()
            return True
        return any(
            event.name in _NAMES or event.mask & flags.Q_OVERFLOW for event in events
        )

    def close(self) -> None:
        """Ends listening."""
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            with suppress(OSError):
                notifier.close()
