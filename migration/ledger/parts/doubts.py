"""What the ledger knows of the server, and what happens when the server has lost files.

Every worker begins by asking about a few settled files. If one is missing, the server
was restored from a backup, or there is another one at its address: then nothing that
was known about it counts until it is asked again.
"""

import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from migration.ledger.database import LedgerDatabase
from migration.ledger.tables import claims, passes
from migration.model import BookId, Digest, EbookId, FileId, Outcome, SourceId

#: A file that the server is known to have, and its digest.
Settled = tuple[FileId, Digest]

#: Width of the window of book ids that is searched from a random id on; gaps in the
#: numbering are smaller.
WINDOW = 1000

_NOTE = "note:spot_check"
#: The note of how far the server's own database was read.
_DATABASE_NOTE = "note:server_db_last_id"
_SETTLED = "outcome IN ('uploaded', 'duplicate') AND sha1 IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Proof:
    """A file with its place on the server, as the server's receipt has named it."""

    file: FileId
    digest: Digest
    ebook_id: EbookId
    source_id: SourceId


class Doubts:
    """Settled files, to be asked about again. Thread-safe."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database

    def verdict(self, pass_id: int) -> bool | None:
        """Whether this pass has found that the server lost files.

        Returns None before anyone asked.
        """
        with self._database.reading() as db:
            row = db.execute(
                "SELECT value FROM meta WHERE key = ?", (_NOTE,)
            ).fetchone()
        known, _, word = str(row[0]).partition(" ") if row else ("", "", "")
        return word == "lost" if known == str(pass_id) else None

    def sample(self, count: int) -> list[Settled]:
        """Returns at most `count` random settled files, each once."""
        with self._database.reading() as db:
            ends = db.execute(
                "SELECT (SELECT MIN(book_id) FROM files), (SELECT MAX(book_id) FROM files)"
            ).fetchone()
            found: dict[FileId, Digest] = {}
            for _ in range(2 * count if ends[0] is not None else 0):
                # From a random book id on, so that the table is not read completely.
                first = random.randint(ends[0], ends[1])  # noqa: S311 - no secret
                row = db.execute(
                    "SELECT book_id, format, sha1, size FROM files WHERE book_id "  # noqa: S608
                    f"BETWEEN ? AND ? AND {_SETTLED}"
                    " ORDER BY book_id LIMIT 1 OFFSET ?",
                    (first, first + WINDOW, random.randint(0, 1)),  # noqa: S311 - no secret
                ).fetchone()
                if row is not None and len(found) < count:
                    file, digest = _settled(row)
                    found[file] = digest
        return list(found.items())

    def newest(self, count: int) -> list[Proof]:
        """Returns the newest files of which the ledger has the server's receipt."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT book_id, files.format, files.sha1, files.size, source_id, "
                "ebook_id FROM files JOIN books USING (book_id) WHERE outcome = 'uploaded' "
                "AND files.sha1 IS NOT NULL AND source_id IS NOT NULL "
                "AND ebook_id IS NOT NULL ORDER BY source_id DESC LIMIT ?",
                (count,),
            ).fetchall()
        return [
            Proof(*_settled(row), EbookId(row["ebook_id"]), SourceId(row["source_id"]))
            for row in rows
        ]

    def record(self, pass_id: int, *, lost: bool) -> None:
        """Records whether a process found files lost.

        Once True, it stays so for the pass. Ranges of the pass that are closed already
        are reopened: their files may be lost as well.
        """
        if self.verdict(pass_id):
            return
        with self._database.transaction() as db:
            word = "lost" if lost else "there"
            db.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                (_NOTE, f"{pass_id} {word}"),
            )
            if lost:
                # The ids of names may belong to others there by now.
                for statement in ("DELETE FROM hashes", "DELETE FROM names"):
                    db.execute(statement)
                db.execute("DELETE FROM meta WHERE key = ?", (_DATABASE_NOTE,))
                passes.reopen_ranges(db, pass_id)

    def believed(self, pass_id: int, first: int, last: int) -> list[Settled]:
        """Returns a range's settled files not confirmed since the server lost some."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT book_id, format, sha1, size FROM files WHERE book_id "  # noqa: S608
                "BETWEEN ? AND ? AND pass_id <= ?"
                f" AND {_SETTLED}",
                (first, last, pass_id),
            ).fetchall()
            files = [_settled(row) for row in rows]
            return [
                (file, digest)
                for file, digest in files
                if not claims.is_known(db, digest)
            ]

    def forget(self, pass_id: int, lost: Sequence[Settled]) -> None:
        """Makes files pending that the server has lost."""
        with self._database.transaction(durable=False) as db:
            for file, digest in lost:
                claims.forget_hash(db, digest)
                passes.reopen_file(db, file, Outcome.UPLOADED, Outcome.DUPLICATE)
            passes.tally(db, pass_id, "lost by the server", {"file": len(lost)})

    def found_lost(self, pass_id: int) -> int:
        """Returns how many lost files this pass has found."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT COALESCE(SUM(n), 0) FROM tallies WHERE pass_id = ? AND kind "
                "= 'lost by the server'",
                (pass_id,),
            ).fetchone()
        return int(row[0])

    def arrived_in(self, book_id: BookId, ebook_id: EbookId) -> bool:
        """Whether the ledger has the receipt for this book's file in this ebook."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT EXISTS (SELECT 1 FROM files JOIN hashes USING (sha1, size) "
                "WHERE files.book_id = ?"
                " AND source_id IS NOT NULL AND outcome = 'uploaded' AND hashes.ebook_id = ?)",
                (book_id, ebook_id),
            ).fetchone()
        return bool(row[0])

    def sources(self, book_id: BookId) -> frozenset[tuple[int, str, int]]:
        """Returns a book's sources on the server: id, server's format, size.

        Those of files that Calibre has replaced since are among them.
        """
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT source_id, format, size FROM files WHERE book_id = ? AND "
                "source_id IS NOT NULL UNION ALL SELECT source_id, format, size FROM "
                "replaced WHERE book_id = ?",
                (book_id, book_id),
            ).fetchall()
        return frozenset(
            (row["source_id"], row["format"].lower(), row["size"]) for row in rows
        )


def _settled(row: sqlite3.Row) -> Settled:
    return FileId(BookId(row["book_id"]), row["format"]), Digest(
        row["sha1"].hex(), row["size"]
    )
