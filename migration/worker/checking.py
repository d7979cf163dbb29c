"""A worker's checks of the server, with its settings: at the start and at the end."""

from collections.abc import Callable
from functools import partial

from common.settings.setting import part
from common.settings.worker import Waits
from migration.audit.messages import Order
from migration.checks.audit import PassAudit
from migration.checks.last_look import LastLook as LastLook
from migration.checks.removed import RemovedBooks
from migration.checks.spot_check import SpotCheck as SpotCheck
from migration.errors import LibraryBusy
from migration.model import BookId
from migration.server import postgresql
from migration.worker.options import Options
from migration.worker.resources import Resources


def spot_check(opened: Resources) -> SpotCheck:
    """Returns the check at the start."""
    return SpotCheck(
        opened.client,
        opened.ledger,
        opened.log,
        opened.pool.heed_stop,
        lambda file: opened.tracker.reach(("asked", file), (0, 0)),
    )


def last_look(opened: Resources) -> LastLook:
    """Returns the last look, which has the pass audited."""
    return LastLook(
        opened.client,
        opened.ledger,
        opened.library,
        opened.log,
        opened.pool.sleep,
        _audit(opened),
        _delete_removed(opened),
        lambda look, page: opened.tracker.reach(("listed", look), (0, page)),
        partial(postgresql.marked, opened.options.db_uri),
    )


def _delete_removed(opened: Resources) -> Callable[[int], None]:
    """Returns what deletes the books that have left Calibre, if that is asked for."""
    if not opened.options.delete_removed:
        return lambda _pass_id: None
    return RemovedBooks(
        opened.client,
        opened.ledger,
        opened.library,
        opened.log,
        opened.pool.sleep,
        opened.options.max_delete,
        lambda file: opened.tracker.reach(("removed", file), (0, 0)),
    ).delete


def _audit(opened: Resources) -> PassAudit:
    return PassAudit(
        opened.ledger.end,
        order_of(opened.options),
        opened.log,
        opened.pool.heed_stop,
        lambda look, tried, book: opened.tracker.reach(
            ("audited", look, tried), (0, book)
        ),
        # Nobody takes it for a worker that waits for nothing.
        lambda why: opened.tracker.failed_with(LibraryBusy(why)),
    )


def order_of(options: Options, books: tuple[BookId, ...] | None = None) -> Order:
    """Returns the order to audit these books, or what the pass has changed."""
    return Order(
        options.library.expanduser().resolve(),
        options.state_dir.resolve(),
        options.server,
        options.ws_url,
        options.username,
        options.password,
        options.db_uri,
        options.audit,
        options.default_language,
        options.formats,
        options.sees_ratings,
        part(Waits, options),
        books,
    )
