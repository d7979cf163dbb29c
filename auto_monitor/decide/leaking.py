"""Whether a worker's memory, or its open files, grow until there are no more.

Pure. Growth alone is none: a worker that has just started grows, and one with larger
files grows to a larger size and stays there. A leak is near the limit and, as it grows,
will reach it: growth that slows down comes to an end, which can be foreseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from auto_monitor.model import age
from auto_monitor.usage import Leak, Resource, Usage

#: The looks that are compared: three parts of as many each.
PART = 4
LOOKS = 3 * PART
#: The share of its limit from which growth is a leak, ...
HIGH = 0.85
#: ... and below which one that was seen is over.
LOW = 0.7
#: Growth by less than this share of the limit is none.
LEAST = 0.01
#: A growth that has slowed down to less than this part is on its way to an end.
STEADY = 0.5
#: With at least this share in use the kernel may have killed the process for it.
NEAR_THE_LIMIT = 0.9


@dataclass(frozen=True, slots=True)
class _Growth:
    """The least that was in use in each third of the looks."""

    first: int
    second: int
    third: int

    def is_steady(self, limit: int) -> bool:
        early, late = self._parts()
        return early > 0 and late >= early * STEADY and early + late >= limit * LEAST

    def reaches(self, limit: int) -> bool:
        """Whether it comes to the limit if it goes on slowing down as it does."""
        early, late = self._parts()
        if late >= early:
            return True
        return self.third + late * late / (early - late) >= limit

    def _parts(self) -> tuple[int, int]:
        return self.second - self.first, self.third - self.second


def leak(
    usages: Sequence[Usage], resource: Resource, before: Leak | None
) -> Leak | None:
    """Returns what is leaking; None for nothing. `usages` are oldest first.

    `before` is what this returned the last time: what was seen ends only well below the
    limit.
    """
    last = usages[-1].of(resource) if usages else None
    if last is None:
        return None
    used, limit = last
    if before is not None and used >= limit * LOW:
        return Leak(resource, before.since, used, limit, before.per_minute)
    growth = _growth(usages, resource) if used >= limit * HIGH else None
    if growth is None or not growth.is_steady(limit) or not growth.reaches(limit):
        return None
    return Leak(
        resource, usages[-1].at, used, limit, _per_minute(usages[-LOOKS:], resource)
    )


def grows(usages: Sequence[Usage], resource: Resource) -> bool | None:
    """Whether it has grown steadily in the last looks, however much there is.

    None while there were too few; what cannot be read does not grow.
    """
    if not usages:
        return None
    last, growth = usages[-1].of(resource), _growth(usages, resource)
    if last is None:
        return False
    return None if growth is None else growth.is_steady(last[1])


def _growth(usages: Sequence[Usage], resource: Resource) -> _Growth | None:
    looks = [usage.of(resource) for usage in usages[-LOOKS:]]
    known = [one for one in looks if one is not None]
    if len(known) < LOOKS:
        return None
    parts = (known[:PART], known[PART:-PART], known[-PART:])
    return _Growth(*(min(used for used, _limit in part) for part in parts))


def _per_minute(usages: Sequence[Usage], resource: Resource) -> int:
    first, last = usages[0].of(resource), usages[-1].of(resource)
    span = age(usages[0].at, usages[-1].at)
    if first is None or last is None or not span:
        return 0
    return round((last[0] - first[0]) / (span / timedelta(minutes=1)))


def was_killed_for_memory(
    exit_code: int | None, last: Usage | None, kills_now: int | None
) -> bool:
    """Whether the kernel ended the process for want of memory.

    `last` is what it used when it was last seen alive, `kills_now` how often the kernel
    has done so by now, where that is counted. Nobody knows the status of a process that
    is no child of the monitor.
    """
    if exit_code not in (None, -9, 137) or last is None:
        return False
    if last.kills is not None and kills_now is not None:
        return kills_now > last.kills
    memory = last.of(Resource.MEMORY)
    return (
        exit_code is not None
        and memory is not None
        and memory[0] >= memory[1] * NEAR_THE_LIMIT
    )
