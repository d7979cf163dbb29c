"""What failures mean: an outage of the server, or trouble with one book. Pure, but for
`FailureStreak`.

A server that is away fails on file after file; then the worker waits and counts nothing
against a book. A server that fails on one book and takes others meanwhile has trouble
with that book; after `ROUNDS` such failures this run tries it no more."""

import threading
from dataclasses import dataclass, replace
from enum import Enum

from migration.lanes.lane import Tries

#: A file on which the server failed this often while it took others is left pending.
ROUNDS = 3
#: A book waits this often because the server asks for time while it takes other files;
#: then its failures count.
MOST_HOLDS = 20
#: Files failing in a row that make it an outage.
OUTAGE_AFTER = 3


@dataclass(frozen=True, slots=True)
class Failing:
    """Failures in a row of this process; anything settled ends the row. `last` is the
    last one's message."""

    in_a_row: int = 0
    last: str = ""

    @property
    def is_outage(self) -> bool:
        """Is it the server as a whole that fails?"""
        return self.in_a_row >= OUTAGE_AFTER


class Blame(Enum):
    """What failed."""

    SERVER = "server"  #: it failed on the book, or did not answer
    # : the file was rewritten while it was sent, which says nothing of the server
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Counted:
    """A failure was counted. `counts_for_book`: it is one of the book's rounds as
    well."""

    failing: Failing
    tries: Tries
    counts_for_book: bool


class Next(Enum):
    """What becomes of a book after a failure."""

    TRY_AGAIN = "try again"
    # : this run tries the file no more, but the rest of the book
    LEAVE_FILE = "leave the file"
    LEAVE_BOOK = "leave the book"  #: this run tries nothing of the book any more


def after_failure(
    failing: Failing, tries: Tries, message: str, *, blame: Blame, in_attempt: bool
) -> Counted:
    """Counts a failure. The first in a row counts for the book too: others went well
    before it.

    `in_attempt`: a file was being sent; the ledger counts its rounds.
    """
    counts = failing.in_a_row == 0 or blame is Blame.FILE
    row = failing.in_a_row + (blame is Blame.SERVER)
    stumbles = tries.stumbles + (counts and not in_attempt)
    return Counted(Failing(row, message), replace(tries, stumbles=stumbles), counts)


def after_rounds(tries: Tries, rounds: int) -> Next:
    """What to do with the book; `rounds` are those of the file that was being sent, 0
    without one."""
    if tries.stumbles >= ROUNDS:
        return Next.LEAVE_BOOK
    return Next.LEAVE_FILE if rounds >= ROUNDS else Next.TRY_AGAIN


def after_hold(tries: Tries, processed: int) -> tuple[Tries, bool]:
    """The server asks for time: may the book wait? Not for ever, when the server takes
    other files meanwhile.

    `processed` is how many files this process has settled.
    """
    holds = tries.holds + (processed > tries.processed_at_hold)
    return replace(tries, holds=holds, processed_at_hold=processed), holds < MOST_HOLDS


class FailureStreak:
    """The `Failing` of one process, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing = Failing()

    @property
    def failing(self) -> Failing:
        """As of now."""
        return self._failing

    def ends(self) -> None:
        """Something was settled, or the server answers again."""
        with self._lock:
            self._failing = replace(self._failing, in_a_row=0)

    def count(
        self, tries: Tries, message: str, *, blame: Blame, in_attempt: bool
    ) -> Counted:
        """Counts a failure of one book."""
        with self._lock:
            counted = after_failure(
                self._failing, tries, message, blame=blame, in_attempt=in_attempt
            )
            self._failing = counted.failing
            return counted
