"""Calibre's fields that MyBookshelf2 has no place for and the embedded server has.

The server says so in its token (`Session.takes_calibre_fields`); every other server is
never asked.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.json_value import Json
from common.plain_text import MOST
from migration.model import Book, EbookId
from migration.server.session import Session, accepted

#: What the server takes.
TEXT_LENGTH, MOST_IDENTIFIERS = 512, 100


@dataclass(frozen=True, slots=True)
class CalibreFields:
    """The fields of one ebook. `comments` are HTML, of which the server keeps the text.

    `series_index` is None and `sort` "" where the ebook says it all.
    """

    comments: str = ""
    identifiers: Mapping[str, str] = field(default_factory=dict)
    series_index: float | None = None
    sort: str = ""


NOTHING = CalibreFields()


def of_book(book: Book) -> CalibreFields:
    """Returns the fields of a book, as far as the server takes them."""
    comments = book.extras.get("comments")
    identifiers = book.extras.get("identifiers")
    index = book.series_index if book.series else None
    whole = index is None or not math.isfinite(index) or index == math.floor(index)
    return CalibreFields(
        comments[:MOST] if isinstance(comments, str) else "",
        {
            name: value
            for name, value in sorted(identifiers.items())[:MOST_IDENTIFIERS]
            if isinstance(value, str) and max(len(name), len(value)) <= TEXT_LENGTH
        }
        if isinstance(identifiers, dict)
        else {},
        None if whole else index,
        "" if book.title_sort == book.title else book.title_sort[:TEXT_LENGTH],
    )


def carried(book: Book) -> frozenset[str]:
    """Returns the names of the fields that `of_book` holds whole."""
    fields = of_book(book)
    names = {
        "comments": fields.comments == book.extras.get("comments"),
        "identifiers": fields.identifiers == book.extras.get("identifiers"),
        "series index": fields.series_index is not None
        and fields.series_index == book.series_index,
    }
    return frozenset(name for name, whole in names.items() if whole)


def send(session: Session, ebook_id: EbookId, fields: CalibreFields) -> None:
    """Gives an ebook these fields, and no others of this kind.

    Raises RefusedByServer.
    """
    path = f"/api/ebooks/{ebook_id}/calibre"
    body: dict[str, Json] = {
        "comments": fields.comments,
        "identifiers": dict(fields.identifiers),
        "series_index": fields.series_index,
        "sort": fields.sort,
    }
    accepted(session.call("PUT", path, body))
