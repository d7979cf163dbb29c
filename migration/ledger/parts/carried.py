"""The carried part of the ledger: what was sent of each book, and what stands since."""

from datetime import UTC, datetime

from migration.errors import StoppedItsWorker
from migration.ledger.database import LedgerDatabase
from migration.ledger.records import (
    Carried,
    FileState,
    MadeKind,
    Replaced,
    Standing,
)
from migration.ledger.tables import carried, claims, passes
from migration.model import BookId, Digest, FileId

_NOTE = "note:carried_with"
_SCRIPT = "note:carried_by"


class CarriedBooks:
    """Books as they were carried, safe to use from several threads."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database

    def get(self, book_id: BookId) -> Carried | None:
        """Returns what was carried of a book; None when that was never recorded."""
        with self._database.reading() as db:
            return carried.read(db, book_id)

    def standing(self, book_id: BookId) -> tuple[Standing, ...]:
        """Returns the reported differences of a book that stand."""
        with self._database.reading() as db:
            return carried.standing(db, book_id)

    def settle(self, book_id: BookId, modified: bytes) -> None:
        """Records that a book needs nothing more, as Calibre has it at `modified`."""
        with self._database.transaction(durable=False) as db:
            carried.settle(db, book_id, modified)

    def begun_at(self) -> datetime | None:
        """Returns when the first pass was opened; None before any."""
        with self._database.reading() as db:
            text = carried.first_pass(db)
        return datetime.fromisoformat(text).astimezone(UTC) if text else None

    def carry_with(self, settings: str) -> bool:
        """Records the settings by which books are carried; a hash.

        When they were others before, every book is compared once more; then returns
        True.
        """
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT value FROM meta WHERE key = ?", (_NOTE,)
            ).fetchone()
            if row is not None and row[0] == settings:
                return False
            db.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                (_NOTE, settings),
            )
            if row is None:
                return False
            carried.renew_marks(db)
            return True

    def carry_by(self, script: str) -> int:
        """Records which script carries books, by its hash; returns files it takes anew.

        When it was another before, books with a difference that an audit has found are
        compared once more: that one may have got them wrong. Files that have stopped
        their worker are tried again, once by each script.
        """
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT value FROM meta WHERE key = ?", (_SCRIPT,)
            ).fetchone()
            if row is not None and script == row[0]:
                return 0
            put = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
            db.execute(put, (_SCRIPT, script))
            again = carried.reopen_wrong(db)
            known = "SELECT 1 FROM meta WHERE key = ?"
            if db.execute(known, (f"{_SCRIPT}:{script}",)).fetchone() is None:
                db.execute(put, (f"{_SCRIPT}:{script}", ""))
                again += passes.reopen_reason(db, StoppedItsWorker.reason)
            return again

    def reopen_conflicts(self) -> int:
        """Makes books with an open conflict be compared again; returns their files."""
        with self._database.transaction() as db:
            return carried.reopen_conflicts(db)

    def reopen_shelves(self) -> int:
        """Makes books be compared again whose shelves could not be changed before."""
        with self._database.transaction() as db:
            return carried.reopen_shelves(db)

    # -- replaced files ----------------------------------------------------------------

    def replaced(self, book_id: BookId) -> list[Replaced]:
        """Returns the book's sources that Calibre has other bytes for now."""
        with self._database.reading() as db:
            return carried.replaced(db, book_id)

    def file(self, file: FileId) -> FileState | None:
        """Returns what the ledger knows of a file now."""
        with self._database.reading() as db:
            return carried.file_state(db, file)

    def borrowers(self, digest: Digest, owner: FileId) -> list[BookId]:
        """Returns books with other files that are there because of these bytes.

        `owner` is the file that has them as its own; its format is "" for all of its
        book.
        """
        with self._database.reading() as db:
            return carried.borrowers(db, digest, owner)

    def restore_source(self, old: Replaced) -> None:
        """Gives a file its source back: its bytes turned out to be the same."""
        with self._database.transaction(durable=False) as db:
            carried.restore_source(db, old)

    def replaced_is_gone(self, old: Replaced) -> None:
        """Records that a replaced source is not on the server any more."""
        with self._database.transaction() as db:
            claims.forget_hash(db, old.digest)
            carried.made_is_gone(db, MadeKind.SOURCE, old.source_id)
            carried.drop_replaced(db, old)
            pass_id = passes.open_pass(db)
            if pass_id is not None:
                passes.tally(db, pass_id, carried.REPLACED, {"file": 1})

    def left(self, pass_id: int, first: int, last: int) -> list[FileId]:
        """Returns a range's files on the server that this pass has not met."""
        with self._database.reading() as db:
            return carried.left(db, pass_id, first, last)
