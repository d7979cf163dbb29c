"""The ledger: every file of the library and what became of it, shared by all workers of
one machine.

`STATE_DIR/migration_ledger.db`, SQLite in WAL mode. It is bound to one Calibre library
and one server. It alone makes `Known`, closes ranges and passes, and keeps the equation

    discovered = uploaded + duplicate + skipped + failed + pending

in the same transactions as the rows it counts.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from common.clock import SteadyClock, utc_now
from migration.errors import Evidence
from migration.ledger import binding
from migration.ledger.database import LedgerDatabase
from migration.ledger.library_view import LibraryView, NoLibrary
from migration.ledger.tables import books, claims, passes, registration
from migration.ledger.tables.doubts import Doubts
from migration.ledger.tables.left_ranges import LeftRanges
from migration.ledger.tables.notebook import Notebook
from migration.ledger.tables.pass_end import PassEnd
from migration.ledger.tables.passes import Range
from migration.ledger.tables.registration import Registration, Stage
from migration.model import (
    BookFile,
    BookId,
    Digest,
    FileId,
    Known,
    Origin,
    Outcome,
    Receipt,
    RemoteMatch,
    UploadResult,
)
from migration.state_files import reservation
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME
from migration.state_files.owner import Owner, is_alive


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes and names are claimed. `ids` are the server's ids of the names it is known
    to have.

    `fresh` is False when a claim was taken over from a dead worker, so the server must
    be asked about the bytes."""

    fresh: bool
    ids: Mapping[tuple[str, str], int]


class Ledger:
    """All the ledger can do for one worker process; safe to use from its threads."""

    def __init__(
        self,
        state_dir: Path,
        owner: Owner,
        clock: SteadyClock,
        settle: timedelta = timedelta(seconds=40),
        *,
        library: LibraryView | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Opens or makes the ledger. `settle` is how long a dead worker's last request
        may still run on the server.

        `library` tells what a range must hold before it is closed; without one nothing
        must. `on_wait` is called every few seconds while another process holds the
        ledger up.

        `clock` measures; what is shown to people (when a pass was opened) comes from
        the wall clock."""
        self._database = LedgerDatabase(state_dir / LEDGER_NAME, on_wait)
        self._state_dir = state_dir
        self._owner = str(owner)
        self._worker_id = owner.worker_id
        self._library = library or NoLibrary()
        self._clock = clock
        self._settle = settle
        #: Ranges that this process leaves to others.
        self.left = LeftRanges(self._database, self._owner, self._is_alive)
        #: What is left out although nothing fails.
        self.notebook = Notebook(self._database)
        #: What is left to do when every range of a pass is closed.
        self.end = PassEnd(self._database, self._owner, clock, self._is_alive)
        #: What is believed of the server, and asked anew when it has lost files.
        self.doubts = Doubts(self._database)

    # -- whose ledger, which pass ------------------------------------------------------

    def bind(self, *, library: str, server: str, user: str) -> None:
        """Ties a new ledger to a library (uuid), a server (URL) and a user (id). Raises
        WrongLedger for any other."""
        wanted = {"library": library, "server": server, "user": user}
        with self._database.transaction() as db:
            binding.bind(db, self._database.path, wanted)

    @property
    def library(self) -> str:
        """The uuid of the library it belongs to; "" for a new ledger."""
        with self._database.reading() as db:
            return binding.library(db)

    @property
    def first_library(self) -> str:
        """The uuid the library had when the ledger was begun; the working titles bear
        its mark."""
        with self._database.reading() as db:
            return binding.first_library(db)

    def known_books(self, first: int, last: int) -> dict[BookId, binding.Remembered]:
        """By what the books of a range that it has files of are known again."""
        with self._database.reading() as db:
            return binding.known(db, first, last)

    def adopt(self, library: str, renewed: Mapping[BookId, Origin]) -> None:
        """Belongs to that library (uuid) from now on; only `adoption` calls this, with
        its proof."""
        with self._database.transaction() as db:
            binding.adopt(db, library, renewed)

    def join_pass(
        self, highest_id: int, *, may_open: bool, listed: int | None = None
    ) -> int | None:
        """The open pass; a new one up to `highest_id` when none is open and this worker
        may open it; else None.

        `listed` is how many files the library has: the total of the pass, recorded
        once."""
        with self._database.transaction() as db:
            joined = passes.open_pass(db)
            if joined is None:
                if not may_open:
                    return None
                registration.forget_beyond(db, highest_id)
                return passes.begin(db, highest_id, self._now(), listed)
            passes.count_late(db, joined, listed)
            return joined

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._database.path

    def is_closed(self, pass_id: int) -> bool:
        """Has every range of the pass been closed?"""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT closed_at FROM passes WHERE id = ?", (pass_id,)
            ).fetchone()
        return row is None or row[0] is not None

    def remaining_ids(self, pass_id: int) -> int:
        """How many book ids of the pass nobody has claimed yet; gaps in the numbering
        count."""
        with self._database.reading() as db:
            claimed_to, highest_id = passes.claimed_to(db, pass_id)
        return max(0, highest_id - claimed_to)

    # -- ranges ------------------------------------------------------------------------

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
                    passes.close_when_done(db, pass_id, self._now())
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
            return passes.close_range(db, owned, self._owner, self._now(), listed)

    def release_ranges(self) -> None:
        """Gives back the ranges of this process, unfinished, for others to take at
        once."""
        with self._database.transaction(durable=False) as db:
            db.execute(
                "UPDATE ranges SET owner = NULL WHERE owner = ? AND closed_at IS NULL",
                (self._owner,),
            )

    # -- files -------------------------------------------------------------------------

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

    def take(
        self, file: FileId, digest: Digest, names: Iterable[tuple[str, str]]
    ) -> Known | Taken:
        """Claims bytes, and names the server does not have yet, all or nothing, for one
        book.

        Returns Known when the server has the bytes already. Raises PutAside while
        others have them in flight."""
        with self._database.transaction(durable=False) as db:
            db.execute(
                "UPDATE files SET sha1 = ? WHERE book_id = ? AND format = ?",
                (bytes.fromhex(digest.sha1), file.book_id, file.format),
            )
            if claims.is_known(db, digest):
                return Known(digest)
            fresh = self._claim(db, "hash", claims.hash_name(digest), file.book_id)
            ids = {}
            for kind, name in sorted(set(names)):
                known = claims.name_id(db, kind, name)
                if known is None:
                    self._claim(db, kind, name, file.book_id)
                else:
                    ids[kind, name] = known
            return Taken(fresh, ids)

    def _claim(
        self, db: sqlite3.Connection, kind: str, name: str, book_id: BookId
    ) -> bool:
        return claims.claim(
            db,
            kind,
            name,
            owner=self._owner,
            book_id=book_id,
            clock=self._clock,
            alive=self._is_alive,
            settle=self._settle,
        )

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

    # -- books -------------------------------------------------------------------------

    def book(self, book_id: BookId) -> books.BookState | None:
        """What is known of a book on the server."""
        with self._database.reading() as db:
            return books.read(db, book_id, self._clock)

    def save_book(self, book_id: BookId, state: books.BookState) -> None:
        """Records a book's state; an intention is on the disk before its request
        leaves."""
        with self._database.transaction(durable=state.intention is not None) as db:
            books.write(db, book_id, state, self._clock)
            if state.intention is not None:
                claims.touch(db, self._owner, book_id, self._clock)

    def intend(
        self, book_id: BookId, state: books.BookState, intention: books.Intention
    ) -> books.Intended:
        """Puts a request that must not be repeated on record, on the disk, before it
        leaves; what lets it leave.

        Raises PutAside while an earlier one about the book has not been reconciled.
        """
        with self._database.transaction() as db:
            books.refuse_second(db, book_id, self._clock)
            books.write(db, book_id, replace(state, intention=intention), self._clock)
            claims.touch(db, self._owner, book_id, self._clock)
        return books.Intended(book_id, intention)

    def finish_book(
        self,
        pass_id: int,
        book_id: BookId,
        state: books.BookState,
        *,
        names: Mapping[tuple[str, str], int],
        not_carried: Iterable[str],
    ) -> None:
        """The book is done: its state, the ids of its names on the server, and which
        fields could not be carried."""
        with self._database.transaction(durable=False) as db:
            books.write(db, book_id, state, self._clock)
            db.executemany(
                "INSERT OR REPLACE INTO names (kind, name, server_id) VALUES (?, ?, ?)",
                ((kind, name, server_id) for (kind, name), server_id in names.items()),
            )
            claims.release_book(db, self._owner, book_id)
            passes.tally(db, pass_id, "not_carried", dict.fromkeys(not_carried, 1))

    def forget_book(self, book_id: BookId) -> None:
        """The book has no ebook on the server (any more), and nothing is in flight for
        it."""
        with self._database.transaction(durable=False) as db:
            db.execute("DELETE FROM books WHERE book_id = ?", (book_id,))
            claims.release_book(db, self._owner, book_id)

    def let_go(self, book_id: BookId) -> None:
        """Lets go of all claims for a book that is not being worked on now."""
        with self._database.transaction(durable=False) as db:
            if (
                db.execute(
                    "SELECT 1 FROM books WHERE book_id = ? AND intention IS NOT NULL",
                    (book_id,),
                ).fetchone()
                is None
            ):
                claims.release_book(db, self._owner, book_id)

    def forget_names(self, names: Iterable[tuple[str, str]]) -> None:
        """The server no longer knows these names under the ids we had."""
        with self._database.transaction() as db:
            db.executemany("DELETE FROM names WHERE kind = ? AND name = ?", list(names))

    @staticmethod
    def _end_intention(db: sqlite3.Connection, book_id: BookId) -> None:
        db.execute(
            "UPDATE books SET intention = NULL, intended_at = NULL, upload_id = "
            "NULL, format = NULL, sha1 = NULL,"
            " size = NULL WHERE book_id = ?",
            (book_id,),
        )

    # -- what the server has -----------------------------------------------------------

    def learn(self, proofs: Iterable[Receipt | RemoteMatch]) -> tuple[int, list[Known]]:
        """Remembers what the server has; returns how many were new, and the proofs to
        account with."""
        told = list(proofs)
        with self._database.transaction(durable=False) as db:
            return claims.add_hashes(db, told), [Known(proof.digest) for proof in told]

    def knows(self, digest: Digest) -> bool:
        """Is the server known to have these bytes?"""
        with self._database.reading() as db:
            return claims.is_known(db, digest)

    def count_hashes(self) -> int:
        """How many files the server is known to have, counted one by one."""
        with self._database.reading() as db:
            return int(db.execute("SELECT COUNT(*) FROM hashes").fetchone()[0])

    def forget_hashes(self) -> None:
        """What the server has is to be learned anew; settled files stay settled."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM hashes")

    def hash_count(self) -> int:
        """How many files the server is known to have, by the highest number given to
        one."""
        with self._database.reading() as db:
            return int(
                db.execute("SELECT COALESCE(MAX(id), 0) FROM hashes").fetchone()[0]
            )

    def note(self, key: str, value: str | None = None) -> str:
        """A small fact kept with the ledger; sets it when a value is given. Returns it,
        or "" when unset."""
        if value is not None:
            with self._database.transaction() as db:
                db.execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                    (f"note:{key}", value),
                )
            return value
        with self._database.reading() as db:
            row = db.execute(
                "SELECT value FROM meta WHERE key = ?", (f"note:{key}",)
            ).fetchone()
        return "" if row is None else str(row[0])

    def unlearn(self, file: FileId, digest: Digest) -> bool:
        """The server no longer has these bytes: the file is pending again. Returns
        False when it was not settled."""
        with self._database.transaction() as db:
            claims.forget_hash(db, digest)
            return passes.reopen_file(db, file, Outcome.UPLOADED, Outcome.DUPLICATE)

    @property
    def rebuilt(self) -> bool:
        """Was the ledger lost, and no pass closed since? Then the server may have
        ebooks of ours it does not know."""
        return self.note("rebuilt") == "1"

    def begin_rebuilt(self) -> None:
        """The ledger was lost and this one is in its place, as of now."""
        self.note("rebuilt", "1")
        self.note("rebuilt_at", self._clock.stamp(self._clock()))

    def settles_at(self) -> datetime:
        """Until when requests of workers that used the lost ledger may still run on the
        server, by `clock`."""
        since = self.note("rebuilt_at")
        return (
            self._clock.since(since) + self._settle
            if since and self.rebuilt
            else self._clock()
        )

    def back_up(self, pass_id: int) -> None:
        """A copy of the whole ledger beside it, once for a closed pass; what was lost
        has been found by then."""
        if self.note("backed_up_pass") == str(pass_id):
            return
        self.note("rebuilt", "0")
        self._database.copy_to(self._state_dir / BACKUP_NAME)
        self.note("backed_up_pass", str(pass_id))

    def retry_failed(self) -> int:
        """Puts every failed file back to pending; returns how many. Ranges of an open
        pass are reopened for them."""
        with self._database.transaction() as db:
            return passes.reopen_failed(db)

    # -- the rest ----------------------------------------------------------------------

    def tally(self, pass_id: int, kind: str, name: str) -> None:
        """Counts one more of something."""
        with self._database.transaction(durable=False) as db:
            passes.tally(db, pass_id, kind, {name: 1})

    def check_in_place(self) -> None:
        """Raises LedgerCorrupt when the ledger was deleted, cut short or overwritten
        under us."""
        self._database.check_in_place()

    @property
    def inode(self) -> int:
        """The number of the file that is in use."""
        return self._database.inode

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _is_alive(self, owner: str) -> bool:
        return is_alive(Owner.parse(owner), self._state_dir)

    @staticmethod
    def _now() -> str:
        return utc_now().isoformat()
