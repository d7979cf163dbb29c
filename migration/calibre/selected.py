"""The books of a library that are selected: their ids and numbers, and who they are.

Without a selection the queries are the plain ones. With one, its names are looked up
first, and again whenever Calibre has changed metadata.db.
"""

import difflib
import heapq
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from common.sanitize import for_log
from migration.calibre.selection import (
    EVERYTHING,
    NAMED,
    TIMES,
    By,
    Condition,
    Selection,
    Where,
    folded,
    key,
    matches,
    where,
)
from migration.calibre.values import Rows, text_of
from migration.model import BookId

#: Names read at a time.
PAGE = 5_000
#: Uuids looked for by one query.
UUIDS = 500
#: Books gone through by one query.
WINDOW = 100_000
#: How many names like an unknown one are shown, and how much alike they are.
NEAR, LIKENESS = 3, 0.6

Query = Callable[..., Rows]


@dataclass(frozen=True, slots=True)
class NotFound:
    """A value that nothing in the library has; `near` are names like it."""

    by: By
    value: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.by in TIMES:
            return (
                f"this library does not record when books were {self.by.split('-')[0]}"
            )
        like = ", ".join(repr(for_log(name, 80)) for name in self.near)
        kind = "files of the format" if self.by is By.FORMAT else str(self.by)
        return f"no {kind} {for_log(self.value, 80)!r} in the library" + (
            f", but {like}" if like else ""
        )


@dataclass(frozen=True, slots=True)
class _Survey:
    """What is selected: the highest id, the number of books, files by recorded format."""

    highest: int
    books: int
    formats: Counter[object]


class SelectedBooks:
    """Ids and numbers of the books in question.

    `query(sql, parameters, what)` runs one SELECT and returns all its rows; `columns`
    are those of each table.
    """

    def __init__(
        self,
        query: Query,
        columns: Mapping[str, Set[str]],
        selection: Selection = EVERYTHING,
    ) -> None:
        self.selection = selection
        self._query = query
        self._columns = columns
        self._version: object = None
        self._where = Where()
        self._surveyed: tuple[object, _Survey] | None = None

    def meet(self, columns: Mapping[str, Set[str]]) -> None:
        """Begins anew with the tables of a metadata.db that took the other's place."""
        self._columns, self._version, self._surveyed = columns, None, None

    @property
    def where(self) -> Where:
        """The condition as of now."""
        if not self.selection:
            return self._where
        version = self._query("PRAGMA data_version", (), "its version")
        if version != self._version:
            ids, _lost = self._look_up()
            self._where = where(self.selection, ids, self._columns)
            self._version = version
        return self._where

    def not_found(self) -> list[NotFound]:
        """Returns what is selected by, but is not in the library."""
        _ids, lost = self._look_up()
        return [
            NotFound(one.by, value, self._near(one.by, value))
            for one, values in lost.items()
            for value in values
        ]

    # -- ids and numbers ---------------------------------------------------------------

    def highest_id(self) -> int:
        """Returns the highest of their ids, 0 when there are none."""
        if self.selection:
            return self._survey().highest
        return self._number("SELECT MAX(id) FROM books", "the highest book id")

    def book_count(self, *, selected: bool) -> int:
        """Returns how many books there are, all of them or only those selected."""
        if self.selection and selected:
            return self._survey().books
        return self._number("SELECT COUNT(*) FROM books", "the number of books")

    def with_uuid(self, uuids: Sequence[str]) -> dict[str, BookId]:
        """Returns which of the whole library's books have these uuids."""
        found: dict[str, BookId] = {}
        for begin in range(0, len(uuids), UUIDS):
            some = tuple(uuids[begin : begin + UUIDS])
            marks = ", ".join("?" * len(some))
            rows = self._query(
                f"SELECT uuid, id FROM books WHERE uuid IN ({marks})",  # noqa: S608 - marks
                some,
                "the books of some uuids",
            )
            found |= {text_of(row[0]): BookId(int(str(row[1]))) for row in rows}
        return found

    def file_count(self) -> int:
        """Returns how many files they have."""
        if self.selection:
            return self._survey().formats.total()
        return self._number("SELECT COUNT(*) FROM data", "the number of files")

    def formats_counted(self) -> Rows:
        """Returns each recorded format with the number of its files."""
        if self.selection:
            return list(self._survey().formats.items())
        sql = "SELECT format, COUNT(*) FROM data GROUP BY format"
        return self._query(sql, (), "the number of files")

    def last_id_after(self, after: int, limit: int) -> int | None:
        """Returns up to which id the next `limit` books after `after` are, or None.

        Fewer where the selected ones are few: no query goes through more of a library
        than it can in a moment.
        """
        if not self.selection:
            return self._next_id(after, limit)
        chosen, last = self.where.with_files, None
        for window in (2 * limit, WINDOW):
            last = self._next_id(after, window)
            number, highest = self._query(
                "SELECT COUNT(*), MAX(id) FROM (SELECT id FROM books WHERE id > ? AND "  # noqa: S608 - our own words
                f"id <= ?{chosen.books} ORDER BY id LIMIT ?)",
                (after, last, *chosen.of_books, limit),
                f"the next {limit} books after {after}",
            )[0]
            if number == limit and isinstance(highest, int):
                return highest
        return last

    def _windows(self, after: int) -> Iterator[tuple[int, int]]:
        """Yields spans of ids whose books one query may go through.

        A query over a large library would take longer than Calibre waits for it.
        """
        while (last := self._next_id(after, WINDOW)) is not None:
            yield after + 1, last
            after = last

    def _next_id(self, after: int, limit: int) -> int | None:
        rows = self._query(
            "SELECT MAX(id) FROM (SELECT id FROM books WHERE id > ? ORDER BY id LIMIT ?)",
            (after, limit),
            f"the next {limit} books after {after}",
        )
        found = rows[0][0]
        return found if isinstance(found, int) else None

    def _survey(self) -> "_Survey":
        """Counts what is selected, unless metadata.db has not changed since."""
        chosen = self.where
        if self._surveyed is not None and self._surveyed[0] == self._version:
            return self._surveyed[1]
        books, highest, formats = 0, 0, Counter[object]()
        of_books = chosen.with_files
        for span in self._windows(0):
            number, last = self._query(
                "SELECT COUNT(*), MAX(id) FROM books WHERE id BETWEEN ? AND ?"  # noqa: S608 - our own words
                f"{of_books.books}",
                (*span, *of_books.of_books),
                "the number of books",
            )[0]
            if isinstance(number, int) and isinstance(last, int):
                books, highest = books + number, last
            for recorded, files in self._query(
                "SELECT data.format, COUNT(*) FROM books CROSS JOIN data ON "  # noqa: S608 - our own words
                "data.book = books.id WHERE books.id BETWEEN ? AND ?"
                f"{chosen.books}{chosen.files} GROUP BY data.format",
                (*span, *chosen.of_books, *chosen.of_files),
                "the number of files",
            ):
                formats[recorded] += files if isinstance(files, int) else 0
        survey = _Survey(highest, books, formats)
        self._surveyed = self._version, survey
        return survey

    def without_files(self, first: int, last: int) -> list[BookId]:
        """Returns the books of a range without any format: one query over an index."""
        chosen = self.where.with_files
        rows = self._query(
            "SELECT id FROM books WHERE id BETWEEN ? AND ?"  # noqa: S608 - our own words
            f"{chosen.books} AND NOT EXISTS (SELECT 1 FROM "
            "data WHERE data.book = books.id)"
            " ORDER BY id",
            (first, last, *chosen.of_books),
            f"books {first}-{last}",
        )
        return [BookId(row[0]) for row in rows if isinstance(row[0], int)]

    def those_of(self, ids: Collection[BookId]) -> frozenset[BookId]:
        """Returns those of these books that are selected."""
        chosen = self.where.with_files
        rows = self._query(
            "SELECT id FROM books WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own words
            f"{chosen.books}",
            (json.dumps([*ids]), *chosen.of_books),
            f"{len(ids)} books",
        )
        return frozenset(BookId(row[0]) for row in rows if isinstance(row[0], int))

    def _number(self, sql: str, what: str) -> int:
        found = self._query(sql, (), what)[0][0]
        return found if isinstance(found, int) else 0

    # -- names -------------------------------------------------------------------------

    def _look_up(
        self,
    ) -> tuple[dict[Condition, list[int]], dict[Condition, list[str]]]:
        """Returns the ids of the names, and the values that nothing has."""
        ids: dict[Condition, list[int]] = {}
        lost: dict[Condition, list[str]] = {}
        for one in self.selection.conditions:
            if one.by is By.IDS:
                continue
            found, left = self._of(one)
            ids[one] = found
            if left:
                lost[one] = left
        return ids, lost

    def _of(self, one: Condition) -> tuple[list[int], list[str]]:
        if one.by in TIMES:
            there = TIMES[one.by] in self._columns.get("books", frozenset())
            return [], [] if there else [one.values[0]]
        wanted = {value: key(one.by, value) for value in one.values}
        left, ids = set(wanted), []
        for number, name in self._names(one.by):
            has = key(one.by, name)
            of = [value for value, its in wanted.items() if matches(one.by, its, has)]
            if of:
                ids.append(number)
                left.difference_update(of)
        return ids, sorted(left)

    def _names(self, by: By) -> Iterator[tuple[int, str]]:
        """Yields ids and names of a kind, a page at a time."""
        if by is By.FORMAT:
            for row in self._query("SELECT format FROM data GROUP BY format"):
                yield 0, text_of(row[0]).upper()
            return
        table, name, _link, _column = NAMED[by]
        if not {"id", name} <= self._columns.get(table, frozenset()):
            return
        after = 0
        # Names of our own.
        sql = f"SELECT id, {name} FROM {table} WHERE id > ? ORDER BY id LIMIT {PAGE}"  # noqa: S608
        while rows := self._query(sql, (after,), f"the table {table}"):
            for number, text in rows:
                if isinstance(number, int):
                    after = number
                    name_of = text_of(text)
                    # Calibre stores a comma in an author's name as `|`.
                    yield (
                        number,
                        name_of.replace("|", ",") if by is By.AUTHOR else name_of,
                    )

    def _near(self, by: By, value: str) -> tuple[str, ...]:
        """Returns the names most like an unknown one."""
        if by in TIMES:
            return ()
        asked = folded(value)
        matcher = difflib.SequenceMatcher(b=asked)
        best: list[tuple[float, str]] = []
        for _id, name in self._names(by):
            matcher.set_seq1(folded(name)[: 2 * len(asked) + 8])
            # From the cheapest estimate to the true one.
            if (
                matcher.real_quick_ratio() >= LIKENESS
                and matcher.quick_ratio() >= LIKENESS
                and (ratio := matcher.ratio()) >= LIKENESS
            ):
                best = heapq.nlargest(NEAR, {*best, (ratio, name)})
        if not best and by in (By.FORMAT, By.LANGUAGE):
            return tuple(sorted({name for _id, name in self._names(by)})[:10])
        return tuple(name for _ratio, name in best)


def told(found: Sequence[NotFound]) -> str:
    """Returns the sentence for the user."""
    return "; ".join(map(str, found))
