"""What is taken back from the server: what passes made, and passes that undo others.

Functions over an open transaction of the ledger; only `ledger.parts` calls them.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping

from common.json_value import Json
from migration.ledger.records import Made, MadeKind
from migration.ledger.tables import carried, claims, passes
from migration.ledger.tables import shelves as of_shelves
from migration.model import BookId, Digest, EbookId, ShelfId, SourceId

#: What a pass deleted, what stays, among its tallies.
DELETED, STAYS = "deleted", "stays"
#: Books whose things are read at a time.
PAGE = 200
#: In the detail of an ebook: our rating, which was taken back before it is deleted.
RATING = "rating_taken"


def undone_by(db: sqlite3.Connection, pass_id: int) -> int | None:
    """Returns the pass that this pass undoes; None for a migration."""
    row = db.execute("SELECT undoes FROM passes WHERE id = ?", (pass_id,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def begin(db: sqlite3.Connection, undone: int, now: str) -> int:
    """Opens a pass that undoes another."""
    cursor = db.execute(
        "INSERT INTO passes (opened_at, highest_id, listed, undoes) VALUES (?, 0, 0, ?)",
        (now, undone),
    )
    return int(cursor.lastrowid or 0)


def page(db: sqlite3.Connection, pass_id: int, after: int) -> list[Made]:
    """Returns what a pass made for the next books after this one, whole books."""
    rows = db.execute(
        "SELECT * FROM made WHERE pass_id = ?1 AND kind != ?4 AND book_id IN (SELECT "
        "DISTINCT book_id FROM made WHERE pass_id = ?1 AND kind != ?4 AND book_id > ?2 "
        "ORDER BY book_id LIMIT ?3) ORDER BY book_id, kind, server_id",
        (pass_id, after, PAGE, MadeKind.SHELF),
    ).fetchall()
    return [_made(row) for row in rows]


def shelves(db: sqlite3.Connection, pass_id: int) -> list[Made]:
    """Returns the shelves that a pass made."""
    rows = db.execute(
        "SELECT * FROM made WHERE pass_id = ? AND kind = ? ORDER BY server_id",
        (pass_id, MadeKind.SHELF),
    ).fetchall()
    return [_made(row) for row in rows]


def find(db: sqlite3.Connection, kind: MadeKind, server_id: int) -> Made | None:
    """Returns the record of one thing, if some pass made it."""
    row = db.execute(
        "SELECT * FROM made WHERE kind = ? AND server_id = ?", (kind, server_id)
    ).fetchone()
    return None if row is None else _made(row)


def anything(db: sqlite3.Connection, pass_id: int) -> bool:
    """Whether anything is recorded that a pass made and that was not taken back."""
    row = db.execute("SELECT 1 FROM made WHERE pass_id = ? LIMIT 1", (pass_id,))
    return row.fetchone() is not None


def tell_stays(db: sqlite3.Connection, pass_id: int, stays: Mapping[str, int]) -> None:
    """Records what stays of what should have been deleted, by reason."""
    db.execute("DELETE FROM tallies WHERE pass_id = ? AND kind = ?", (pass_id, STAYS))
    passes.tally(db, pass_id, STAYS, stays)


def keep_rating(
    db: sqlite3.Connection, book_id: BookId, ebook_id: EbookId, rating: float | None
) -> None:
    """Records our rating before it is taken back; None when it is given again."""
    known = find(db, MadeKind.EBOOK, ebook_id)
    detail: dict[str, Json] = dict(known.detail) if known is not None else {}
    detail.pop(RATING, None)
    if rating is not None:
        detail[RATING] = rating
    db.execute(
        "INSERT INTO made (kind, server_id, book_id, pass_id, detail) VALUES (?, ?, ?, "
        "0, ?) ON CONFLICT (kind, server_id) DO UPDATE SET detail = excluded.detail",
        (MadeKind.EBOOK, ebook_id, book_id, json.dumps(detail)),
    )


# -- what is gone ----------------------------------------------------------------------


def forget_ebook(
    db: sqlite3.Connection,
    book_id: BookId,
    ebook_id: EbookId,
    sources: Iterable[SourceId],
) -> None:
    """Forgets a book's ebook with its files: a later run sends them again."""
    rows = db.execute(
        "SELECT format, source_id, sha1, size FROM files WHERE book_id = ?1 AND "
        "source_id IS NOT NULL UNION SELECT format, source_id, sha1, size FROM "
        "replaced WHERE book_id = ?1",
        (book_id,),
    ).fetchall()
    for row in rows:
        _forget_bytes(db, row["sha1"], row["size"])
        carried.made_is_gone(db, MadeKind.SOURCE, row["source_id"])
    for source_id in sources:
        carried.made_is_gone(db, MadeKind.SOURCE, source_id)
    db.execute(
        "DELETE FROM files WHERE book_id = ? AND source_id IS NOT NULL", (book_id,)
    )
    for table in ("carried", "standing", "replaced", "shelf_items"):
        db.execute(f"DELETE FROM {table} WHERE book_id = ?", (book_id,))  # noqa: S608 - ours
    db.execute(
        "DELETE FROM books WHERE book_id = ? AND ebook_id = ?", (book_id, ebook_id)
    )
    known = find(db, MadeKind.EBOOK, ebook_id)
    if known is not None:
        db.execute(
            "DELETE FROM made WHERE pass_id = ? AND book_id = ? AND kind = ?",
            (known.pass_id, book_id, MadeKind.ITEM),
        )
    carried.made_is_gone(db, MadeKind.EBOOK, ebook_id)


def forget_source(
    db: sqlite3.Connection, book_id: BookId, source_id: SourceId
) -> set[str]:
    """Forgets a file of a book: a later run sends it again. Returns its format."""
    rows = db.execute(
        "SELECT format, sha1, size FROM files WHERE book_id = ?1 AND source_id = ?2 "
        "UNION SELECT format, sha1, size FROM replaced WHERE book_id = ?1 AND "
        "source_id = ?2",
        (book_id, source_id),
    ).fetchall()
    for row in rows:
        _forget_bytes(db, row["sha1"], row["size"])
    for table in ("files", "replaced"):
        db.execute(
            f"DELETE FROM {table} WHERE book_id = ? AND source_id = ?",  # noqa: S608 - ours
            (book_id, source_id),
        )
    carried.made_is_gone(db, MadeKind.SOURCE, source_id)
    return {str(row["format"]) for row in rows}


def forget_item(
    db: sqlite3.Connection, book_id: BookId, item_id: int, shelf_id: ShelfId
) -> None:
    """Forgets that a book is on a shelf."""
    of_shelves.drop_item(db, book_id, shelf_id)
    carried.made_is_gone(db, MadeKind.ITEM, item_id)


def forget_shelf(db: sqlite3.Connection, shelf_id: ShelfId) -> None:
    """Forgets a shelf."""
    of_shelves.forget(db, shelf_id)
    carried.made_is_gone(db, MadeKind.SHELF, shelf_id)


def _forget_bytes(db: sqlite3.Connection, sha1: bytes | None, size: int) -> None:
    """Forgets bytes, and the files of other books that were there because of them."""
    if sha1 is None:
        return
    claims.forget_hash(db, Digest(sha1.hex(), size))
    db.execute(
        "DELETE FROM files WHERE source_id IS NULL AND sha1 = ? AND size = ? AND "
        "outcome = 'duplicate'",
        (sha1, size),
    )


def _made(row: sqlite3.Row) -> Made:
    detail: Mapping[str, Json] = json.loads(row["detail"] or "{}")
    return Made(
        MadeKind(row["kind"]),
        row["server_id"],
        BookId(row["book_id"]),
        row["pass_id"],
        detail,
    )
