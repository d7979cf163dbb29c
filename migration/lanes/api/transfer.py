"""The heavy work on a file: read, hash, send, and have the server read its metadata.

A port with two implementations that pass one contract suite: `LocalTransport` works in
the calling thread, and `migration.cluster` uses the machines of a Dask cluster.
Whatever must happen exactly once (ebook, attaching, title) and every proof of success
stays with the process that owns the ledger.
"""

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

#: A file of at most this many bytes is hashed again while it is sent, which costs less
#: than a further request.
HASHED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class TransferObserver:
    """Callbacks that follow a file: `reach` its stages, `moved` bytes to the server.

    `heed_stop` may raise to end the work; `hashed` is told the bytes read before.
    """

    reach: Callable[[Stage], None]
    moved: Callable[[int], None]
    heed_stop: Callable[[], None]
    hashed: Callable[[int], None] = lambda _count: None


class Transport(Protocol):
    """Does the heavy work on a file. Thread-safe."""

    def open(self) -> None:
        """Gets ready before the first file. Raises Fatal."""

    def close(self) -> None:
        """Releases everything, within seconds."""

    def hands(self) -> int:
        """Returns how many books are worth working on at the same time, as of now."""

    def trouble(self) -> str:
        """Returns a sentence saying why nothing can be sent now, or ""."""

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        """Returns SHA-1 and size of the file as it is now.

        Raises Rejected, Transient or MachineLost.
        """

    def carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
        """Sends the file and has the server read its metadata; returns the upload.

        Calibre's metadata is proposed to the server. Returns a RemoteMatch when the
        server has these bytes. Raises FileChanged when they do not match `digest`, and
        Rejected, Transient or MachineLost. May be repeated: an upload that is never
        attached does no harm.
        """


class LocalTransport:
    """Does the work in this process, in the calling thread."""

    def __init__(
        self, library: CalibreLibrary, client: BookshelfClient, hands: int
    ) -> None:
        self._library = library
        self._client = client
        self._hands = hands

    def open(self) -> None: ...

    def close(self) -> None: ...

    def hands(self) -> int:
        """Returns as many as the user asked for."""
        return self._hands

    def trouble(self) -> str:
        """Returns "": it has no trouble of its own."""
        return ""

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        watch.reach(Stage.HASH)
        with about(file.id), self._library.open_file(file.path) as opened:
            return digest_of(opened, watch.heed_stop, watch.hashed)

    def carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
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
    """Streams the file; what leaves must be what was identified.

    A small file is hashed on the way. For a large one the server's own hash is compared
    before anything is attached.
    """
    outgoing = FileStream(
        opened, digest.size, watch.moved, hashed=digest.size <= HASHED_BYTES
    )
    uploaded: str | RemoteMatch | None = client.upload(
        outgoing, digest, extension_of(file)
    )
    sent = outgoing.sent()
    if isinstance(uploaded, RemoteMatch) and sent is None:
        # The server has what was sent; only this question tells whether that is what
        # was identified.
        uploaded = client.check(digest, extension_of(file))
    if isinstance(uploaded, RemoteMatch) and sent in (None, digest):
        return uploaded
    if not isinstance(uploaded, str) or sent not in (None, digest):
        raise FileChanged(f"{file.id} was rewritten while it was being sent")
    watch.reach(Stage.METADATA)
    return client.extract(uploaded, metadata)


def extension_of(file: BookFile) -> str:
    """Returns the lower-case extension under which the server knows the format."""
    return file.id.format.lower()
