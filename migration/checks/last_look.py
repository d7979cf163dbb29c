"""The last look at the server before a pass is closed.

It is a search for ebooks that still have a working title. The server's newest ebooks
are paged through, a hundred at a time, back to where the pass began; where its database
is at hand, one query does that. It finds an
ebook left by a request that was delivered twice, one that never got its title, and one
that the ledger forgot. An empty one is deleted; otherwise the book is given back to the
workers. What cannot be set right is reported, and the pass ends with exit status 8.
When nothing is left to set right, what the pass changed is read back (`checks/audit`).
All of it may be done twice: a worker that takes over from a killed one starts again.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common.sanitize import for_log
from migration.calibre.library import CalibreLibrary
from migration.checks import leftovers
from migration.checks.audit import KINDS as AUDITED_KINDS
from migration.checks.audit import AuditResult
from migration.checks.leftovers import Decision, Fate, Leftover
from migration.errors import Rejected, ServerFault, Unlisted
from migration.ledger.ledger import Ledger
from migration.ledger.parts.pass_end import UNSEEN
from migration.ledger.records import Difference, Look
from migration.metadata import ebook_metadata
from migration.model import BookId, EbookId
from migration.server.client import PAGE_SIZE, BookshelfClient
from migration.server.payloads import EbookPage, ListedEbook

#: A server that fails this often on deleting one ebook, but answers otherwise, will not
#: delete it.
DELETE_TRIES = 3
#: The same for its listing; the waits between the tries are 1, 2, 4 and 8 s.
LIST_TRIES = 5


@dataclass(frozen=True, slots=True)
class LastLook:
    """Takes the last look of a pass.

    `sleep` waits that many seconds, and may raise to stop. `audit` reads back what the
    pass has changed.
    """

    client: BookshelfClient
    ledger: Ledger
    library: CalibreLibrary
    log: logging.Logger
    sleep: Callable[[float], None]
    audit: Callable[[Look], AuditResult]
    #: Deletes what has left Calibre, if that was asked for; takes the pass.
    delete_removed: Callable[[int], None] = lambda _pass_id: None
    #: Called with the numbers of the look and of each page of the listing it has read.
    moved: Callable[[int, int], None] = lambda _look, _page: None
    #: Returns from the server's database the ebooks above an id that may be marked;
    #: None when it is not at hand.
    marked: Callable[[EbookId], list[ListedEbook] | None] = lambda _after: None

    def begin(self, pass_id: int) -> None:
        """Records how far a later look must page back, unless that is known.

        Raises Transient.

        It takes one small request.
        """
        if self.ledger.end.knows_its_start(pass_id):
            return
        try:
            listed = self._page(1, 1).ebooks
        except (Rejected, Unlisted):
            # Then the whole listing is read at the end, if the server can show it by
            # then.
            listed = ()
        newest = max((ebook.id for ebook in listed), default=EbookId(0))
        self.ledger.end.record_start(pass_id, newest, rebuilt=self.ledger.rebuilt)

    def take(self, look: Look) -> None:
        """Takes the look; closes the pass unless something was set right.

        Raises Transient or Fatal.
        """
        try:
            suspects = self._suspects(look)
        except (Rejected, Unlisted) as error:
            self._close(
                look,
                [Difference(UNSEEN, f"the server does not list its ebooks: {error}")],
            )
            return
        differences: list[Difference] = []
        acted = False
        for ebook_id in suspects:
            outcome = self._treat(look, ebook_id)
            if isinstance(outcome, Difference):
                differences.append(outcome)
            else:
                acted = acted or outcome
        if acted:
            self.ledger.end.again(look)
        else:
            self._close(look, differences)

    def _suspects(self, look: Look) -> list[EbookId]:
        """Returns the ebooks to examine: marked as ours, or different earlier."""
        found = self.marked(look.newest_before)
        listed = self._listed(look) if found is None else found
        uuid = self.ledger.identity.first_library
        marked = {
            ebook.id
            for ebook in listed
            if ebook_metadata.marked_book(ebook.title, uuid) is not None
        }
        before = {
            one.ebook_id
            for one in look.standing
            if one.ebook_id and one.kind not in AUDITED_KINDS
        }
        return sorted(marked | before)

    def _listed(self, look: Look) -> Iterator[ListedEbook]:
        """Yields the server's ebooks, newest first, back to the pass's first one.

        It also goes back to where the pass began, because "newest" is by the server's
        clock, which may have been set back. Ebooks added meanwhile move others to later
        pages, so none is skipped.
        """
        page, wanted = 0, look.first_made
        while True:
            page += 1
            listing = self._page(page, PAGE_SIZE)
            self.moved(look.number, page)
            yield from listing.ebooks
            ids = {ebook.id for ebook in listing.ebooks}
            wanted = None if wanted in ids else wanted
            if len(ids) < PAGE_SIZE or (
                wanted is None and min(ids) <= look.newest_before
            ):
                return

    def _page(self, number: int, size: int) -> EbookPage:
        """Returns a page of the listing.

        Raises Unlisted when the server fails only on that, Transient when it is away.
        """
        for attempt in range(LIST_TRIES):
            if attempt:
                self.sleep(2.0 ** (attempt - 1))
            try:
                return self.client.newest(number, size)
            except ServerFault as error:
                fault = error
                if error.retry_after or self.client.probe() is not None:
                    raise
        raise Unlisted(
            f"the server fails on its list of ebooks and answers otherwise ({fault})"
        )

    def _treat(self, look: Look, ebook_id: EbookId) -> Difference | bool:
        """Does what one ebook needs.

        Returns True if it was set right, a Difference if it remains.
        """
        seen = self._seen(look, ebook_id)
        decision = leftovers.decide(seen)
        book_id = seen.book_id or BookId(0)
        if decision.fate is Fate.NOTHING or seen.ebook is None:
            return False
        name = f"ebook {ebook_id} {for_log(seen.ebook.title)!r}"
        if decision.fate is Fate.FINISH and decision.state is not None:
            if self.ledger.end.reopen(look, book_id, decision.state):
                self.log.warning(
                    "%s still has its working title; book %d is finished now",
                    name,
                    book_id,
                )
                return True
            decision = Decision(
                Fate.REPORT,
                kind=leftovers.WORKING_TITLE,
                why=f"book {book_id} is not of this pass",
            )
        if decision.fate is Fate.DELETE:
            why = self._delete(ebook_id)
            if not why:
                self.log.warning(
                    "%s was left empty by a request that arrived twice or too late; deleted",
                    name,
                )
                if seen.state is not None and seen.state.ebook_id == ebook_id:
                    self.ledger.books.forget(book_id)
                return True
            decision = Decision(Fate.REPORT, kind=leftovers.EMPTY, why=why)
        return Difference(decision.kind, f"{name}: {decision.why}", book_id, ebook_id)

    def _seen(self, look: Look, ebook_id: EbookId) -> Leftover:
        """Gathers all that is known of one ebook now."""
        ebook = self.client.ebook(ebook_id)
        book_id = (
            None
            if ebook is None
            else ebook_metadata.marked_book(
                ebook.title, self.ledger.identity.first_library
            )
        )
        if book_id is None:
            return Leftover(
                ebook,
                None,
                None,
                False,
                False,
                self.client.session.user_id,
                look.number,
            )
        return Leftover(
            ebook,
            book_id,
            self.ledger.books.get(book_id),
            self.ledger.end.arrived(book_id),
            bool(self.library.read_books(book_id, book_id, {book_id})),
            self.client.session.user_id,
            look.number,
        )

    def _delete(self, ebook_id: EbookId) -> str:
        """Deletes an ebook that was just seen empty.

        Returns why the server does not, or "". Raises Transient when the server does
        not answer other requests either.
        """
        fault = ""
        for _attempt in range(DELETE_TRIES):
            try:
                self.client.delete(ebook_id)
            except Rejected as error:
                return str(error)
            except ServerFault as error:
                fault = str(error)
                if self.client.ebook(ebook_id) is None:
                    return ""
                self.sleep(1.0)
            else:
                return ""
        return f"the server fails to delete it ({fault})"

    def _close(self, look: Look, differences: list[Difference]) -> None:
        """Has the pass audited and closes it; logs each difference.

        What has left Calibre is deleted first.
        """
        self.delete_removed(look.pass_id)
        result = self.audit(look)
        found = [*differences, *result.differences]
        if self.ledger.end.close(look, found, result.audited):
            for difference in found:
                self.log.error(
                    "On the server stands a difference (%s): %s",
                    difference.kind,
                    difference.message,
                )
