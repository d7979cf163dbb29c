"""The hashes part of the ledger: files the server has, and claims to send others."""

import sqlite3
from collections.abc import Callable, Iterable
from datetime import timedelta

from common.clock import SteadyClock
from migration.ledger.database import LedgerDatabase
from migration.ledger.parts.batches import Batches
from migration.ledger.parts.imports import Imports
from migration.ledger.parts.shelves import Shelves
from migration.ledger.records import Taken
from migration.ledger.tables import claims
from migration.model import (
    BookId,
    Digest,
    FileId,
    Known,
    Receipt,
    RemoteMatch,
)


class Hashes:
    """What the server has, safe to use from several threads.

    The only maker of `Known`.
    """

    def __init__(
        self,
        database: LedgerDatabase,
        owner: str,
        clock: SteadyClock,
        settle: timedelta,
        is_alive: Callable[[str], bool],
    ) -> None:
        """`settle` is how long a dead worker's last request may still be running."""
        self._database = database
        self._owner = owner
        self._clock = clock
        self._settle = settle
        self._is_alive = is_alive
        #: Batches of the direct lane claim the files of many books at once.
        self.batches = Batches(database, owner, clock, is_alive)
        #: Books that are sent many at a time claim all their files at once.
        self.imports = Imports(database, owner, clock, settle, is_alive)
        #: Shelves are claimed by name as authors are.
        self.shelves = Shelves(database, owner, clock, settle, is_alive)

    def __contains__(self, digest: object) -> bool:
        """Whether the server is known to have these bytes."""
        if not isinstance(digest, Digest):
            return False
        with self._database.reading() as db:
            return claims.is_known(db, digest)

    def __len__(self) -> int:
        """Returns roughly how many files the server has: the highest row id."""
        with self._database.reading() as db:
            return int(
                db.execute("SELECT COALESCE(MAX(id), 0) FROM hashes").fetchone()[0]
            )

    def take(
        self, file: FileId, digest: Digest, names: Iterable[tuple[str, str]]
    ) -> Known | Taken:
        """Claims one book's bytes and the names the server lacks yet, all or nothing.

        Returns Known when the server has the bytes already. Raises Deferred while other
        books have them in flight.
        """
        with self._database.transaction(durable=False) as db:
            db.execute(
                "UPDATE files SET sha1 = ? WHERE book_id = ? AND format = ?",
                (bytes.fromhex(digest.sha1), file.book_id, file.format),
            )
            if claims.is_known(db, digest):
                return Known(digest)
            fresh = self._claim(db, "hash", claims.hash_name(digest), file.book_id)
            return Taken(fresh, self._take_names(db, file.book_id, names))

    def take_names(
        self, book_id: BookId, names: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], int]:
        """Claims the names that the server lacks; returns the ids of the others.

        Raises Deferred while another book has one of them in flight.
        """
        with self._database.transaction(durable=False) as db:
            return self._take_names(db, book_id, names)

    def _take_names(
        self, db: sqlite3.Connection, book_id: BookId, names: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], int]:
        ids = {}
        for kind, name in sorted(set(names)):
            known = claims.name_id(db, kind, name)
            if known is None:
                self._claim(db, kind, name, book_id)
            else:
                ids[kind, name] = known
        return ids

    def _claim(
        self, db: sqlite3.Connection, kind: str, name: str, book_id: BookId
    ) -> bool:
        return claims.claim(
            db,
            kind,
            name,
            owner=self._owner,
            book_id=book_id,
            clock=self._clock,
            alive=self._is_alive,
            settle=self._settle,
        )

    def learn(self, proofs: Iterable[Receipt | RemoteMatch]) -> tuple[int, list[Known]]:
        """Records files the server has.

        Returns how many were new, and proofs to account with.
        """
        told = list(proofs)
        with self._database.transaction(durable=False) as db:
            return claims.add_hashes(db, told), [Known(proof.digest) for proof in told]

    def learn_one(self, proof: Receipt | RemoteMatch) -> Known:
        """Remembers one file the server has. Idempotent."""
        return self.learn([proof])[1][0]

    def count(self) -> int:
        """Counts the files the server is known to have, row by row."""
        with self._database.reading() as db:
            return int(db.execute("SELECT COUNT(*) FROM hashes").fetchone()[0])

    def forget_all(self) -> None:
        """Forgets what the server has, to be learned again.

        Settled files stay settled.
        """
        with self._database.transaction() as db:
            db.execute("DELETE FROM hashes")
