"""The ledger's records: ranges, progress of files and books, and intentions."""

import threading
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag, StrEnum
from typing import Protocol

from common.json_value import Json
from migration.errors import Deferred
from migration.metadata.compare import Base, Field
from migration.model import (
    BookId,
    Counts,
    Digest,
    EbookId,
    FileId,
    Origin,
    Outcome,
    SourceId,
    UploadId,
)

NO_BOOK, NO_EBOOK = BookId(0), EbookId(0)


@dataclass(frozen=True, slots=True)
class Range:
    """A range of book ids of one pass, both ends included, owned by this process.

    `once_more` means that a repaired script tries it, so files may be tried again that
    would not be otherwise.
    """

    pass_id: int
    first: int
    last: int
    taken_over: bool = False
    once_more: bool = False


class Stage(IntEnum):
    """The stages of the work on a file, in order."""

    HASH = 1  #: the bytes are being hashed
    CHECK = 2  #: the server is asked whether it has them
    UPLOAD = 3  #: the bytes are being sent
    METADATA = 4  #: the server is reading the metadata
    EBOOK = 5  #: the ebook is being created
    ATTACH = 6  #: the file is being attached


@dataclass(frozen=True, slots=True)
class Registration:
    """What a range holds for a worker: files to do, books to finish, settled files.

    `suspects` are files to work on whose last worker died on them. `gone` are files
    that had failed or were pending and that Calibre no longer lists: they have left the
    ledger. `moved` is by how much this changed the pass's counters, for a worker that
    registers the range again.
    """

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
    #: Calibre's cover.jpg, which replaces what the server found in a file
    COVER = 2
    RATING = 4  #: Calibre's rating
    RECORD = 8  #: what could not be carried goes to not_carried.jsonl
    #: Calibre has changed the book, or nobody has compared it: compare, and send what
    #: changed
    UPDATE = 16


class Asked(StrEnum):
    """A request that must not be repeated before its fate is known."""

    CREATE = "create"  #: POST /api/ebooks under the working title
    ATTACH = "attach"  #: POST /api/ebooks/<id>/add-upload
    #: the whole book, among others: POST /api/calibre/books
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Intention:
    """A request that may have been sent; `at` is a time of the steady clock.

    `upload_id`, `format` and `digest` belong to ATTACH.
    """

    asked: Asked
    at: datetime
    upload_id: UploadId | None = None
    format: str = ""
    digest: Digest | None = None


class Intended:
    """Proof that an intention is recorded, which permits one request, once.

    Only `ledger.parts` makes one.
    """

    def __init__(self, book_id: BookId, intention: Intention) -> None:
        self.book_id = book_id
        self.intention = intention
        self._fresh = True
        self._lock = threading.Lock()

    def spend(self, asked: Asked) -> None:
        """Marks the request as sent.

        Raises Deferred when it was sent before: its fate has to be found out first.
        """
        with self._lock:
            fresh, self._fresh = self._fresh, False
        if not fresh or self.intention.asked is not asked:
            raise Deferred(
                f"book {self.book_id}: a request to {asked} it has no fresh intention in the ledger"
            )


@dataclass(frozen=True, slots=True)
class BookState:
    """What the ledger knows of a book on the server.

    `ebook_id` is None until the server has named it. `title` is the title we gave it
    last, None before that and in a ledger of an older version; `restore` is a title
    given by a person, which is given back after the ebook has had its working title
    again for a further format.
    """

    working_title: str
    ebook_id: EbookId | None = None
    steps: Step = Step.NONE
    intention: Intention | None = None
    title: str | None = None
    restore: str | None = None


class StandingKind(StrEnum):
    """Why a difference between Calibre and the server stands."""

    CONFLICT = "conflict"  #: both sides changed the field; `--prefer` decided
    KEPT = "kept"  #: only the server changed it
    REFUSED = "refused"  #: the server does not take Calibre's value
    #: both sides changed the field, and Calibre's value was sent: the values are equal
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class Standing:
    """A reported difference; both values are texts, cleaned and cut.

    `pass_id` is the pass that reported it first with these values.
    """

    field: Field
    kind: StandingKind
    calibre: str
    server: str
    pass_id: int


@dataclass(frozen=True, slots=True)
class Carried:
    """What is known of a book's ebook since it was last worked on.

    `version` is the ebook's then; `extras` is a hash of what is known besides the
    compared fields.
    """

    base: Base
    version: int
    standing: tuple[Standing, ...] = ()
    extras: str = ""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A source of ours, with its digest, whose file has other bytes in Calibre now."""

    file: FileId
    source_id: SourceId
    digest: Digest


@dataclass(frozen=True, slots=True)
class FileState:
    """What the ledger knows of a file; `source_id` only if we sent it."""

    outcome: Outcome
    digest: Digest | None
    source_id: SourceId | None


class MadeKind(StrEnum):
    """What a pass can make on the server."""

    EBOOK = "ebook"
    SOURCE = "source"
    SHELF = "shelf"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Made:
    """Something that a pass has made on the server, for a book; `detail` is JSON."""

    kind: MadeKind
    server_id: int
    book_id: BookId
    pass_id: int
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes and names are claimed.

    `ids` are the server's ids of names it is known to have. `fresh` is False when a
    claim was taken over from a dead worker, so the server must be asked about the
    bytes.
    """

    fresh: bool
    ids: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on the server that should not be there.

    `kind` is a stable term, used in the summary and in docs/errors.md. `book_id` and
    `ebook_id` are 0 where none in particular is meant.
    """

    kind: str
    message: str
    book_id: BookId = NO_BOOK
    ebook_id: EbookId = NO_EBOOK


class AuditState(StrEnum):
    """How much of what a pass changed was read back before it was closed."""

    NOTHING = ""  #: it changed nothing
    PROVED = "proved"  #: everything
    SAMPLED = "sampled"  #: some books, chosen at random
    OFF = "off"  #: nothing: the user said so
    BROKEN = "not audited"  #: nothing: the audit failed; that is a difference


@dataclass(frozen=True, slots=True)
class Audited:
    """The audit of a pass: books it changed, books read back.

    `left` of them were not compared, because Calibre has changed them since they were
    carried: they are the next pass's work.
    """

    state: AuditState = AuditState.NOTHING
    changed: int = 0
    read: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One last look at the server, taken by this process alone.

    Ebooks newer than `newest_before` (an id) may be this pass's; `first_made` is the
    first one the ledger knows of, None when it knows none. `number` counts, from 0, the
    looks of this pass that set something right; `standing` are the differences an
    earlier pass left.
    """

    pass_id: int
    newest_before: EbookId
    first_made: EbookId | None
    number: int
    standing: tuple[Difference, ...]


class LibraryView(Protocol):
    """The library behind a ledger."""

    def listed(self, first: int, last: int) -> Set[FileId] | None:
        """Returns the files listed for exactly this range.

        Returns None when it was not read.
        """

    def origins(self, first: int, last: int) -> Mapping[BookId, Origin]:
        """Returns what identifies the books of a range."""


class NoLibrary:
    """A stand-in for uses that only read the ledger."""

    def listed(self, _first: int, _last: int) -> Set[FileId] | None:
        """Returns an empty set: no file has to be registered."""
        return frozenset()

    def origins(self, _first: int, _last: int) -> Mapping[BookId, Origin]:
        return {}
