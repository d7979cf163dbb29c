"""What failures mean: an outage of the server, or trouble with one book.

A server that is away fails on file after file; then the worker waits and counts nothing
against a book. A server that fails on one book but accepts others has trouble with that
book; after `ROUNDS` such failures this run tries it no more. All of it is pure except
`FailureStreak`.
"""

import threading
from dataclasses import dataclass, replace
from enum import Enum

from migration.errors import (
    Rejected,
    ResponseLost,
    ServerFault,
    ServerUnreachable,
    TokenRefused,
)
from migration.lanes.lane import Tries

#: A file on which the server failed this often, while it accepted others, is left
#: pending.
ROUNDS = 3
#: How often a book may wait because the server asks for time while it accepts other
#: files; after that its failures count.
MOST_HOLDS = 20
#: This many files failing in a row are an outage.
OUTAGE_AFTER = 3


@dataclass(frozen=True, slots=True)
class Failing:
    """Consecutive failures of this process; a settled file ends them.

    `last` is the message of the latest failure.
    """

    in_a_row: int = 0
    last: str = ""

    @property
    def is_outage(self) -> bool:
        """Whether the server as a whole is failing."""
        return self.in_a_row >= OUTAGE_AFTER


class Blame(Enum):
    """What a failure is blamed on."""

    SERVER = "server"  #: failed on the book, or did not answer
    #: the file was rewritten while it was sent, which says nothing about the server
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Counted:
    """The state after a failure was counted.

    `counts_for_book`: it also counts as one of the book's rounds.
    """

    failing: Failing
    tries: Tries
    counts_for_book: bool


class Next(Enum):
    """What to do with a book after a failure."""

    TRY_AGAIN = "try again"
    #: this run tries the file no more, but goes on with the rest of the book
    LEAVE_FILE = "leave the file"
    LEAVE_BOOK = "leave the book"  #: give up on the book for this run


def after_failure(
    failing: Failing, tries: Tries, message: str, *, blame: Blame, in_attempt: bool
) -> Counted:
    """Counts a failure.

    The first in a row counts against the book too, since others went well before it.
    `in_attempt` means that a file was being sent; its rounds are counted by the ledger.
    """
    counts = failing.in_a_row == 0 or blame is Blame.FILE
    row = failing.in_a_row + (blame is Blame.SERVER)
    stumbles = tries.stumbles + (counts and not in_attempt)
    return Counted(Failing(row, message), replace(tries, stumbles=stumbles), counts)


def after_rounds(tries: Tries, rounds: int) -> Next:
    """Decides what to do with the book.

    `rounds` are those of the file that was being sent, or 0.
    """
    if tries.stumbles >= ROUNDS:
        return Next.LEAVE_BOOK
    return Next.LEAVE_FILE if rounds >= ROUNDS else Next.TRY_AGAIN


def after_hold(tries: Tries, processed: int) -> tuple[Tries, bool]:
    """Counts that the server asked for time, and decides whether the book may wait.

    It may not wait for ever while the server accepts other files. `processed` is how
    many files this process has settled.
    """
    holds = tries.holds + (processed > tries.processed_at_hold)
    return replace(tries, holds=holds, processed_at_hold=processed), holds < MOST_HOLDS


#: What the server, or the way to it, is the cause of.
_SERVERS_WORD = (ServerUnreachable, ServerFault, ResponseLost, TokenRefused, Rejected)
#: Where such an error has to come from to be believed.
_TRUSTED = ("migration.server.", "migration.lanes.", "migration.cluster.")


def is_explained(error: BaseException) -> bool:
    """Whether a failure is the server's, shown by trusted code.

    An error that the policy script raises by itself explains nothing, whatever it is
    called.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None or not isinstance(error, _SERVERS_WORD):
        return False
    return str(place.tb_frame.f_globals.get("__name__", "")).startswith(_TRUSTED)


class FailureStreak:
    """The `Failing` of one process, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing = Failing()

    @property
    def failing(self) -> Failing:
        return self._failing

    def ends(self) -> None:
        """Ends the streak: something was settled, or the server answers again."""
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
