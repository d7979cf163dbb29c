"""Ranges that a worker gives up because some of their files stay pending.

The pass stays open for them.
"""

from collections.abc import Callable, Set

from migration.ledger.database import LedgerDatabase
from migration.ledger.records import Range
from migration.ledger.tables import passes


class LeftRanges:
    """The ranges one process has given up. Thread-safe.

    Other processes, and the next start, may take them.
    """

    def __init__(
        self, database: LedgerDatabase, owner: str, alive: Callable[[str], bool]
    ) -> None:
        """`alive` says whether the process with an owner string is alive."""
        self._database = database
        self._owner = owner
        self._alive = alive
        self._given_up: set[tuple[int, int]] = set()

    def give_up(self, owned: Range) -> None:
        """Releases a range with files that stay pending.

        This process does not take it again.
        """
        with self._database.transaction(durable=False) as db:
            passes.release(db, owned, self._owner)
            self._given_up.add((owned.pass_id, owned.first))

    def firsts(self, pass_id: int) -> Set[int]:
        """Returns the first ids of the pass's ranges that this process gave up."""
        return {first for of_pass, first in self._given_up if of_pass == pass_id}

    def are_all(self, pass_id: int) -> bool:
        """Whether all open ranges were given up here and no live process holds any.

        Then there is nothing to wait for.
        """
        with self._database.reading() as db:
            claimed_to, highest_id = passes.claimed_to(db, pass_id)
            still_open = passes.open_ranges(db, pass_id)
        if not still_open or claimed_to < highest_id:
            return False
        given_up = self.firsts(pass_id)
        held = any(
            owner is not None and self._alive(owner) for _first, owner in still_open
        )
        return not held and all(first in given_up for first, _owner in still_open)
