"""What the direct lane needs of the server's host; used by its child process only.

Both are used by one thread. Both raise Transient when the host's database or disk does
not answer, ServerDatabaseUnusable or another Fatal when nothing can be right.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from migration.model import EbookId, FileId, Receipt, SourceId
from migration.server.direct.batch import (
    Drawn,
    LeftBehind,
    NewBook,
    Placed,
    Refused,
    Written,
)

#: Says which of these folders, below the books directory, an ebook has already.
Taken = Callable[[Collection[str]], frozenset[str]]


class Rows(Protocol):
    """The server's database."""

    def draw(
        self, books: int, sources: int
    ) -> tuple[Sequence[EbookId], Sequence[SourceId]]:
        """Takes ids from the server's sequences. Those not used are a harmless gap."""

    def taken(self, folders: Collection[str]) -> frozenset[str]:
        """Returns those of these folders that an ebook has already."""

    def write(
        self, token: int, placed: Sequence[Placed]
    ) -> Sequence[Written | Refused]:
        """Writes all rows of these books and reads them back, in their order.

        It is done in one short transaction, or several, each book whole in one of them,
        under the session lock of the batch's `token`. A book whose values the database
        does not take is refused; then it has no row.
        """

    def left(self, token: int, books: Sequence[LeftBehind]) -> Sequence[Written]:
        """Reads back those of a batch's books whose rows are there.

        First takes the lock of the batch's `token`, so that no session that could still
        write them is left, and leaves it again.
        """

    def provenance(self) -> Iterator[tuple[FileId, Receipt]]:
        """Yields every file that a lane has written for this library."""

    def merge(self) -> int:
        """Merges our new authors and series with those that others made meanwhile.

        The server has no unique constraint. Returns how many of ours are gone.
        """

    def close(self) -> None:
        """Ends the connection."""


class DataDir(Protocol):
    """The server's data directory: books, covers, thumbnails."""

    def choose(
        self,
        books: Sequence[NewBook],
        ebooks: Sequence[EbookId],
        sources: Sequence[SourceId],
        taken: Taken,
    ) -> Sequence[Drawn | Refused]:
        """Makes an empty folder for each book, which nobody had, and names its files.

        Nothing is written into it; that it was made here is what later makes it safe to
        remove what is in it. `sources` are as many as the books' files, in their order.
        """

    def place(
        self, drawn: Sequence[Drawn], moved: Callable[[int], None]
    ) -> Sequence[Placed | Refused]:
        """Copies files, covers and thumbnails to their places, in the books' order.

        What is refused leaves nothing behind. `moved` is told how many bytes were
        copied, now and then and from any thread.
        """

    def sync(self) -> None:
        """Returns when all that was placed is on the disk."""

    def cover_sha1(self, location: str) -> str:
        """Returns the SHA-1 of a cover below the books directory, "" if it is gone."""

    def remove(self, left: Sequence[LeftBehind]) -> None:
        """Removes what may have been placed for these books, which have no rows.

        Only files and folders named there, and thumbnails of their ids; what is missing
        was never placed.
        """

    def close(self) -> None:
        """Ends its threads."""
