"""What is left out although nothing fails: recorded in the ledger, logged once."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.errors import Rejected
from migration.ledger.current_pass import CurrentPass
from migration.ledger.parts.notebook import Notebook
from migration.ledger.records import Range
from migration.ledger.tables import notices
from migration.model import Book, BookId, EbookId, EbookMetadata
from migration.state_files import not_carried


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Keeps `not_carried.jsonl` and the notices of the ledger."""

    notebook: Notebook
    current: CurrentPass
    state_dir: Path
    log: logging.Logger

    def notice_range(
        self, owned: Range, books: Collection[BookId], found: Sequence[notices.Notice]
    ) -> None:
        """Records and logs what is unusual about the listing of a range."""
        for notice in self.notebook.notice_range(owned, books, found):
            # What fails is logged already.
            if notice.kind is not notices.NoticeKind.AMBIGUOUS:
                self._say(notice)

    def notice_book(self, book_id: BookId, found: Sequence[notices.Notice]) -> None:
        """Records and logs what was found to be left out while working on a book."""
        for notice in self.notebook.notice_book(self.current.id, book_id, found):
            self._say(notice)

    def of_book(self, book: Book, no_cover: Rejected | None) -> None:
        """Records and logs what was left out while working on a book.

        `no_cover` is why its cover was not carried.
        """
        self.notice_book(book.id, notices.of_book(book, no_cover))

    def without_files(self, book: Book, metadata: EbookMetadata) -> notices.Notice:
        """Records a book that is metadata only."""
        fields = not_carried.everything(book, metadata)
        record = not_carried.append(self.state_dir, book, fields, None)
        self.notebook.count_fields(self.current.id, fields)
        return notices.without_files(book, record)

    def there_already(
        self, book: Book, metadata: EbookMetadata, holder: EbookId | None
    ) -> None:
        """Records a book whose files the server had.

        `holder` is the ebook that has them.
        """
        fields = not_carried.everything(book, metadata)
        written = self.notebook.recorded(book.id)
        record = not_carried.append(self.state_dir, book, fields, holder, written)
        if record not in written:
            self.notebook.count_fields(self.current.id, fields)
        self.notice_book(book.id, [notices.there_already(book.id, holder, record)])

    def of_ebook(self, book: Book, metadata: EbookMetadata, ebook_id: EbookId) -> None:
        """Records what could not be carried of a book."""
        not_carried.append(self.state_dir, book, metadata.not_carried, ebook_id)

    def _say(self, notice: notices.Notice) -> None:
        level = logging.WARNING if notice.kind in notices.WARNINGS else logging.INFO
        self.log.log(level, "%s", notice)
