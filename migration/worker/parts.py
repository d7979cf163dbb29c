"""The parts that move one worker's books, built on the resources of its process."""

from dataclasses import dataclass

from migration.lanes.api.lane import ApiLane
from migration.ledger.current_pass import CurrentPass
from migration.worker import api_lane, checking
from migration.worker.accounting import Accounting
from migration.worker.conclusion import Conclusion
from migration.worker.failing import FailureStreak
from migration.worker.joining import Joining
from migration.worker.range_books import RangeBooks
from migration.worker.resources import Resources
from migration.worker.threads.limits import Hold, RateLimiter, TimeLimit


@dataclass(frozen=True, slots=True)
class Parts:
    """What the policy decides about; each part is complete when it is made."""

    resources: Resources
    current: CurrentPass
    joining: Joining
    streak: FailureStreak
    accounting: Accounting
    api: ApiLane
    range_books: RangeBooks
    spot_check: checking.SpotCheck
    last_look: checking.LastLook
    conclusion: Conclusion
    hold: Hold
    time_limit: TimeLimit
    file_limiter: RateLimiter


def put_together(opened: Resources) -> Parts:
    """Builds the parts of a worker with these resources."""
    options, ledger, clock, log = (
        opened.options,
        opened.ledger,
        opened.clock,
        opened.log,
    )
    library, pool = opened.library, opened.pool
    current, streak = CurrentPass(ledger), FailureStreak()
    accounting = Accounting(ledger, opened.tracker, current, log, streak)
    pool.queue.on_done = accounting.dropped
    time_limit = TimeLimit(options.max_duration, clock, pool.sleep)
    comparing = RateLimiter(
        options.compare_per_min / 60, 1.0, clock.seconds, time_limit.pause
    )
    context, api = api_lane.put_together(
        opened, current, accounting.account, lambda: comparing.wait(1)
    )
    return Parts(
        opened,
        current,
        Joining(opened, current),
        streak,
        accounting,
        api,
        RangeBooks(
            library,
            ledger,
            context.left_out,
            options.default_language,
            ratings=options.ratings == "on",
        ),
        checking.spot_check(opened),
        checking.last_look(opened),
        Conclusion(ledger, opened.tracker, current, log, accounting.left_pending),
        Hold(clock.seconds),
        time_limit,
        RateLimiter(
            options.max_files_per_min / 60, 1.0, clock.seconds, time_limit.pause
        ),
    )
