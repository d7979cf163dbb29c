"""Binds a worker to its ledger and lets it join a pass."""

import hashlib
from dataclasses import dataclass

from migration.checks.adoption import adopt
from migration.ledger.current_pass import CurrentPass
from migration.ledger.scope import parse
from migration.metadata.compare import Prefer
from migration.model import Phase
from migration.server import postgresql
from migration.worker import selecting, shelf_settings
from migration.worker.resources import Resources


def bind(opened: Resources) -> None:
    """Binds the ledger to this library, server and user; applies --retry-failed.

    Under --adopt-library a restored library is adopted first. From then on the library
    is read by the selection. Raises WrongLedger, AnotherSelection, NotInLibrary or
    LibraryBusy.
    """
    if opened.options.adopt_library:
        opened.log.info("%s", adopt(opened.ledger, opened.library))
    opened.ledger.identity.bind(
        library=opened.library.uuid,
        server=opened.client.session.server,
        user=opened.client.session.user_id,
    )
    selecting.choose(opened)
    shelf_settings.check(opened)
    _compare_again(opened)
    if opened.options.retry_failed:
        library = opened.library
        chosen = library.selected.those_of if library.narrowed else None
        opened.log.info(
            "%d failed files are pending again",
            opened.ledger.files.retry_failed(chosen),
        )


def _compare_again(opened: Resources) -> None:
    """Has books compared once more that this run carries otherwise than the last.

    They are compared with what was carried; the server is only asked about those that
    differ.
    """
    options, ledger = opened.options, opened.ledger
    vocabulary = opened.client.known_vocabulary
    shaping = (
        sorted(vocabulary.languages.items()),
        sorted(vocabulary.genres.items()),
        options.default_language,
        options.ratings,
        shelf_settings.choice_of(options),
        opened.client.session.is_superuser(),
        postgresql.synonyms_known(ledger),
    )
    digest = hashlib.sha1(repr(shaping).encode(), usedforsecurity=False).hexdigest()
    if ledger.carried.carry_with(digest):
        opened.log.info(
            "The server's languages or genres, or the settings of what is carried, "
            "have changed: every book is compared with what was sent"
        )
    if options.prefer == Prefer.CALIBRE:
        ledger.carried.reopen_conflicts()


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
