"""Accounting as the script asks for it: an outcome counts only as it was seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from migration.errors import Evidence, MissingFile, Rejected, Transient
from migration.lanes.lane import Work
from migration.metadata.sendable import refuse_unsendable
from migration.model import BookFile, BookId, Outcome, UploadResult
from migration.worker.accounting import Accounting
from migration.worker.checked.observed import FileSeen, Observed, claims
from migration.worker.failing import Next

#: A file is missing when it was looked for this often at the same place, with Calibre
#: asked in between.
LOOKS = 2


@dataclass(frozen=True, slots=True)
class CheckedAccounting:
    """Settles files, gives them back, or leaves them pending.

    `most_bytes` is the most that the server accepts.
    """

    _accounting: Accounting
    _observed: Observed
    _most_bytes: int

    @property
    def left_pending(self) -> Mapping[BookId, str]:
        """What this run does not try again, described in words, by book."""
        return MappingProxyType(self._accounting.left_pending)

    def account(self, work: Work, file: BookFile, result: UploadResult) -> None:
        """Records the outcome of a file, as it was seen in its last attempt."""
        self._observed.check_work(work)
        self._observed.check_file(file)
        seen = self._observed.of(file.id)
        if result.file != file.id:
            raise claims(f"the outcome of {result.file} for {file.id}")
        if not self._is_seen(file, seen, result):
            raise claims(f"that {file.id} is {result.outcome}, which nobody has seen")
        self._accounting.account(work, file, result)

    def _is_seen(self, file: BookFile, seen: FileSeen, result: UploadResult) -> bool:
        match result.outcome:
            case Outcome.UPLOADED | Outcome.DUPLICATE:
                return result.proof is seen.proof
            case Outcome.FAILED if isinstance(result.proof, Evidence):
                if result.proof.reason == MissingFile.reason:
                    looked = seen.missing_at == file.path and seen.missing >= LOOKS
                    return looked and result.proof is seen.evidence
                return result.proof in (seen.evidence, self._refusal(file))
        return False

    def _refusal(self, file: BookFile) -> Evidence | None:
        """Returns why the server cannot accept a file, by its size and format."""
        try:
            refuse_unsendable(file, self._most_bytes)
        except Rejected as error:
            return error.evidence
        return None

    def give_back(self, work: Work, *, counted: bool) -> int:
        """Makes the file that was begun pending again and releases the book."""
        begun = work.begun
        rounds = self._accounting.give_back(work, counted=counted)
        if begun is not None:
            self._observed.end(begun)
        return rounds

    def failed(self, work: Work, error: Transient) -> Next:
        """Counts a server failure on a book; what failed too often stays pending."""
        begun = work.begun
        after = self._accounting.failed(work, error)
        if begun is not None:
            self._observed.end(begun)
        return after
