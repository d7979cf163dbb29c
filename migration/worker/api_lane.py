"""The lanes of a worker, built on the resources of its process."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from migration.lanes.api.lane import ApiLane, ApiLimits
from migration.lanes.api.shelving import Shelver
from migration.lanes.api.transfer import Transport
from migration.lanes.context import Context
from migration.lanes.lane import Lane
from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.server.bookshelves import Bookshelves
from migration.worker import embedded_lane, shelf_settings
from migration.worker.accounting import Accounting
from migration.worker.resources import Resources


def put_together(
    opened: Resources,
    transport: Transport,
    current: CurrentPass,
    accounting: Accounting,
    throttle: Callable[[], None],
) -> tuple[Context, ApiLane]:
    """Returns what all lanes share, and the lane through the API.

    `throttle` is called before a book is compared of which nothing is recorded.
    """
    options, ledger, log = opened.options, opened.ledger, opened.log
    shelver = Shelver(
        Bookshelves(opened.client.session),
        ledger,
        shelf_settings.choice_of(options),
        partial(shelf_settings.column_names, opened.library),
        log,
    )
    context = Context(
        opened.library,
        ledger,
        current,
        LeftOut(ledger.notebook, current, options.state_dir, log),
        opened.clock,
        log,
        accounting.account,
        shelver,
    )
    limits = ApiLimits(
        timedelta(seconds=options.reconcile_after_seconds),
        options.ask_first_bytes,
        options.prefer,
        options.sees_ratings,
        throttle,
    )
    lane = ApiLane(
        context,
        opened.client,
        transport,
        limits,
        options.db_uri,
        lambda book: opened.tracker.reach(("book", book), (0, 0)),
    )
    return context, lane


def first_of(
    opened: Resources,
    context: Context,
    api: ApiLane,
    accounting: Accounting,
    ends: Callable[[], bool],
    changed_script: str,
) -> Lane:
    """Returns the lane that gets the books first; it leaves to the API what it cannot.

    `ends` says whether nothing new is to be begun.
    """
    if changed_script:
        # What is to be seen of a repaired script is how it sends each book.
        return api
    return embedded_lane.put_together(opened, context, api, accounting, ends)
