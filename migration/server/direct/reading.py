"""What the lane wrote, as it is in the database: receipts, and what a rebuilt ledger needs.

Receipts are made of rows that were read after their commit, never of what was sent.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migration.metadata.compare import Fields
from migration.model import (
    BookId,
    Digest,
    EbookId,
    FileId,
    ItemId,
    PersonName,
    Receipt,
    ShelfId,
    SourceId,
)
from migration.server.direct.batch import Shelved, Written
from migration.server.direct.connection import DatabaseSession, Row
from migration.server.direct.values import load_source, provenance
from migration.server.payloads import author_key

#: Rows of `source` per query.
PAGE = 50_000

_EBOOKS = """
    SELECT e.id, e.version_id, e.title, e.series_id, s.title, e.series_index, l.code,
        e.cover, e.rating, coalesce(e.rating_count, 0)
    FROM public.ebook e
        JOIN public.language l ON l.id = e.language_id
        LEFT JOIN public.series s ON s.id = e.series_id
    WHERE e.id = ANY(%s)
"""
_AUTHORS = """
    SELECT w.ebook_id, a.id, a.last_name, a.first_name
    FROM public.ebook_authors w JOIN public.author a ON a.id = w.author_id
    WHERE w.ebook_id = ANY(%s) ORDER BY w.ebook_id, a.id
"""
_GENRES = """
    SELECT w.ebook_id, g.name
    FROM public.ebook_genres w JOIN public.genre g ON g.id = w.genre_id
    WHERE w.ebook_id = ANY(%s)
"""
#: Scans the table, which has no index on its ebook.
_RATINGS = """
    SELECT ebook_id, min(rating) FROM public.ebook_rating
    WHERE ebook_id = ANY(%s) AND created_by_id = %s GROUP BY ebook_id
"""
#: By id: `source` has no index on its ebook.
_SOURCES = """
    SELECT s.ebook_id, s.id, s.hash, s.size, f.extension
    FROM public.source s JOIN public.format f ON f.id = s.format_id
    WHERE s.id = ANY(%s)
"""
_BY_PROVENANCE = """
    SELECT s.id, s.ebook_id, s.hash, s.size, s.load_source
    FROM public.source s WHERE s.id > %s AND left(s.load_source, %s) = %s
    ORDER BY s.id LIMIT %s
"""


@dataclass(slots=True)
class _Found:
    """What belongs to one ebook."""

    authors: list[tuple[int, PersonName]] = field(default_factory=list)
    genres: list[str] = field(default_factory=list)
    receipts: list[tuple[FileId, Receipt]] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the values are those that the API would show to the user `login`.

    `owner` is the user who is said to have made what the lane writes.
    """

    session: DatabaseSession
    login: int
    owner: int

    def written(
        self, files: Mapping[EbookId, Mapping[SourceId, FileId]], *, just_now: bool
    ) -> dict[EbookId, Written]:
        """Returns those of these ebooks that exist, with the sources they have.

        `just_now` means that this process has committed them a moment ago, so that the
        only rating of a book is the owner's. Shelves are not read.
        """
        rows = self.session.rows(_EBOOKS, (list(files),)) if files else []
        found = {row[0]: _Found() for row in rows}
        there = list(found)
        for ebook, number, last, first in self.session.rows(_AUTHORS, (there,)):
            found[ebook].authors.append((number, PersonName(last, first or "")))
        for ebook, name in self.session.rows(_GENRES, (there,)):
            found[ebook].genres.append(name)
        self._sources(files, found)
        ratings = self._ratings(rows, just_now=just_now)
        return {
            EbookId(row[0]): _written(
                row, _book(files[row[0]]), found[row[0]], ratings.get(row[0])
            )
            for row in rows
        }

    def _sources(
        self,
        files: Mapping[EbookId, Mapping[SourceId, FileId]],
        found: Mapping[int, _Found],
    ) -> None:
        wanted = [(ebook, one) for ebook in found for one in files[EbookId(ebook)]]
        ids = [source for _ebook, source in wanted]
        rows = {row[1]: row for row in self.session.rows(_SOURCES, (ids,))}
        for ebook, source in wanted:
            row = rows.get(source)
            if row is not None and row[0] == ebook:
                file = files[EbookId(ebook)][source]
                receipt = Receipt(Digest(row[2], row[3]), EbookId(ebook), source)
                found[ebook].receipts.append((file, receipt))
                found[ebook].formats.append(row[4])

    def _ratings(self, rows: Sequence[Row], *, just_now: bool) -> dict[int, float]:
        """Returns the login's ratings by ebook."""
        rated = {row[0]: row[-2] for row in rows if row[-1] > 0}
        sure = {row[0] for row in rows if just_now and row[-1] == 1}
        unsure = list(rated.keys() - sure)
        asked = self.session.rows(_RATINGS, (unsure, self.login)) if unsure else []
        theirs = self.login == self.owner
        return {one: rated[one] for one in sure if theirs} | dict(asked)


def _book(files: Mapping[SourceId, FileId]) -> BookId:
    return next(iter(files.values())).book_id


def _written(row: Row, book: BookId, found: _Found, rating: float | None) -> Written:
    ebook, version, title, series_id, series, index, language, cover = row[:8]
    ids = {author_key(name): number for number, name in found.authors}
    if series_id is not None:
        ids["series", series] = series_id
    fields = Fields(
        title=title,
        authors=tuple(name for _number, name in found.authors),
        series=series or None,
        series_index=index,
        language=language,
        genres=frozenset(found.genres),
        rating=rating,
        formats=frozenset(found.formats),
    )
    receipts = tuple(found.receipts)
    return Written(book, EbookId(ebook), receipts, ids, fields, version, cover)


def by_provenance(
    session: DatabaseSession, library: str
) -> Iterator[tuple[FileId, Receipt]]:
    """Yields every file that a lane has written for this library, by source id.

    A lost ledger is rebuilt from it.
    """
    prefix = load_source(library, FileId(BookId(0), "")).removesuffix("0:")
    after = 0
    while True:
        rows = session.rows(_BY_PROVENANCE, (after, len(prefix), prefix, PAGE))
        for number, ebook, sha1, size, text in rows:
            file = provenance(text, library)
            if file is not None:
                digest = Digest(sha1, size)
                yield file, Receipt(digest, EbookId(ebook), SourceId(number))
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


# -- shelves ---------------------------------------------------------------------------

#: Scans the table, which has no index on its ebooks.
_ITEMS = """
    SELECT i.ebook_id, b.name, b.id, i.id
    FROM public.bookshelf_item i JOIN public.bookshelf b ON b.id = i.bookshelf_id
    WHERE i.type = 'EBOOK' AND i.ebook_id = ANY(%s) AND b.created_by_id = %s
        AND i.created_by_id = %s
    ORDER BY i.id
"""


def items(
    session: DatabaseSession, ebooks: Collection[EbookId], owner: int
) -> dict[EbookId, tuple[Shelved, ...]]:
    """Returns the items of ebooks that this user has put on own shelves."""
    found: dict[EbookId, tuple[Shelved, ...]] = {}
    if not ebooks:
        return found
    for ebook, name, shelf, item in session.rows(_ITEMS, (list(ebooks), owner, owner)):
        more = Shelved(name, ShelfId(shelf), ItemId(item))
        found[EbookId(ebook)] = (*found.get(EbookId(ebook), ()), more)
    return found
