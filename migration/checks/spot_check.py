"""Whether the server still has its files: a few questions at each start.

A restored backup, or a new database at the old address, loses files that the ledger
calls settled. Without these questions no later pass would ever send them again. If one
file is missing, the server is asked about every settled file.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from migration.errors import Rejected
from migration.ledger.ledger import Ledger
from migration.ledger.parts.doubts import Settled
from migration.ledger.records import Range
from migration.model import FileId
from migration.server.client import BookshelfClient

#: Settled files that are asked about before a pass.
SAMPLE = 20
#: Missing files are recorded in blocks of this many.
BLOCK = 100


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """Asks the server about settled files.

    `heed_stop` may raise; `moved` is called with each file after the answer about it.
    """

    client: BookshelfClient
    ledger: Ledger
    log: logging.Logger
    heed_stop: Callable[[], None]
    moved: Callable[[FileId], None]

    def begin(self, pass_id: int) -> None:
        """Asks about a few files, unless this pass already knows of lost files.

        Every process asks at its start, since the server may lose its database in the
        middle of a pass. Raises Transient.
        """
        doubts = self.ledger.doubts
        if doubts.verdict(pass_id):
            return
        sample = doubts.sample(SAMPLE)
        missing = [
            file for file, digest in sample if not self._is_there((file, digest))
        ]
        doubts.record(pass_id, lost=bool(missing))
        if missing:
            self.log.warning(
                "The server has lost files: of %d it had, %d are gone, such as %s. "
                "Was it restored from a backup, or "
                "is it a new one? In this pass it is asked about every settled file, "
                "and what is gone is sent again",
                len(sample),
                len(missing),
                missing[0],
            )

    def ask_range(self, owned: Range) -> None:
        """Asks a server that has lost files about every settled file of a range.

        Missing ones become pending again. An interrupted check resumes where it
        stopped. Raises Transient.
        """
        doubts, pass_id = self.ledger.doubts, owned.pass_id
        if not doubts.verdict(pass_id):
            return
        lost: list[Settled] = []
        try:
            for settled in doubts.believed(pass_id, owned.first, owned.last):
                self.heed_stop()
                if not self._is_there(settled):
                    lost.append(settled)
                self.moved(settled[0])
                if len(lost) >= BLOCK:
                    doubts.forget(pass_id, lost)
                    lost = []
        finally:
            if lost:
                doubts.forget(pass_id, lost)

    def _is_there(self, settled: Settled) -> bool:
        """Whether the server has the file.

        Only its own answer that it does not know the bytes proves that they are gone.
        """
        file, digest = settled
        try:
            match = self.client.check(digest, file.format.lower())
        except Rejected:
            return True
        if match is not None:
            self.ledger.hashes.learn([match])
        return match is not None
