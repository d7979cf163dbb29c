"""The verdict on a candidate: has what its worker hung on arrived since the trial began?

Pure. Only arrival counts, never that nothing looks wrong; and whatever happens after
the arrival is another case.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.model import Case, Health, age
from migration.model import Fate

#: How many times as long as any other a trial may last whose worker waits.
LONGEST_WAIT = 3


class Arrival(StrEnum):
    """What the ledger says of what a worker hung on."""

    UNKNOWN = "unknown"  #: the ledger cannot be read now
    NOT_YET = "not yet"
    ARRIVED = "arrived"  #: through this worker, since the trial began
    LOST = "lost"  #: it has its outcome, and that is none of these
    BY_ANOTHER = "by another"  #: another worker has carried it, so nothing is shown


@dataclass(frozen=True, slots=True)
class Since:
    """What the ledger has of a worker's trial, since that began.

    `fates` are those of the files it hung on that had no outcome then. Without any it
    hung before a file: then `next_file` says whether a file of the range it was in, or
    the next one after that, has arrived; `again` that the range is being read over and
    over, which is no reading. `fewer_lost` is only known where every file failed.
    `closed`: nothing but the end of the pass was left, and it is closed now.
    """

    fates: Collection[Fate] = ()
    next_file: bool = False
    again: bool = False
    fewer_lost: bool | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class TrialSigns:
    """How a trial stands.

    `over`: the pass is closed. `waiting`: for the server or other workers. `leaks`: it
    was treated for a leak, and what it uses still grows; files arrive all the same.
    """

    arrival: Arrival
    health: Health
    away: bool = False
    waiting: bool = False
    over: bool = False
    leaks: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict: it helped, it did not, or (None) nothing was shown."""

    helped: bool | None
    reason: str


def arrival(since: Since) -> Arrival:
    """Returns whether what the worker hung on has arrived."""
    if since.fewer_lost is not None and not (
        since.fates and set(since.fates) == {Fate.ARRIVED}
    ):
        # Every file failed: some of them must have arrived, whatever is in hand now.
        return Arrival.ARRIVED if since.fewer_lost else Arrival.NOT_YET
    if Fate.LOST in since.fates:
        return Arrival.LOST
    if Fate.PENDING in since.fates:
        return Arrival.NOT_YET
    if Fate.BY_ANOTHER in since.fates:
        return Arrival.BY_ANOTHER
    if Fate.ARRIVED in since.fates:
        return Arrival.ARRIVED
    # Nothing was in hand, or the server itself refuses what was: the next file tells.
    arrived = since.closed or (since.next_file and not since.again)
    return Arrival.ARRIVED if arrived else Arrival.NOT_YET


def verdict(
    case: Case, signs: TrialSigns, now: datetime, policy: HealingPolicy
) -> Judged | None:
    """Returns the verdict on a trial; None while it is too early.

    What arrived is judged at once when the pass is over, or when the worker has come to
    its end or hangs again: elsewhere then, which is no fault of this candidate.
    """
    waited = age(case.acted_at, now)
    over = signs.over or signs.health is Health.FINISHED
    elsewhere = signs.health in (Health.STUCK, Health.STOPPED, Health.ENDED)
    if waited < policy.verification and not (over or elsewhere):
        return None
    if signs.leaks:
        return _while_it_leaks(signs, waited, policy, over=over)
    judged = _by_arrival(case, signs, elsewhere=elsewhere)
    if judged is not None:
        return judged
    late = over or waited >= policy.verification_at_most
    if signs.arrival is Arrival.UNKNOWN:
        return Judged(None, "inconclusive: the ledger cannot be read") if late else None
    if over:
        said = f"{case.in_flight} has not arrived, and there is nothing left to do"
        return Judged(False, said)
    return _not_yet(case, signs, now, policy)


def _while_it_leaks(
    signs: TrialSigns, waited: timedelta, policy: HealingPolicy, *, over: bool
) -> Judged | None:
    """Judges one that still grows: at first, every process does."""
    if over:
        return Judged(
            None, "inconclusive: the pass has ended before it stopped growing"
        )
    if signs.health is Health.WORKING and waited < policy.verification_at_most:
        return None
    return Judged(False, f"it still grows, the worker is {signs.health.value}")


def _by_arrival(case: Case, signs: TrialSigns, *, elsewhere: bool) -> Judged | None:
    """Judges by what became of what it hung on; None where nothing did yet."""
    what = case.in_flight
    then = f"; the worker is {signs.health.value} elsewhere" if elsewhere else ""
    return {
        Arrival.ARRIVED: Judged(True, f"{what} has arrived{then}"),
        Arrival.LOST: Judged(False, f"{what} is settled, but did not arrive"),
        Arrival.BY_ANOTHER: Judged(
            None, f"inconclusive: another worker has carried {what}"
        ),
    }.get(signs.arrival)


def _not_yet(
    case: Case, signs: TrialSigns, now: datetime, policy: HealingPolicy
) -> Judged | None:
    """Judges a trial of which nothing has arrived, and that is not over."""
    waited = age(case.acted_at, now)
    said = f"{case.in_flight} has not arrived, the worker is {signs.health.value}"
    if signs.health in (Health.STOPPED, Health.ENDED):
        # A worker that did not reach the server has not shown anything.
        return None if signs.away else Judged(False, said)
    if signs.health is Health.STUCK:
        return Judged(False, said) if waited >= policy.verification else None
    # Who starts, reads a large range or waits for the server has its time: the
    # detection says when that is too long.
    if waited < policy.verification_at_most:
        return None
    if signs.waiting:
        # Perhaps for one that is held back for this very trial.
        late = waited >= LONGEST_WAIT * policy.verification_at_most
        return Judged(None, f"inconclusive: {said}, it waits") if late else None
    return Judged(False, said)
