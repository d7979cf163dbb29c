"""Both lanes of a worker's process: the direct one, and the API's for the rest."""

from dataclasses import dataclass

from migration.lanes.api.lane import ApiLane
from migration.lanes.api.transfer import Transport
from migration.lanes.direct.lane import DirectLane
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
class Lanes:
    """Both lanes, and what they leave out."""

    api: ApiLane
    direct: DirectLane
    left_out: LeftOut


def put_together(
    opened: Resources,
    transport: Transport,
    accounting: Accounting,
    limits: Limits,
    changed_script: str,
) -> Lanes:
    """Returns the lanes. `changed_script` is the hash of the worker's script, or ""."""
    context, api = api_lane.put_together(
        opened,
        transport,
        accounting.current,
        accounting.account,
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
    return Lanes(api, direct, context.left_out)
