"""Reads changed books back, one after the other, and says what differs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from migration.audit import expectation, findings
from migration.audit.findings import Finding, Kind, about
from migration.audit.library_side import LibrarySide
from migration.audit.messages import Checked, Message
from migration.audit.seen import Seen
from migration.audit.server_side import ServerSide
from migration.errors import Rejected
from migration.ledger import changed
from migration.ledger.changed import ChangedBook
from migration.metadata.compare import Field
from migration.model import ARRIVED, Book, BookFile, BookId, Digest, Outcome, Vocabulary
from migration.server.questions import Unanswered

_ORIGINAL = "ORIGINAL_"


@dataclass(frozen=True, slots=True)
class Auditor:
    """Compares a library with a server.

    `formats` are those the user wants, or all; `ratings` whether they are carried.
    """

    library: LibrarySide
    server: ServerSide
    ledger: Path
    vocabulary: Vocabulary
    default_language: str
    formats: frozenset[str]
    ratings: bool
    tell: Callable[[Message], None]

    def read_back(self, ids: Sequence[BookId]) -> None:
        """Tells of each book that it was dealt with, and of its differences."""
        for page in changed.pages(ids):
            known = changed.books(self.ledger, page)
            for book_id, book in self.library.books(page):
                left = self._one(known[book_id], book)
                self.tell(Checked(left))

    def _one(self, known: ChangedBook, book: Book | None) -> bool:
        """Tells of the differences of one book; returns whether it is left.

        A book that Calibre has changed since it was carried is the next pass's work. So
        a book with a difference is read once more.
        """
        if book is None or not known.is_as_carried(book.modified):
            return True
        found = self._compared(known, book)
        if found:
            again = self.library.book(book.id)
            if again is None or not known.is_as_carried(again.modified):
                return True
            found = self._compared(known, again)
        for finding in found:
            self.tell(finding)
        return False

    def _compared(self, known: ChangedBook, book: Book) -> list[Finding]:
        try:
            seen = None if known.ebook_id is None else self.server.ebook(known.ebook_id)
            if known.ebook_id is not None and seen is None:
                gone = "the server does not have it"
                return [about(Kind.EBOOK, book.id, known.ebook_id, gone)]
            return list(
                chain(
                    self._of_metadata(known, book, seen) if seen else (),
                    self._of_files(known, book, seen),
                )
            )
        except (Unanswered, Rejected) as error:
            return [about(Kind.NOT_READ, book.id, known.ebook_id, str(error))]

    # -- metadata ----------------------------------------------------------------------

    def _of_metadata(self, known: ChangedBook, book: Book, seen: Seen) -> list[Finding]:
        wanted = expectation.expected(book, self.vocabulary, self.default_language)
        if not self.ratings:
            wanted = replace(wanted, rating=None)
        found = findings.compare(book.id, wanted, seen, known.reported)
        if not any(one.kind is Kind.AUTHORS for one in found):
            found += self._of_order(book.id, wanted, seen)
        if wanted.cover and not seen.cover and self._lacks_cover(known, book):
            found.append(
                about(
                    Kind.COVER,
                    book.id,
                    seen.id,
                    "the server shows none; Calibre has one",
                )
            )
        return found

    def _lacks_cover(self, known: ChangedBook, book: Book) -> bool:
        return Field.COVER.value not in known.reported and self.library.has_cover(book)

    def _of_order(
        self, book_id: BookId, wanted: expectation.Expected, seen: Seen
    ) -> list[Finding]:
        for first, second in findings.in_doubt(wanted, seen):
            births = self.server.birth(first.id), self.server.birth(second.id)
            if births[0] and births[1] and findings.made_together(seen, births):  # type: ignore[arg-type]
                names = " & ".join(one.shown for one in wanted.authors)
                said = (
                    f"the server made them in another order than Calibre's, {names!r}"
                )
                return [about(Kind.ORDER, book_id, seen.id, said)]
        return []

    # -- files -------------------------------------------------------------------------

    def _of_files(
        self, known: ChangedBook, book: Book, seen: Seen | None
    ) -> list[Finding]:
        found, digests = list[Finding](), list[tuple[str, Digest]]()
        for file in book.files:
            entry = known.files.get(file.id)
            if entry is None or file.problem is not None:
                continue
            if entry.outcome is Outcome.SKIPPED and self._is_wanted(file):
                said = f"{file.id} was skipped, and nobody asked for that"
                found.append(about(Kind.LEFT_OUT, book.id, known.ebook_id, said))
            if entry.outcome not in ARRIVED:
                continue
            if (entry.size, entry.mtime_ns) != (file.size, file.mtime_ns):
                continue
            name = file.id.format.lower()
            digest = self.library.digest(file)
            if digest is not None:
                digests.append((name, digest))
            if (
                entry.outcome is Outcome.UPLOADED
                and seen is not None
                and (name, file.size) not in seen.files
            ):
                said = f"the ebook does not show {file.id}"
                found.append(about(Kind.FILE, book.id, known.ebook_id, said))
        for name in self.server.missing(digests):
            said = f"the server does not have the bytes of {book.id}/{name.upper()}"
            found.append(about(Kind.FILE, book.id, known.ebook_id, said))
        return found

    def _is_wanted(self, file: BookFile) -> bool:
        return not file.id.format.startswith(_ORIGINAL) and (
            not self.formats or file.id.format in self.formats
        )
