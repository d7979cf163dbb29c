"""What this process itself has seen of books and files, for comparison with claims.

A file's record lasts until the file is settled, a book's as long as somebody works on
it. Thread-safe: a book is worked on by one thread at a time.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from migration.errors import Evidence, FalseClaim, MachineLost, MissingFile, Rejected
from migration.lanes.lane import Work
from migration.ledger.records import Taken
from migration.model import (
    Book,
    BookFile,
    BookId,
    Counts,
    Digest,
    EbookMetadata,
    FileId,
    Known,
    Outcome,
    Receipt,
)


def claims(what: str) -> FalseClaim:
    """Returns the error for a claim of the script."""
    return FalseClaim(f"the worker's script claims {what}; nothing of it was recorded")


@dataclass(slots=True)
class FileSeen:
    """What was seen of one file.

    `read` is the file that was hashed, and `digest` its bytes; `missing` counts how
    often it was not at `missing_at`. The rest is of the attempt that is `begun`: what
    the ledger and the server said.
    """

    begun: bool = False
    read: BookFile | None = None
    digest: Digest | None = None
    missing: int = 0
    missing_at: bytes = b""
    taken: Taken | None = None
    proof: Known | Receipt | None = None
    evidence: Evidence | None = None

    def missed(self, path: bytes) -> None:
        """Counts that the file is not where it should be."""
        self.missing = self.missing + 1 if path == self.missing_at else 1
        self.missing_at = path


@dataclass(slots=True)
class Observed:
    """The record of one process."""

    _files: dict[FileId, FileSeen] = field(default_factory=dict)
    _books: "WeakValueDictionary[BookId, Book]" = field(
        default_factory=WeakValueDictionary
    )
    _metadata: "WeakValueDictionary[BookId, EbookMetadata]" = field(
        default_factory=WeakValueDictionary
    )
    #: Books of the held ranges that were worked on since these were registered last.
    tried: set[BookId] = field(default_factory=set)
    #: Files that were settled here.
    settled: Counts = field(default_factory=Counts)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # -- books -------------------------------------------------------------------------

    def books_read(self, books: Iterable[Book]) -> None:
        """Records books as the library or the ledger has them."""
        for book in books:
            self._books[book.id] = book

    def metadata_made(self, book: Book, metadata: EbookMetadata) -> None:
        """Records a book's metadata. Raises FalseClaim for a book nobody has read."""
        if self._books.get(book.id) is not book:
            raise claims(f"that book {book.id} is another than Calibre's")
        self._metadata[book.id] = metadata

    def metadata(self, book_id: BookId) -> EbookMetadata | None:
        """Returns the metadata that were made for a book in work."""
        return self._metadata.get(book_id)

    def check_work(self, work: Work) -> None:
        """Raises FalseClaim unless the book and its metadata are those that were read."""
        book_id = work.book.id
        if self._books.get(book_id) is not work.book:
            raise claims(f"that book {book_id} is another than Calibre's")
        if self._metadata.get(book_id) is not work.metadata:
            raise claims(f"that book {book_id} has other metadata than Calibre's")
        self.tried.add(book_id)

    def forget_tried(self, first: int, last: int) -> None:
        """Forgets who was worked on among the books of a range that is over."""
        # Other threads add to the set; a copy is made at once.
        over = {book for book in self.tried.copy() if first <= book <= last}
        self.tried.difference_update(over)

    def check_file(self, file: BookFile) -> None:
        """Raises FalseClaim unless the file is one of a book that was read."""
        book = self._books.get(file.id.book_id)
        if book is None or not any(file is one for one in book.files):
            raise claims(f"that {file.id} is another file than Calibre's")

    # -- files -------------------------------------------------------------------------

    def of(self, file: FileId) -> FileSeen:
        """Returns what was seen of a file."""
        with self._lock:
            return self._files.setdefault(file, FileSeen())

    def begin(self, file: FileId) -> bool:
        """Records an attempt; returns False when one is under way already."""
        seen = self.of(file)
        self.tried.add(file.book_id)
        if seen.begun:
            return False
        seen.begun = True
        seen.taken = seen.proof = seen.evidence = None
        return True

    def end(self, file: FileId) -> None:
        """Records that the attempt ended without an outcome."""
        self.of(file).begun = False

    def failed(self, file: BookFile, error: Rejected | MachineLost) -> None:
        """Records why the file failed in this attempt, as trusted code has seen it."""
        seen = self.of(file.id)
        if isinstance(error, MachineLost):
            # The attempt stays counted in the ledger, like one whose worker died.
            seen.begun = seen.begun and not error.died
            return
        if isinstance(error, MissingFile):
            seen.missed(file.path)
        seen.evidence = error.evidence

    def check_begun(self, file: BookFile) -> FileSeen:
        """Returns what was seen of a file whose attempt the ledger knows of."""
        seen = self.of(file.id)
        if not seen.begun:
            raise claims(f"an attempt on {file.id} that was not recorded")
        return seen

    def done(self, file: FileId, outcome: Outcome) -> None:
        """Counts a settled file and forgets it."""
        with self._lock:
            self._files.pop(file, None)
            counts = self.settled
            more = {outcome.value: getattr(counts, outcome.value) + 1}
            self.settled = replace(counts, **more)

    def registered(self, counts: Counts) -> None:
        """Counts files that were settled when their range was read."""
        with self._lock:
            self.settled = replace(
                self.settled,
                duplicate=self.settled.duplicate + counts.duplicate,
                failed=self.settled.failed + counts.failed,
            )

    def against_limit(self) -> int:
        """Returns how many files of this process count against --limit."""
        counts = self.settled
        return counts.uploaded + counts.duplicate + counts.failed
