"""`--delete-removed`: deletes on the server what has left Calibre, before a pass closes.

Only what was missing in this pass and in an earlier one, by Calibre's uuid, and only if
nobody has touched it on the server (`removal`). If more books would have to go than is
allowed, none goes. Everything may be done twice.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from common.sanitize import for_log
from migration.calibre.library import CalibreLibrary
from migration.checks.removal import Fate, Reason, Sent, Verdict, stays
from migration.checks.taking_back import EbookToGo, TakeBack
from migration.ledger.ledger import Ledger
from migration.model import BookId, FileId, SourceId
from migration.server.client import BookshelfClient

#: The most books that go unless --max-delete says otherwise, and the most in percent.
MOST, PERCENT = 20, 1


def allowance(books: int, max_delete: int) -> int:
    """Returns how many books may go; at least one of a small library."""
    return max_delete or min(MOST, max(1, -(-books * PERCENT // 100)))


@dataclass(frozen=True, slots=True)
class RemovedBooks:
    """Deletes what has left Calibre. `sleep` waits, and may raise to stop.

    `max_delete` is how many books may go, 0 for the usual allowance.
    """

    client: BookshelfClient
    ledger: Ledger
    library: CalibreLibrary
    log: logging.Logger
    sleep: Callable[[float], None]
    max_delete: int
    #: Called with each thing that was looked at.
    moved: Callable[[FileId], None] = lambda _file: None
    stays: Counter[str] = field(default_factory=Counter)

    def delete(self, pass_id: int) -> None:
        """Deletes what has left, or says why not. Raises Transient or LibraryBusy."""
        self.stays.clear()
        left = self.ledger.undoing.left_for_long(pass_id)
        if not left or self.ledger.passes.scope(pass_id) or self.library.narrowed:
            return
        wanted = self._wanted(left)
        books = {file.book_id for file in wanted}
        most = allowance(
            self.library.selected.book_count(selected=False), self.max_delete
        )
        if len(books) > most:
            self.stays[Reason.TOO_MANY] += len(wanted)
            self.log.warning(
                "%d books or formats of %d books have left Calibre and would be deleted "
                "on the server; %d are allowed at a time, so none is. If that is right, "
                "start once more with --max-delete %d",
                len(wanted),
                len(books),
                most,
                len(books),
            )
        else:
            taker = TakeBack(self.client, self.ledger, self.sleep, pass_id, act=True)
            for file in wanted:
                self._one(file, taker)
                self.moved(file)
        self.ledger.undoing.tell_stays(pass_id, self.stays)

    def _wanted(self, left: list[FileId]) -> list[FileId]:
        """Returns what Calibre really lacks now; says what it does not."""
        whole = [file.book_id for file in left if not file.format]
        uuids = self.ledger.undoing.uuids(whole)
        there = self.library.selected.with_uuid([*uuids.values()])
        wanted = []
        for file in left:
            listed = {
                row.format
                for row in self.library.list_formats(file.book_id, file.book_id)
            }
            uuid = uuids.get(file.book_id, "")
            if file.format in listed or (not file.format and listed):
                self._stays(file, "", stays(Reason.IN_LIBRARY))
            elif not file.format and not uuid:
                self._stays(file, "", stays(Reason.NO_UUID))
            elif not file.format and uuid in there:
                now = f"as book {there[uuid]}"
                self._stays(file, "", stays(Reason.IN_LIBRARY, now))
            else:
                wanted.append(file)
        return wanted

    def _one(self, file: FileId, taker: TakeBack) -> None:
        """Deletes one ebook, or one file of an ebook."""
        known = self.ledger.carried.get(file.book_id)
        title = known.base.server.title if known is not None else ""
        verdict = self._verdict(file, taker)
        if verdict.fate is Fate.STAYS:
            self._stays(file, title, verdict)
            return
        self.log.info(
            "Removed in Calibre and %s on the server: book %s %r",
            "deleted" if verdict.fate is Fate.GOES else "gone already",
            file if file.format else file.book_id,
            for_log(title, 120),
        )

    def _verdict(self, file: FileId, taker: TakeBack) -> Verdict:
        state = self.ledger.books.get(file.book_id)
        ours = {
            SourceId(number): (name, size)
            for number, name, size in self.ledger.doubts.sources(file.book_id)
        }
        if state is None or state.ebook_id is None or not ours:
            return stays(Reason.NOT_OUR_EBOOK)
        it = EbookToGo(file.book_id, state.ebook_id, ours)
        if not file.format:
            others = self._others(file, ours)
            return stays(Reason.SHARED, others) if others else taker.ebook(it)
        known = self.ledger.carried.file(file)
        source_id = None if known is None else known.source_id
        if source_id is None or source_id not in ours:
            return stays(Reason.NOT_OUR_EBOOK)
        one = {source_id: ours[source_id]}
        others = self._others(file, one)
        return stays(Reason.SHARED, others) if others else taker.source(it, source_id)

    def _others(self, file: FileId, sources: dict[SourceId, Sent]) -> str:
        """Returns the books whose files are there only because of these sources."""
        found: set[BookId] = set()
        for source_id in sources:
            digest = self.ledger.undoing.digest(file.book_id, source_id)
            if digest is not None:
                found.update(self.ledger.carried.borrowers(digest, file))
        return ", ".join(f"book {book}" for book in sorted(found)[:5])

    def _stays(self, file: FileId, title: str, verdict: Verdict) -> None:
        self.stays[verdict.reason or ""] += 1
        self.log.warning(
            "Removed in Calibre, stays on the server: book %s %r: %s",
            file if file.format else file.book_id,
            for_log(title, 120),
            verdict,
        )
