"""What the audit reads of the Calibre library, waiting while Calibre has it locked."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from migration.calibre import cover
from migration.calibre.library import CalibreLibrary
from migration.errors import BadCover, LibraryBusy, Rejected
from migration.lanes.api.file_stream import digest_of
from migration.model import Book, BookFile, BookId, Digest

T = TypeVar("T")

#: Books whose ids span no more than this are read by one set of queries.
SPAN = 50
#: Seconds between two tries while the library is locked.
REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class LibrarySide:
    """One library.

    `wait` waits so many seconds, for the reason given; `moved` is called for every
    block that is read.
    """

    library: CalibreLibrary
    wait: Callable[[str, float], None]
    moved: Callable[[], None]

    def books(self, ids: Sequence[BookId]) -> Iterator[tuple[BookId, Book | None]]:
        """Yields the books; None for one that Calibre no longer has."""
        for run in _runs(ids):
            found = {book.id: book for book in self._read(run)}
            yield from ((book_id, found.get(book_id)) for book_id in run)

    def book(self, book_id: BookId) -> Book | None:
        """Returns a book as it is now."""
        return next(iter(self._read([book_id])), None)

    def _read(self, run: Sequence[BookId]) -> list[Book]:
        return self._awaited(
            lambda: self.library.read_books(run[0], run[-1], frozenset(run))
        )

    def _awaited(self, read: Callable[[], T]) -> T:
        waited = False
        while True:
            try:
                result = read()
            except LibraryBusy as error:
                waited = True
                self.wait(str(error), REST_SECONDS)
            else:
                if waited:
                    self.wait("", 0.0)
                return result

    def digest(self, file: BookFile) -> Digest | None:
        """Returns SHA-1 and size of a file, None if it cannot be read any more."""
        try:
            with self.library.open_file(file.path) as opened:
                return digest_of(opened, self.moved)
        except (Rejected, OSError):
            return None

    def has_cover(self, book: Book) -> bool:
        """Whether Calibre's cover is a picture that can be sent."""
        if book.cover is None:
            return False
        try:
            with self.library.open_file(book.cover) as opened:
                return bool(
                    cover.sendable(io.BytesIO(opened.read(cover.MAX_BYTES + 1)))
                )
        except (BadCover, Rejected, OSError):
            return False


def _runs(ids: Sequence[BookId]) -> Iterator[Sequence[BookId]]:
    """Yields neighbouring ids together, so that few rows are read in vain."""
    run: list[BookId] = []
    for book_id in ids:
        if run and book_id - run[0] > SPAN:
            yield run
            run = []
        run.append(book_id)
    if run:
        yield run
