"""The rows of a book: every value that the server's own code would have written. Pure.

No column but `id` has a default in the database, so a row names every value. What a
column cannot hold is found here, before a whole batch fails for it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from migration.metadata.ebook_metadata import (
    INTEGER_LIMIT,
    NAME_LENGTH,
    TITLE_LENGTH,
    library_mark,
)
from migration.model import BookId, EbookMetadata, FileId, PersonName
from migration.server.direct.batch import Placed

PATH_LENGTH, SOURCE_LENGTH = 512, 256
#: Of a column without a length; PostgreSQL takes 1 GB.
LONGEST_TEXT = 10_000_000
#: Characters of all names of a book together: what is searched has to stay far below
#: PostgreSQL's 1 MB.
NAMES_LENGTH = 50_000
#: Columns as COPY names them, in the order of the rows below.
EBOOK = (
    "id, version_id, created, modified, title, description, language_id, series_id, "
    "series_index, rating, rating_count, cover, base_dir, full_text, created_by_id, "
    "modified_by_id"
)
SOURCE = (
    "id, version_id, created, modified, ebook_id, location, load_source, format_id, "
    "size, hash, created_by_id, modified_by_id"
)
RATING = (
    "version_id, created, modified, ebook_id, rating, created_by_id, modified_by_id"
)

Value = str | int | float | datetime | None
ValueRow = tuple[Value, ...]

#: What PostgreSQL takes in no text: NUL, and halves of characters.
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_PROVENANCE = re.compile(r"calibre:([^:]*):([0-9]{1,18}):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all rows of a transaction have in common.

    `at` is the transaction's time in the time zone of the database, without a zone, as
    the columns have it; `owner` is the user by id, `library` the library's uuid.
    """

    at: datetime
    owner: int
    library: str

    def after(self, number: int) -> datetime:
        """Returns the time of the batch's book of this number.

        They are a microsecond apart, because the server's start page sorts by time
        alone.
        """
        return self.at + timedelta(microseconds=number)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The server's ids of what a book's rows point at.

    `authors` are in no order, `formats` are ids by extension.
    """

    authors: tuple[int, ...]
    series: int | None
    formats: Mapping[str, int]


def load_source(library: str, file: FileId) -> str:
    """Returns what a source's row says of where it is from."""
    return f"calibre:{library_mark(library)}:{file.book_id}:{file.format}"


def provenance(text: str, library: str) -> FileId | None:
    """Returns the file of this library that a source is from; None for any other."""
    found = _PROVENANCE.fullmatch(text)
    if found is None or found[1] != library_mark(library):
        return None
    return FileId(BookId(int(found[2])), found[3])


def full_title(
    authors: Sequence[PersonName], title: str, series: str | None, index: int | None
) -> str:
    """Returns the text by which the server finds a book."""
    names = ", ".join(
        f"{one.first} {one.last}" if one.first else one.last for one in authors
    )
    tail = "" if series is None else f" ({series} {index or 0})"
    return f"{names}: {title}{tail}"


def version(placed: Placed) -> int:
    """Returns the ebook's version as the API would leave it.

    It counts the cover taken, the change to the true title, and the rating.
    """
    rated = placed.drawn.book.metadata.rating is not None
    return 2 + (placed.cover is not None) + rated


def problem(placed: Placed, library: str, formats: Mapping[str, int]) -> str:
    """Returns why the database cannot hold a book, as a clause; "" when it can."""
    drawn, book = placed.drawn, placed.drawn.book
    metadata = book.metadata
    unknown = [one.extension for one in book.files if one.extension not in formats]
    paths = (drawn.base_dir, *drawn.locations, placed.cover or "")
    texts = [
        ("title", metadata.title, TITLE_LENGTH),
        ("series", metadata.series or "", TITLE_LENGTH),
        ("description", book.description or "", LONGEST_TEXT),
        *(("author", one.last, NAME_LENGTH) for one in metadata.authors),
        *(("author", one.first, NAME_LENGTH) for one in metadata.authors),
        *(("path", path, PATH_LENGTH) for path in paths),
        *(("shelf", name, TITLE_LENGTH) for name in book.shelves),
        ("note", book.note, LONGEST_TEXT),
        *(
            ("format", load_source(library, one.id), SOURCE_LENGTH)
            for one in book.files
        ),
    ]
    wrong = (_text_problem(*one) for one in texts)
    return (
        (f"the server has no format {unknown[0]!r}" if unknown else "")
        or next(filter(None, wrong), "")
        or _number_problem(placed, metadata)
    )


def _text_problem(what: str, text: str, length: int) -> str:
    if len(text) > length:
        return f"its {what} is longer than {length} characters"
    return f"its {what} has characters no database takes" * bool(_NO_TEXT.search(text))


def _number_problem(placed: Placed, metadata: EbookMetadata) -> str:
    if any(digest.size > INTEGER_LIMIT for digest in placed.digests):
        return "it has a file of 2 GB or more"
    if abs(metadata.series_index or 0) > INTEGER_LIMIT:
        return "its series index is too large"
    if metadata.rating is not None and not math.isfinite(metadata.rating):
        return "its rating is no number"
    if sum(len(f"{one.last} {one.first}, ") for one in metadata.authors) > NAMES_LENGTH:
        return f"its authors are longer than {NAMES_LENGTH} characters together"
    return ""


def ebook_row(
    placed: Placed, number: int, stamp: Stamp, ids: Numbers, full_text: str
) -> ValueRow:
    """Returns the row of table `ebook`; `full_text` is a tsvector as text."""
    drawn, metadata = placed.drawn, placed.drawn.book.metadata
    at = stamp.after(number)
    rated = None if metadata.rating is None else 1
    return (
        drawn.ebook_id,
        version(placed),
        at,
        at,
        metadata.title,
        drawn.book.description,
        metadata.language_id,
        ids.series,
        None if ids.series is None else metadata.series_index,
        metadata.rating,
        rated,
        placed.cover,
        drawn.base_dir,
        full_text,
        stamp.owner,
        stamp.owner,
    )


def author_rows(placed: Placed, ids: Numbers) -> list[ValueRow]:
    """Returns the rows of `ebook_authors`."""
    return [(placed.drawn.ebook_id, one) for one in sorted(set(ids.authors))]


def genre_rows(placed: Placed) -> list[ValueRow]:
    """Returns the rows of `ebook_genres`."""
    genres = {number for number, _name in placed.drawn.book.metadata.genres}
    return [(placed.drawn.ebook_id, one) for one in sorted(genres)]


def source_rows(
    placed: Placed, number: int, stamp: Stamp, ids: Numbers
) -> list[ValueRow]:
    """Returns the rows of `source`, one for each file."""
    drawn = placed.drawn
    at = stamp.after(number)
    return [
        (
            source_id,
            1,
            at,
            at,
            drawn.ebook_id,
            location,
            load_source(stamp.library, file.id),
            ids.formats[file.extension],
            digest.size,
            digest.sha1,
            stamp.owner,
            stamp.owner,
        )
        for file, source_id, location, digest in zip(
            drawn.book.files,
            drawn.source_ids,
            drawn.locations,
            placed.digests,
            strict=True,
        )
    ]


def rating_rows(placed: Placed, number: int, stamp: Stamp) -> list[ValueRow]:
    """Returns the owner's rating, if there is one."""
    drawn, at = placed.drawn, stamp.after(number)
    rating = drawn.book.metadata.rating
    if rating is None:
        return []
    return [(1, at, at, drawn.ebook_id, rating, stamp.owner, stamp.owner)]
