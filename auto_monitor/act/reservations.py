"""Keeps books for the worker that a candidate is tried on; `reservation` owns the file,
the ledger heeds it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.clock import SteadyClock
from migration.model import BookId
from migration.state_files import reservation


@dataclass(frozen=True, slots=True)
class TrialReservations:
    """One state directory. A reservation runs out by itself when a trial can last no
    longer."""

    state_dir: Path
    clock: SteadyClock
    longest: timedelta

    def keep(self, pass_id: int, books: Collection[BookId], worker_id: int) -> None:
        """From now on. Raises StateUnwritable, OutOfResources."""
        until = self.clock() + self.longest
        kept = reservation.Reservation(pass_id, frozenset(books), worker_id, until)
        reservation.write(self.state_dir, kept, self.clock)

    def clear(self) -> None:
        """Nothing is kept for anybody any more."""
        reservation.clear(self.state_dir)
