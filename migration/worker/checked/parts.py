"""Puts the checked parts together, over the parts behind them."""

from dataclasses import dataclass

from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.worker import checking
from migration.worker.checked.ledger import (
    CheckedEnd,
    CheckedFiles,
    CheckedHashes,
    CheckedLedger,
    CheckedPasses,
)
from migration.worker.checked.library import CheckedLibrary, CheckedRangeBooks
from migration.worker.checked.observed import Observed
from migration.worker.checked.ranges import Ranges
from migration.worker.checked.server import (
    CheckedClient,
    CheckedJoining,
    CheckedLastLook,
    CheckedSpotCheck,
)
from migration.worker.joining import Joining
from migration.worker.range_books import RangeBooks
from migration.worker.resources import Resources


@dataclass(frozen=True, slots=True)
class CheckedPass:
    """The pass that this process takes part in; who joins it is `CheckedJoining`."""

    _current: CurrentPass

    @property
    def id(self) -> int:
        """The id of the pass; 0 before it is joined."""
        return self._current.id

    def count_orphan(self) -> None:
        """Counts an upload that is never attached."""
        self._current.count_orphan()


@dataclass(frozen=True, slots=True)
class CheckedParts:
    """What the script holds of library, ledger and server."""

    library: CheckedLibrary
    ledger: CheckedLedger
    client: CheckedClient
    joining: CheckedJoining
    range_books: CheckedRangeBooks
    spot_check: CheckedSpotCheck
    last_look: CheckedLastLook


def put_together(
    opened: Resources,
    observed: Observed,
    current: CurrentPass,
    left_out: LeftOut,
) -> CheckedParts:
    """Builds what the script holds."""
    options, ledger, client = opened.options, opened.ledger, opened.client
    ranges = Ranges()
    library = CheckedLibrary(opened.library, observed)
    files = CheckedFiles(
        ledger, library, observed, ranges, options.formats, bool(options.limit)
    )
    end = CheckedEnd(ledger)
    range_books = RangeBooks(
        opened.library,
        ledger,
        left_out,
        options.default_language,
        ratings=options.ratings == "on",
    )
    return CheckedParts(
        library,
        CheckedLedger(
            files,
            CheckedHashes(ledger, observed),
            end,
            CheckedPasses(ledger),
            ledger,
            options.db_uri,
        ),
        CheckedClient(client),
        CheckedJoining(Joining(opened, current), library),
        CheckedRangeBooks(
            range_books, observed, ranges, lambda: client.known_vocabulary
        ),
        CheckedSpotCheck(checking.spot_check(opened), current, ranges),
        CheckedLastLook(checking.last_look(opened), current, end),
    )
