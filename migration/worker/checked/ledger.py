"""The ledger as the script uses it: what it enters must have been seen."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from migration.errors import Rejected, Transient
from migration.ledger.ledger import Ledger
from migration.ledger.parts.left_ranges import LeftRanges
from migration.ledger.records import Look, Range, Registration, Stage, Taken
from migration.model import (
    BookFile,
    Digest,
    FileId,
    Known,
    Receipt,
    RemoteMatch,
)
from migration.server import postgresql
from migration.server.payloads import name_keys
from migration.worker.checked.library import CheckedLibrary
from migration.worker.checked.observed import Observed, claims
from migration.worker.checked.ranges import Ranges, check_handed, check_tried
from migration.worker.excluded import excluded


@dataclass(slots=True)
class CheckedFiles:
    """Ranges and files.

    `formats` are those the user wants, or all; `limited` whether --limit is given.
    """

    _ledger: Ledger
    _library: CheckedLibrary
    _observed: Observed
    _ranges: Ranges
    _formats: Collection[str]
    _limited: bool

    @property
    def left(self) -> "CheckedLeft":
        """Ranges that this process leaves to others."""
        return CheckedLeft(self._ledger.files.left, self._ranges, self._observed)

    def claim_range(
        self, pass_id: int, last_id_after: Callable[[int], int | None]
    ) -> Range | None:
        """Claims the next range; None if there is none."""
        if not self._ranges.server_asked:
            raise claims("that the server still has what it had; nobody asked")
        owned = self._ledger.files.claim_range(pass_id, last_id_after)
        if owned is not None:
            self._ranges.claimed(owned)
        return owned

    def register(
        self, owned: Range, files: Sequence[tuple[BookFile, str]]
    ) -> Registration:
        """Registers what the library returned for a range: all of it, as it is."""
        seen = self._ranges.held(owned)
        listing = self._library.take_listing(owned)
        if listing is None:
            raise claims(f"a listing of books {owned.first}-{owned.last} nobody read")
        if not seen.asked:
            raise claims("that the server still has a range's files; nobody asked")
        check_handed(owned, files, listing)
        wanted = [(file, excluded(file, self._formats)) for file in listing]
        said = {id(file): why for file, why in files}
        for file, why in wanted:
            if bool(said[id(file)]) != bool(why):
                raise claims(
                    f"that {file.id} is not wanted" if not why else f"{file.id} wanted"
                )
        found = self._ledger.files.register(owned, wanted)
        counted = found.moved if seen.registered else found.settled
        self._observed.registered(counted)
        if not self._limited:
            # Under a limit, books are left out on purpose.
            check_tried(seen, found, self._observed.tried)
        seen.listing = listing
        seen.wanted = [file for file, why in wanted if not why]
        seen.registered, seen.asked, seen.noticed = True, False, False
        for book in seen.untried:
            self._observed.tried.discard(book)
        return found

    def close_range(self, owned: Range) -> bool:
        """Closes a range whose files all have an outcome; returns whether it did."""
        seen = self._ranges.held(owned)
        if seen.registered and not seen.noticed:
            raise claims(f"books {owned.first}-{owned.last} are done; nobody reported")
        closed = self._ledger.files.close_range(owned)
        if closed:
            self._ranges.over(owned)
            self._observed.forget_tried(owned.first, owned.last)
        return closed

    def begin(self, file: FileId) -> None:
        """Records that an attempt starts; one that is under way counts once."""
        if not self._observed.begin(file):
            return
        try:
            self._ledger.files.begin(file)
        except Rejected as error:
            self._observed.of(file).evidence = error.evidence
            raise
        except Transient:
            self._observed.end(file)
            raise

    def reach(self, file: FileId, stage: Stage) -> None:
        """Records that a file reaches a stage."""
        self._ledger.files.reach(file, stage)


@dataclass(frozen=True, slots=True)
class CheckedLeft:
    """Ranges that this process leaves to others."""

    _left: LeftRanges
    _ranges: Ranges
    _observed: Observed

    def give_up(self, owned: Range) -> None:
        """Releases a range with files that stay pending."""
        self._ranges.held(owned)
        self._left.give_up(owned)
        self._ranges.over(owned)
        self._observed.forget_tried(owned.first, owned.last)

    def are_all(self, pass_id: int) -> bool:
        """Whether all open ranges were given up here, and nobody holds any."""
        return self._left.are_all(pass_id)


@dataclass(frozen=True, slots=True)
class CheckedHashes:
    """What the server has."""

    _ledger: Ledger
    _observed: Observed

    def __len__(self) -> int:
        """Returns roughly how many files the server has."""
        return len(self._ledger.hashes)

    def take(
        self, file: FileId, digest: Digest, names: Iterable[tuple[str, str]]
    ) -> Known | Taken:
        """Claims one book's bytes and names, for the digest of this very file."""
        seen = self._observed.of(file)
        if digest != seen.digest:
            raise claims(f"other bytes of {file} than those that were read")
        metadata = self._observed.metadata(file.book_id)
        wanted = set(names)
        if metadata is None or wanted != set(name_keys(metadata)):
            raise claims(f"other authors or series of {file} than Calibre's")
        taken = self._ledger.hashes.take(file, digest, wanted)
        if isinstance(taken, Known):
            seen.proof = taken
        else:
            seen.taken = taken
        return taken

    def learn_one(self, proof: Receipt | RemoteMatch) -> Known:
        """Confirms a file that the ledger has as known; what it learns, it learned."""
        if proof.digest not in self._ledger.hashes:
            raise claims(f"that the server has {proof.digest.sha1}; it did not say so")
        return self._ledger.hashes.learn_one(proof)


@dataclass(slots=True)
class CheckedEnd:
    """What is left to do when every range of a pass is closed."""

    _ledger: Ledger
    _look: Look | None = None

    def is_due(self, pass_id: int) -> bool:
        """Whether every range is closed and only the last look is missing."""
        return self._ledger.end.is_due(pass_id)

    def take(self, pass_id: int) -> Look | None:
        """Takes the last look for this process; None if it is not due or taken."""
        self._look = self._ledger.end.take(pass_id)
        return self._look

    def check_look(self, look: Look) -> None:
        """Raises FalseClaim for any look but the one that was taken."""
        if look is not self._look:
            raise claims("another last look than the one it took")


@dataclass(frozen=True, slots=True)
class CheckedPasses:
    """The open pass and its progress."""

    _ledger: Ledger

    def is_closed(self, pass_id: int) -> bool:
        """Whether the pass is closed."""
        return self._ledger.passes.is_closed(pass_id)

    def remaining_ids(self, pass_id: int) -> int:
        """Returns how many book ids of the pass are not claimed yet."""
        return self._ledger.passes.remaining_ids(pass_id)


@dataclass(frozen=True, slots=True)
class CheckedLedger:
    """The parts of the ledger that the script uses. `db_uri` is the server's database."""

    files: CheckedFiles
    hashes: CheckedHashes
    end: CheckedEnd
    passes: CheckedPasses
    _ledger: Ledger
    _db_uri: str

    def check_in_place(self) -> None:
        """Raises LedgerCorrupt when something else changed the ledger's files."""
        self._ledger.check_in_place()

    def refresh(self, db_uri: str, *, exactly: bool) -> None:
        """Learns from the server's own database what the server has."""
        if db_uri != self._db_uri:
            raise claims("another database than the server's")
        postgresql.refresh(db_uri, self._ledger, exactly=exactly)


def refresh_from_database(db_uri: str, ledger: CheckedLedger, *, exactly: bool) -> None:
    """Learns from the server's own database what the server has."""
    ledger.refresh(db_uri, exactly=exactly)
