"""What the ledger asks of the library, as it was read."""

from collections.abc import Mapping, Set
from typing import Protocol

from migration.model import BookId, FileId, Origin


class LibraryView(Protocol):
    """The library behind a ledger."""

    def listed(self, first: int, last: int) -> Set[FileId] | None:
        """The files that were listed for exactly this range; None when it was not
        read."""

    def origins(self, first: int, last: int) -> Mapping[BookId, Origin]:
        """By what the books of a range are known again."""


class NoLibrary:
    """For whoever only looks into the ledger."""

    def listed(self, _first: int, _last: int) -> Set[FileId] | None:
        """None of its files must have been entered."""
        return frozenset()

    def origins(self, _first: int, _last: int) -> Mapping[BookId, Origin]:
        """Nothing is known of its books."""
        return {}
