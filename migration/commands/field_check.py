"""Comparing one book of the library with its ebook, field by field, for --verify."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.sanitize import for_log
from migration.errors import MigrationError, Rejected, Transient
from migration.ledger.ledger import Ledger
from migration.metadata.compare import (
    REPORTED,
    Difference,
    Field,
    differences,
    of_metadata,
)
from migration.metadata.ebook_metadata import make_metadata
from migration.model import Book, EbookId
from migration.server.client import BookshelfClient
from migration.server.questions import Questions
from migration.worker.options import Options

#: The fields that are compared; files are compared by hash, shelves by themselves.
_FIELDS = tuple(field for field in Field if field not in (Field.FORMATS, Field.SHELVES))
#: What stands for a cover on the server.
_A_COVER = "there"


@dataclass(frozen=True, slots=True)
class FieldResult:
    """One field that is not the same in Calibre and on the server.

    `reported` says why a run reported it: conflict, kept or refused; "" if none did.
    """

    book_id: int
    ebook_id: EbookId
    difference: Difference
    reported: str = ""

    @property
    def name(self) -> str:
        """What it is counted as."""
        return "REPORTED" if self.reported else "DIFFERENT"

    def line(self, *, as_json: bool) -> str:
        """Formats the difference for output; values are cleaned and cut."""
        field = self.difference.field.value
        calibre = for_log(self.difference.calibre, REPORTED)
        server = for_log(self.difference.server, REPORTED)
        if not as_json:
            reported = f" (reported: {self.reported})" if self.reported else ""
            return f"~ {self.book_id} {field}: Calibre {calibre!r}, server {server!r}{reported}"
        return json.dumps(
            {
                "book_id": self.book_id,
                "ebook_id": self.ebook_id,
                "field": field,
                "mark": "~",
                "state": "differs",
                "calibre": calibre,
                "server": server,
                "reported": self.reported or None,
            },
            ensure_ascii=False,
        )


@dataclass(frozen=True, slots=True)
class FieldChecker:
    """Compares books with their ebooks. Thread-safe."""

    client: BookshelfClient
    ledger: Ledger
    questions: Questions
    options: Options
    library_uuid: str

    def compare(self, book: Book) -> Sequence[FieldResult] | MigrationError:
        """Returns what is not the same, or why that is not known.

        A book without an ebook of its own has no fields on the server.
        """
        state = self.ledger.books.get(book.id)
        ebook_id = None if state is None else state.ebook_id
        if ebook_id is None or book.removed:
            return ()
        try:
            found = self.questions.ask(lambda: self.client.ebook(ebook_id))
        except (Transient, Rejected) as error:
            return error
        metadata = make_metadata(
            book,
            self.client.known_vocabulary,
            default_language=self.options.default_language,
            library_uuid=self.library_uuid,
        )
        ours = of_metadata(metadata, _A_COVER if book.cover is not None else "")
        if found is None:
            missing = Difference(Field.TITLE, metadata.title, "the ebook is not there")
            return (FieldResult(book.id, ebook_id, missing),)
        theirs = replace(found.fields, cover=_A_COVER if found.cover else "")
        fields = tuple(
            field
            for field in _FIELDS
            if field is not Field.RATING or self.options.sees_ratings
        )
        reported = {
            one.field: one.kind.value for one in self.ledger.carried.standing(book.id)
        }
        return tuple(
            FieldResult(book.id, ebook_id, one, reported.get(one.field, ""))
            for one in differences(ours, theirs, fields)
        )
