"""The claims: bytes and names in flight, and those the server is known to have.

Functions over an open transaction of the ledger; only `ledger.parts` calls them. A
claim is a row because the real server has no unique constraint: two simultaneous
uploads of the same bytes, or two simultaneous creations of one author, both succeed
there.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta

from common.clock import SteadyClock
from migration.errors import Deferred
from migration.model import BookId, Digest, EbookId, Known, Receipt, RemoteMatch

#: Whether the process with this owner string is alive.
Alive = Callable[[str], bool]


def hash_name(digest: Digest) -> str:
    """Returns the name under which bytes are claimed."""
    return f"{digest.sha1}:{digest.size}"


def is_known(db: sqlite3.Connection, digest: Digest) -> bool:
    """Whether the ledger lists these bytes as being on the server."""
    row = db.execute(
        "SELECT 1 FROM hashes WHERE sha1 = ? AND size = ?",
        (bytes.fromhex(digest.sha1), digest.size),
    ).fetchone()
    return row is not None


def add_hashes(
    db: sqlite3.Connection, proofs: Sequence[Receipt | RemoteMatch | Known]
) -> int:
    """Adds what the server has, with the ebook where the proof names it.

    Returns how many were new.
    """
    rows = [
        (
            bytes.fromhex(proof.digest.sha1),
            proof.digest.size,
            None if isinstance(proof, Known) else proof.ebook_id,
        )
        for proof in proofs
    ]
    before = db.total_changes
    db.executemany(
        "INSERT OR IGNORE INTO hashes (sha1, size, ebook_id) VALUES (?, ?, ?)", rows
    )
    new = db.total_changes - before
    for proof in proofs:
        if not isinstance(proof, Known) and proof.ebook_id is not None:
            hold(db, proof.digest, proof.ebook_id)
    return new


def hold(db: sqlite3.Connection, digest: Digest, ebook_id: EbookId) -> None:
    """Records which ebook holds these bytes, if the server is known to have them."""
    db.execute(
        "UPDATE hashes SET ebook_id = ? WHERE sha1 = ? AND size = ?",
        (ebook_id, bytes.fromhex(digest.sha1), digest.size),
    )


def held_by(db: sqlite3.Connection, digest: Digest) -> EbookId | None:
    """Returns the ebook that is known to hold these bytes."""
    row = db.execute(
        "SELECT ebook_id FROM hashes WHERE sha1 = ? AND size = ?",
        (bytes.fromhex(digest.sha1), digest.size),
    ).fetchone()
    return None if row is None or row[0] is None else EbookId(row[0])


def forget_hash(db: sqlite3.Connection, digest: Digest) -> None:
    """Forgets bytes that the server no longer has."""
    db.execute(
        "DELETE FROM hashes WHERE sha1 = ? AND size = ?",
        (bytes.fromhex(digest.sha1), digest.size),
    )


def name_id(db: sqlite3.Connection, kind: str, name: str) -> int | None:
    """Returns the server's id of an author or a series, if the ledger knows it."""
    row = db.execute(
        "SELECT server_id FROM names WHERE kind = ? AND name = ?", (kind, name)
    ).fetchone()
    return None if row is None else int(row[0])


def claim(
    db: sqlite3.Connection,
    kind: str,
    name: str,
    *,
    owner: str,
    book_id: BookId,
    clock: SteadyClock,
    alive: Alive,
    settle: timedelta,
) -> bool:
    """Claims bytes or a name for one book.

    Returns True if no dead process held the claim before. Raises Deferred while another
    process holds it: a live one until it releases the claim; a dead one, for another
    book, until `settle` has passed since its last request, which may still be running
    on the server.
    """
    now = clock()
    row = db.execute(
        "SELECT owner, book_id, since FROM claims WHERE kind = ? AND name = ?",
        (kind, name),
    ).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO claims (kind, name, owner, book_id, since) VALUES (?, ?, ?, ?, ?)",
            (kind, name, owner, book_id, clock.stamp(now)),
        )
        return True
    mine = row["book_id"] == book_id
    if row["owner"] == owner and mine:
        return True
    if row["owner"] == owner or alive(row["owner"]):
        raise Deferred(f"{kind} {name} is in flight for book {row['book_id']}")
    until = clock.since(row["since"]) + settle
    if not mine and now < until:
        raise Deferred(f"{kind} {name} was in flight in a worker that died", until)
    db.execute(
        "UPDATE claims SET owner = ?, book_id = ?, since = ? WHERE kind = ? AND name = ?",
        (owner, book_id, clock.stamp(now), kind, name),
    )
    return False


def touch(
    db: sqlite3.Connection, owner: str, book_id: BookId, clock: SteadyClock
) -> None:
    """Renews a book's claims when a request about it is sent.

    They may not be taken over until that request has settled.
    """
    db.execute(
        "UPDATE claims SET since = ? WHERE book_id = ? AND owner = ?",
        (clock.stamp(clock()), book_id, owner),
    )


def release(db: sqlite3.Connection, kind: str, name: str) -> None:
    """Releases one claim."""
    db.execute("DELETE FROM claims WHERE kind = ? AND name = ?", (kind, name))


def release_book(db: sqlite3.Connection, owner: str, book_id: BookId) -> None:
    """Releases every claim this process holds for a book."""
    db.execute("DELETE FROM claims WHERE book_id = ? AND owner = ?", (book_id, owner))
