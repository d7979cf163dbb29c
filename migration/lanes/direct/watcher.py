"""What a worker shows of its direct lane, and what may hold that up."""

from collections.abc import Collection, Sequence
from typing import Protocol

from migration.errors import Transient
from migration.lanes.lane import Work
from migration.model import FileId


class Watcher(Protocol):
    """Used by the worker's main thread."""

    def may_begin(self, works: Sequence[Work]) -> bool:
        """Waits for the limits; False when no more books are to be begun."""

    def begin(self, works: Sequence[Work]) -> None:
        """Shows that the process is at these books."""

    def end(self) -> None:
        """Shows that it is not any more."""

    def arrived(self, work: Work, files: Collection[FileId], seconds: float) -> None:
        """Counts and logs files that were accounted for.

        Takes them out of the work. `seconds` is what each has taken.
        """

    def trouble(self, error: Transient) -> None:
        """Shows what keeps the lane waiting, and waits a while. Raises Stopping."""

    def wait(self, seconds: float) -> None:
        """Lets time pass, doing the worker's chores. Raises Stopping."""
