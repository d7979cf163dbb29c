"""What every lane is made with."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from migration.calibre.library import CalibreLibrary
from migration.lanes.api.shelving import Shelver
from migration.lanes.lane import Account
from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Context:
    """The collaborators that all lanes share.

    `clock` is the steady clock, `account` accounts for one file, `shelver` puts books
    on shelves.
    """

    library: CalibreLibrary
    ledger: Ledger
    current: CurrentPass
    left_out: LeftOut
    clock: Callable[[], datetime]
    log: logging.Logger
    account: Account
    shelver: Shelver
