"""The parts that move one worker's books, built on the resources of its process."""

from collections.abc import Callable
from dataclasses import dataclass

from migration.ledger.current_pass import CurrentPass
from migration.worker import both_lanes
from migration.worker.accounting import Accounting
from migration.worker.checked import parts as checked_parts
from migration.worker.checked.accounting import CheckedAccounting
from migration.worker.checked.lane import CheckedLane
from migration.worker.checked.observed import Observed
from migration.worker.checked.parts import CheckedParts, CheckedPass
from migration.worker.checked.transport import RememberedTransport
from migration.worker.conclusion import Conclusion, ScriptConclusion, Stops
from migration.worker.failing import FailureStreak
from migration.worker.resources import Resources, ScriptResources
from migration.worker.threads.limits import Hold, RateLimiter, TimeLimit


@dataclass(frozen=True, slots=True)
class Parts:
    """What the policy decides about; each part is complete when it is made.

    The script is given `resources` for what it may use freely: options, log, threads,
    progress. Whatever proves something it holds as a checked part.
    """

    resources: ScriptResources
    checked: CheckedParts
    current: CheckedPass
    streak: FailureStreak
    accounting: CheckedAccounting
    api: CheckedLane
    transport: RememberedTransport
    conclusion: ScriptConclusion
    hold: Hold
    time_limit: TimeLimit
    file_limiter: RateLimiter


@dataclass(frozen=True, slots=True)
class Built:
    """A worker: `parts` for its script, the rest for the program itself."""

    opened: Resources
    parts: Parts
    conclusion: Conclusion
    #: Ends the process of the direct lane.
    close: Callable[[], None]


def put_together(opened: Resources, changed_script: str) -> Built:
    """Builds the parts of a worker with these resources.

    `changed_script` is the hash of the script it runs, "" for the released one.
    """
    options, ledger, clock, log = (
        opened.options,
        opened.ledger,
        opened.clock,
        opened.log,
    )
    observed, pool = Observed(), opened.pool
    current, streak = CurrentPass(ledger, changed_script), FailureStreak()
    accounting = Accounting(ledger, opened.tracker, current, log, streak, observed.done)
    pool.queue.on_done = accounting.dropped
    time_limit = TimeLimit(options.max_duration, clock, pool.sleep)
    comparing = RateLimiter(
        options.compare_per_min / 60, 1.0, clock.seconds, time_limit.pause
    )
    transport = RememberedTransport(opened.transport, observed)
    file_limiter = RateLimiter(
        options.max_files_per_min / 60, 1.0, clock.seconds, time_limit.pause
    )
    lanes = both_lanes.put_together(
        opened,
        transport,
        accounting,
        both_lanes.Limits(comparing, file_limiter, time_limit),
        lambda: pool.stopping or time_limit.is_up(),
        changed_script,
    )
    checked = checked_parts.put_together(opened, observed, current, lanes.left_out)
    stops = Stops(options.limit, time_limit, observed)
    conclusion = Conclusion(ledger, current, log, accounting.left_pending, stops)
    parts = Parts(
        opened.for_script(),
        checked,
        CheckedPass(current),
        streak,
        CheckedAccounting(accounting, observed, options.max_content_length),
        CheckedLane(lanes.api, observed, lanes.first),
        transport,
        ScriptConclusion(conclusion),
        Hold(clock.seconds),
        time_limit,
        file_limiter,
    )
    return Built(opened, parts, conclusion, lanes.close)
