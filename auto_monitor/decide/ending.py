"""Whether there is anything left to watch. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from auto_monitor.decide.detection import FOR_GOOD
from auto_monitor.model import Assessment, Health, WorkerRecord, age
from migration.ledger.totals import Totals, equation

#: The states of a worker that could still do something.
RUNNING = (Health.WORKING, Health.STUCK)


class Ending(StrEnum):
    """The state of the pass after a check."""

    GOES_ON = "goes_on"
    NEWER_OPEN = "newer_open"  #: a new pass was opened and is monitored from now on
    CLOSING = "closing"  #: closed; its workers have some time to exit by themselves
    CLOSED = "closed"
    TIME_IS_UP = "time_is_up"  #: for the whole migration, and no worker runs
    #: every worker ended with a status that a restart cannot cure
    HOPELESS = "hopeless"
    #: every worker has done as many files as it was to do (--limit)
    LIMIT = "limit"


class Ended(StrEnum):
    """The last word of a monitor that has ended, as `monitor_state.json` has it."""

    NOT = ""
    DONE = "completed"
    STOPPED = "stopped"
    HOPELESS = "failed"
    TIME_IS_UP = "out of time"
    LIMIT = "limit reached"

    @classmethod
    def known(cls, text: str) -> "Ended":
        """Returns the word; NOT for one of another version."""
        return next((word for word in cls if word == text), cls.NOT)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the answer depends on.

    `found` is the newest pass, None when it is not known now; `opened_at` identifies
    the pass that is watched; `closed_since` is when it was first seen closed; `wanted`
    are the workers that count.
    """

    found: Totals | None
    opened_at: datetime | None
    assessments: Collection[Assessment]
    wanted: Collection[WorkerRecord]
    closed_since: datetime | None
    time_is_up: bool


def ending(seen: Watched, now: datetime, closing: timedelta) -> Ending:
    """Decides how to go on.

    `closing` is the time for workers of a closed pass to end.
    """
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
    if _is_limited(seen, health):
        return Ending.LIMIT
    another = (
        seen.found is not None
        and seen.found.closed_at is None
        and seen.found.opened_at != seen.opened_at
    )
    return Ending.NEWER_OPEN if another else Ending.GOES_ON


def _is_closed(seen: Watched, health: Collection[Health]) -> bool:
    """Whether the watched pass is closed.

    A rebuilt ledger may no longer know the pass: then it is over when every worker says
    so.
    """
    if seen.found is None or seen.found.closed_at is None:
        return False
    done = bool(health) and all(state is Health.FINISHED for state in health)
    return done or seen.found.opened_at == seen.opened_at


def _is_limited(seen: Watched, health: Collection[Health]) -> bool:
    """Whether every worker has done its part although the watched pass is open.

    A worker without --limit ends like that only when the pass is closed.
    """
    is_open = (
        seen.found is not None
        and seen.found.closed_at is None
        and seen.found.opened_at == seen.opened_at
    )
    all_started = all(record.identity is not None for record in seen.wanted)
    done = bool(health) and all(state is Health.FINISHED for state in health)
    return is_open and bool(seen.wanted) and all_started and done


def sentence(found: Totals, script: str, *, proved: bool) -> str:
    """Returns how a pass has ended; `script` says that the workers' one was changed."""
    failed = "".join(
        f"; {count} {reason}" for reason, count in sorted(found.failed.items())
    )
    changed = f". {script}" if script else ""
    return f"{equation(found, proved=proved)}{failed}{changed}"
