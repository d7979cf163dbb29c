"""The lane through the server's API: one book after the other, file by file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from migration.errors import ResponseLost, ServerFault
from migration.lanes.api.adopting import Adopter
from migration.lanes.api.closing import Closer
from migration.lanes.api.finishing import Finisher
from migration.lanes.api.publishing import Publisher
from migration.lanes.api.reconciling import Reconciler
from migration.lanes.api.transfer import TransferObserver, Transport, extension_of
from migration.lanes.context import Context
from migration.lanes.lane import Work
from migration.ledger.records import Stage, Taken
from migration.model import (
    BookFile,
    BookId,
    Digest,
    Outcome,
    RemoteMatch,
    UploadId,
    UploadResult,
)
from migration.server.client import BookshelfClient


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Limits and rules of the API lane.

    `reconcile_after`: how long a request whose answer was lost may still run on the
    server. `ask_first_bytes`: a file of at most this many bytes is sent without asking
    first, since the upload itself asks. The rest are those of `updating.UpdateRules`.
    """

    reconcile_after: timedelta
    ask_first_bytes: int
    prefer: str
    ratings: bool
    throttle: Callable[[], None]


class ApiLane:
    """Sends books through the API. Thread-safe."""

    def __init__(
        self,
        given: Context,
        client: BookshelfClient,
        transport: Transport,
        limits: ApiLimits,
        db_uri: str,
        finished: Callable[[BookId], None] = lambda _book: None,
    ) -> None:
        """`db_uri` is the server's database, or ""; `finished` is told each book."""
        ledger, current, log = given.ledger, given.current, given.log
        self._client = client
        self._transport = transport
        self._current = current
        self._limits = limits
        self._finished = finished
        self._hashes = ledger.hashes
        self._reconciler = Reconciler(
            client,
            ledger,
            current,
            given.clock,
            limits.reconcile_after,
            given.account,
        )
        self._publisher = Publisher(
            client, ledger, current, given.clock, log, self._reconciler
        )
        self._adopter = Adopter(client, ledger, current, log)
        closer = Closer(
            given, client, limits.prefer, limits.throttle, ratings=limits.ratings
        )
        self._finisher = Finisher(
            client, ledger, current, closer, given.left_out, log, db_uri
        )
        #: Whether the file last sent or asked about was on the server already.
        self._last_was_there = False

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        """Returns all books: the API takes one at a time, which the uploaders do."""
        return works

    def reconcile(self, work: Work) -> None:
        """Finds out what became of a request whose answer was lost.

        Raises Deferred or Transient.
        """
        self._reconciler.reconcile(work)

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
        """Takes a file through the protocol: check, upload, metadata, ebook, attach.

        The ledger does not know the file yet. `all_hashes_known` means that the ledger
        knows everything the server has. Raises Rejected, Transient or Deferred.
        """
        self._reconciler.check_nothing_in_flight(work)
        extension = extension_of(file)
        watch.reach(Stage.CHECK)
        ask = self._must_ask(digest, taken, all_hashes_known=all_hashes_known)
        match = self._client.check(digest, extension) if ask else None
        carried = match or self._carry(work, file, digest, watch)
        self._last_was_there = isinstance(carried, RemoteMatch)
        if isinstance(carried, RemoteMatch):
            self._adopter.adopt(work, digest, extension)
            return UploadResult(
                file.id, Outcome.DUPLICATE, self._hashes.learn_one(carried)
            )
        extracted = self._client.extracted(carried)
        if extracted.digest != digest:
            raise ServerFault(
                f"the server received other bytes: {extracted.digest.sha1} instead of {digest.sha1}"
            )
        watch.reach(Stage.EBOOK)
        ebook_id = self._publisher.ensure_ebook(work, {**extracted.ids, **taken.ids})
        watch.reach(Stage.ATTACH)
        return self._publisher.attach(work, file, ebook_id, extracted)

    def finish_book(self, work: Work) -> None:
        """Closes a book: true title, cover, rating, a record of what is not carried.

        Repeatable.
        """
        self._finisher.finish_book(work)
        self._finished(work.book.id)

    def _carry(
        self, work: Work, file: BookFile, digest: Digest, watch: TransferObserver
    ) -> UploadId | RemoteMatch:
        """Sends the bytes and lets the server read their metadata.

        If the task's answer is lost, an upload may stay behind; it is counted.
        """
        try:
            return self._transport.carry(file, digest, work.metadata, watch)
        except ResponseLost:
            self._current.count_orphan()
            raise

    def _must_ask(
        self, digest: Digest, taken: Taken, *, all_hashes_known: bool
    ) -> bool:
        """Whether to ask the server about the bytes before sending them.

        There is no need when everything it has is known. A small file is cheaper to
        send than to ask about, since the upload asks the same question; but if the last
        file was on the server already, the next one may well be too.
        """
        if not taken.fresh or self._current.rebuilt:
            return True
        if all_hashes_known:
            return False
        return digest.size > self._limits.ask_first_bytes or self._last_was_there
