"""What every lane is made with."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from migration.calibre.library import CalibreLibrary
from migration.lanes.lane import Account
from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Context:
    """The collaborators that all lanes share.

    `clock` is the steady clock, `account` accounts for one file.
    """

    library: CalibreLibrary
    ledger: Ledger
    current: CurrentPass
    left_out: LeftOut
    clock: Callable[[], datetime]
    log: logging.Logger
    account: Account

    @classmethod
    def of(
        cls,
        library: CalibreLibrary,
        ledger: Ledger,
        current: CurrentPass,
        state_dir: Path,
        clock: Callable[[], datetime],
        log: logging.Logger,
        account: Account,
    ) -> "Context":
        """Makes the context; what is left out is kept in `state_dir`."""
        left_out = LeftOut(ledger.notebook, current, state_dir, log)
        return cls(library, ledger, current, left_out, clock, log, account)
