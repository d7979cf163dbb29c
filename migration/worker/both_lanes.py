"""The lanes of a worker's process: those of many books at a time, the API for the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migration.lanes.api.lane import ApiLane
from migration.lanes.api.transfer import Transport
from migration.lanes.lane import Lane, Work
from migration.lanes.left_out import LeftOut
from migration.worker import api_lane, direct_lane
from migration.worker.accounting import Accounting
from migration.worker.progress.lane_watch import LaneWatch
from migration.worker.resources import Resources
from migration.worker.threads.limits import RateLimiter, TimeLimit


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds the lanes up: books to compare, files to send, the time."""

    comparing: RateLimiter
    files: RateLimiter
    time: TimeLimit


@dataclass(frozen=True, slots=True)
class OneAfterTheOther:
    """The lanes that get the books first; each leaves to the next what it cannot."""

    lanes: tuple[Lane, ...]

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        for lane in self.lanes:
            works = lane.carry(works)
        return works


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lane through the API, those before it, and what they leave out.

    `close` ends what the others have begun.
    """

    api: ApiLane
    first: Lane
    left_out: LeftOut
    close: Callable[[], None]


def put_together(
    opened: Resources,
    transport: Transport,
    accounting: Accounting,
    limits: Limits,
    ends: Callable[[], bool],
    changed_script: str,
) -> Lanes:
    """Returns the lanes. `changed_script` is the hash of the worker's script, or "".

    `ends` says whether nothing new is to be begun.
    """
    context, api = api_lane.put_together(
        opened,
        transport,
        accounting.current,
        accounting,
        lambda: limits.comparing.wait(1),
    )
    watch = LaneWatch(
        opened.tracker,
        opened.pool,
        opened.log,
        opened.publish,
        opened.clock.seconds,
        accounting.arrived,
        opened.byte_limiter,
        limits.files,
        limits.time,
        opened.options.probe_seconds,
    )
    direct = direct_lane.put_together(opened, context, watch, changed_script)
    others = api_lane.first_of(opened, context, api, accounting, ends, changed_script)
    # What an earlier process left is settled first, whatever the lane is now.
    first = OneAfterTheOther((direct, others))
    return Lanes(api, first, context.left_out, direct.close)
