"""The heavy part of a file's way: its bytes are read, hashed, sent, and their metadata
read by the server.

A port with two implementations that pass one contract suite: `LocalCarrier` works in
the calling thread, and `cluster.DaskCarrier` lets the machines of a Dask cluster do it.
Whatever must happen once (ebook, attaching, title) and every proof of success stays
with the process that owns the ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from migration.calibre.library import CalibreLibrary
from migration.errors import FileChanged
from migration.evidence import about
from migration.lanes.api.file_stream import FileStream, digest_of
from migration.ledger.records import Stage
from migration.model import BookFile, Digest, EbookMetadata, RemoteMatch, UploadId
from migration.server.client import BookshelfClient

#: Up to so many bytes a file is hashed once more while it is sent, which costs less
#: than a further request.
HASHED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class TransferObserver:
    """Who wants to know how a file fares: `reach` its stages, `moved` bytes;
    `heed_stop` may raise to end it."""

    reach: Callable[[Stage], None]
    moved: Callable[[int], None]
    heed_stop: Callable[[], None]


class Transport(Protocol):
    """Does the heavy part of a file's way. Safe to use from several threads."""

    def open(self) -> None:
        """Gets ready, before the first file. Raises Fatal."""

    def close(self) -> None:
        """Lets go of everything, within seconds."""

    def hands(self) -> int:
        """How many books are worth being worked on at the same time, as of now."""

    def trouble(self) -> str:
        """Why nothing can be carried at all now, as a sentence, or ""."""

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        """SHA-1 and size of the file's bytes, as they are now. Raises Rejected,
        Transient, MachineLost."""

    def carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
        """Sends the file and lets the server read its metadata, with Calibre's
        proposed; its upload on the server.

        Returns a RemoteMatch when the server has these bytes. Raises FileChanged when
        they are not those of `digest`, and Rejected, Transient, MachineLost. May be
        repeated: an upload that is never attached harms nobody."""


class LocalTransport:
    """In this process, in the calling thread."""

    def __init__(
        self, library: CalibreLibrary, client: BookshelfClient, hands: int
    ) -> None:
        self._library = library
        self._client = client
        self._hands = hands

    def open(self) -> None:
        """Is always ready."""

    def close(self) -> None:
        """Holds nothing."""

    def hands(self) -> int:
        """As many as the user asked for."""
        return self._hands

    def trouble(self) -> str:
        """There is none of its own."""
        return ""

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        """As the protocol says."""
        watch.reach(Stage.HASH)
        with about(file.id), self._library.open_file(file.path) as opened:
            return digest_of(opened, watch.heed_stop)

    def carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
        """As the protocol says."""
        watch.reach(Stage.UPLOAD)
        with about(file.id), self._library.open_file(file.path) as opened:
            return transmit(self._client, opened, file, digest, metadata, watch)


def transmit(
    client: BookshelfClient,
    opened: BinaryIO,
    file: BookFile,
    digest: Digest,
    metadata: EbookMetadata,
    watch: TransferObserver,
) -> UploadId | RemoteMatch:
    """Streams the file, a small one hashed on the way: what leaves must be what was
    identified.

    Of a large one the server's own hash tells that, before anything is attached.
    """
    outgoing = FileStream(
        opened, digest.size, watch.moved, hashed=digest.size <= HASHED_BYTES
    )
    uploaded: str | RemoteMatch | None = client.upload(
        outgoing, digest, extension_of(file)
    )
    sent = outgoing.sent()
    if isinstance(uploaded, RemoteMatch) and sent is None:
        # It has what was sent; whether that is what was identified only this question
        # tells.
        uploaded = client.check(digest, extension_of(file))
    if isinstance(uploaded, RemoteMatch) and sent in (None, digest):
        return uploaded
    if not isinstance(uploaded, str) or sent not in (None, digest):
        raise FileChanged(f"{file.id} was rewritten while it was being sent")
    watch.reach(Stage.METADATA)
    return client.extract(uploaded, metadata)


def extension_of(file: BookFile) -> str:
    """The lower-case extension under which the server knows a format."""
    return file.id.format.lower()
