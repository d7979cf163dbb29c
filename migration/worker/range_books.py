"""The books of a range as the server accepts them, and notices about its listing."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from migration.calibre.library import CalibreLibrary
from migration.lanes.left_out import LeftOut
from migration.ledger.ledger import Ledger
from migration.ledger.records import Range
from migration.ledger.tables import notices
from migration.metadata import ebook_metadata
from migration.model import Book, BookFile, BookId, EbookMetadata, Vocabulary
from migration.server import postgresql


def metadata_of(
    book: Book,
    vocabulary: Vocabulary,
    default_language: str,
    *,
    library_uuid: str,
    ratings: bool,
) -> EbookMetadata:
    """Returns a book's metadata as the server accepts it, with ratings if wanted."""
    made = ebook_metadata.make_metadata(
        book,
        vocabulary,
        default_language=default_language,
        library_uuid=library_uuid,
    )
    if ratings or made.rating is None:
        return made
    lost = {**made.not_carried, "rating": book.rating}
    return replace(made, rating=None, not_carried=lost)


@dataclass(frozen=True, slots=True)
class WithoutFiles:
    """Books of a range without files.

    Their ids, the notices of those known as such, and the other books.
    """

    ids: Sequence[BookId]
    known: Sequence[notices.Notice]
    others: Sequence[Book]


@dataclass(frozen=True, slots=True)
class RangeBooks:
    """Reads from the library and the ledger. Raises LibraryBusy."""

    library: CalibreLibrary
    ledger: Ledger
    left_out: LeftOut
    default_language: str
    ratings: bool = True

    def metadata(self, book: Book, vocabulary: Vocabulary) -> EbookMetadata:
        """Returns the book's metadata as the server accepts it."""
        return metadata_of(
            book,
            replace(vocabulary, synonyms=postgresql.synonyms_known(self.ledger)),
            self.default_language,
            library_uuid=self.ledger.identity.first_library,
            ratings=self.ratings,
        )

    def removed(self, ids: Set[BookId]) -> list[Book]:
        """Returns books removed from Calibre while their ebooks were being made.

        Those ebooks have to be finished all the same.
        """
        states = [(book_id, self.ledger.books.get(book_id)) for book_id in sorted(ids)]
        return [
            Book(
                book_id,
                state.title or ebook_metadata.plain_title(state.working_title),
                removed=True,
            )
            for book_id, state in states
            if state
        ]

    def without_files(self, owned: Range) -> WithoutFiles:
        """Returns the books of a range that are metadata only.

        Those known as such are not read again.
        """
        ids = self.library.books_without_files(owned.first, owned.last)
        known = self.ledger.notebook.noticed(
            owned.first, owned.last, notices.NoticeKind.WITHOUT_FILES
        )
        new = [number for number in ids if number not in known]
        others = self.library.read_books(owned.first, owned.last, new) if new else []
        return WithoutFiles(
            ids, [known[number] for number in ids if number in known], others
        )

    def notice(
        self,
        owned: Range,
        files: Sequence[BookFile],
        books: Set[BookId],
        empty: WithoutFiles,
        vocabulary: Vocabulary,
    ) -> None:
        """Reports what is unusual about a range's listing.

        `files` are those the user wants; a book without files is recorded once.
        """
        written = [
            self.left_out.without_files(book, self.metadata(book, vocabulary))
            for book in empty.others
        ]
        # What a selection leaves out has not left Calibre.
        gone = (
            []
            if self.library.narrowed
            else self.ledger.carried.left(owned.pass_id, owned.first, owned.last)
        )
        listed = books | set(empty.ids)
        left = notices.of_left(gone, listed)
        found = [*notices.of_files(files), *empty.known, *written, *left]
        self.left_out.notice_range(
            owned, listed | {file.book_id for file in gone}, found
        )
