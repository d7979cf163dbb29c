"""The part of the ledger for taking things back from the server."""

import sqlite3
from collections.abc import Iterable, Mapping

from common.clock import utc_now
from migration.errors import NothingToUndo, PassIsOpen
from migration.ledger.database import LedgerDatabase
from migration.ledger.records import Made, MadeKind
from migration.ledger.tables import notices, passes, undoing
from migration.model import BookId, Digest, EbookId, FileId, ShelfId, SourceId


class Undoing:
    """What passes made, until it is taken back. Thread-safe."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database

    # -- the pass ----------------------------------------------------------------------

    def check(self, undone: int) -> int | None:
        """Returns the open pass that undoes this one; None if none was begun.

        Raises NothingToUndo or PassIsOpen.
        """
        with self._database.reading() as db:
            return _check(db, undone)

    def begin(self, undone: int) -> int:
        """Opens a pass that undoes this one, or goes on with it. Raises as `check`."""
        with self._database.transaction() as db:
            begun = _check(db, undone)
            return begun or undoing.begin(db, undone, utc_now().isoformat())

    def end(self, pass_id: int, stays: Mapping[str, int]) -> None:
        """Closes the pass; `stays` counts what stays, by reason."""
        with self._database.transaction() as db:
            undoing.tell_stays(db, pass_id, stays)
            passes.close(db, pass_id, utc_now().isoformat())

    # -- what a pass made --------------------------------------------------------------

    def page(self, pass_id: int, after: int) -> list[Made]:
        """Returns what a pass made for the next books, whole books; no shelves."""
        with self._database.reading() as db:
            return undoing.page(db, pass_id, after)

    def shelves(self, pass_id: int) -> list[Made]:
        """Returns the shelves that a pass made."""
        with self._database.reading() as db:
            return undoing.shelves(db, pass_id)

    def find(self, kind: MadeKind, server_id: int) -> Made | None:
        """Returns the record of one thing, if some pass made it."""
        with self._database.reading() as db:
            return undoing.find(db, kind, server_id)

    def digest(self, book_id: BookId, source_id: SourceId) -> Digest | None:
        """Returns the bytes of a source of ours, if they are known."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT sha1, size FROM files WHERE book_id = ? AND source_id = ?",
                (book_id, source_id),
            ).fetchone()
        known = row is not None and row["sha1"] is not None
        return Digest(row["sha1"].hex(), row["size"]) if known else None

    def updated(self, pass_id: int) -> int:
        """Returns how many books a pass sent edits of."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT n FROM tallies WHERE pass_id = ? AND kind = 'updated' AND "
                "name = 'book'",
                (pass_id,),
            ).fetchone()
        return 0 if row is None else int(row[0])

    # -- what has left Calibre ---------------------------------------------------------

    def left_for_long(self, pass_id: int) -> list[FileId]:
        """Returns what is missing in Calibre in this pass and in an earlier one."""
        with self._database.reading() as db:
            return notices.left_for_long(db, pass_id)

    def uuids(self, books: Iterable[BookId]) -> dict[BookId, str]:
        """Returns Calibre's uuids of these books, where they are known."""
        with self._database.reading() as db:
            found = {
                book: db.execute(
                    "SELECT uuid FROM origins WHERE book_id = ?", (book,)
                ).fetchone()
                for book in books
            }
        return {book: str(row[0]) for book, row in found.items() if row and row[0]}

    def ask_removal(self, pass_id: int) -> None:
        """Records that this pass is to delete what has left Calibre."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                (passes.REMOVAL_ASKED, str(pass_id)),
            )

    def tell_stays(self, pass_id: int, stays: Mapping[str, int]) -> None:
        """Records what stays of what should have been deleted, by reason."""
        with self._database.transaction(durable=False) as db:
            undoing.tell_stays(db, pass_id, stays)

    # -- what is gone ------------------------------------------------------------------

    def keep_rating(
        self, book_id: BookId, ebook_id: EbookId, rating: float | None
    ) -> None:
        """Records our rating before it is taken back; None when it is given again."""
        with self._database.transaction() as db:
            undoing.keep_rating(db, book_id, ebook_id, rating)

    def ebook_is_gone(
        self,
        pass_id: int,
        book_id: BookId,
        ebook_id: EbookId,
        sources: Iterable[SourceId],
        what: str,
    ) -> None:
        """Records that an ebook with its files is gone: they can be sent again.

        `what` is counted in the pass.
        """
        with self._database.transaction() as db:
            undoing.forget_ebook(db, book_id, ebook_id, sources)
            notices.drop_left(db, pass_id, book_id, [""])
            passes.tally(db, pass_id, undoing.DELETED, {what: 1})

    def source_is_gone(
        self, pass_id: int, book_id: BookId, source_id: SourceId, what: str
    ) -> None:
        """Records that one file is gone: it can be sent again."""
        with self._database.transaction() as db:
            formats = undoing.forget_source(db, book_id, source_id)
            notices.drop_left(db, pass_id, book_id, formats)
            passes.tally(db, pass_id, undoing.DELETED, {what: 1})

    def item_is_gone(
        self, pass_id: int, book_id: BookId, item_id: int, shelf_id: ShelfId, what: str
    ) -> None:
        """Records that a book is off a shelf."""
        with self._database.transaction() as db:
            undoing.forget_item(db, book_id, item_id, shelf_id)
            passes.tally(db, pass_id, undoing.DELETED, {what: 1})

    def shelf_is_gone(self, pass_id: int, shelf_id: ShelfId, what: str) -> None:
        """Records that a shelf is gone."""
        with self._database.transaction() as db:
            undoing.forget_shelf(db, shelf_id)
            passes.tally(db, pass_id, undoing.DELETED, {what: 1})


def _check(db: sqlite3.Connection, undone: int) -> int | None:
    row = db.execute("SELECT * FROM passes WHERE id = ?", (undone,)).fetchone()
    if row is None:
        last = db.execute("SELECT MAX(id) FROM passes").fetchone()[0]
        known = f"the last one is pass {last}" if last else "there is none yet"
        raise NothingToUndo(f"there is no pass {undone}: {known}")
    if row["undoes"] is not None:
        raise NothingToUndo(
            f"pass {undone} undid pass {row['undoes']}: it made nothing. A run sends "
            "again what it took back"
        )
    open_ = passes.open_pass(db)
    if open_ is not None:
        undoes = undoing.undone_by(db, open_)
        if undoes == undone:
            return open_
        raise _open(open_, undoes)
    if row["uploaded"] and not undoing.anything(db, undone):
        before = db.execute(
            "SELECT MAX(id) FROM passes WHERE undoes = ?", (undone,)
        ).fetchone()[0]
        if before is None:
            raise NothingToUndo(
                f"nothing is recorded of what pass {undone} made: it was sent by an "
                "earlier version of this program"
            )
    return None


def _open(pass_id: int, undoes: int | None) -> PassIsOpen:
    if undoes is not None:
        return PassIsOpen(
            f"pass {pass_id}, which undoes pass {undoes}, is not finished: run --undo "
            f"{undoes} again, it goes on where it stopped"
        )
    return PassIsOpen(
        f"pass {pass_id} is open: let it end first (start it again if nothing runs)"
    )


def refuse_open_undo(db: sqlite3.Connection, open_pass: int) -> None:
    """Raises PassIsOpen when this open pass is no migration."""
    undoes = undoing.undone_by(db, open_pass)
    if undoes is not None:
        raise _open(open_pass, undoes)
