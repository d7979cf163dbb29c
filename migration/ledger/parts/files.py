"""Part of the ledger: the ranges of a pass and the files in them, from claim to
outcome."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from common.clock import SteadyClock, utc_now
from migration.errors import Evidence
from migration.ledger.database import LedgerDatabase
from migration.ledger.parts.left_ranges import LeftRanges
from migration.ledger.records import LibraryView, Range, Registration, Stage
from migration.ledger.tables import binding, claims, passes, registration
from migration.model import (
    BookFile,
    BookId,
    Digest,
    FileId,
    Outcome,
    Receipt,
    UploadResult,
)
from migration.state_files import reservation
from migration.state_files.owner import Owner


class Files:
    """What a worker does with ranges and files; safe to use from several threads."""

    def __init__(
        self,
        database: LedgerDatabase,
        state_dir: Path,
        owner: Owner,
        clock: SteadyClock,
        is_alive: Callable[[str], bool],
        library: LibraryView,
    ) -> None:
        """`is_alive` tells of a process by its owner string, `library` what a range
        must hold."""
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
        """The next range for this worker: a dead or released one first, then a new one;
        None when there is none now.

        `last_id_after(after)` asks the library for the last id of the next range; it is
        called outside any transaction, so a library that is busy holds up nobody else.
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
            with self._database.transaction(durable=False) as db:
                claimed = passes.claim_new(db, pass_id, claimed_to, last, self._owner)
            if claimed is not None:
                return claimed

    def close_range(self, owned: Range) -> bool:
        """Closes a range whose files all have an outcome and whose books have no open
        step; else False.

        Every file the library listed for exactly this range must have been entered:
        whoever reads another range, or leaves books out, does not get it closed. Raises
        Superseded when the range is not this process's any more."""
        listed = self._library.listed(owned.first, owned.last)
        if listed is None:
            return False
        with self._database.transaction(durable=False) as db:
            return passes.close_range(
                db, owned, self._owner, utc_now().isoformat(), listed
            )

    def release_ranges(self) -> None:
        """Gives back the ranges of this process, unfinished, for others to take at
        once."""
        with self._database.transaction(durable=False) as db:
            db.execute(
                "UPDATE ranges SET owner = NULL WHERE owner = ? AND closed_at IS NULL",
                (self._owner,),
            )

    def register(
        self, owned: Range, files: Sequence[tuple[BookFile, str]]
    ) -> Registration:
        """Enters what the library returned for a range and settles at once what needs
        no work.

        Each file comes with the reason for which the user excluded it, or "". The same
        size and mtime as when it was settled make a file `duplicate` without opening
        it; a file that failed stays failed until it changes or `--retry-failed`.
        Calling it again for a range that was interrupted changes nothing that is
        settled. A range that is tried once more with a repaired script has one more
        attempt for files that stopped their workers."""
        with self._database.transaction(durable=False) as db:
            if binding.lacks(
                db, owned.first, owned.last, len({file.id.book_id for file, _ in files})
            ):
                binding.remember(db, self._library.origins(owned.first, owned.last))
            return registration.register(db, owned, files)

    def begin(self, file: FileId) -> None:
        """An attempt starts: written before the file is opened, so a file that kills
        its worker is found out.

        Raises StoppedItsWorker when that has happened three times.
        """
        with self._database.transaction(durable=False) as db:
            registration.start(db, file)

    def reach(self, file: FileId, stage: Stage) -> None:
        """The work on a file gets to a stage; written before anything is done there."""
        with self._database.transaction(durable=False) as db:
            registration.reach(db, file, stage)

    def give_back(self, file: FileId, *, counted: bool) -> int:
        """The attempt ended without an outcome; nothing died. Returns how many counted
        rounds the file has had.

        `counted` is True when the server failed on this file while it answers others.
        """
        with self._database.transaction(durable=False) as db:
            return registration.put_back(db, file, counted=counted)

    def account(self, pass_id: int, result: UploadResult) -> bool:
        """Records what became of a file; returns False when that is recorded already
        (then nothing changes).

        Raises ValueError when a failure's evidence speaks of something else than this
        file."""
        evidence = result.proof if isinstance(result.proof, Evidence) else None
        proof = None if isinstance(result.proof, Evidence) else result.proof
        source_id = proof.source_id if isinstance(proof, Receipt) else None
        with self._database.transaction(durable=False) as db:
            if evidence is not None:
                registration.check_evidence(db, result.file, evidence)
            settled = db.execute(
                "UPDATE files SET outcome = ?, reason = ?, message = ?, attempts = 0, rounds = 0,"
                " sha1 = COALESCE(?, sha1), source_id = COALESCE(?, source_id)"
                " WHERE book_id = ? AND format = ? AND outcome = 'pending' AND pass_id = ?",
                (
                    result.outcome,
                    result.reason,
                    result.message,
                    bytes.fromhex(proof.digest.sha1) if proof else None,
                    source_id,
                    result.file.book_id,
                    result.file.format,
                    pass_id,
                ),
            ).rowcount
            if proof:
                claims.add_hashes(db, [proof])
                claims.release(db, "hash", claims.hash_name(proof.digest))
            if not settled:
                return False
            passes.count(db, pass_id, 0, {result.outcome: 1, Outcome.PENDING: -1})
            if isinstance(proof, Receipt):
                db.execute(
                    "UPDATE passes SET bytes_uploaded = bytes_uploaded + ? WHERE id = ?",
                    (proof.digest.size, pass_id),
                )
                self._end_intention(db, result.file.book_id)
            if result.reason:
                passes.tally(db, pass_id, result.outcome, {result.reason: 1})
            return True

    def unlearn(self, file: FileId, digest: Digest) -> bool:
        """The server no longer has these bytes: the file is pending again. Returns
        False when it was not settled."""
        with self._database.transaction() as db:
            claims.forget_hash(db, digest)
            return passes.reopen_file(db, file, Outcome.UPLOADED, Outcome.DUPLICATE)

    def retry_failed(self) -> int:
        """Puts every failed file back to pending; returns how many. Ranges of an open
        pass are reopened for them."""
        with self._database.transaction() as db:
            return passes.reopen_failed(db)

    @staticmethod
    def _end_intention(db: sqlite3.Connection, book_id: BookId) -> None:
        db.execute(
            "UPDATE books SET intention = NULL, intended_at = NULL, upload_id = "
            "NULL, format = NULL, sha1 = NULL,"
            " size = NULL WHERE book_id = ?",
            (book_id,),
        )
