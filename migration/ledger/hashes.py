"""The hashes the server is known to have, as a set."""

from migration.ledger.ledger import Ledger
from migration.model import Digest


class ExistingHashes:
    """What the server is known to have, as a set that lives on disk and is shared by
    all workers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, Digest) and self._ledger.knows(digest)

    def __len__(self) -> int:
        return self._ledger.hash_count()
