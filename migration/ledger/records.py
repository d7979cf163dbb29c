"""What the ledger takes and gives: ranges, how far files and books are, requests that
must not be repeated."""

import threading
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag, StrEnum
from typing import Protocol

from migration.errors import Deferred
from migration.model import BookId, Counts, Digest, EbookId, FileId, Origin, UploadId

NO_BOOK, NO_EBOOK = BookId(0), EbookId(0)


@dataclass(frozen=True, slots=True)
class Range:
    """A range of book ids of one pass, both ends included, owned by this process.

    `once_more`: a repaired script tries it, on which files may be tried again that no
    other would take up."""

    pass_id: int
    first: int
    last: int
    taken_over: bool = False
    once_more: bool = False


class Stage(IntEnum):
    """How far the work on a file got, in the order of its way."""

    HASH = 1  #: its bytes are being read
    CHECK = 2  #: the server is asked about them
    UPLOAD = 3  #: they are being sent
    METADATA = 4  #: the server reads their metadata
    EBOOK = 5  #: the ebook is being made
    ATTACH = 6  #: the file is being attached


@dataclass(frozen=True, slots=True)
class Registration:
    """What a range holds for this worker: files to be worked on, books to be finished,
    and what was settled at once.

    `suspects` are files to be worked on whose last worker died while it was at them.
    `gone` are files that had failed or were pending and that Calibre lists no more:
    they have left the ledger. `moved` is by how much this changed the pass, for who
    entered the range before."""

    todo: frozenset[FileId]
    suspects: frozenset[FileId]
    unfinished: frozenset[BookId]
    settled: Counts
    gone: tuple[FileId, ...]
    moved: Counts


class Step(IntFlag):
    """What is still to be done for a book after its files are attached."""

    NONE = 0
    TITLE = 1  #: the ebook still has its working title
    # : Calibre's cover.jpg, in the place of whatever the server found in a file
    COVER = 2
    RATING = 4  #: Calibre's rating
    RECORD = 8  #: what could not be carried goes to not_carried.jsonl


class Asked(StrEnum):
    """A request that must not be repeated before it is known what became of it."""

    CREATE = "create"  #: POST /api/ebooks under the working title
    ATTACH = "attach"  #: POST /api/ebooks/<id>/add-upload


@dataclass(frozen=True, slots=True)
class Intention:
    """A request that may have been sent, at a time of the steady clock.

    `upload_id`, `format` and `digest` belong to ATTACH.
    """

    asked: Asked
    at: datetime
    upload_id: UploadId | None = None
    format: str = ""
    digest: Digest | None = None


class Intended:
    """The ledger's word that an intention is on record: what lets one request leave,
    once. Only `ledger.parts` makes one."""

    def __init__(self, book_id: BookId, intention: Intention) -> None:
        self.book_id = book_id
        self.intention = intention
        self._fresh = True
        self._lock = threading.Lock()

    def spend(self, asked: Asked) -> None:
        """The request leaves now. Raises PutAside when one has left before: what became
        of it comes first."""
        with self._lock:
            fresh, self._fresh = self._fresh, False
        if not fresh or self.intention.asked is not asked:
            raise Deferred(
                f"book {self.book_id}: a request to {asked} it has no fresh intention in the ledger"
            )


@dataclass(frozen=True, slots=True)
class BookState:
    """What the ledger knows of a book on the server; `ebook_id` is None until the
    server has named it.

    `title` is the one we gave it last, None before that and in a ledger of an older
    version; `restore` the one that somebody else gave it, to be given back, while it
    has its working title again for a further format."""

    working_title: str
    ebook_id: EbookId | None = None
    steps: Step = Step.NONE
    intention: Intention | None = None
    title: str | None = None
    restore: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes and names are claimed. `ids` are the server's ids of the names it is known
    to have.

    `fresh` is False when a claim was taken over from a dead worker, so the server must
    be asked about the bytes."""

    fresh: bool
    ids: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on the server that should not be there. `kind` is the stable word of
    the summary and docs/errors.md.

    `book_id` and `ebook_id` are 0 where no book or ebook in particular is meant.
    """

    kind: str
    message: str
    book_id: BookId = NO_BOOK
    ebook_id: EbookId = NO_EBOOK


@dataclass(frozen=True, slots=True)
class Look:
    """One last look at the server, by this process alone.

    Ebooks newer than `newest_before` (an id) may be this pass's; `first_made` is the
    first one the ledger knows of, None when it knows none. `number` counts from 0 the
    looks of this pass that set something right; `standing` is what an earlier pass
    left."""

    pass_id: int
    newest_before: EbookId
    first_made: EbookId | None
    number: int
    standing: tuple[Difference, ...]


class LibraryView(Protocol):
    """The library behind a ledger."""

    def listed(self, first: int, last: int) -> Set[FileId] | None:
        """The files that were listed for exactly this range; None when it was not
        read."""

    def origins(self, first: int, last: int) -> Mapping[BookId, Origin]:
        """By what the books of a range are known again."""


class NoLibrary:
    """For whoever only looks into the ledger."""

    def listed(self, _first: int, _last: int) -> Set[FileId] | None:
        """None of its files must have been entered."""
        return frozenset()

    def origins(self, _first: int, _last: int) -> Mapping[BookId, Origin]:
        """Nothing is known of its books."""
        return {}
