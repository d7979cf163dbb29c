"""Which fields of a book Calibre has changed since they were carried, for a dry run."""

from dataclasses import dataclass
from typing import Self

from migration.calibre.library import CalibreLibrary
from migration.lanes.api.book_cover import cover_digest
from migration.lanes.api.updating import extras_of
from migration.lanes.lane import Work
from migration.ledger.reader import LedgerReader
from migration.ledger.records import Carried, StandingKind
from migration.metadata.compare import MERGED, Field, Fields, Prefer, of_metadata
from migration.model import Book, Vocabulary
from migration.worker.joining import VOCABULARY, carried_with, vocabulary_of
from migration.worker.options import Options
from migration.worker.range_books import metadata_of


def changed_fields(known: Carried, now: Fields, prefer: str) -> list[Field]:
    """Returns the fields of which Calibre's value would be sent.

    A cover cannot be taken away from an ebook. Pure.
    """
    changed = {one for one in MERGED if now.of(one) != known.base.calibre.of(one)} - (
        {Field.COVER} if not now.cover else set()
    )
    if prefer == Prefer.CALIBRE:
        changed |= {
            one.field for one in known.standing if one.kind is StandingKind.CONFLICT
        }
    return [one for one in MERGED if one in changed]


@dataclass(frozen=True, slots=True)
class Edits:
    """Compares books with what was carried of them.

    `vocabulary` are the server's words when it was last asked, None when no run of this
    version has met it. `of_all` means that they, or the options, were others when books
    were carried: then a run compares every book.
    """

    library: CalibreLibrary
    options: Options
    vocabulary: Vocabulary | None
    of_all: bool

    @classmethod
    def of(
        cls, library: CalibreLibrary, ledger: LedgerReader, options: Options
    ) -> Self:
        """Reads the ledger's notes about the server."""
        vocabulary = vocabulary_of(ledger.note(f"note:{VOCABULARY}"))
        before = ledger.note("note:carried_with")
        other = vocabulary is not None and before != carried_with(vocabulary, options)
        return cls(library, options, vocabulary, other)

    def fields(self, book: Book, known: Carried) -> list[Field] | None:
        """Returns the fields that would be sent.

        Empty when only what is not carried has changed, None when nothing has.
        """
        assert self.vocabulary is not None
        ratings = self.options.ratings == "on"
        metadata = metadata_of(
            book,
            self.vocabulary,
            self.options.default_language,
            library_uuid="",
            ratings=ratings,
        )
        digest = cover_digest(self.library, book)
        cover = known.base.calibre.cover if digest is None else digest
        changed = changed_fields(
            known, of_metadata(metadata, cover), self.options.prefer
        )
        found = [one for one in changed if ratings or one is not Field.RATING]
        if found or extras_of(Work(book, metadata, [])) != known.extras:
            return found
        return None
