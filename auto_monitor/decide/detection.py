"""Whether a worker is stuck, stopped or finished.

Pure: it takes a snapshot and the time, and returns a verdict.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from auto_monitor.model import (
    Assessment,
    Cause,
    Health,
    WorkerSnapshot,
    age,
)
from auto_monitor.usage import Leak, Resource
from migration.model import Phase

#: Exit statuses that mean that the worker's part is done: nothing failed, something
#: failed, or there is a difference on the server, which a restart would find again and
#: not correct.
DONE = frozenset({0, 1, 8})
#: Exit statuses that a restart cannot cure: usage, library, state directory, worker id
#: taken.
FOR_GOOD = frozenset({2, 4, 5, 7})
#: The exit status of a worker whose own code failed.
CRASHED = 70
#: The exit status of a worker that could not log in or reach the server.
NO_SERVER = 3
#: The exit status of a worker that has left files pending.
PENDING = 6
#: This many files in a row that fail for no reason are a case at once.
MOST_FRUITLESS = 20
#: The shortest time after which a wait is for nothing: what workers wait for is said
#: once a minute.
SHORTEST_WAIT = timedelta(minutes=2)

_FRUITLESS = "file after file fails, and not by the server"
_MEANINGS = {
    2: "wrong usage or configuration, or the state directory belongs to another library or server",
    3: "the server did not answer at its start, or refused the login",
    4: "the library cannot be read",
    5: "the state directory cannot be written",
    6: "it ended with files pending, which its log names",
    7: "this worker id was already running",
    9: "the ledger was damaged or gone; the next start sets it aside and rebuilds it",
    70: "an internal error",
}


@dataclass(frozen=True, slots=True)
class DetectionPolicy:
    """How long a worker may stand still: after it has settled a file, and before.

    `settling` is how long all workers may have to wait in silence, by their settings.
    """

    stuck: timedelta
    discovery: timedelta
    settling: timedelta = timedelta()

    @property
    def waiting(self) -> timedelta:
        """How long all workers may wait without anything that shows what for."""
        return max(self.stuck, self.settling, SHORTEST_WAIT)


def assess(seen: WorkerSnapshot, now: datetime, policy: DetectionPolicy) -> Assessment:
    """Returns the verdict on one worker."""
    if not seen.alive:
        failing = is_all_failing(seen, now, policy)
        return _left_failing(seen) if failing else _gone(seen)
    if seen.leak is not None:
        return _leaking(seen, seen.leak)
    if is_all_failing(seen, now, policy):
        return _all_failing(seen, now)
    since, limit, cause, what = _standstill(seen, policy)
    still = age(since, now)
    if still < limit:
        return Assessment(
            seen.worker_id,
            Health.WORKING,
            min(since, now),
            f"last progress {in_words(still)} ago",
        )
    loop = (
        f", reading {seen.repeated_range} again and again"
        if seen.repeated_range
        else ""
    )
    return Assessment(
        seen.worker_id,
        Health.STUCK,
        since,
        f"{what} for {in_words(still)}{loop}",
        cause=cause,
        what=what,
    )


def _leaking(seen: WorkerSnapshot, found: Leak) -> Assessment:
    memory = found.resource is Resource.MEMORY
    what = "its memory grows without end" if memory else "it opens ever more files"
    used, limit, pace = (
        _mb(number) if memory else str(number)
        for number in (found.used, found.limit, found.per_minute)
    )
    return Assessment(
        seen.worker_id,
        Health.STUCK,
        found.since,
        f"{what}: {used} of {limit}, {pace} more a minute",
        cause=Cause.LEAK_OF_MEMORY if memory else Cause.LEAK_OF_FILES,
        what=what,
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _all_failing(seen: WorkerSnapshot, now: datetime) -> Assessment:
    since, what = seen.all_failing_since or now, "every file has failed"
    reason = f"{what} for {in_words(age(since, now))}, although the server answers"
    if seen.fruitless >= MOST_FRUITLESS:
        what = _FRUITLESS
        reason = f"{what}: {seen.fruitless} in a row"
    return Assessment(
        seen.worker_id,
        Health.STUCK,
        since,
        reason,
        all_failing=True,
        cause=Cause.ALL_FAILING,
        what=what,
    )


def _left_failing(seen: WorkerSnapshot) -> Assessment:
    """The trouble of `_all_failing`, of a worker that has given up by itself."""
    return Assessment(
        seen.worker_id,
        Health.STOPPED,
        seen.beat_seen_at,
        f"{_FRUITLESS}: {seen.fruitless} in a row, then it ended with files pending",
        cause=Cause.ALL_FAILING,
        what=_FRUITLESS,
    )


def _standstill(
    seen: WorkerSnapshot, policy: DetectionPolicy
) -> tuple[datetime, timedelta, Cause, str]:
    """Returns since when nothing moved, the time allowed, and the fault's name."""
    if seen.phase is Phase.WAITING:
        # It waits for the server or for the other workers: that is fine as long as its
        # main thread is alive.
        return (
            seen.beat_seen_at,
            policy.stuck,
            Cause.NO_SIGN_OF_LIFE,
            "no sign of life while waiting",
        )
    if seen.settled:
        cause = Cause.SAME_RANGE_AGAIN if seen.repeated_range else Cause.NO_PROGRESS
        return seen.progress_seen_at, policy.stuck, cause, "no progress"
    doing = "starting" if seen.phase is None else seen.phase.value
    cause = (
        Cause.SAME_RANGE_AGAIN if seen.repeated_range else Cause.NO_PROGRESS_AT_START
    )
    return seen.progress_seen_at, policy.discovery, cause, f"no progress while {doing}"


def is_all_failing(
    seen: WorkerSnapshot, now: datetime, policy: DetectionPolicy
) -> bool:
    """Whether every file has failed for so long that the server should be checked.

    At once when nothing says why they fail; then the worker may have left meanwhile.
    """
    if seen.fruitless >= MOST_FRUITLESS:
        return seen.alive or seen.exit_code == PENDING
    since = seen.all_failing_since
    return seen.alive and since is not None and age(since, now) >= policy.discovery


def _gone(seen: WorkerSnapshot) -> Assessment:
    since = seen.beat_seen_at
    # Python's own status for an uncaught exception is 1 as well: then the worker has
    # not said that it is done.
    crashed = seen.exit_code == 1 and seen.phase is not Phase.COMPLETED
    if (seen.exit_code in DONE and not crashed) or (
        seen.exit_code is None and seen.phase is Phase.COMPLETED
    ):
        return Assessment(
            seen.worker_id, Health.FINISHED, since, "it has done its part"
        )
    if seen.exit_code in FOR_GOOD:
        said = f"it ended with {seen.exit_code}: {_MEANINGS[seen.exit_code]}"
        return Assessment(
            seen.worker_id,
            Health.ENDED,
            since,
            said,
            cause=Cause.EXIT_STATUS,
            what=said,
        )
    why = explain_exit(CRASHED if crashed else seen.exit_code)
    if seen.exit_code == CRASHED and seen.last_words:
        # "An internal error" names nothing; running out of memory or of open files has
        # a name.
        why = f"it ended with {CRASHED}: {seen.last_words}"
    elif seen.killed_for_memory:
        why = "the kernel ended it because there was no memory left"
    elif seen.exit_code is None and seen.last_words:
        why = f"its process ended: {seen.last_words}"
    return Assessment(
        seen.worker_id,
        Health.STOPPED,
        since,
        why,
        crashed=crashed or seen.exit_code == CRASHED or seen.killed_for_memory,
        away=_found_no_server(seen),
        cause=_cause_of(seen),
        what=why,
    )


#: What a worker that failed for want of something calls it.
_SHORTAGES = {
    "OutOfMemory": Cause.OUT_OF_MEMORY,
    "TooManyOpenFiles": Cause.OUT_OF_FILES,
    "RecursionTooDeep": Cause.ENDLESS_RECURSION,
}


def _cause_of(seen: WorkerSnapshot) -> Cause:
    """Classifies an ending: above 128 the worker has saved after a signal."""
    exit_code = seen.exit_code
    if seen.killed_for_memory:
        return Cause.OUT_OF_MEMORY
    if exit_code in (None, CRASHED) and seen.error_class in _SHORTAGES:
        return _SHORTAGES[seen.error_class]
    if exit_code is None:
        return Cause.VANISHED
    return Cause.SIGNAL if exit_code < 0 or exit_code > 128 else Cause.EXIT_STATUS


def _found_no_server(seen: WorkerSnapshot) -> bool:
    """Whether the server did not answer at the worker's start.

    A worker whose login was refused has the same exit status.
    """
    if seen.exit_code == NO_SERVER:
        return seen.error_class != "LoginRefused"
    return seen.exit_code is None and seen.error_class == "ServerNeverAnswered"


def explain_exit(code: int | None) -> str:
    """Describes an exit status.

    None means that the process vanished without a parent.
    """
    if code is None:
        return "its process vanished"
    if code < 0:
        return f"it was ended by signal {-code}"
    if code > 128:
        return f"it was stopped by signal {code - 128} after saving"
    return f"it ended with {code}: {_MEANINGS.get(code, 'an unknown status')}"


def in_words(span: timedelta) -> str:
    """Formats a duration: seconds below two minutes, minutes from there on."""
    seconds = span.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
