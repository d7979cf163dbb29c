"""Which fields of a book Calibre has changed since they were carried, for a dry run."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Self

from migration.calibre.library import CalibreLibrary
from migration.lanes.api.book_cover import cover_digest
from migration.lanes.api.updating import extras_of
from migration.lanes.lane import Work
from migration.ledger.records import Carried, StandingKind
from migration.metadata.compare import MERGED, Field, Fields, Prefer, of_metadata
from migration.metadata.shelves import ShelfChoice, Wanted, fingerprint, wanted
from migration.model import Book, Vocabulary
from migration.worker.comparing import VOCABULARY, carried_with, vocabulary_of
from migration.worker.options import Options
from migration.worker.range_books import metadata_of
from migration.worker.shelf_settings import choice_of, column_names


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
class Edited:
    """What has changed of a book: fields to be sent, its shelves, what is not carried."""

    fields: tuple[Field, ...]
    shelves: bool
    record: bool


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
    choice: ShelfChoice
    columns: Mapping[str, str]

    @classmethod
    def of(
        cls, library: CalibreLibrary, note: Callable[[str], str], options: Options
    ) -> Self:
        """`note` reads what the ledger noted about the server."""
        vocabulary = vocabulary_of(note(f"note:{VOCABULARY}"))
        before = note("note:carried_with")
        other = vocabulary is not None and before != carried_with(vocabulary, options)
        choice = choice_of(options)
        columns = column_names(library) if choice.columns else {}
        return cls(library, options, vocabulary, other, choice, columns)

    def of_book(self, book: Book, known: Carried, notes: Set[str]) -> Edited:
        """Returns what has changed; `notes` are those of its shelf items, as hashes."""
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
        aim = Wanted()
        if self.choice.any:
            aim = wanted(book, metadata, self.choice, self.columns)
        moves = self.choice.any and aim.names != known.base.calibre.shelves
        other_note = self.choice.any and not notes <= {fingerprint(aim.note)}
        fields = tuple(one for one in changed if ratings or one is not Field.RATING)
        return Edited(
            (*fields, Field.SHELVES) if moves else fields,
            shelves=moves or other_note,
            record=extras_of(Work(book, metadata, [])) != known.extras,
        )
