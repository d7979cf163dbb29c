"""Sending as the script does it: the very files that were read, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from migration.errors import Evidence, Rejected
from migration.lanes.api.lane import ApiLane
from migration.lanes.api.transfer import TransferObserver
from migration.lanes.lane import Lane, Work
from migration.ledger.records import Taken
from migration.model import BookFile, Digest, UploadResult
from migration.worker.checked.observed import Observed, claims


@dataclass(frozen=True, slots=True)
class CheckedLane:
    """The lane through the API, behind those that carry many books at a time."""

    _lane: ApiLane
    _observed: Observed
    _first: Lane

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        """Carries as many books of one range as it can; returns the others."""
        for work in works:
            self._observed.check_work(work)
        return self._first.carry(works)

    def reconcile(self, work: Work) -> None:
        """Finds out what became of a request whose answer was lost."""
        self._observed.check_work(work)
        self._lane.reconcile(work)

    def send(
        self,
        work: Work,
        file: BookFile,
        digest: Digest,
        taken: Taken,
        watch: TransferObserver,
        *,
        all_hashes_known: bool,
    ) -> UploadResult:
        """Takes a file through the protocol and remembers what became of it."""
        self._observed.check_work(work)
        self._observed.check_file(file)
        seen = self._observed.check_begun(file)
        if (
            seen.read is not file
            or seen.digest != digest
            or file.id.book_id != work.book.id
        ):
            raise claims(f"other bytes of {file.id} than those that were read")
        if seen.taken is not taken:
            raise claims(f"another answer of the ledger about {file.id}")
        try:
            result = self._lane.send(
                work, file, digest, taken, watch, all_hashes_known=all_hashes_known
            )
        except Rejected as error:
            self._observed.failed(file, error)
            raise
        if not isinstance(result.proof, Evidence):
            seen.proof = result.proof
        return result

    def finish_book(self, work: Work) -> None:
        """Closes a book: true title, cover, rating, a record of what is not carried."""
        self._observed.check_work(work)
        self._lane.finish_book(work)
