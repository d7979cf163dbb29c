"""The batches part of the ledger: what the direct lane is about to write, or has."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence

from common.clock import SteadyClock
from migration.errors import LedgerCorrupt
from migration.ledger.batch_journal import BadJournal, Batch, EndedBook, JournalBook
from migration.ledger.database import LedgerDatabase
from migration.ledger.tables import batches
from migration.model import BookId, Digest, FileId

#: The bits of a token: PostgreSQL's advisory locks take signed numbers of 64.
_TOKEN_BITS = 62


class Batches:
    """Batches that have not ended. Thread-safe."""

    def __init__(
        self,
        database: LedgerDatabase,
        owner: str,
        clock: SteadyClock,
        is_alive: Callable[[str], bool],
    ) -> None:
        """`is_alive` says whether the process with an owner string is alive."""
        self._database = database
        self._owner = owner
        self._clock = clock
        self._is_alive = is_alive

    def begin(self, pass_id: int, books: Sequence[JournalBook]) -> Batch:
        """Records, on disk, what is about to be written."""
        token = 1 + secrets.randbits(_TOKEN_BITS)
        batch = Batch(token, self._owner, pass_id, self._clock(), tuple(books))
        with self._database.transaction() as db:
            batches.write(db, batch, self._clock)
        return batch

    def claim(
        self,
        digests: Mapping[FileId, Digest],
        names: Mapping[BookId, Collection[tuple[str, str]]],
    ) -> frozenset[BookId]:
        """Claims bytes and names for the books of a batch.

        Returns the books for which that is not possible: the server has a file of
        theirs, or another book has it, or one of the names, in flight.
        """
        with self._database.transaction(durable=False) as db:
            return batches.claim(db, self._owner, self._clock, digests, names)

    def end(self, batch: Batch, ended: Sequence[EndedBook]) -> list[FileId]:
        """Records the books that are on the server, and forgets the batch.

        Nothing of the others is there any more. Returns the files that had no outcome
        before. Raises FalseClaim for any books but the batch's.
        """
        batches.check(batch, ended)
        with self._database.transaction(durable=False) as db:
            settled = batches.account(db, batch, ended, self._clock)
            batches.drop(db, batch)
        return settled

    def settle(self, batch: Batch) -> None:
        """Records that the books are settled, and only files may have been left."""
        with self._database.transaction() as db:
            batches.set_settled(db, batch)

    def all(self) -> list[Batch]:
        """Returns all batches, whoever began them. Raises LedgerCorrupt."""
        try:
            with self._database.reading() as db:
                return batches.read(db, self._clock)
        except BadJournal as error:
            raise LedgerCorrupt(
                f"the ledger's journal of a batch cannot be read: {error}"
            ) from error

    def take_over(self) -> None:
        """Gives this process the batches of dead ones."""
        with self._database.transaction() as db:
            batches.take_over(db, self._owner, self._is_alive)

    def is_mine(self, batch: Batch) -> bool:
        """Whether a batch is this process's."""
        return batch.owner == self._owner

    def left_over(self) -> int:
        """Returns of how many books files may have been left on the server's disk."""
        return sum(len(batch.books) for batch in self.all() if batch.settled)

    def any(self) -> bool:
        """Whether there is any batch; a quick question."""
        with self._database.reading() as db:
            return db.execute("SELECT 1 FROM batches LIMIT 1").fetchone() is not None
