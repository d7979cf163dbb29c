"""`--adopt-library`: continuing with a ledger after Calibre has restored its library.

"Restore database" rebuilds metadata.db from the books' folders, with a new library id:
the books keep their ids, mostly their uuids, and their files. Whether it is the same
library is proved book by book, never taken on trust: with another library, the ledger
would treat that library's books as settled.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from migration.calibre.library import CalibreLibrary
from migration.errors import NotAdopted
from migration.ledger.ledger import Ledger
from migration.ledger.tables.binding import Remembered, folder_hash
from migration.model import NO_END, BookFile, BookId, Origin

#: Books compared at a time.
PAGE = 1000
#: Of the books known by their files only, one in this many may have been rewritten
#: meanwhile.
_CHANGED_ONE_IN = 10
#: At most this many differing books are named.
_NAMED = 5


class Finding(StrEnum):
    """How a book of the ledger relates to the library."""

    UUID = "by uuid"  #: the same, by Calibre's uuid of the book
    FOLDER = "by folder"  #: the same, by its folder
    FILES = "by size and time of a file"  #: the same, by one of its files
    #: same id; only files are known, and none is unchanged
    CHANGED = "with changed files"
    #: uuid and folder are known, and neither they nor any file match
    OTHER = "other books"
    GONE = "no longer there"  #: the library has no book of this id
    UNKNOWN = "not comparable"  #: the ledger knows nothing but the id


_SAME = (Finding.UUID, Finding.FOLDER, Finding.FILES)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The number of the ledger's books per finding.

    `others` are the first differing ones.
    """

    books: Mapping[Finding, int]
    others: tuple[BookId, ...] = ()

    def __str__(self) -> str:
        """`41 by uuid, 2 no longer there`; `none` for a ledger without books."""
        parts = [
            f"{self.books[kind]} {kind}" for kind in Finding if self.books.get(kind)
        ]
        return ", ".join(parts) or "none"


def assess(
    known: Remembered, origin: Origin | None, files: Iterable[tuple[str, int, int]]
) -> Finding:
    """Decides how a book of the ledger relates to the library.

    `origin` is None when the library has no book of this id.
    """
    if origin is None:
        return Finding.GONE
    if known.uuid and known.uuid == origin.uuid:
        return Finding.UUID
    if known.folder and known.folder == folder_hash(origin.folder):
        return Finding.FOLDER
    if known.files & frozenset(files):
        return Finding.FILES
    if known.uuid or known.folder:
        return Finding.OTHER
    return Finding.CHANGED if known.files else Finding.UNKNOWN


def refusal(found: Comparison) -> str:
    """Returns why it is not the same library, or "".

    Every book that is there must match; of those known by files alone one in ten may
    have changed; and at least half of the books must be there.
    """
    count = {kind: found.books.get(kind, 0) for kind in Finding}
    same = sum(count[kind] for kind in _SAME)
    if count[Finding.OTHER]:
        named = ", ".join(str(book) for book in found.others)
        return f"other books have the ids of those it knows (such as {named})"
    if count[Finding.CHANGED] * _CHANGED_ONE_IN > count[Finding.CHANGED] + same:
        return "the files of its books are others"
    if count[Finding.GONE] > same:
        return "most of the books it knows are not there"
    return ""


def adopt(ledger: Ledger, library: CalibreLibrary) -> str:
    """Binds the ledger to the library if its books match.

    Returns the findings in words. Otherwise raises WrongLedger, with what differs, and
    changes nothing.
    """
    bound = ledger.identity.library
    if bound in ("", library.uuid):
        return "The ledger belongs to this library; there is nothing to adopt"
    tally: Counter[Finding] = Counter()
    others: list[BookId] = []
    renewed: dict[BookId, Origin] = {}
    for book, known, origin, finding in _compared(ledger, library):
        tally[finding] += 1
        if finding is Finding.OTHER and len(others) < _NAMED:
            others.append(book)
        if finding in _SAME and origin is not None and known.uuid != origin.uuid:
            renewed[book] = origin
    found = Comparison(tally, tuple(others))
    if why := refusal(found):
        raise NotAdopted(
            f"{ledger.path} cannot be adopted, because {why}: of {tally.total()} "
            f"books {found}. It belongs to "
            f"library {bound}; --adopt-library is for the same library, restored by "
            "Calibre. For another one "
            "give another --state-dir"
        )
    ledger.identity.adopt(library.uuid, renewed)
    return (
        f"The ledger of library {bound} is adopted by {library.uuid}: of "
        f"{tally.total()} books {found}"
    )


def _compared(
    ledger: Ledger, library: CalibreLibrary
) -> Iterator[tuple[BookId, Remembered, Origin | None, Finding]]:
    """Yields every book of the ledger with its book of the library, in pages."""
    after = 0
    while True:
        last = library.last_id_of_range(after, PAGE)
        end = NO_END if last is None else last
        there = {} if last is None else _stamps(library.read_files(after + 1, last))
        origins = {} if last is None else library.origins(after + 1, last)
        for book, known in ledger.identity.known_books(after + 1, end).items():
            origin = origins.get(book)
            yield book, known, origin, assess(known, origin, there.get(book, ()))
        if last is None:
            return
        after = last


def _stamps(files: Iterable[BookFile]) -> dict[BookId, list[tuple[str, int, int]]]:
    """Returns format, size and mtime of the files that were found, by book."""
    stamps: dict[BookId, list[tuple[str, int, int]]] = {}
    for file in files:
        if file.problem is None:
            held = stamps.setdefault(file.id.book_id, [])
            held.append((file.id.format, file.size, file.mtime_ns))
    return stamps
