"""The ledger as the monitor reads it: through `totals`, read only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.ledger import totals
from migration.ledger.totals import Totals
from migration.model import FileId


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """One ledger. Every question raises what `totals.UNREADABLE` lists."""

    path: Path

    def newest(self) -> Totals | None:
        """The newest pass; None when there is none."""
        return totals.read(self.path)

    def proved(self, pass_id: int) -> bool:
        """Do the rows of the pass agree with its counters?"""
        return totals.proved(self.path, pass_id)

    def settled(
        self, pass_id: int, files: Sequence[FileId], first_id: int | None
    ) -> bool:
        """Have these files their outcomes? Without files: is the range of this book
        closed?"""
        return totals.settled(self.path, pass_id, files, first_id)

    def carried(self, pass_id: int, files: Sequence[FileId]) -> bool:
        """Are these files on the server?"""
        return totals.carried(self.path, pass_id, files)

    def not_carried_in(self, pass_id: int, first_id: int, last_id: int) -> int:
        """How many files of these books failed or were skipped?"""
        return totals.not_carried_in(self.path, pass_id, first_id, last_id)
