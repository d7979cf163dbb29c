"""The library as the script reads it; what was read is remembered."""

from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass, field

from migration.calibre.library import CalibreLibrary
from migration.ledger.records import Range
from migration.model import Book, BookFile, BookId, EbookMetadata, Vocabulary
from migration.worker.checked.observed import Observed, claims
from migration.worker.checked.ranges import Ranges
from migration.worker.range_books import RangeBooks, WithoutFiles


@dataclass(slots=True)
class CheckedLibrary:
    """Reads from the library. Raises as that."""

    _library: CalibreLibrary
    _observed: Observed
    _highest: int = -1
    _files: int = -1
    _listings: dict[tuple[int, int], list[BookFile]] = field(default_factory=dict)

    def highest_book_id(self) -> int:
        """Returns the highest book id, 0 for an empty library."""
        self._highest = self._library.highest_book_id()
        return self._highest

    def file_count(self) -> int:
        """Returns how many files the library lists."""
        self._files = self._library.file_count()
        return self._files

    def check_extent(self, highest: int, listed: int) -> None:
        """Raises FalseClaim unless the library said so."""
        if (highest, listed) != (self._highest, self._files):
            raise claims(
                f"a library of {listed} files up to book {highest}; it has "
                f"{self._files} up to book {self._highest}"
            )

    def last_id_of_range(self, after: int, limit: int) -> int | None:
        """Returns the id of the last of the `limit` books after `after`, or None."""
        return self._library.last_id_of_range(after, limit)

    def read_files(self, first: int, last: int) -> list[BookFile]:
        """Returns the files of these books with current size and time, unopened."""
        files = self._library.read_files(first, last)
        self._listings[first, last] = files
        return list(files)

    def take_listing(self, owned: Range) -> list[BookFile] | None:
        """Returns what was read last of a range, once."""
        return self._listings.pop((owned.first, owned.last), None)

    def read_books(
        self, first: int, last: int, only: Collection[int] | None = None
    ) -> list[Book]:
        """Returns the books from `first` to `last`, or those `only` of them."""
        books = self._library.read_books(first, last, only)
        self._observed.books_read(books)
        return books


@dataclass(slots=True)
class CheckedRangeBooks:
    """The books of a range as the server accepts them.

    `vocabulary` returns what the server said last.
    """

    _books: RangeBooks
    _observed: Observed
    _ranges: Ranges
    _vocabulary: Callable[[], Vocabulary]
    _empty: WithoutFiles | None = None

    def metadata(self, book: Book, vocabulary: Vocabulary) -> EbookMetadata:
        """Returns the book's metadata as the server accepts it."""
        self._check(vocabulary)
        metadata = self._books.metadata(book, vocabulary)
        self._observed.metadata_made(book, metadata)
        return metadata

    def removed(self, ids: Set[BookId]) -> list[Book]:
        """Returns books removed from Calibre while their ebooks were being made."""
        books = self._books.removed(ids)
        self._observed.books_read(books)
        return books

    def without_files(self, owned: Range) -> WithoutFiles:
        """Returns the books of a range that are metadata only."""
        self._empty = self._books.without_files(owned)
        return self._empty

    def notice(
        self,
        owned: Range,
        files: Sequence[BookFile],
        books: Set[BookId],
        empty: WithoutFiles,
        vocabulary: Vocabulary,
    ) -> None:
        """Reports what is unusual about a range's listing."""
        seen = self._ranges.held(owned)
        self._check(vocabulary)
        listed = {file.id.book_id for file in seen.listing}
        if empty is not self._empty or books != listed or files != seen.wanted:
            raise claims(f"another listing of books {owned.first}-{owned.last}")
        self._books.notice(owned, files, books, empty, vocabulary)
        seen.noticed = True

    def _check(self, vocabulary: Vocabulary) -> None:
        if vocabulary != self._vocabulary():
            raise claims("other languages or genres than the server's")
