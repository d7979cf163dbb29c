"""The files of a range of books: what metadata.db lists, looked up on disk, not opened.

Calibre renames folders and removes formats at any moment. So metadata.db is queried
once more before a file counts as missing, and the last listing tells the ledger which
files there were.
"""

import functools
import itertools
import operator
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from common.sanitize import sanitize_text
from migration.calibre.paths import Tree, shown
from migration.calibre.selected import SelectedBooks
from migration.calibre.selection import Where
from migration.errors import (
    AmbiguousFile,
    EmptyFile,
    MissingFile,
    OutsideLibrary,
    Rejected,
)
from migration.model import BookFile, BookId, FileId, Origin, Problem

#: Formats in the order in which they are sent; the server keeps the cover of the first
#: one that has any.
_ORDER = {
    name: rank
    for rank, name in enumerate(("EPUB", "AZW3", "MOBI", "FB2", "DOCX", "PDF"))
}
#: Lists of files are remembered for this many ranges; a worker holds fewer at a time.
LISTINGS_KEPT = 16
#: How often metadata.db is queried about files that are not where it lists them.
LOOKS = 4
#: Seconds that Calibre is given to update metadata.db after it has changed a folder.
PAUSE_SECONDS = 0.5

_LISTING = (
    "SELECT books.id, data.format, books.path, data.name, books.uuid, "
    "books.last_modified"
    " FROM books CROSS JOIN data ON data.book = books.id"
    " WHERE books.id BETWEEN ? AND ?"
)
_ORDERED = " ORDER BY books.id"
Rows = list[tuple[object, ...]]


class ListedFormat(NamedTuple):
    """A format as Calibre records it.

    `format` is as in `FileId`, `rank` gives the order of sending, `extension` has no
    dot; `folder`, `stem`, `uuid` and `modified` have whatever type SQLite let in.
    """

    book: int
    format: str
    rank: int
    extension: bytes
    folder: object
    stem: object
    uuid: object
    modified: object = b""


class Listing:
    """The listing of one library.

    `query(sql, parameters, what)` runs one SELECT and returns all its rows; `lacks` are
    columns of `books` that this schema does not have.
    """

    def __init__(
        self,
        query: Callable[..., Rows],
        tree: Tree,
        selected: SelectedBooks | None = None,
        *,
        lacks: Collection[str],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._query = query
        self._pause = pause
        self._tree = tree
        self._selected = selected or SelectedBooks(query, {})
        self._listed: dict[tuple[int, int], frozenset[FileId]] = {}
        self._last: tuple[tuple[int, int], dict[int, list[ListedFormat]]] = ((0, 0), {})
        self._sql = _LISTING
        for column in lacks:
            self._sql = self._sql.replace(f"books.{column}", "NULL")

    def listed(self, first: int, last: int) -> frozenset[FileId] | None:
        """Returns the files found by the last reading of exactly these books.

        Returns None if forgotten.
        """
        return self._listed.get((first, last))

    def origins(self, first: int, last: int) -> dict[BookId, Origin]:
        """Returns the books of the last reading, or {} if it was of others."""
        span, listed = self._last
        if span != (first, last):
            return {}
        return {BookId(book): _origin(rows[0]) for book, rows in listed.items() if rows}

    def note(self, first: int, last: int, files: Iterable[BookFile]) -> None:
        """Remembers which files a reading of these books found."""
        self._listed.pop((first, last), None)
        while len(self._listed) >= LISTINGS_KEPT:
            del self._listed[next(iter(self._listed))]
        self._listed[first, last] = frozenset(file.id for file in files)

    def formats(
        self, first: int, last: int, only: Collection[int] | None = None
    ) -> list[ListedFormat]:
        """Returns the books' formats, book by book: one query, fetched whole.

        Of those that are selected, unless it is known which books are wanted.
        """
        chosen = self._selected.where if only is None else Where()
        rows = self._query(
            f"{self._sql}{chosen.books}{chosen.files}{_ORDERED}",
            (first, last, *chosen.of_books, *chosen.of_files),
            f"books {first}-{last}",
        )
        return [
            # Checked where they are used.
            ListedFormat(book, *_format(recorded), folder, stem, uuid, modified)  # type: ignore[arg-type]
            for book, recorded, folder, stem, uuid, modified in rows
        ]

    def counted(self) -> dict[str, int]:
        """Returns how many files of each format there are."""
        counted: dict[str, int] = {}
        for recorded, number in self._selected.formats_counted():
            name = _format(recorded)[0]
            counted[name] = counted.get(name, 0) + (
                number if isinstance(number, int) else 0
            )
        return counted

    def files(
        self, first: int, last: int, only: Collection[int] | None = None
    ) -> dict[int, list[BookFile]]:
        """Returns the files of each book that has any, in the order of sending."""
        listed = _by_book(self.formats(first, last, only), only)
        plain: set[bytes] = set()
        found = {book: self._look(rows, plain) for book, rows in listed.items()}
        for _ in range(LOOKS - 1):
            lost = {
                book: file.path
                for book, files in found.items()
                for file in files
                if file.problem is not None
                and file.problem.reason == MissingFile.reason
            }
            if not lost:
                break
            if any(self._tree.changed_lately(path) for path in lost.values()):
                # Calibre moves a folder first and updates metadata.db right after.
                self._pause(PAUSE_SECONDS)
            again = _by_book(self.formats(first, last, only), only)
            moved = [book for book in lost if again.get(book) != listed[book]]
            if not moved:
                break
            plain.clear()
            for book in moved:
                found[book] = self._look(again.get(book, []), plain)
            listed = {**listed, **{book: again.get(book, []) for book in moved}}
        self._last = (first, last), listed
        return {book: files for book, files in found.items() if files}

    def _look(self, rows: list[ListedFormat], plain: set[bytes]) -> list[BookFile]:
        """Looks up the files of one book."""
        files: list[BookFile] = []
        for row in sorted(rows, key=operator.attrgetter("rank", "format")):
            file = self._file(row, plain)
            if file.problem is None and any(other.path == file.path for other in files):
                message = f"{shown(file.path)} is another format's file"
                file = BookFile(
                    file.id,
                    file.path,
                    problem=Problem(MissingFile.reason, message),
                    modified=file.modified,
                )
            files.append(file)
        return files

    def _file(self, row: ListedFormat, plain: set[bytes]) -> BookFile:
        file_id = FileId(BookId(row.book), row.format)
        modified = bytes_of(row.modified)
        folder, stem = folder_of(row.folder), bytes_of(row.stem)
        try:
            if not stem:
                raise OutsideLibrary(
                    f"Calibre records no file name for {shown(folder)}; nothing was opened"
                )
            found = self._tree.find(folder, stem, row.extension, plain)
        except Rejected as error:
            recorded = (
                folder + b"/" + stem + (b"." + row.extension if row.extension else b"")
            )
            note = str(error) if isinstance(error, AmbiguousFile) else ""
            return BookFile(
                file_id,
                recorded,
                problem=Problem(error.reason, str(error)),
                note=note,
                modified=modified,
            )
        if found.size == 0:
            message = f"{shown(found.path)} has 0 bytes"
            return BookFile(
                file_id,
                found.path,
                problem=Problem(EmptyFile.reason, message),
                modified=modified,
            )
        return BookFile(
            file_id,
            found.path,
            found.size,
            found.mtime_ns,
            note=found.note,
            conflicted=found.conflicted,
            modified=modified,
        )


def folder_of(value: object) -> bytes:
    """Returns a folder as SQLite gives it; b"" for anything else."""
    return value if isinstance(value, bytes) else b""


def bytes_of(value: object) -> bytes:
    """Returns the text of a column as bytes, whatever type SQLite let in."""
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode()


@functools.lru_cache(maxsize=1024)
def _format(recorded: object) -> tuple[str, int, bytes]:
    raw = bytes_of(recorded)
    name = sanitize_text(raw).upper()
    return name, _ORDER.get(name, len(_ORDER)), raw.lower()


def _by_book(
    rows: Iterable[ListedFormat], only: Collection[int] | None
) -> dict[int, list[ListedFormat]]:
    return {
        book: list(group)
        for book, group in itertools.groupby(rows, key=operator.attrgetter("book"))
        if only is None or book in only
    }


def _origin(row: ListedFormat) -> Origin:
    return Origin(sanitize_text(bytes_of(row.uuid)), folder_of(row.folder))
