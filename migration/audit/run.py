"""One audit from its order to its last book; whatever it has to say it tells."""

import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from common.sanitize import for_log
from migration.audit import sampling
from migration.audit.auditor import Auditor
from migration.audit.findings import KINDS
from migration.audit.library_side import LibrarySide
from migration.audit.messages import ALIVE_SECONDS, Alive, Begun, Order, Tell, Waiting
from migration.audit.server_side import server_of
from migration.calibre.library import CalibreLibrary
from migration.errors import LibraryBusy
from migration.ledger import changed
from migration.model import BookId
from migration.state_files.names import LEDGER_NAME

#: Seconds between two tries to open a library that Calibre has locked.
LOCKED_SECONDS = 2.0


def audit(order: Order, tell: Tell) -> None:
    """Reads back what the order names. Raises MigrationError."""
    chosen = _chosen(order, tell)
    if not chosen:
        return
    server = server_of(order, tell)
    with closing(server), closing(_library(order, tell)) as library:
        auditor = Auditor(
            LibrarySide(library, partial(_wait, tell), _SignsOfLife(tell)),
            server,
            order.state_dir / LEDGER_NAME,
            server.vocabulary(),
            order.default_language,
            order.formats,
            order.ratings,
            tell,
        )
        auditor.read_back(chosen)


def _chosen(order: Order, tell: Tell) -> Sequence[BookId]:
    if order.books is not None:
        tell(Begun(len(order.books), len(order.books)))
        return order.books
    ledger = order.state_dir / LEDGER_NAME
    found = (
        changed.everything(ledger, KINDS)
        if order.audit == sampling.EVERYTHING
        else changed.choose(ledger, KINDS, partial(sampling.size, order.audit))
    )
    tell(Begun(found.total, len(found.chosen)))
    return found.chosen


def _wait(tell: Tell, why: str, seconds: float) -> None:
    tell(Waiting(for_log(why)))
    time.sleep(seconds)


def _library(order: Order, tell: Tell) -> CalibreLibrary:
    """Opens the library, waiting while Calibre has it locked."""
    while True:
        try:
            return CalibreLibrary(
                order.library,
                order.state_dir / "migration_library_copy",
                busy_timeout_seconds=order.waits.library_busy_seconds,
            )
        except LibraryBusy as error:
            _wait(tell, str(error), LOCKED_SECONDS)


class _SignsOfLife:
    """Tells now and then that a file is being read."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._told >= ALIVE_SECONDS:
            self._told = time.monotonic()
            self._tell(Alive())
