"""The passes part of the ledger: the open pass and its progress."""

import sqlite3

from common.clock import utc_now
from migration.ledger.database import LedgerDatabase
from migration.ledger.parts.undoing import Undoing, refuse_open_undo
from migration.ledger.tables import carried, notices, passes, registration
from migration.model import NO_END


class Passes:
    """Passes over the library, safe to use from several threads."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database
        #: What passes made, until it is taken back.
        self.undoing = Undoing(database)

    def join(
        self,
        highest_id: int,
        *,
        may_open: bool,
        listed: int | None = None,
        scope: str = "",
    ) -> int | None:
        """Returns the open pass, or a new one up to `highest_id`.

        Returns None if it may not open one. Raises PassIsOpen while an undo is
        unfinished. `listed` is how many files the library has:
        the total of the pass, recorded once. `scope` says which books a new pass is
        about, "" for all.
        """
        with self._database.transaction() as db:
            joined = passes.open_pass(db)
            if joined is None:
                if not may_open:
                    return None
                now = utc_now().isoformat()
                begun = passes.begin(db, highest_id, now, listed, scope)
                if not scope:
                    registration.forget_beyond(db, highest_id)
                    self._notice_beyond(db, begun, highest_id)
                return begun
            refuse_open_undo(db, joined)
            passes.count_late(db, joined, listed)
            return joined

    @staticmethod
    def _notice_beyond(db: sqlite3.Connection, pass_id: int, highest_id: int) -> None:
        """Notices books that were the last of the library and have left it.

        No range of the pass contains them.
        """
        gone = carried.left(db, pass_id, highest_id + 1, NO_END)
        books = {file.book_id for file in gone}
        found = notices.of_left(gone, frozenset())
        notices.settle_range(db, pass_id, highest_id + 1, NO_END, books, found)

    def open_scope(self) -> tuple[int, str] | None:
        """Returns the open pass and which books it is about; None when none is open."""
        with self._database.reading() as db:
            pass_id = passes.open_pass(db)
            return None if pass_id is None else (pass_id, passes.scope(db, pass_id))

    def scope(self, pass_id: int) -> str:
        """Returns which books a pass is about, "" for all."""
        with self._database.reading() as db:
            return passes.scope(db, pass_id)

    def is_closed(self, pass_id: int) -> bool:
        """Whether the pass is closed."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT closed_at FROM passes WHERE id = ?", (pass_id,)
            ).fetchone()
        return row is None or row[0] is not None

    def remaining_ids(self, pass_id: int) -> int:
        """Returns how many book ids of the pass are not claimed yet.

        Gaps in the ids count.
        """
        with self._database.reading() as db:
            claimed_to, highest_id = passes.claimed_to(db, pass_id)
        return max(0, highest_id - claimed_to)

    def tally(self, pass_id: int, kind: str, name: str) -> None:
        """Adds one to a tally of the pass."""
        with self._database.transaction(durable=False) as db:
            passes.tally(db, pass_id, kind, {name: 1})
