"""The transport with a memory: which bytes each file has, and why one cannot be read."""

from dataclasses import dataclass

from migration.errors import MachineLost, Rejected
from migration.lanes.api.transfer import TransferObserver, Transport
from migration.model import BookFile, Digest, EbookMetadata, RemoteMatch, UploadId
from migration.worker.checked.observed import Observed


@dataclass(frozen=True, slots=True)
class RememberedTransport:
    """A transport; both the script and the lane use it."""

    _transport: Transport
    _observed: Observed

    def open(self) -> None:
        self._transport.open()

    def close(self) -> None:
        self._transport.close()

    def hands(self) -> int:
        return self._transport.hands()

    def trouble(self) -> str:
        return self._transport.trouble()

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        """Returns SHA-1 and size of a file of Calibre's, in an attempt on it."""
        self._observed.check_file(file)
        seen = self._observed.check_begun(file)
        seen.read = seen.digest = None
        try:
            digest = self._transport.identify(file, watch)
        except (Rejected, MachineLost) as error:
            self._observed.failed(file, error)
            raise
        seen.read, seen.digest = file, digest
        return digest

    def carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
        try:
            return self._transport.carry(file, digest, metadata, watch)
        except MachineLost as error:
            self._observed.failed(file, error)
            raise
