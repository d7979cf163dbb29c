"""A ledger as the monitor asks it: read-only, one short connection for each question."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.ledger import arrivals, changed, totals
from migration.ledger.arrivals import Baseline
from migration.ledger.totals import Totals
from migration.model import Fate, FileId


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """One ledger. Every method raises what `totals.UNREADABLE` lists."""

    path: Path

    def newest(self) -> Totals | None:
        """Returns the newest pass; None when there is none."""
        return totals.read(self.path)

    def proved(self, pass_id: int) -> bool:
        """Whether the rows of the pass agree with its counters."""
        return totals.proved(self.path, pass_id)

    def settled(
        self, pass_id: int, files: Sequence[FileId], first_id: int | None
    ) -> bool:
        """Whether these files have outcomes.

        Without files, whether the book's range is closed.
        """
        return totals.settled(self.path, pass_id, files, first_id)

    def baseline(self, pass_id: int, worker_id: int) -> Baseline:
        """Returns what has arrived until now, for a trial on worker N."""
        return arrivals.baseline(self.path, pass_id, worker_id)

    def since(self, then: Baseline, worker_id: int) -> Mapping[int, int]:
        """Returns the files that arrived since through worker N, by range."""
        return arrivals.since(self.path, then, worker_id)

    def fates(
        self, pass_id: int, worker_id: int, files: Sequence[FileId]
    ) -> Mapping[FileId, Fate]:
        """Returns what became of these files, as seen from worker N."""
        return arrivals.fates(self.path, pass_id, worker_id, files)

    def not_carried_in(self, pass_id: int, first_id: int, last_id: int) -> int:
        """Returns how many files of these books failed or were skipped."""
        return totals.not_carried_in(self.path, pass_id, first_id, last_id)

    def wrong_books(self, kinds: Collection[str]) -> Mapping[int, str]:
        """Returns the differences of these kinds that stand, of at most 100 books."""
        return changed.wrong_books(self.path, kinds)
