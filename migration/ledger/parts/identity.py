"""Part of the ledger: whose it is, and by what its books are known again."""

from collections.abc import Mapping

from migration.ledger.database import LedgerDatabase
from migration.ledger.tables import binding
from migration.model import (
    BookId,
    Origin,
)


class Identity:
    """The library, server and user that a ledger belongs to."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database

    def bind(self, *, library: str, server: str, user: str) -> None:
        """Ties a new ledger to a library (uuid), a server (URL) and a user (id). Raises
        WrongLedger for any other."""
        wanted = {"library": library, "server": server, "user": user}
        with self._database.transaction() as db:
            binding.bind(db, self._database.path, wanted)

    @property
    def library(self) -> str:
        """The uuid of the library it belongs to; "" for a new ledger."""
        with self._database.reading() as db:
            return binding.library(db)

    @property
    def first_library(self) -> str:
        """The uuid the library had when the ledger was begun; the working titles bear
        its mark."""
        with self._database.reading() as db:
            return binding.first_library(db)

    def known_books(self, first: int, last: int) -> dict[BookId, binding.Remembered]:
        """By what the books of a range that it has files of are known again."""
        with self._database.reading() as db:
            return binding.known(db, first, last)

    def adopt(self, library: str, renewed: Mapping[BookId, Origin]) -> None:
        """Belongs to that library (uuid) from now on; only `adoption` calls this, with
        its proof."""
        with self._database.transaction() as db:
            binding.adopt(db, library, renewed)
