"""Is there anything left to watch? Pure: what was seen in, one answer out."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from auto_monitor.decide.detection import FOR_GOOD
from auto_monitor.model import Assessment, Health, WorkerRecord, age
from migration.ledger.totals import Totals

#: A worker that could still do something.
RUNNING = (Health.WORKING, Health.STUCK)


class Ending(StrEnum):
    """What a look says about the pass."""

    GOES_ON = "goes_on"
    NEWER_OPEN = "newer_open"  #: a new one was opened: that is watched from now on
    CLOSING = "closing"  #: it is closed; its workers get a while to end by themselves
    CLOSED = "closed"
    TIME_IS_UP = "time_is_up"  #: of the whole migration, and nobody works any more
    # : every worker ended with a status that a restart cannot mend
    HOPELESS = "hopeless"


@dataclass(frozen=True, slots=True)
class Watched:
    """What the answer depends on.

    `found` is the newest pass, None when it cannot be told now; `opened_at` names the
    pass that is watched; `closed_since` is when that was first seen closed; `wanted`
    are the workers that count."""

    found: Totals | None
    opened_at: datetime | None
    assessments: Collection[Assessment]
    wanted: Collection[WorkerRecord]
    closed_since: datetime | None
    time_is_up: bool


def ending(seen: Watched, now: datetime, closing: timedelta) -> Ending:
    """What is to come; workers of a closed pass get the time `closing` to end by
    themselves."""
    health = [assessment.health for assessment in seen.assessments]
    living = any(state in RUNNING for state in health)
    if _is_closed(seen, health):
        waited = age(seen.closed_since or now, now)
        return Ending.CLOSING if living and waited < closing else Ending.CLOSED
    if seen.time_is_up and Health.WORKING not in health:
        return Ending.TIME_IS_UP
    if (
        seen.wanted
        and not living
        and all(record.exit_code in FOR_GOOD for record in seen.wanted)
    ):
        return Ending.HOPELESS
    another = (
        seen.found is not None
        and seen.found.closed_at is None
        and seen.found.opened_at != seen.opened_at
    )
    return Ending.NEWER_OPEN if another else Ending.GOES_ON


def _is_closed(seen: Watched, health: Collection[Health]) -> bool:
    """A rebuilt ledger may not know the pass any more: then it is over when every
    worker says so."""
    if seen.found is None or seen.found.closed_at is None:
        return False
    done = bool(health) and all(state is Health.FINISHED for state in health)
    return done or seen.found.opened_at == seen.opened_at
