"""A Calibre library, read only: whole books in id order.

Queries are short, so that they never block Calibre. Facts about metadata.db: Calibre
6.13 and newer schemas. Columns are named and looked up, never assumed; text comes as
bytes and is decoded by one rule (invalid UTF-8 becomes U+FFFD); a value of the wrong
type is left out, not trusted.
"""

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, Self

from common.json_value import Json
from common.resources import raise_if_exhausted
from common.sanitize import sanitize_json, sanitize_text
from migration.calibre import connection
from migration.calibre.custom_columns import CustomColumns
from migration.calibre.listing import ListedFormat, Listing, bytes_of, folder_of
from migration.calibre.paths import Found, Tree, shown
from migration.calibre.selected import SelectedBooks
from migration.calibre.selection import Selection, Where
from migration.calibre.values import (
    Rows,
    authors_of,
    by_book,
    dates_of,
    integer_of,
    real_of,
    text_of,
    texts_of,
)
from migration.errors import (
    EmptyFile,
    LibraryReplaced,
    LibraryUnreadable,
    MissingFile,
    NotALibrary,
    Rejected,
)
from migration.model import Book, BookFile, BookId, FileId, Origin, Problem

#: Columns of the table `books`; those that a schema lacks are read as NULL.
_BOOK_COLUMNS = (
    "title",
    "sort",
    "timestamp",
    "pubdate",
    "series_index",
    "path",
    "has_cover",
    "uuid",
    "last_modified",
)

#: At most this many files of a book's folder `data` are listed.
DATA_FILES_LISTED = 1000
#: This many of the newest authors show how Calibre makes their sorts.
_AUTHORS_LOOKED_AT = 10_000
_SORTS = (
    "SELECT TOTAL(sort = name), TOTAL(sort != name AND sort != '') FROM (SELECT "
    "name, sort FROM authors"
    " WHERE name LIKE '_% _%' AND name NOT LIKE '%|%' ORDER BY id DESC LIMIT ?)"
)


class CalibreLibrary:
    """One library, used by one thread at a time (any thread)."""

    def __init__(
        self, root: Path, private_dir: Path, *, busy_timeout_seconds: float = 10.0
    ) -> None:
        """Opens metadata.db.

        Raises LibraryUnreadable with a message saying what is wrong and what to do.
        """
        self.root = root.expanduser()
        self._live = connection.Live(self.root, private_dir, busy_timeout_seconds)
        self._path = self._live.path
        self._met = True
        self._selected = SelectedBooks(self._query, {})
        try:
            self._tree = Tree(self.root)
            self._learn_schema()
            self.uuid = self._uuid()
        except OSError as error:
            self._live.close()
            raise_if_exhausted(error)
            raise LibraryUnreadable(
                f"{self.root} cannot be read: {error.strerror}"
            ) from error
        except LibraryUnreadable:
            self._live.close()
            raise

    def _learn_schema(self) -> None:
        """Reads the schema of the current metadata.db, which may have been replaced."""
        self._columns = self._schema()
        self._sorts_are_copies = self._copied_sorts()
        self._custom = CustomColumns(self._query, self._columns)
        self._selected.meet(self._columns)
        lacks = {"uuid", "last_modified"} - self._columns["books"]
        self._listing = Listing(self._query, self._tree, self._selected, lacks=lacks)

    def _meet_again(self) -> None:
        """Checks that a replaced metadata.db still belongs to the same library."""
        self._learn_schema()
        found = self._uuid()
        if found != self.uuid:
            raise LibraryReplaced(
                f"{self._path} was replaced by that of library {found}, before it "
                f"was {self.uuid}; if Calibre has "
                "restored the library, start once with --adopt-library"
            )

    def listed(self, first: int, last: int) -> frozenset[FileId] | None:
        """Returns the files found by the last reading of exactly these books.

        Returns None if forgotten.
        """
        return self._listing.listed(first, last)

    def origins(self, first: int, last: int) -> dict[BookId, Origin]:
        """Returns the books of the last reading, or {} if it was of others."""
        return self._listing.origins(first, last)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database and the folder."""
        self._live.close()
        self._tree.close()

    @property
    def selection(self) -> Selection:
        """Which books are read where it is not said which."""
        return self._selected.selection

    @property
    def narrowed(self) -> bool:
        """Whether that is not all of them."""
        return bool(self._selected.selection)

    @property
    def selected(self) -> SelectedBooks:
        """The ids and numbers of these books."""
        return self._selected

    def select(self, selection: Selection) -> None:
        """Reads only these books from now on."""
        self._selected = SelectedBooks(self._query, self._columns, selection)
        self._learn_schema()

    def highest_book_id(self) -> int:
        """Returns the highest book id, 0 for an empty library."""
        return self._selected.highest_id()

    def file_count(self) -> int:
        """Returns how many files (formats of books) the library lists."""
        return self._selected.file_count()

    def formats(self) -> dict[str, int]:
        """Counts the library's files of each format, named as in `FileId`."""
        return self._listing.counted()

    def last_id_of_range(self, after: int, limit: int) -> int | None:
        """Returns the id of the last of the `limit` books after `after`, or None."""
        return self._selected.last_id_after(after, limit)

    def list_formats(self, first: int, last: int) -> list[ListedFormat]:
        """Returns every format of these books as Calibre records it; reads no files.

        One query, fetched whole. Raises LibraryUnreadable.
        """
        return self._listing.formats(first, last)

    def read_files(self, first: int, last: int) -> list[BookFile]:
        """Returns the files of these books with current size and time, unopened.

        This is all that a pass over a settled library needs. Raises LibraryUnreadable.
        """
        files = [
            file for book in self._listing.files(first, last).values() for file in book
        ]
        self._listing.note(first, last, files)
        return files

    def books_without_files(self, first: int, last: int) -> list[BookId]:
        """Returns the books of a range without any format. Raises LibraryUnreadable."""
        return self._selected.without_files(first, last)

    def read_books(
        self, first: int, last: int, only: Collection[int] | None = None
    ) -> list[Book]:
        """Returns the books from `first` to `last` by id, each with all its formats.

        Those that are selected or, with `only`, just these. A bounded number of
        queries, each fetched whole. Raises LibraryUnreadable.
        """
        if only is not None:
            wanted = [number for number in only if first <= number <= last]
            return (
                self._books(min(wanted), max(wanted), frozenset(wanted))
                if wanted
                else []
            )
        books = self._books(first, last, None)
        self._listing.note(first, last, [file for book in books for file in book.files])
        return books

    def _books(self, first: int, last: int, only: frozenset[int] | None) -> list[Book]:
        span = (first, last)
        rows = self._rows(span, everything=only is not None)
        files = self._listing.files(first, last, only)
        authors = self._linked("authors", "author", ("name", "sort"), span)
        series = self._linked("series", "series", ("name",), span)
        languages = self._linked("languages", "lang_code", ("lang_code",), span)
        tags = self._linked("tags", "tag", ("name",), span)
        ratings = self._linked("ratings", "rating", ("rating",), span)
        extras = self._extras(span)
        custom = self._custom.read(span)
        books = []
        for row in rows:
            book_id = BookId(integer_of(row[0]) or 0)
            if only is not None and book_id not in only:
                continue
            values = dict(zip(_BOOK_COLUMNS, row[1:], strict=True))
            folder = folder_of(values["path"])
            cover, cover_problem = self._cover(folder, values["has_cover"])
            books.append(
                Book(
                    id=book_id,
                    title=text_of(values["title"]),
                    title_sort=text_of(values["sort"]),
                    authors=authors_of(authors[book_id], copied=self._sorts_are_copies),
                    series=next(iter(texts_of(series[book_id])), None),
                    series_index=real_of(values["series_index"]),
                    languages=texts_of(languages[book_id]),
                    tags=tuple(sorted(texts_of(tags[book_id]), key=str.casefold)),
                    rating=next((real_of(row[0]) for row in ratings[book_id]), None),
                    cover=cover,
                    cover_problem=cover_problem,
                    files=tuple(files.get(book_id, ())),
                    extras={
                        **dates_of(values),
                        **extras[book_id],
                        **custom[book_id],
                        **self._data_files(folder),
                    },
                    modified=bytes_of(values["last_modified"]),
                )
            )
        return books

    def _rows(self, span: tuple[int, int], *, everything: bool) -> Rows:
        """Returns id and columns of the books of a range, or of those selected."""
        names = ", ".join(
            name if name in self._columns["books"] else f"NULL AS {name}"
            for name in _BOOK_COLUMNS
        )
        chosen = Where() if everything else self._selected.where.with_files
        return self._query(
            # Column names of our own.
            f"SELECT id, {names} FROM books WHERE id BETWEEN ? AND ?{chosen.books} "  # noqa: S608
            "ORDER BY id",
            (*span, *chosen.of_books),
            f"books {span[0]}-{span[1]}",
        )

    def custom_columns(self) -> dict[str, tuple[str, str]]:
        """Returns name and datatype of each custom column, by `#label`."""
        return self._custom.named()

    def open_file(self, path: bytes) -> BinaryIO:
        """Opens a file of the library.

        Raises MissingFile, Unreadable, NotRegular or OutsideLibrary.
        """
        return self._tree.open(path)

    # -- queries -----------------------------------------------------------------------

    def _query(
        self, sql: str, parameters: tuple[object, ...] = (), what: str = ""
    ) -> Rows:
        """Runs one SELECT and fetches it whole.

        An unfinished one would be an open transaction, which blocks Calibre. `what` is
        being read; the error message names it.
        """
        if self._live.renewed():
            self._met = False
        if not self._met:
            self._met = True  # for the queries made below
            try:
                self._meet_again()
            except LibraryUnreadable:
                self._met = False
                raise
        return self._live.fetch(sql, parameters, what)

    def _schema(self) -> dict[str, frozenset[str]]:
        """Returns every table with its columns.

        Raises LibraryUnreadable when this is not a Calibre library.
        """
        tables = [
            text_of(row[0])
            for row in self._query(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            )
        ]
        columns = {
            table: frozenset(
                text_of(row[0])
                for row in self._query(
                    "SELECT name FROM pragma_table_info(?)", (table,)
                )
            )
            for table in tables
        }
        for table, needed in (
            ("books", {"id", "title", "path"}),
            ("data", {"book", "format", "name"}),
        ):
            if not needed <= columns.get(table, frozenset()):
                raise NotALibrary(
                    f"{self._path} is not a Calibre library: its table '{table}' is "
                    "missing or lacks "
                    f"{', '.join(sorted(needed - columns.get(table, frozenset())))}"
                )
        return columns

    def _uuid(self) -> str:
        rows = (
            self._query("SELECT uuid FROM library_id LIMIT 1")
            if "library_id" in self._columns
            else []
        )
        uuid = text_of(rows[0][0]) if rows else ""
        if not uuid:
            raise NotALibrary(
                f"{self._path} has no library id; open the library once in Calibre, "
                "which gives it one"
            )
        return uuid

    def _copied_sorts(self) -> bool:
        """Whether Calibre copies names to sorts (`author_sort_copy_method = copy`).

        The preference is not in the library. But if, among names of several words, at
        least as many sorts repeat the name as invert it, a sort that repeats its name
        says nothing.
        """
        if not {"name", "sort"} <= self._columns.get("authors", frozenset()):
            return False
        copied, turned = self._query(_SORTS, (_AUTHORS_LOOKED_AT,))[0]
        return 0 < (real_of(copied) or 0.0) >= (real_of(turned) or 0.0)

    def _grouped(
        self, table: str, columns: tuple[str, ...], span: tuple[int, int], order: str
    ) -> dict[int, Rows]:
        """Returns rows of a table with a column `book`, by book."""
        if not {"book", *columns} <= self._columns.get(table, frozenset()):
            return defaultdict(list)
        sql = (
            f"SELECT book, {', '.join(columns)} FROM {table} WHERE book BETWEEN ? "  # noqa: S608
            f"AND ? ORDER BY book, {order}"
        )
        return by_book(self._query(sql, span, f"books {span[0]}-{span[1]}"))

    def _linked(
        self, table: str, link: str, columns: tuple[str, ...], span: tuple[int, int]
    ) -> dict[int, Rows]:
        """Returns a table's names by book, through `books_X_link`, in its order."""
        between = f"books_{table}_link"
        if (
            not {"book", link} <= self._columns.get(between, frozenset())
            or table not in self._columns
        ):
            return defaultdict(list)
        wanted = ", ".join(
            f"n.{name}" if name in self._columns[table] else "NULL" for name in columns
        )
        order = (
            "l.item_order, l.id" if "item_order" in self._columns[between] else "l.id"
        )
        return by_book(
            self._query(
                f"SELECT l.book, {wanted} FROM {between} l JOIN {table} n ON n.id = "  # noqa: S608
                f"l.{link}"
                f" WHERE l.book BETWEEN ? AND ? ORDER BY l.book, {order}",
                span,
                f"books {span[0]}-{span[1]}",
            )
        )

    def _extras(self, span: tuple[int, int]) -> dict[int, dict[str, Json]]:
        """Returns comments, identifiers and publishers, which are not sent."""
        extras: dict[int, dict[str, Json]] = defaultdict(dict)
        for book, rows in self._grouped("comments", ("text",), span, "id").items():
            if text := sanitize_json(rows[0][0]):
                extras[book]["comments"] = text
        for book, rows in self._grouped(
            "identifiers", ("type", "val"), span, "type"
        ).items():
            extras[book]["identifiers"] = {
                text_of(kind): text_of(value) for kind, value in rows
            }
        for book, rows in self._linked(
            "publishers", "publisher", ("name",), span
        ).items():
            extras[book]["publisher"] = text_of(rows[0][0])
        return extras

    # -- files -------------------------------------------------------------------------

    def _cover(
        self, folder: bytes, has_cover: object
    ) -> tuple[bytes | None, Problem | None]:
        """Returns the path of the cover that Calibre records, or why it cannot be used.

        Neither when there is none.
        """
        if not has_cover:
            return None, None
        try:
            found = self._cover_file(folder)
        except Rejected as error:
            return None, Problem(error.reason, str(error))
        if found.size == 0:
            return None, Problem(EmptyFile.reason, f"{shown(found.path)} has 0 bytes")
        return found.path, None

    def _cover_file(self, folder: bytes) -> Found:
        path = folder + b"/cover.jpg"
        try:
            return self._tree.examine(path)
        except MissingFile:
            there = self._tree.folder(folder)
            if there is None or there == folder:
                raise
            return self._tree.examine(there + b"/cover.jpg")

    def _data_files(self, folder: bytes) -> dict[str, Json]:
        """Returns the files of a book's `data` folder (Calibre 6+), for the extras."""
        try:
            names = (
                self._tree.names_below(folder + b"/data", DATA_FILES_LISTED + 1)
                if folder
                else []
            )
        except Rejected as error:
            return {"data files": [str(error)]}
        listed: list[Json] = [sanitize_text(name) for name in names[:DATA_FILES_LISTED]]
        return (
            {"data files": [*listed, *("…" for _name in names[DATA_FILES_LISTED:])]}
            if names
            else {}
        )
