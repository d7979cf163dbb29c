"""The files part of the ledger: ranges and their files, from claim to outcome."""

from collections.abc import Callable, Sequence, Set
from pathlib import Path

from common.clock import SteadyClock, utc_now
from migration.errors import Evidence, FalseClaim
from migration.ledger.database import LedgerDatabase
from migration.ledger.parts.left_ranges import LeftRanges
from migration.ledger.records import (
    LibraryView,
    Range,
    Registration,
    Stage,
)
from migration.ledger.tables import binding, claims, passes, registration
from migration.model import (
    BookFile,
    BookId,
    Digest,
    FileId,
    Known,
    Outcome,
    Receipt,
    UploadResult,
)
from migration.state_files import reservation
from migration.state_files.owner import Owner


class Files:
    """A worker's operations on ranges and files, safe to use from several threads."""

    def __init__(
        self,
        database: LedgerDatabase,
        state_dir: Path,
        owner: Owner,
        clock: SteadyClock,
        is_alive: Callable[[str], bool],
        library: LibraryView,
    ) -> None:
        """`is_alive` says whether the process with an owner string is alive.

        `library` has what a range must contain.
        """
        self._database = database
        self._state_dir = state_dir
        self._owner = str(owner)
        self._worker_id = owner.worker_id
        self._clock = clock
        self._is_alive = is_alive
        self._library = library
        #: Ranges that this process leaves to others.
        self.left = LeftRanges(database, self._owner, is_alive)

    def claim_range(
        self, pass_id: int, last_id_after: Callable[[int], int | None]
    ) -> Range | None:
        """Claims the next range, preferably a dead or released one.

        Returns None if there is none. `last_id_after(after)` asks the library for the
        last id of the next range; it is called outside any transaction, so that a busy
        library does not block other workers.
        """
        while True:
            kept = reservation.read(self._state_dir, self._clock)
            books = (
                kept.books
                if kept is not None and kept.pass_id == pass_id
                else frozenset[BookId]()
            )
            mine = kept is not None and kept.worker_id == self._worker_id
            with self._database.transaction(durable=False) as db:
                left = self.left.firsts(pass_id)
                taken = passes.take_over(
                    db, pass_id, self._owner, self._is_alive, books, mine, left
                )
                claimed_to, highest_id = passes.claimed_to(db, pass_id)
                if taken is None and claimed_to >= highest_id:
                    passes.close_when_done(db, pass_id, utc_now().isoformat())
                    return None
            if taken is not None:
                return taken
            last = min(last_id_after(claimed_to) or highest_id, highest_id)
            if last <= claimed_to:
                raise FalseClaim(
                    f"the worker's script claims a range from book {claimed_to + 1} to "
                    f"{last}, which has no books"
                )
            with self._database.transaction(durable=False) as db:
                claimed = passes.claim_new(db, pass_id, claimed_to, last, self._owner)
            if claimed is not None:
                return claimed

    def close_range(self, owned: Range) -> bool:
        """Closes a range if its files all have an outcome and its books no open step.

        Every file that the library listed for exactly this range must have been
        registered: reading another range, or leaving books out, does not close it.
        Raises Superseded when the range no longer belongs to this process.
        """
        listed = self._library.listed(owned.first, owned.last)
        if listed is None:
            return False
        with self._database.transaction(durable=False) as db:
            return passes.close_range(
                db, owned, self._owner, utc_now().isoformat(), listed
            )

    def release_ranges(self) -> None:
        """Releases this process's unfinished ranges for others to take at once."""
        with self._database.transaction(durable=False) as db:
            db.execute(
                "UPDATE ranges SET owner = NULL WHERE owner = ? AND closed_at IS NULL",
                (self._owner,),
            )

    def register(
        self, owned: Range, files: Sequence[tuple[BookFile, str]]
    ) -> Registration:
        """Registers what the library returned for a range.

        Settles at once what needs no work. Each file comes with the reason for which
        the user excluded it, or "". A file of the same size and mtime as when it was
        settled is a `duplicate` without being opened; one that failed stays failed
        until it changes or --retry-failed is given. Registering an interrupted range
        again changes nothing that is settled. A range that is tried once more with a
        repaired script has one more attempt for files that stopped their workers.
        """
        with self._database.transaction(durable=False) as db:
            books = len({file.id.book_id for file, _ in files})
            # A selection's books may be as many as those kept, and yet others.
            if passes.scope(db, owned.pass_id) or binding.lacks(
                db, owned.first, owned.last, books
            ):
                binding.remember(db, self._library.origins(owned.first, owned.last))
            return registration.register(db, owned, files)

    def begin(self, file: FileId) -> None:
        """Records that an attempt starts, before the file is opened.

        A file that kills its worker is found that way: raises StoppedItsWorker when
        that has happened three times.
        """
        with self._database.transaction(durable=False) as db:
            registration.start(db, file)

    def reach(self, file: FileId, stage: Stage) -> None:
        """Records that a file reaches a stage, before anything is done there."""
        with self._database.transaction(durable=False) as db:
            registration.reach(db, file, stage)

    def give_back(self, file: FileId, *, counted: bool) -> int:
        """Records that an attempt ended without an outcome.

        Returns the file's counted rounds. `counted` is True when the server failed on
        this file while it accepted others.
        """
        with self._database.transaction(durable=False) as db:
            return registration.put_back(db, file, counted=counted)

    def account(self, pass_id: int, result: UploadResult) -> bool:
        """Records the outcome of a file.

        Returns False, changing nothing, if it has one already. Raises ValueError when a
        failure's evidence is not about this file, FalseClaim when the bytes of a
        duplicate are not this file's, Deferred when the server is no longer known to
        have them: the file is tried again.
        """
        evidence = result.proof if isinstance(result.proof, Evidence) else None
        proof = None if isinstance(result.proof, Evidence) else result.proof
        with self._database.transaction(durable=False) as db:
            if evidence is not None:
                registration.check_evidence(db, result.file, evidence)
            if isinstance(proof, Known):
                registration.check_known(db, result.file, proof)
            settled = registration.account(db, pass_id, result, proof)
            if proof:
                if isinstance(proof, Receipt):
                    claims.add_hashes(db, [proof])
                claims.release(db, "hash", claims.hash_name(proof.digest))
            if not settled:
                return False
            passes.count(db, pass_id, 0, {result.outcome: 1, Outcome.PENDING: -1})
            if isinstance(proof, Receipt):
                registration.received(db, pass_id, result.file, proof)
            if result.reason:
                passes.tally(db, pass_id, result.outcome, {result.reason: 1})
            return True

    def unlearn(self, file: FileId, digest: Digest) -> bool:
        """Makes a file pending whose bytes the server has lost.

        Returns False if it was not settled.
        """
        with self._database.transaction() as db:
            claims.forget_hash(db, digest)
            return passes.reopen_file(db, file, Outcome.UPLOADED, Outcome.DUPLICATE)

    def retry_failed(
        self, chosen: Callable[[Sequence[BookId]], Set[BookId]] | None = None
    ) -> int:
        """Makes every failed file pending again; returns how many.

        Only those of books that are `chosen`, which is asked outside any transaction.
        Ranges of an open pass are reopened for them.
        """
        if chosen is None:
            with self._database.transaction() as db:
                return passes.reopen_failed(db)
        again, after = 0, BookId(0)
        while True:
            with self._database.reading() as db:
                files = passes.failed_after(db, after)
            if not files:
                return again
            books = list(dict.fromkeys(file.book_id for file in files))
            after, wanted = books[-1], chosen(books)
            with self._database.transaction() as db:
                again += sum(
                    passes.reopen_file(db, file, Outcome.FAILED)
                    for file in files
                    if file.book_id in wanted
                )
