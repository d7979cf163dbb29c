"""All rows of a batch in one short transaction or some, by COPY.

The server's triggers would write each ebook again for itself and for each author. They
are led into an empty temporary table of the same name, where there is nothing to update
(they are never disabled); whether that holds is tried
before the first row counts, and if it does not they are left on.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from common.sanitize import for_log
from migration.model import Digest, EbookId, PersonName
from migration.server.direct import values
from migration.server.direct.batch import Placed, Refused, Shelved
from migration.server.direct.connection import VALUES, Cursor, DatabaseSession
from migration.server.direct.names import Names
from migration.server.direct.shelving import ShelfRows
from migration.server.direct.values import Numbers, Stamp, ValueRow

#: How long a transaction should take, in seconds, and how many books it may hold.
AIM, FEWEST, MOST = 0.2, 8, 1_000
#: Ids of sources are given out before their transactions commit, so those below the
#: highest seen are looked at again: so many, and from so many transactions ago.
OVERLAP, LOOKS = 1_000, 20

_VECTORS = """
    SELECT to_tsvector('custom', t)::text
    FROM unnest(%s::text[]) WITH ORDINALITY AS x (t, n) ORDER BY n
"""
_SHADOW = """
    CREATE TEMPORARY TABLE IF NOT EXISTS ebook (LIKE public.ebook, PRIMARY KEY (id))
"""
#: What a trigger would never write.
_PLANTED = "'shadowprobe':1"
_TRIED = """
    SELECT full_text = %s::tsvector,
        to_tsvector('custom', public.ebook_full_title(id))::text
    FROM public.ebook WHERE id = %s
"""
#: By an index, if there is one on both; else what is new.
_UPLOADED = """
    SELECT s.hash, s.size, min(s.ebook_id)
    FROM public.source s JOIN unnest(%s::text[], %s::int[]) AS w (hash, size)
        ON s.size = w.size AND s.hash = w.hash
    WHERE s.id > %s GROUP BY s.hash, s.size
"""
_INDEXED = """
    SELECT EXISTS (SELECT 1 FROM pg_index
        WHERE indrelid = 'public.source'::regclass AND indisvalid AND indpred IS NULL
            AND pg_get_indexdef(indexrelid)
                ~ ' USING (btree|hash) \\((size, hash|hash, size|hash)\\)')
"""


@dataclass(slots=True)
class Outcome:
    """What became of books; `shelved` are the items of those that were written."""

    written: list[Placed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    shelved: dict[EbookId, tuple[Shelved, ...]] = field(default_factory=dict)


class Writer:
    """Writes the rows of books over one session of the database."""

    def __init__(
        self,
        session: DatabaseSession,
        names: Names,
        shelves: ShelfRows,
        library: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        looked: int = 0,
    ) -> None:
        """`library` is the library's uuid; `clock` measures transactions.

        `looked` is the highest id of a source that the ledger knows.
        """
        self._session = session
        self._names = names
        self._shelves = shelves
        self._library = library
        self._clock = clock
        #: The highest ids of sources at the last looks, the oldest first.
        self.looked = deque([looked], maxlen=LOOKS)
        self._indexed = bool(session.rows(_INDEXED)[0][0])
        #: How many books a transaction takes.
        self.count = MOST // 4
        #: Whether the triggers run into an empty table; None until it was tried.
        self.shadowed: bool | None = None

    def write(self, books: Sequence[Placed], outcome: Outcome) -> None:
        """Writes all rows of these books, in transactions as short as they should be.

        A book that cannot be written, or of which somebody uploaded a file meanwhile,
        comes back refused; the others are written. Raises Transient and Fatal; after
        ResponseLost the rows may be there.
        """
        fit = list(self._fitting(books, outcome))
        # All at once, because the server has no index on names of authors.
        self._names.learn(self._session, [one.drawn.book.metadata for one in fit])
        while fit:
            part, fit = fit[: self.count], fit[self.count :]
            self._write(part, outcome)

    def _write(self, fit: Sequence[Placed], outcome: Outcome) -> None:
        try:
            self._attempt(fit, outcome)
        except psycopg.errors.ForeignKeyViolation:
            # Somebody has merged or deleted an author, a series or a shelf.
            self._names.forget()
            self._shelves.forget()
            self._halve(fit, outcome)
        except VALUES:
            self._halve(fit, outcome)

    def _fitting(self, books: Sequence[Placed], outcome: Outcome) -> Iterator[Placed]:
        """Yields the books whose values the tables can hold."""
        self._names.learn(self._session, [])
        seen = set[Digest]()
        for book in books:
            why = values.problem(book, self._library, self._names.formats)
            if not why and not seen.isdisjoint(book.digests):
                why = "another book of its batch has the same file"
            seen.update(book.digests)
            if why:
                outcome.refused.append(Refused(book.drawn.book.id, why))
            else:
                yield book

    def _halve(self, books: Sequence[Placed], outcome: Outcome) -> None:
        """Writes what can be written, and finds the books that cannot."""
        try:
            self._attempt(books, outcome)
        except VALUES as error:
            if len(books) == 1:
                why = f"the database refuses it ({_said(error)})"
                outcome.refused.append(Refused(books[0].drawn.book.id, why))
                return
            middle = len(books) // 2
            self._halve(books[:middle], outcome)
            self._halve(books[middle:], outcome)

    def _attempt(self, books: Sequence[Placed], outcome: Outcome) -> None:
        """Writes them all, or raises one of `VALUES` and has written none."""
        if not books:
            return
        metadata = [one.drawn.book.metadata for one in books]
        self._names.learn(self._session, metadata)
        self._shelves.learn(
            self._session, {name for one in books for name in one.drawn.book.shelves}
        )
        ids = [self._numbers(book) for book in books]
        vectors = self._vectors(books, ids)
        if self.shadowed is None:
            self.shadowed = self._shadow(books, ids, vectors)
        began = self._clock()
        with self._session.transaction() as db:
            uploaded = self._uploaded(db, books)
            stamp = self._stamp(db)
            wanted = [
                (book, number, vector)
                for book, number, vector in zip(books, ids, vectors, strict=True)
                if book.drawn.ebook_id not in uploaded
            ]
            _copy_all(db, wanted, stamp)
            written = [book for book, _number, _vector in wanted]
            shelved = self._shelves.fill(db, written)
        self.count = next_count(len(books), self.count, self._clock() - began)
        self._shelves.filled(shelved)
        outcome.written += written
        outcome.shelved |= shelved
        outcome.refused += [
            Refused(book.drawn.book.id, uploaded[book.drawn.ebook_id])
            for book in books
            if book.drawn.ebook_id in uploaded
        ]

    def _numbers(self, book: Placed) -> Numbers:
        metadata, names = book.drawn.book.metadata, self._names
        return Numbers(
            tuple(names.authors[one] for one in metadata.authors),
            None if metadata.series is None else names.series[metadata.series],
            names.formats,
        )

    def _vectors(self, books: Sequence[Placed], ids: Sequence[Numbers]) -> list[str]:
        """Returns what is searched, book by book, as the server's function makes it."""
        texts = [
            values.full_title(
                _by_id(book.drawn.book.metadata.authors, number),
                book.drawn.book.metadata.title,
                book.drawn.book.metadata.series,
                book.drawn.book.metadata.series_index,
            )
            for book, number in zip(books, ids, strict=True)
        ]
        return [row[0] for row in self._session.rows(_VECTORS, (texts,))]

    def _stamp(self, db: Cursor) -> Stamp:
        at = db.execute("SELECT localtimestamp").fetchone()
        assert at is not None
        return Stamp(at[0], self._names.owner, self._library)

    def after(self) -> int:
        """Returns the id of a source above which those are that nobody looked at.

        With an index on size and hash all are looked at.
        """
        return 0 if self._indexed else max(0, self.looked[0] - OVERLAP)

    def _uploaded(self, db: Cursor, books: Sequence[Placed]) -> Mapping[int, str]:
        """Returns why books are not written: by ebook id, whose file is there."""
        digests = [digest for book in books for digest in book.digests]
        db.execute(
            _UPLOADED,
            (
                [one.sha1 for one in digests],
                [one.size for one in digests],
                self.after(),
            ),
        )
        there = {(sha1, size): ebook for sha1, size, ebook in db}
        highest = db.execute("SELECT max(id) FROM public.source").fetchone()
        self.looked.append((highest and highest[0]) or 0)
        found = {}
        for book in books:
            for file, digest in zip(book.drawn.book.files, book.digests, strict=True):
                ebook = there.get((digest.sha1, digest.size))
                if ebook is not None:
                    found[int(book.drawn.ebook_id)] = (
                        f"its {file.id.format} has been uploaded meanwhile (ebook {ebook})"
                    )
        return found

    def _shadow(
        self, books: Sequence[Placed], ids: Sequence[Numbers], vectors: Sequence[str]
    ) -> bool:
        """Leads the triggers astray if they let us; tries it with one book.

        Its row is written with a text that no trigger would write, and taken back.
        """
        with self._session.transaction() as db:
            db.execute(_SHADOW)
        book, number = _simplest(books, ids)
        computed = vectors[books.index(book)]
        holds, again = False, ""
        with self._session.transaction() as db:
            _copy_all(db, [(book, number, _PLANTED)], self._stamp(db))
            # The temporary table would hide the server's own from its function, too.
            db.execute("SET LOCAL search_path TO public, pg_temp")
            row = db.execute(_TRIED, (_PLANTED, book.drawn.ebook_id)).fetchone()
            assert row is not None
            holds, again = row
            raise psycopg.Rollback
        same = _same_text(computed, again, ordered=len(number.authors) < 2)
        if not (holds and same):
            with self._session.transaction() as db:
                db.execute("DROP TABLE pg_temp.ebook")
        return holds and same


def next_count(done: int, count: int, seconds: float) -> int:
    """Returns how many books the next transaction takes; pure.

    `done` were written in `seconds`, at most `count` were allowed.
    """
    if seconds > AIM:
        return max(FEWEST, min(done, count) // 2)
    if done == count and seconds < AIM / 2:
        return min(MOST, count * 2)
    return count


def _copy_all(
    db: Cursor, books: Sequence[tuple[Placed, Numbers, str]], stamp: Stamp
) -> None:
    """Writes the rows of books, which are numbered in their order."""
    numbered = [(n, *one) for n, one in enumerate(books)]
    _copy(
        db,
        f"COPY public.ebook ({values.EBOOK}) FROM STDIN",
        (
            values.ebook_row(book, n, stamp, ids, vector)
            for n, book, ids, vector in numbered
        ),
    )
    _copy(
        db,
        "COPY public.ebook_authors (ebook_id, author_id) FROM STDIN",
        (
            row
            for _n, book, ids, _v in numbered
            for row in values.author_rows(book, ids)
        ),
    )
    _copy(
        db,
        "COPY public.ebook_genres (ebook_id, genre_id) FROM STDIN",
        (row for _n, book, _ids, _v in numbered for row in values.genre_rows(book)),
    )
    _copy(
        db,
        f"COPY public.source ({values.SOURCE}) FROM STDIN",
        (
            row
            for n, book, ids, _v in numbered
            for row in values.source_rows(book, n, stamp, ids)
        ),
    )
    _copy(
        db,
        f"COPY public.ebook_rating ({values.RATING}) FROM STDIN",
        (
            row
            for n, book, _ids, _v in numbered
            for row in values.rating_rows(book, n, stamp)
        ),
    )


def _copy(db: Cursor, sql: LiteralString, rows: Iterable[ValueRow]) -> None:
    """Writes rows; without any, the table is not asked at all."""
    every = list(rows)
    if not every:
        return
    with db.copy(sql) as copy:
        for row in every:
            copy.write_row(row)


def _by_id(authors: Sequence[PersonName], ids: Numbers) -> list[PersonName]:
    """Returns authors as the server lists them."""
    pairs = zip(ids.authors, authors, strict=True)
    return [one for _number, one in sorted(pairs, key=lambda pair: pair[0])]


def _simplest(
    books: Sequence[Placed], ids: Sequence[Numbers]
) -> tuple[Placed, Numbers]:
    """Returns a book with one author if there is one: its text has one order only."""
    pairs = list(zip(books, ids, strict=True))
    return next((one for one in pairs if len(one[1].authors) == 1), pairs[0])


def _same_text(ours: str, again: str | None, *, ordered: bool) -> bool:
    """Whether two vectors are the same, or at least their words.

    The server's function names several authors in no order.
    """
    if again is None or ordered:
        return ours == again
    return _words(ours) == _words(again)


def _words(vector: str) -> list[str]:
    return sorted(part.rpartition(":")[0] for part in vector.split(" "))


def _said(error: psycopg.Error) -> str:
    said = for_log(error.diag.message_primary or str(error), 160)
    return f"{type(error).__name__}: {said}"
