"""The identity part of the ledger: whose it is, and how its books are recognised."""

from collections.abc import Mapping
from datetime import datetime

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
        """Binds a new ledger to a library (uuid), a server (URL) and a user (id).

        Raises WrongLedger when it is bound to others.
        """
        wanted = {"library": library, "server": server, "user": user}
        with self._database.transaction() as db:
            binding.bind(db, self._database.path, wanted)

    @property
    def library(self) -> str:
        """The uuid of the library it belongs to; "" for a new ledger."""
        with self._database.reading() as db:
            return binding.library(db)

    @property
    def server(self) -> str:
        """The URL of the server it belongs to; "" for a new ledger."""
        with self._database.reading() as db:
            return binding.server(db)

    @property
    def user(self) -> str:
        """The id of the user it belongs to; "" for a new ledger."""
        with self._database.reading() as db:
            return binding.user(db)

    def rebind(self, url: str, at: datetime) -> None:
        """Binds the ledger to a new URL of its server, at once or not at all.

        Only `rebinding` calls this, with its proof.
        """
        with self._database.transaction() as db:
            binding.rebind(db, url, at.isoformat())

    @property
    def first_library(self) -> str:
        """The library's uuid when the ledger was begun.

        The working titles bear its mark.
        """
        with self._database.reading() as db:
            return binding.first_library(db)

    def known_books(self, first: int, last: int) -> dict[BookId, binding.Remembered]:
        """Returns the identities of a range's books with files in the ledger."""
        with self._database.reading() as db:
            return binding.known(db, first, last)

    def adopt(self, library: str, renewed: Mapping[BookId, Origin]) -> None:
        """Binds the ledger to another library (uuid).

        Only `adoption` calls this, with its proof.
        """
        with self._database.transaction() as db:
            binding.adopt(db, library, renewed)
