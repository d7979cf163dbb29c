"""What the ledger keeps about things left out: notices, and which ebook holds what."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from migration.ledger.database import LedgerDatabase
from migration.ledger.records import Range
from migration.ledger.tables import claims, notices, passes
from migration.ledger.tables.notices import Notice, NoticeKind
from migration.model import BookId, Digest, EbookId


class Notebook:
    """Part of a ledger. Thread-safe."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database

    # -- notices -----------------------------------------------------------------------

    def notice_range(
        self, owned: Range, listed: Collection[BookId], found: Sequence[Notice]
    ) -> list[Notice]:
        """Records what the listing of a range shows.

        Returns what is new in this pass.
        """
        with self._database.transaction(durable=False) as db:
            return notices.settle_range(
                db, owned.pass_id, owned.first, owned.last, listed, found
            )

    def notice_book(
        self, pass_id: int, book_id: BookId, found: Sequence[Notice]
    ) -> list[Notice]:
        """Replaces what working on a book showed before; returns what is new."""
        with self._database.transaction(durable=False) as db:
            return notices.settle_book(db, pass_id, book_id, found)

    def noticed(self, first: int, last: int, kind: NoticeKind) -> dict[BookId, Notice]:
        """Returns the notices of a kind in a range, by book."""
        with self._database.reading() as db:
            return notices.of_kind(db, first, last, kind)

    def recorded(self, book_id: BookId) -> frozenset[str]:
        """Returns the hashes of a book's lines known to be in not_carried.jsonl."""
        with self._database.reading() as db:
            return frozenset(
                row["record"] for row in notices.of(db, book_id) if row["record"]
            )

    def count_fields(self, pass_id: int, fields: Iterable[str]) -> None:
        """Counts one more book of which these fields are not carried."""
        with self._database.transaction(durable=False) as db:
            passes.tally(db, pass_id, "not_carried", dict.fromkeys(fields, 1))

    def count_updates(
        self, pass_id: int, fields: Iterable[str], stands: Iterable[str]
    ) -> None:
        """Counts one compared book: the fields sent, the differences reported."""
        sent = dict.fromkeys(fields, 1)
        with self._database.transaction(durable=False) as db:
            if sent:
                passes.tally(db, pass_id, "updated", {**sent, "book": 1})
            passes.tally(db, pass_id, "reported", Counter(stands))

    # -- which ebook holds what --------------------------------------------------------

    def hold(self, digest: Digest, ebook_id: EbookId) -> None:
        """Records which ebook holds these bytes, which the server is known to have."""
        with self._database.transaction(durable=False) as db:
            claims.hold(db, digest, ebook_id)

    def held_by(self, digest: Digest) -> EbookId | None:
        """Returns the ebook that is known to hold these bytes."""
        with self._database.reading() as db:
            return claims.held_by(db, digest)

    def files_elsewhere(self, book_id: BookId) -> list[tuple[str, Digest]]:
        """Returns format and digest of a book's files the server already had."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT format, sha1, size FROM files WHERE book_id = ? AND outcome = 'duplicate'"
                " AND source_id IS NULL AND sha1 IS NOT NULL ORDER BY format",
                (book_id,),
            ).fetchall()
        return [(row["format"], Digest(row["sha1"].hex(), row["size"])) for row in rows]
