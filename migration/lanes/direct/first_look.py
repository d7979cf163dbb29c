"""A look, through the server's API, at the first book that a process has written.

The proof before it is about uploads; books and thumbnails may lie elsewhere.
"""

from dataclasses import dataclass

from migration.errors import DataDirUnusable
from migration.server.client import BookshelfClient
from migration.server.direct.batch import Placed, Written
from migration.server.editing import Editor

#: A larger file is not downloaded for this.
MOST_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class FirstLook:
    """Asks the server for a book's file, its cover and its thumbnail."""

    client: BookshelfClient

    def look_at(self, written: Written, placed: Placed) -> None:
        """Raises DataDirUnusable when the server does not show what was written.

        Then the ebook is deleted again. Raises Transient.
        """
        missing = self._missing(written, placed)
        if not missing:
            return
        self.client.delete_whole(written.ebook_id)
        raise DataDirUnusable(
            f"{self.client.session.server} does not show {missing} of the first book "
            "that was written: its books or thumbnails are elsewhere than below "
            "MBS2_DATA_DIR"
        )

    def _missing(self, written: Written, placed: Placed) -> str:
        if self.client.ebook(written.ebook_id) is None:
            return "the row"
        for _file, receipt in written.receipts:
            small = receipt.digest.size <= MOST_BYTES
            if small and self._sha1(f"/api/download/{receipt.source_id}") != (
                receipt.digest.sha1
            ):
                return "a file"
        if not placed.cover:
            return ""
        cover = Editor(self.client.session).cover(written.ebook_id)
        if cover != placed.cover_sha1:
            return "the cover"
        return "" if self._sha1(f"/thumb/{written.ebook_id}") else "the thumbnail"

    def _sha1(self, path: str) -> str:
        response = self.client.session.call("GET", path)
        return "" if response.status == 404 else str(response.mapping().get("sha1", ""))
