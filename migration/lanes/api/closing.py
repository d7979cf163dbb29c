"""Closing a book: its last steps on the server, or an update, and the ledger's record."""

from collections.abc import Callable
from dataclasses import replace

from common.sanitize import for_log
from migration.errors import ServerFault
from migration.lanes.api.closing_steps import ClosingSteps
from migration.lanes.api.replacing import Replacer
from migration.lanes.api.updating import Updated, Updater, UpdateRules, sentence
from migration.lanes.context import Context
from migration.lanes.lane import Work
from migration.ledger.records import BookState, Carried, Step
from migration.metadata.compare import Field, Prefer
from migration.server.client import BookshelfClient
from migration.server.payloads import Ebook, name_keys
from migration.state_files import logs


class Closer:
    """Closes books whose ebook was just read. Thread-safe; repeatable."""

    def __init__(
        self,
        given: Context,
        client: BookshelfClient,
        prefer: str,
        throttle: Callable[[], None],
        *,
        ratings: bool,
    ) -> None:
        """The last three are those of `UpdateRules`."""
        rules = UpdateRules(Prefer(prefer), ratings, throttle)
        self.client = client
        self.ledger = given.ledger
        self.current = given.current
        self.left_out = given.left_out
        self.log = given.log
        self.closing = ClosingSteps.of(client, given.library, given.log)
        self.updater = Updater(given.ledger, self.closing, rules)
        self.replacer = Replacer(client, given.ledger)
        self.shelver = given.shelver

    def is_current(self, work: Work) -> bool:
        """Whether nothing that is carried has changed since; asks nobody.

        Waits its turn before a book is compared of which nothing is recorded.
        """
        if work.book.removed or (
            self.updater.is_current(work) and self.shelver.is_current(work)
        ):
            return True
        if self.ledger.carried.get(work.book.id) is None:
            self.updater.rules.throttle()
        return False

    def finish(self, work: Work, state: BookState) -> None:
        """Records that nothing was left to be done for a book."""
        self.ledger.books.finish(
            self.current.id,
            work.book.id,
            replace(state, steps=Step.NONE),
            names={},
            not_carried=(),
            modified=work.book.modified,
        )

    def close(self, work: Work, state: BookState, ebook: Ebook) -> None:
        """Takes the closing steps, records fields not carried, updates the ledger."""
        closed = self.closing.carry_rest(work, state, ebook)
        if work.book.removed:
            self.finish(work, replace(state, title=closed.title, restore=None))
            return
        shown = self.client.ebook(ebook.id)
        if shown is None:
            raise ServerFault(f"ebook {ebook.id} was removed while it was worked on")
        for why in self.replacer.settle(
            shown, self.ledger.carried.replaced(work.book.id)
        ):
            self.log.warning("Book %d: %s", work.book.id, why)
        record = bool((Step.RECORD | Step.UPDATE) & state.steps)
        title, refused = closed.title, dict[str, str]()
        before, updated = None, None
        if Step.RECORD in state.steps:
            carried = self.updater.published(
                work, shown, closed.refused, self.current.id
            )
        else:
            before = self.ledger.carried.get(work.book.id)
            updated = self.updater.update(work, shown, self.current.id)
            carried = updated.carried
            title = work.metadata.title if Field.TITLE in updated.sent else title
            refused = {field.value: why for field, why in updated.refused.items()}
        lost = closed.not_carried({**work.metadata.not_carried, **refused})
        carried, lost = self.shelver.carry(
            work, ebook.id, self.current.id, carried, lost
        )
        if updated is not None:
            self._tell(work, updated, before, carried)
        metadata = replace(work.metadata, not_carried=lost)
        if record:
            self.left_out.of_ebook(work.book, metadata, ebook.id)
        if record or Step.COVER in state.steps:
            self.left_out.of_book(work.book, closed.no_cover)
        self.ledger.books.finish(
            self.current.id,
            work.book.id,
            replace(state, steps=Step.NONE, title=title, restore=None),
            names={
                key: shown.ids[key] for key in name_keys(metadata) if key in shown.ids
            },
            not_carried=metadata.not_carried if record else (),
            carried=carried,
            modified=work.book.modified,
        )

    def _tell(
        self, work: Work, updated: Updated, before: Carried | None, now: Carried
    ) -> None:
        """Logs and counts what an update did.

        A title may have arrived with a further file, shelves have requests of their
        own.
        """
        name = f"{work.book.id} {for_log(work.book.title, 120)!r}"
        sent, new = [*updated.sent], updated.new_in(self.current.id)
        sent += [
            field
            for field in (Field.TITLE, Field.SHELVES)
            if before is not None
            and field not in sent
            and before.base.calibre.of(field) != now.base.calibre.of(field)
            and now.base.calibre.of(field) == now.base.server.of(field)
        ]
        if sent:
            self.log.info(logs.updated(name, [field.value for field in sent]))
        for one in new:
            self.log.warning("Book %s: %s", name, sentence(one))
        self.ledger.notebook.count_updates(
            self.current.id,
            [field.value for field in sent],
            [one.kind.value for one in new],
        )
