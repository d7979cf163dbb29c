"""The nouns of the migration: frozen values without I/O.

Times are timezone-aware UTC datetimes, sizes are bytes, hashes are SHA-1 as 40
lower-case hex digits. A success without proof cannot be expressed: `UploadResult`
refuses it, and only the server's client makes a `Receipt` or `RemoteMatch`, only the
ledger a `Known`, only `evidence` the `Evidence` of a failure (an AST test enforces
this).
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from common.json_value import Json
from migration.errors import Evidence

BookId = NewType("BookId", int)
EbookId = NewType("EbookId", int)
SourceId = NewType("SourceId", int)
UploadId = NewType("UploadId", int)
#: Above every id that SQLite assigns.
NO_END = BookId(2**63 - 1)
ShelfId = NewType("ShelfId", int)
ItemId = NewType("ItemId", int)

_SHA1 = re.compile(r"[0-9a-f]{40}")


class Outcome(StrEnum):
    """The outcome of one file; over the ledger they always add up to `discovered`."""

    UPLOADED = "uploaded"  #: by us, with the server's receipt
    DUPLICATE = "duplicate"  #: the server has these bytes
    SKIPPED = "skipped"  #: the user excluded it: `--formats`, or Calibre's ORIGINAL_*
    FAILED = "failed"  #: with a reason
    PENDING = "pending"  #: not settled yet


#: The outcomes of a file that is on the server.
ARRIVED = frozenset({Outcome.UPLOADED, Outcome.DUPLICATE})


class Fate(StrEnum):
    """What became of a file, as seen from the worker that had it in hand."""

    PENDING = "pending"
    ARRIVED = "arrived"  #: on the server, through this worker
    BY_ANOTHER = "by another"  #: on the server, through another worker
    REFUSED = "refused"  #: the server itself does not take it
    LOST = "lost"  #: failed for another reason, skipped, or gone


class Phase(StrEnum):
    """The worker's `status` in its progress file."""

    INITIALIZING = "initializing"  #: reading options, logging in
    DISCOVERING = "discovering"  #: until this process settles its first file
    MIGRATING = "migrating"  #: settling files
    #: for the server to answer again, or for other workers to finish the pass
    WAITING = "waiting"
    COMPLETED = "completed"  #: all it could do is accounted for
    STOPPED = "stopped"  #: by a signal, saved
    FAILED = "failed"  #: by a fatal error, saved


@dataclass(frozen=True, slots=True, order=True)
class FileId:
    """One format of one Calibre book.

    `format` is upper case, as in Calibre's `data.format` (`EPUB`).
    """

    book_id: BookId
    format: str

    def __str__(self) -> str:
        return f"{self.book_id}/{self.format}"


@dataclass(frozen=True, slots=True)
class Digest:
    """The identity of bytes: MyBookshelf2 compares it to recognise equal files."""

    sha1: str
    size: int

    def __post_init__(self) -> None:
        if not _SHA1.fullmatch(self.sha1) or self.size < 0:
            raise ValueError(f"not a SHA-1 and size: {self.sha1!r}, {self.size!r}")


@dataclass(frozen=True, slots=True)
class Author:
    """An author as Calibre has it.

    `name` is for display (`Jane Doe`), `sort` is from `authors.sort` (`Doe, Jane`);
    `sort` is "" where the library's sorts only copy the names.
    """

    name: str
    sort: str


@dataclass(frozen=True, slots=True)
class BookFile:
    """One format file as the library listed it, not yet opened.

    `path` is below the library, in the operating system's own bytes; `size` and
    `mtime_ns` come from the file system. `problem` says why the file cannot be used
    (missing, a symbolic link, outside the library …); then size and mtime are 0. `note`
    says that the file is used although it was not found as recorded; `conflicted` that
    it looks like one of two versions that a synchronisation program could not
    reconcile. With both `problem` and `note`, several files could be it.
    """

    id: FileId
    path: bytes
    size: int = 0
    mtime_ns: int = 0
    problem: "Problem | None" = None
    note: str = ""
    conflicted: bool = False
    modified: bytes = b""


@dataclass(frozen=True, slots=True)
class Origin:
    """What identifies a book in a library that was rebuilt.

    `uuid` is Calibre's uuid of the book, "" when it has none; `folder` is where Calibre
    keeps it, below the library.
    """

    uuid: str
    folder: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file cannot be used.

    `reason` is a `Rejected.reason`, `message` is for the user.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Book:
    """One Calibre book with all its formats and metadata; every text is sanitised.

    `languages` are ISO 639-3 codes in Calibre's order, `rating` is 0-10 (half stars) or
    None, `cover` is the path of cover.jpg below the library if Calibre records one; if
    that cannot be used it is None and `cover_problem` says why. `extras` holds, by
    field name, what the server has no place for (comments, identifiers, publisher,
    dates, custom columns), as JSON values. `title_sort` is the title as Calibre sorts
    it (`Raven, The`), "" where it does not say. `modified` is Calibre's `last_modified`
    as metadata.db has it; any other value means that the book was changed. `removed` is
    a book that Calibre does not have any more: only its title is known.
    """

    id: BookId
    title: str
    authors: tuple[Author, ...] = ()
    series: str | None = None
    series_index: float | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rating: float | None = None
    cover: bytes | None = None
    cover_problem: Problem | None = None
    files: tuple[BookFile, ...] = ()
    extras: dict[str, Json] = field(default_factory=dict)
    title_sort: str = ""
    modified: bytes = b""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class PersonName:
    """An author as the server stores it; `first` is "" for a name of one part."""

    last: str
    first: str = ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Language codes and genre names that the server knows, with their ids.

    Genres are spelled as the server spells them; `synonyms` are its names of genres by
    other names.
    """

    languages: dict[str, int]
    genres: dict[str, int]
    synonyms: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class EbookMetadata:
    """A book's metadata as MyBookshelf2 accepts it: resolved, and cut to its limits.

    `rating` is 0-100 or None, `series_index` an integer or None. `not_carried` holds,
    by field name, Calibre's values that have no place on the server, so that they are
    not lost.
    """

    title: str
    working_title: str
    authors: tuple[PersonName, ...]
    series: str | None
    series_index: int | None
    language_id: int
    language_code: str
    genres: tuple[tuple[int, str], ...]
    rating: int | None
    not_carried: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's confirmation that it holds a file we sent.

    Only its client makes one.
    """

    digest: Digest
    ebook_id: EbookId
    source_id: SourceId


@dataclass(frozen=True, slots=True)
class RemoteMatch:
    """The server's confirmation that it already had these bytes, and where.

    Only `migration.server` makes one.
    """

    digest: Digest
    ebook_id: EbookId | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The ledger's proof that the server has these bytes. Only `ledger` makes one."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The outcome of one file, with its proof.

    `reason` and `message` are for failed and skipped files; those of a failed file are
    its evidence's.
    """

    file: FileId
    outcome: Outcome
    proof: Receipt | Known | Evidence | None = None
    reason: str = ""
    message: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        needed = _PROOFS.get(self.outcome, type(None))
        if not isinstance(self.proof, needed):
            raise ValueError(
                f"{self.outcome} needs {needed.__name__} as proof, not {self.proof!r}"
            )
        if self.outcome is Outcome.PENDING:
            raise ValueError("pending is no result")
        if isinstance(self.proof, Evidence):
            object.__setattr__(self, "reason", self.proof.reason)
            object.__setattr__(self, "message", self.proof.message)


_PROOFS: dict[Outcome, type] = {
    Outcome.UPLOADED: Receipt,
    Outcome.DUPLICATE: Known,
    Outcome.FAILED: Evidence,
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of files by outcome."""

    discovered: int = 0
    uploaded: int = 0
    duplicate: int = 0
    skipped: int = 0
    failed: int = 0
    pending: int = 0

    def balanced(self) -> bool:
        """Whether discovered equals the sum of the rest."""
        return (
            self.discovered
            == self.uploaded
            + self.duplicate
            + self.skipped
            + self.failed
            + self.pending
        )


@dataclass(frozen=True, slots=True)
class Current:
    """A file being sent: its path to show, its id for the ledger."""

    file: str
    bytes_sent: int
    size: int
    since: datetime
    id: FileId


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error of a worker: class name, one cleaned line, time.

    `retry_after` is how many seconds the server asked to wait; 0 when it did not.
    `places` are the frames of an unforeseen error, our own first: only the substrate
    writes them, so no text of a server or a book can pass for them.
    """

    error_class: str
    message: str
    at: datetime
    retry_after: float = 0.0
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """The content of one worker's progress file. Counts are files of this process.

    `steps` counts the steps forward of this process, never the same one twice; None in
    files of older versions. `fruitless` is how many files in a row have ended without
    an outcome that anything explains, since one last arrived.
    """

    worker_id: int
    pid: int
    pid_started_at: datetime
    status: Phase
    started_at: datetime
    updated_at: datetime
    library: str
    server: str
    run_id: int | None = None
    last_upload_at: datetime | None = None
    last_progress_at: datetime | None = None
    last_processed_book_id: int | None = None
    range: tuple[int, int] | None = None
    counts: Counts = Counts()
    bytes_uploaded: int = 0
    rate_files_per_min: float = 0.0
    slow_uploads: int = 0
    parallel_uploads: int = 1
    batch_size: int = 1
    current: tuple[Current, ...] = ()
    last_error: LastError | None = None
    steps: int | None = None
    fruitless: int = 0
    schema: int = 1
