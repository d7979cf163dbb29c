"""Binds a worker to its ledger and lets it join a pass."""

from dataclasses import dataclass

from common.clock import utc_now
from migration.checks.adoption import adopt
from migration.checks.rebinding import rebind
from migration.errors import FalseClaim
from migration.ledger.current_pass import CurrentPass
from migration.ledger.scope import parse
from migration.model import Phase
from migration.worker import comparing, selecting, shelf_settings
from migration.worker.resources import Resources


def bind(opened: Resources) -> None:
    """Binds the ledger to this library, server and user; applies --retry-failed.

    Under --adopt-library a restored library is adopted first, under --rebind a new
    address of the server. From then on the library is read by the selection. Raises
    Transient, WrongLedger, AnotherSelection, NotInLibrary or
    LibraryBusy, and FalseClaim before the login.
    """
    if not opened.client.session.user_id:
        raise FalseClaim("the worker's script claims a login that never was")
    if opened.options.adopt_library:
        opened.log.info("%s", adopt(opened.ledger, opened.library))
    if opened.options.rebind:
        opened.log.info("%s", rebind(opened.ledger, opened.client, utc_now()))
    opened.ledger.identity.bind(
        library=opened.library.uuid,
        server=opened.client.session.server,
        user=opened.client.session.user_id,
    )
    if opened.options.undo is not None:
        return
    selecting.choose(opened)
    shelf_settings.check(opened)
    comparing.again(opened)
    if opened.options.retry_failed:
        library = opened.library
        chosen = library.selected.those_of if library.narrowed else None
        opened.log.info(
            "%d failed files are pending again",
            opened.ledger.files.retry_failed(chosen),
        )


@dataclass(frozen=True, slots=True)
class Joining:
    """Joins the open pass, or opens one unless this worker only joins."""

    opened: Resources
    current: CurrentPass

    def join(self, highest: int, listed: int) -> bool:
        """Joins, given the library's highest book id and number of files.

        Returns False when there is no pass to join. Raises Stopping.
        """
        opened = self.opened
        may_open = opened.ledger.rebuilt or not opened.options.join_only
        scope = selecting.scope_of(opened.library) if may_open else ""
        if not self.current.join(
            highest, may_open=may_open, listed=listed, scope=scope
        ):
            opened.log.info("No pass is open and this worker only joins: nothing to do")
            return False
        selecting.agree(opened, self.current.id)
        if kept := parse(opened.ledger.passes.scope(self.current.id)):
            opened.log.info("Pass %d has a %s", self.current.id, kept)
        elif opened.options.delete_removed:
            opened.ledger.undoing.ask_removal(self.current.id)
        self._let_requests_settle()
        opened.tracker.set(run_id=self.current.id, status=Phase.DISCOVERING)
        return True

    def _let_requests_settle(self) -> None:
        """Waits until requests from before a rebuilt ledger can no longer be running.

        The ledger was lost and knows nothing of them.
        """
        opened = self.opened
        seconds = (opened.ledger.settles_at() - opened.clock()).total_seconds()
        if seconds > 0:
            opened.log.info(
                "The ledger was rebuilt; what was under way may end first, "
                "within %.0f s",
                seconds,
            )
            opened.tracker.set(status=Phase.WAITING)
            opened.pool.rest(seconds, opened.publish)
