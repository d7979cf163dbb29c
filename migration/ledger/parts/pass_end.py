"""The end of a pass in the ledger: the last look, and differences it could not correct.

A pass that asked the server for an ebook is closed only after a last look
(`migration/checks/last_look.py`). One process takes it; when that process dies, another
takes it again, for everything a look does can be done twice. A difference is kept from
pass to pass until a look finds it gone.
"""

import sqlite3
from collections.abc import Callable, Iterable

from common.clock import SteadyClock, utc_now
from migration.ledger.database import LedgerDatabase
from migration.ledger.records import (
    Audited,
    AuditState,
    BookState,
    Difference,
    Look,
)
from migration.ledger.tables import books, passes
from migration.model import BookId, EbookId

#: The kind of a difference that says that the server did not list its ebooks.
UNSEEN = "not looked through"
#: The kind of a difference that says that what the pass changed was not read back.
NOT_AUDITED = "not audited"
NOBODY_LOOKED = "the pass was closed without reading back what it changed"


class PassEnd:
    """What is left to do when every range of a pass is closed. Thread-safe."""

    def __init__(
        self,
        database: LedgerDatabase,
        owner: str,
        clock: SteadyClock,
        alive: Callable[[str], bool],
    ) -> None:
        """`alive` says whether the process with an owner string is alive."""
        self._database = database
        self._owner = owner
        self._clock = clock
        self._alive = alive

    def knows_its_start(self, pass_id: int) -> bool:
        """Whether the server's newest ebook at the start of the pass is recorded."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT newest_before FROM passes WHERE id = ?", (pass_id,)
            ).fetchone()
        return row is None or row[0] is not None

    def record_start(self, pass_id: int, newest: EbookId, *, rebuilt: bool) -> None:
        """Records the server's newest ebook (0 if it has none) before any is asked for.

        The first record stays. After an earlier pass that could not look, its start is
        kept. `rebuilt` means that the ledger was lost, so any ebook of the server may
        be one of ours that the ledger does not know, and a look is due whatever this
        pass does.
        """
        with self._database.transaction() as db:
            unseen = db.execute(
                "SELECT MIN(newest_before) FROM passes WHERE id IN (SELECT pass_id "
                "FROM differences WHERE kind = ?)",
                (UNSEEN,),
            ).fetchone()[0]
            start = 0 if rebuilt else newest if unseen is None else min(newest, unseen)
            db.execute(
                "UPDATE passes SET newest_before = ?, creates = creates + ? WHERE id "
                "= ? AND newest_before IS NULL",
                (start, int(rebuilt), pass_id),
            )

    def is_due(self, pass_id: int) -> bool:
        """Whether every range is closed and only the last look is missing."""
        with self._database.reading() as db:
            return passes.is_walked(db, pass_id)

    def take(self, pass_id: int) -> Look | None:
        """Takes the last look for this process; None if it is not due or taken.

        A look counts as taken only while the process that took it is alive.
        """
        with self._database.transaction() as db:
            if not passes.is_walked(db, pass_id):
                return None
            row = db.execute(
                "SELECT looker, looks, newest_before FROM passes WHERE id = ?",
                (pass_id,),
            ).fetchone()
            if row["looker"] not in (None, self._owner) and self._alive(row["looker"]):
                return None
            db.execute(
                "UPDATE passes SET looker = ? WHERE id = ?", (self._owner, pass_id)
            )
            start = EbookId(row["newest_before"] or 0)
            first = db.execute(
                "SELECT MIN(ebook_id) FROM books WHERE ebook_id > ?", (start,)
            ).fetchone()[0]
            standing = db.execute(
                "SELECT * FROM differences ORDER BY ebook_id, book_id"
            ).fetchall()
        return Look(
            pass_id,
            start,
            None if first is None else EbookId(first),
            row["looks"],
            tuple(map(_difference, standing)),
        )

    def has_changed_books(self, pass_id: int) -> bool:
        """Whether a book was carried in this pass."""
        with self._database.reading() as db:
            return passes.has_changed_books(db, pass_id)

    def note_changed_script(self, pass_id: int, script: str) -> None:
        """Records, by its hash, that a changed script takes part in the pass.

        Then the pass is read back completely before it is closed.
        """
        with self._database.transaction() as db:
            passes.note_changed_script(db, pass_id, script)

    def has_changed_script(self, pass_id: int) -> bool:
        """Whether a changed script has taken part in it, or before it unaudited."""
        with self._database.reading() as db:
            return passes.has_changed_script(db, pass_id)

    def arrived(self, book_id: BookId) -> bool:
        """Whether the ledger has the server's receipt for a file of this book."""
        with self._database.reading() as db:
            return bool(
                db.execute(
                    "SELECT EXISTS (SELECT 1 FROM files WHERE book_id = ? AND "
                    "source_id IS NOT NULL AND outcome IN"
                    " ('uploaded', 'duplicate'))",
                    (book_id,),
                ).fetchone()[0]
            )

    def reopen(self, look: Look, book_id: BookId, state: BookState) -> bool:
        """Gives a book back to the workers.

        Returns False when no range of this pass contains it. `state` says what is to be
        done.
        """
        with self._database.transaction() as db:
            opened = db.execute(
                "UPDATE ranges SET closed_at = NULL, owner = NULL WHERE pass_id = ? "
                "AND ? BETWEEN first_id AND last_id",
                (look.pass_id, book_id),
            ).rowcount
            if opened:
                books.write(db, book_id, state, self._clock)
            return bool(opened)

    def again(self, look: Look) -> None:
        """Ends a look that set something right.

        Another one follows when the books given back are done.
        """
        with self._database.transaction() as db:
            db.execute(
                "UPDATE passes SET looks = looks + 1, looker = NULL WHERE id = ? AND looker = ?",
                (look.pass_id, self._owner),
            )

    def close(
        self,
        look: Look,
        differences: Iterable[Difference],
        audited: Audited | None = None,
    ) -> bool:
        """Closes the pass with the remaining differences.

        Returns False when the look was taken over, or a book came back meanwhile.
        Without an audit a pass that has changed books is closed with the difference
        that says so, whoever asks for it.
        """
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT looker FROM passes WHERE id = ?", (look.pass_id,)
            ).fetchone()
            if row["looker"] != self._owner or not passes.is_walked(db, look.pass_id):
                return False
            if audited is None and (
                passes.has_changed_books(db, look.pass_id)
                or passes.has_changed_script(db, look.pass_id)
            ):
                audited = Audited(AuditState.BROKEN)
                differences = [*differences, Difference(NOT_AUDITED, NOBODY_LOOKED)]
            db.execute("DELETE FROM differences")
            db.executemany(
                "INSERT OR REPLACE INTO differences (ebook_id, book_id, kind, "
                "message, pass_id) VALUES (?, ?, ?, ?, ?)",
                [
                    (one.ebook_id, one.book_id, one.kind, one.message, look.pass_id)
                    for one in differences
                ],
            )
            passes.record_audit(db, look.pass_id, audited or Audited())
            passes.close(db, look.pass_id, utc_now().isoformat())
            return True


def _difference(row: sqlite3.Row) -> Difference:
    return Difference(
        row["kind"], row["message"], BookId(row["book_id"]), EbookId(row["ebook_id"])
    )
