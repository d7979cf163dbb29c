"""Reserving books for the worker on which a candidate is tried.

`reservation` owns the file; the ledger respects it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.clock import SteadyClock
from migration.model import BookId
from migration.state_files import reservation


@dataclass(frozen=True, slots=True)
class TrialReservations:
    """The reservations of one state directory.

    A reservation expires by itself when a trial can no longer be running.
    """

    state_dir: Path
    clock: SteadyClock
    longest: timedelta

    def keep(self, pass_id: int, books: Collection[BookId], worker_id: int) -> None:
        """Reserves books for a worker from now on.

        Raises StateUnwritable or OutOfResources.
        """
        until = self.clock() + self.longest
        kept = reservation.Reservation(pass_id, frozenset(books), worker_id, until)
        reservation.write(self.state_dir, kept, self.clock)

    def clear(self) -> None:
        """Removes the reservation."""
        reservation.clear(self.state_dir)
