"""Whether all workers wait, and there is nothing they could be waiting for. Pure.

A worker may wait for as long as it has to: for the server, for Calibre, for others. But
when every worker waits, and none has said for long what has failed, they wait for each
other. One that turns from waiting to work and back without getting on waits, too.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from auto_monitor.decide.detection import DetectionPolicy, in_words
from auto_monitor.model import (
    Assessment,
    Cause,
    Health,
    WorkerSnapshot,
    age,
)


def all_wait(
    snapshots: Mapping[int, WorkerSnapshot],
    assessments: Mapping[int, Assessment],
    now: datetime,
    policy: DetectionPolicy,
) -> dict[int, Assessment]:
    """Returns new verdicts on workers that wait for nothing; empty if none does.

    Whether the server is away is asked by the one who looks.
    """
    living = {number: seen for number, seen in snapshots.items() if seen.alive}
    quiet = [seen.quiet_since for seen in living.values()]
    since = max((one for one in quiet if one is not None), default=None)
    if since is None or age(since, now) < policy.waiting:
        return {}
    well = all(
        seen.quiet_since is not None and assessments[number].health is Health.WORKING
        for number, seen in living.items()
    )
    if not well:
        return {}
    what = "it waits, as every worker does, for nothing"
    still = in_words(age(since, now))
    return {
        number: replace(
            assessments[number],
            health=Health.STUCK,
            since=since,
            reason=f"{what} for {still}, although the server answers",
            cause=Cause.ALL_WAITING,
            what=what,
        )
        for number in living
    }
