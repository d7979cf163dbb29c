"""What a run would do now, found out as a run finds it out, but from the ledger alone.

Nothing is sent, asked of the server, or written.
"""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from migration.calibre.library import CalibreLibrary
from migration.calibre.lock_wait import LockWait
from migration.commands.edits import Edits
from migration.errors import EmptyFile, TooBig, Unsupported
from migration.ledger.reader import KnownBooks, LedgerReader
from migration.ledger.tables.registration import foreseen
from migration.metadata.compare import Prefer
from migration.metadata.mime import SHIPPED_FORMATS
from migration.model import ARRIVED, NO_END, BookFile, BookId, FileId, Outcome
from migration.worker.options import Options

#: Books read at a time.
PAGE = 1000


@dataclass(slots=True)
class Plan:
    """What a run would do, in numbers.

    `sending` and `sizes` are files and bytes by format; `refused` are files by reason,
    `fields` books by the field that changed.
    """

    #: Books that were looked at: all, without files, with an ebook yet to be made,
    #: changed, to be compared with the server, left unfinished, removed in Calibre.
    books: Counter[str] = field(default_factory=Counter)
    #: Files by what becomes of them.
    files: Counter[str] = field(default_factory=Counter)
    sending: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    #: What would have to be known, and is not.
    not_known: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Files to be sent and books to be updated: what takes time."""
        return (
            self.sending.total() + self.books["changed"] + self.books["to be compared"]
        )

    def send(self, file: BookFile, what: str) -> None:
        """Counts a file that would be sent."""
        self.files[what] += 1
        self.sending[file.id.format] += 1
        self.sizes[file.id.format] += file.size


def refusal(file: BookFile, longest: int) -> str:
    """Returns why a standard MyBookshelf2 server would not accept a file, or ""."""
    if file.problem is not None:
        return file.problem.reason
    if file.id.format.lower() not in SHIPPED_FORMATS:
        return f"{Unsupported.reason}: {file.id.format}"
    if file.size == 0:
        return EmptyFile.reason
    return TooBig.reason if file.size > longest else ""


class Foresight:
    """Reads a library page by page beside its ledger."""

    def __init__(
        self,
        library: CalibreLibrary,
        ledger: LedgerReader,
        options: Options,
        lock: LockWait,
    ) -> None:
        """`lock` waits while Calibre has the library locked."""
        self._library = library
        self._ledger = ledger
        self._options = options
        self._lock = lock
        self._edits = Edits.of(library, ledger.note, options)
        found = ledger.open_pass()
        self._open = 0 if found is None else found.pass_id
        self._highest = NO_END if found is None else found.highest_id
        self._plan = Plan()

    def plan(self) -> Plan:
        """Returns what a run would do; with --limit, for so many files."""
        after = 0
        while (last := self._read_end(after)) is not None and after < self._highest:
            last = min(last, self._highest)
            if not self._page(after + 1, last):
                return self._plan
            after = last
        if not self._open:
            self._note_removed(self._ledger.of_range(after + 1, NO_END), frozenset())
        elif last is not None:
            self._plan.not_known.append(
                f"books above id {self._highest} were added after pass {self._open} was "
                "opened: they are for the next pass"
            )
        if self._plan.fields["not known"]:
            self._plan.not_known.append(
                "which fields changed, for no run of this version has met the server yet"
            )
        return self._plan

    def _read_end(self, after: int) -> int | None:
        return self._lock.read(partial(self._library.last_id_of_range, after, PAGE))

    def _page(self, first: int, last: int) -> bool:
        """Adds the books of a range; returns False when --limit is reached."""
        listed = self._lock.read(partial(self._library.read_files, first, last))
        empty = self._lock.read(partial(self._library.books_without_files, first, last))
        known = self._ledger.of_range(first, last)
        plan, there = self._plan, {file.id.book_id for file in listed}
        plan.books["all"] += len(there) + len(empty)
        plan.books["without files"] += len(empty)
        plan.books["unfinished"] += len(known.unfinished)
        edited: set[BookId] = set()
        sent_before = plan.sending.total()
        new: set[BookId] = set()
        for file in listed:
            if self._options.limit and plan.sending.total() >= self._options.limit:
                return False
            before = plan.sending.total()
            if self._add(file, known.files.get(file.id)):
                edited.add(file.id.book_id)
            if plan.sending.total() > before:
                new.add(file.id.book_id)
        if plan.sending.total() > sent_before:
            plan.books["new"] += len(new - known.with_ebook)
        self._note_removed(known, {file.id for file in listed})
        if self._options.prefer == Prefer.CALIBRE:
            edited |= known.conflicts & there
        self._compare(first, last, edited & known.with_ebook)
        return True

    # -- files -------------------------------------------------------------------------

    def _add(self, file: BookFile, row: sqlite3.Row | None) -> bool:
        """Counts one file; returns whether its book is to be compared."""
        plan = self._plan
        if self._is_done(row):
            plan.files["done"] += 1
            return False
        outcome, reason = foreseen(file, self._excluded(file), row)
        if outcome is Outcome.SKIPPED:
            plan.files["skipped"] += 1
            return False
        if outcome is Outcome.DUPLICATE:
            plan.files["unchanged"] += 1
            return self._edits.of_all or row is None or row["modified"] != file.modified
        why = (
            reason
            if outcome is Outcome.FAILED
            else refusal(file, self._options.max_content_length)
        )
        if why:
            bare = why == Unsupported.reason
            plan.files["refused"] += 1
            plan.refused[f"{why}: {file.id.format}" if bare else why] += 1
            return outcome is Outcome.PENDING
        plan.send(file, _what(row))
        return True

    def _is_done(self, row: sqlite3.Row | None) -> bool:
        """Whether the open pass has an outcome for the file, which stands."""
        return (
            row is not None
            and bool(self._open)
            and row["pass_id"] == self._open
            and row["outcome"] != Outcome.PENDING
        )

    def _excluded(self, file: BookFile) -> str:
        formats = self._options.formats
        unwanted = bool(formats) and file.id.format not in formats
        return "x" if unwanted or file.id.format.startswith("ORIGINAL_") else ""

    def _note_removed(
        self, known: KnownBooks, listed: "frozenset[FileId] | set[FileId]"
    ) -> None:
        """Counts what has left Calibre; under a selection it may only be outside."""
        if self._library.narrowed:
            return
        gone = [
            file
            for file in known.arrived()
            if file not in listed and not self._is_done(known.files[file])
        ]
        still = {file.book_id for file in listed}
        self._plan.files["removed"] += len(gone)
        self._plan.books["removed"] += len({file.book_id for file in gone} - still)

    # -- metadata ----------------------------------------------------------------------

    def _compare(self, first: int, last: int, edited: set[BookId]) -> None:
        """Counts the books, of those edited, that an update would be sent for."""
        carried = self._ledger.carried(edited) if edited else {}
        self._plan.books["to be compared"] += len(edited - carried.keys())
        wanted = edited & carried.keys()
        if not wanted:
            return
        if self._edits.vocabulary is None:
            self._plan.fields["not known"] += len(wanted)
            self._plan.books["changed"] += len(wanted)
            return
        read = partial(self._library.read_books, first, last, wanted)
        notes = self._ledger.notes_of_items(wanted)
        for book in self._lock.read(read):
            found = self._edits.of_book(
                book, carried[book.id], notes.get(book.id, frozenset())
            )
            self._plan.books["changed"] += bool(found.fields)
            self._plan.fields.update(one.value for one in found.fields)
            self._plan.books["reshelved"] += found.shelves
            self._plan.books["recorded anew"] += found.record and not found.fields


def _what(row: sqlite3.Row | None) -> str:
    """Returns what a file to be sent is: new, tried again, or with other bytes."""
    if row is None:
        return "new"
    arrived = row["outcome"] in ARRIVED
    return "replaced" if arrived else "tried again"
