"""The journal of batches of the direct lane that have not ended.

Functions over an open transaction of the ledger; only `ledger.parts` calls them.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from common.clock import SteadyClock
from migration.errors import FalseClaim
from migration.ledger import batch_journal
from migration.ledger.batch_journal import Batch, EndedBook, JournalBook
from migration.ledger.records import MadeKind
from migration.ledger.tables import (
    books,
    carried,
    claims,
    passes,
    registration,
    shelves,
)
from migration.ledger.tables.claims import Alive
from migration.model import BookId, Digest, FileId, Outcome, UploadResult


def write(db: sqlite3.Connection, batch: Batch, clock: SteadyClock) -> None:
    """Records a batch that is about to be written."""
    db.execute(
        "INSERT INTO batches (token, owner, pass_id, begun_at, books) VALUES "
        "(?, ?, ?, ?, ?)",
        (
            batch.token,
            batch.owner,
            batch.pass_id,
            clock.stamp(batch.begun_at),
            batch_journal.to_text(batch.books),
        ),
    )


def read(db: sqlite3.Connection, clock: SteadyClock) -> list[Batch]:
    """Returns all batches. Raises BadJournal."""
    rows = db.execute("SELECT * FROM batches ORDER BY token").fetchall()
    return [
        Batch(
            row["token"],
            row["owner"],
            row["pass_id"],
            clock.since(row["begun_at"]),
            batch_journal.from_text(row["books"]),
            settled=bool(row["settled"]),
        )
        for row in rows
    ]


def take_over(db: sqlite3.Connection, owner: str, alive: Alive) -> None:
    """Gives this process the batches of dead ones."""
    for row in db.execute("SELECT DISTINCT owner FROM batches").fetchall():
        if row["owner"] != owner and not alive(row["owner"]):
            db.execute(
                "UPDATE batches SET owner = ? WHERE owner = ?", (owner, row["owner"])
            )


def drop(db: sqlite3.Connection, batch: Batch) -> None:
    """Forgets a batch and releases all claims of its books."""
    db.execute("DELETE FROM batches WHERE token = ?", (batch.token,))
    release(db, [book.id for book in batch.books])


def release(db: sqlite3.Connection, ids: Iterable[BookId]) -> None:
    """Releases all claims of these books, whoever claimed them for the batch."""
    db.executemany("DELETE FROM claims WHERE book_id = ?", [(one,) for one in ids])


def set_settled(db: sqlite3.Connection, batch: Batch) -> None:
    """Records that only files may have been left behind."""
    db.execute("UPDATE batches SET settled = 1 WHERE token = ?", (batch.token,))
    release(db, [book.id for book in batch.books])


# -- claims ----------------------------------------------------------------------------


def claim(
    db: sqlite3.Connection,
    owner: str,
    clock: SteadyClock,
    digests: Mapping[FileId, Digest],
    names: Mapping[BookId, Collection[tuple[str, str]]],
) -> frozenset[BookId]:
    """Claims the books' bytes and the names that the server lacks, book by book.

    Returns the books of which something is known on the server already, or in flight
    for another book; they claim nothing.
    """
    by_book: dict[BookId, list[tuple[FileId, Digest]]] = {}
    for file, digest in digests.items():
        by_book.setdefault(file.book_id, []).append((file, digest))
    now, mine, refused = clock.stamp(clock()), set[BookId](), set[BookId]()
    for book, files in by_book.items():
        for file, digest in files:
            db.execute(
                "UPDATE files SET sha1 = ? WHERE book_id = ? AND format = ?",
                (bytes.fromhex(digest.sha1), book, file.format),
            )
        new = {("hash", claims.hash_name(digest)) for _file, digest in files}
        known = any(claims.is_known(db, digest) for _file, digest in files)
        if known or len(new) < len(files):
            refused.add(book)
            continue
        lacking = {
            key for key in names.get(book, ()) if claims.name_id(db, *key) is None
        }
        if not _are_free(db, owner, new, ()) or not _are_free(
            db, owner, lacking - _of_batches(db, owner, lacking), mine
        ):
            refused.add(book)
            continue
        mine.add(book)
        db.executemany(
            "INSERT OR IGNORE INTO claims (kind, name, owner, book_id, since) VALUES "
            "(?, ?, ?, ?, ?)",
            [(kind, name, owner, book, now) for kind, name in new | lacking],
        )
    return frozenset(refused)


def _of_batches(
    db: sqlite3.Connection, owner: str, keys: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Returns the names that another process with a batch of its own has claimed.

    Those who write batches make names under a lock of the server's database, so they
    need not wait for each other.
    """
    return {
        key
        for key in keys
        if db.execute(
            "SELECT 1 FROM claims JOIN batches USING (owner) WHERE kind = ? AND name = ? "
            "AND owner != ?",
            (*key, owner),
        ).fetchone()
    }


def _are_free(
    db: sqlite3.Connection,
    owner: str,
    keys: Iterable[tuple[str, str]],
    mine: Collection[BookId],
) -> bool:
    """Whether nobody has claimed one of these, other than for the books that are `mine`."""
    for kind, name in keys:
        row = db.execute(
            "SELECT owner, book_id FROM claims WHERE kind = ? AND name = ?",
            (kind, name),
        ).fetchone()
        if row is not None and (row["owner"] != owner or row["book_id"] not in mine):
            return False
    return True


# -- the end ---------------------------------------------------------------------------


def check(batch: Batch, ended: Iterable[EndedBook]) -> None:
    """Raises FalseClaim unless the books are the batch's, by their ids there."""
    journal = {book.id: book for book in batch.books}
    for one in ended:
        book = journal.get(one.id)
        if book is None or not _is_its(book, one):
            raise FalseClaim(
                f"batch {batch.token} ends with another ebook of book {one.id} than "
                "was begun"
            )


def _is_its(book: JournalBook, one: EndedBook) -> bool:
    sources = {file.id: file.source_id for file in book.files}
    return (
        one.state.ebook_id == book.ebook_id
        and len(one.receipts) == len(sources)
        and all(
            receipt.ebook_id == book.ebook_id and sources.get(file) == receipt.source_id
            for file, receipt in one.receipts
        )
    )


def account(
    db: sqlite3.Connection, batch: Batch, ended: Iterable[EndedBook], clock: SteadyClock
) -> list[FileId]:
    """Records books that are on the server, with all their files.

    Returns the files that had no outcome before.
    """
    settled: list[FileId] = []
    lost = Counter[str]()
    for one in ended:
        settled += _files(db, batch.pass_id, one)
        books.write(db, one.id, one.state, clock)
        if one.state.ebook_id is not None:
            kind = MadeKind.EBOOK
            carried.made(db, batch.pass_id, kind, one.state.ebook_id, one.id)
        carried.write(db, batch.pass_id, one.id, one.carried)
        carried.settle(db, one.id, one.modified)
        db.executemany(
            "INSERT OR REPLACE INTO names (kind, name, server_id) VALUES (?, ?, ?)",
            ((kind, name, number) for (kind, name), number in one.names.items()),
        )
        _shelves(db, batch.pass_id, one)
        lost.update(one.lost)
    passes.tally(db, batch.pass_id, "not_carried", lost)
    moved = {Outcome.UPLOADED: len(settled), Outcome.PENDING: -len(settled)}
    passes.count(db, batch.pass_id, 0, moved)
    return settled


def _files(db: sqlite3.Connection, pass_id: int, one: EndedBook) -> list[FileId]:
    settled = []
    claims.add_hashes(db, [receipt for _file, receipt in one.receipts])
    for file, receipt in one.receipts:
        result = UploadResult(file, Outcome.UPLOADED, receipt)
        if registration.account(db, pass_id, result, receipt):
            registration.received(db, pass_id, file, receipt)
            settled.append(file)
    return settled


def _shelves(db: sqlite3.Connection, pass_id: int, one: EndedBook) -> None:
    for shelf in one.shelves:
        shelves.keep(db, shelf.name, shelf.shelf_id)
        if shelf.made:
            kind = MadeKind.SHELF
            carried.made(db, pass_id, kind, shelf.shelf_id, one.id, name=shelf.name)
        shelves.write_item(db, one.id, shelf.shelf_id, shelf.item)
        if shelf.item.id is not None:
            carried.made(
                db,
                pass_id,
                MadeKind.ITEM,
                shelf.item.id,
                one.id,
                shelf=shelf.shelf_id,
                note=shelf.item.note,
            )
