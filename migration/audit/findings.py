"""What differs between what should be on the server and what is there. Pure."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from common.sanitize import for_log
from migration.audit.expectation import Expected
from migration.audit.seen import Birth, Seen, SeenAuthor
from migration.metadata.compare import Field
from migration.model import BookId, EbookId

#: The longest value that is quoted, in characters.
QUOTED = 120
#: The order of this many authors of a book is looked at.
MOST_ORDERED = 8


class Kind(StrEnum):
    """A kind of difference; the stable terms of summary, report and docs/errors.md."""

    EBOOK = "ebook not there"
    TITLE = "wrong title"
    AUTHORS = "wrong authors"
    ORDER = "wrong order of authors"
    SERIES = "wrong series"
    SERIES_INDEX = "wrong series index"
    LANGUAGE = "wrong language"
    GENRES = "wrong genres"
    RATING = "wrong rating"
    COVER = "cover not there"
    FILE = "file not there"
    LEFT_OUT = "file left out"
    NOT_READ = "not read back"
    NOT_AUDITED = "not audited"


KINDS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference that nobody reported, in words."""

    kind: Kind
    book_id: BookId
    ebook_id: EbookId
    message: str


#: What was reported and stands: the server's value as it was shown, by field.
Reported = Mapping[str, str]


def compare(
    book_id: BookId, wanted: Expected, seen: Seen, reported: Reported
) -> list[Finding]:
    """Returns what differs.

    A difference that was reported is none, as long as the server still has the value
    that was shown then.
    """
    return [
        _finding(kind, book_id, seen, should, field)
        for kind, field, should in _wrong(wanted, seen)
        if reported.get(field.value) != seen.fields.reported(field)
    ]


def _wrong(wanted: Expected, seen: Seen) -> Iterator[tuple[Kind, Field, str]]:
    """Yields kind, field and the right value of each difference."""
    if seen.title != wanted.title:
        yield Kind.TITLE, Field.TITLE, wanted.title
    if not _same_people(wanted, seen):
        names = " & ".join(one.shown for one in wanted.authors)
        yield Kind.AUTHORS, Field.AUTHORS, names
    if seen.series != wanted.series:
        yield Kind.SERIES, Field.SERIES, wanted.series or ""
    elif wanted.series is not None and seen.series_index != wanted.series_index:
        index = "" if wanted.series_index is None else str(wanted.series_index)
        yield Kind.SERIES_INDEX, Field.SERIES_INDEX, index
    if wanted.languages is not None and seen.language not in wanted.languages:
        yield Kind.LANGUAGE, Field.LANGUAGE, " or ".join(sorted(wanted.languages))
    if seen.genres != wanted.genres:
        yield Kind.GENRES, Field.GENRES, ", ".join(sorted(wanted.genres))
    if wanted.rating is not None and seen.rating != wanted.rating:
        yield Kind.RATING, Field.RATING, str(wanted.rating)


def _same_people(wanted: Expected, seen: Seen) -> bool:
    """Whether every author is expected, and every expected one is there."""
    return all(
        any(one.is_this(author.last, author.first) for one in wanted.authors)
        for author in seen.authors
    ) and all(
        any(one.is_this(author.last, author.first) for author in seen.authors)
        for one in wanted.authors
    )


def _finding(
    kind: Kind, book_id: BookId, seen: Seen, should: str, field: Field
) -> Finding:
    message = f"the server has {_quoted(seen.fields.shown(field))}, and Calibre {_quoted(should)}"
    return about(kind, book_id, seen.id, message)


def about(kind: Kind, book_id: BookId, ebook_id: EbookId | None, what: str) -> Finding:
    """Returns a difference of one book."""
    return Finding(
        kind,
        book_id,
        ebook_id or EbookId(0),
        f"ebook {ebook_id} of book {book_id}: {what}"
        if ebook_id
        else f"book {book_id}: {what}",
    )


def _quoted(text: str) -> str:
    return repr(for_log(text, QUOTED))


# -- the order of authors --------------------------------------------------------------


def in_doubt(wanted: Expected, seen: Seen) -> list[tuple[SeenAuthor, SeenAuthor]]:
    """Returns pairs in Calibre's order whom the server shows the other way round.

    The server lists authors by id, so that alone says nothing: the second may have been
    there before the first.
    """
    placed: list[SeenAuthor] = []
    for one in wanted.authors[:MOST_ORDERED]:
        found = [who for who in seen.authors if one.is_this(who.last, who.first)]
        if len(found) != 1:
            return []
        placed.append(found[0])
    pairs = itertools.combinations(placed, 2)
    return [(first, second) for first, second in pairs if second.id < first.id]


def made_together(seen: Seen, births: tuple[Birth, Birth]) -> bool:
    """Whether both authors were made by the very request that made this ebook.

    Then their ids are in the order in which they were sent. The server stamps all rows
    of one transaction with the same microsecond. An author whose first ebook was
    deleted has another time; one that has an earlier ebook is not this ebook's.
    """
    return bool(seen.created) and all(
        one.created == seen.created and one.first_ebook == seen.id for one in births
    )
