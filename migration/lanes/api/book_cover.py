"""The cover of a book: Calibre's picture, as it is sent and recognised again."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from common.resources import raise_if_exhausted
from migration.calibre.cover import sendable
from migration.calibre.library import CalibreLibrary
from migration.errors import Rejected
from migration.lanes.api.file_stream import digest_of
from migration.model import Book, EbookId
from migration.server.client import BookshelfClient


def cover_digest(library: CalibreLibrary, book: Book) -> str | None:
    """Returns the SHA-1 of Calibre's cover, "" when it records none.

    None when it cannot be read now: then nothing is known of it.
    """
    if book.cover is None:
        return None if book.cover_problem is not None else ""
    try:
        with library.open_file(book.cover) as held:
            return digest_of(held, lambda: None).sha1
    except (Rejected, OSError) as error:
        raise_if_exhausted(error)
        return None


@dataclass(frozen=True, slots=True)
class BookCover:
    """Reads covers from the library and sends them. Thread-safe."""

    client: BookshelfClient
    library: CalibreLibrary

    def digest(self, book: Book) -> str | None:
        """Returns the SHA-1 of Calibre's cover, "" when it records none.

        None when it cannot be read now: then nothing is known of it.
        """
        return cover_digest(self.library, book)

    def is_older(self, book: Book, moment: datetime) -> bool:
        """Whether Calibre's cover was certainly written before this moment."""
        if book.cover is None:
            return True
        try:
            with self.library.open_file(book.cover) as held:
                written = os.fstat(held.fileno()).st_mtime
        except (Rejected, OSError) as error:
            raise_if_exhausted(error)
            return False
        return datetime.fromtimestamp(written, UTC) < moment

    def carry(self, ebook_id: EbookId, path: bytes) -> Rejected | None:
        """Replaces the cover that the server found in a file.

        Returns why it could not.
        """
        try:
            with self.library.open_file(path) as held:
                self.client.set_cover(ebook_id, sendable(held))
        except Rejected as refusal:
            return refusal
        return None
