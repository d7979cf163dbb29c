"""The closing steps of a book: true title, rating, cover. Each may be repeated."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from common import sanitize
from common.json_value import Json
from migration.calibre.library import CalibreLibrary
from migration.errors import Rejected
from migration.lanes.api.book_cover import BookCover
from migration.lanes.lane import Work
from migration.ledger.records import BookState, Step
from migration.metadata import ebook_metadata
from migration.metadata.ebook_metadata import plain_title
from migration.model import EbookId
from migration.server import calibre_fields
from migration.server.client import BookshelfClient
from migration.server.payloads import Ebook


@dataclass(frozen=True, slots=True)
class Closed:
    """The result of the closing steps.

    `title` is the title we gave, `refused` what the server refused, by field;
    `no_cover` says why the cover was not carried; `carried` are fields MyBookshelf2
    lacks that this server has taken.
    """

    title: str | None
    refused: dict[str, str]
    no_cover: Rejected | None
    carried: frozenset[str] = frozenset()

    def not_carried(self, lost: Mapping[str, Json]) -> dict[str, Json]:
        """Returns what has no place on this server, of what has none on MyBookshelf2."""
        all_lost = {**lost, **self.refused}
        return {name: all_lost[name] for name in all_lost if name not in self.carried}


@dataclass(frozen=True, slots=True)
class ClosingSteps:
    """Performs the closing steps on the server."""

    client: BookshelfClient
    cover: BookCover
    log: logging.Logger

    @classmethod
    def of(
        cls, client: BookshelfClient, library: CalibreLibrary, log: logging.Logger
    ) -> "ClosingSteps":
        """Makes the steps; covers are read from the library."""
        return cls(client, BookCover(client, library), log)

    def carry_rest(self, work: Work, state: BookState, ebook: Ebook) -> Closed:
        """Sets title, rating and cover, as far as they are open.

        Raises Transient or Rejected.
        """
        metadata, title, refused = work.metadata, state.title, dict[str, str]()
        if Step.TITLE in state.steps:
            title = self._give_title(work, state, ebook)
            if title == plain_title(metadata.working_title) != metadata.title:
                refused["title"] = metadata.title
        if Step.RATING in state.steps and metadata.rating is not None:
            try:
                self.client.rate(ebook.id, metadata.rating)
            except Rejected as error:
                refused["rating"] = sanitize.for_log(str(error))
        carried = frozenset[str]()
        if (
            Step.RECORD | Step.UPDATE
        ) & state.steps and self.client.session.takes_calibre_fields():
            new = Step.RECORD in state.steps
            carried = self._carry_calibre_fields(work, ebook.id, refused, new=new)
        refusal = None
        if Step.COVER in state.steps and work.book.cover is not None:
            # The cover comes last, so that no later step causes it to be sent again.
            refusal = self.cover.carry(ebook.id, work.book.cover)
        if refusal is not None:
            refused["cover"] = sanitize.for_log(str(refusal))
        elif work.book.cover_problem is not None:
            refused["cover"] = work.book.cover_problem.message
        return Closed(title, refused, refusal, carried)

    def _carry_calibre_fields(
        self, work: Work, ebook_id: EbookId, refused: dict[str, str], *, new: bool
    ) -> frozenset[str]:
        """Sends what only the embedded server has a place for; returns the fields.

        What it refuses is entered in `refused`. A new ebook has nothing to be removed.
        """
        fields = calibre_fields.of_book(work.book)
        if new and fields == calibre_fields.NOTHING:
            return frozenset()
        try:
            calibre_fields.send(self.client.session, ebook_id, fields)
        except Rejected as error:
            refused["calibre fields"] = sanitize.for_log(str(error))
            return frozenset()
        return calibre_fields.carried(work.book)

    def _give_title(self, work: Work, state: BookState, ebook: Ebook) -> str | None:
        """Sets the true title, or the one a person gave the ebook.

        Returns the title we gave. An ebook that no longer has its working title keeps
        its title, and one that has authors or a series keeps them: they come from a
        killed worker, or from a person's edits.
        """
        metadata, kept = work.metadata, state.title or work.metadata.title
        bare = ebook_metadata.too_long_for_paths(metadata) and (
            ebook.guessed or not ebook.has_people()
        )
        open_ = ebook.title == state.working_title
        if not open_ and not bare:
            return kept
        title = (state.restore or metadata.title) if open_ else ebook.title
        try:
            self.client.change(ebook, metadata, dict(ebook.ids), title=title, bare=bare)
        except Rejected as error:
            self.log.warning("Book %s: %s; it gets a plain title", work.book.id, error)
            title = plain_title(metadata.working_title)
            self.client.change(ebook, metadata, {}, title=title, bare=False)
            return title
        return title if title == metadata.title else state.title
