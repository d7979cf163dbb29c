"""The books of one batch on their way into the server's database and data directory.

A batch is a part of a range, at most some hundreds of books: its files are placed and
synced first, then all of its rows are written in one short transaction. Each type here
is one stage of a book: `NewBook` as Calibre has it, `Drawn` with ids and a folder,
`Placed` with its bytes on the disk. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from migration.metadata.compare import Fields
from migration.model import (
    BookId,
    Digest,
    EbookId,
    EbookMetadata,
    FileId,
    ItemId,
    Receipt,
    ShelfId,
    SourceId,
)


@dataclass(frozen=True, slots=True)
class NewFile:
    """One format that is to be placed; all but `extension` as in `model.BookFile`.

    `extension` is lower case, without a dot, as the server names the format.
    """

    id: FileId
    path: bytes
    size: int
    mtime_ns: int
    extension: str


@dataclass(frozen=True, slots=True)
class NewBook:
    """A book that the server does not have yet.

    `metadata` is what the API would be sent; `description` is plain text, None without
    comments. `cover` is the path of Calibre's cover below the library. `files` is never
    empty. `shelves` are the names of bookshelves it belongs on, `note` the note of its
    items there.
    """

    id: BookId
    metadata: EbookMetadata
    files: tuple[NewFile, ...]
    cover: bytes | None = None
    description: str | None = None
    shelves: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A book with ids from the server's sequences and a folder that was free.

    `source_ids` are in the order of `book.files`. `base_dir` is below the books
    directory; `locations` are the files' paths below it, in the order of `book.files`.
    This is what the ledger keeps of a batch before anything is written, so that the
    next process knows what a killed one may have left.
    """

    book: NewBook
    ebook_id: EbookId
    source_ids: tuple[SourceId, ...]
    base_dir: str
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A book whose bytes are in the data directory, not yet synced.

    `digests` are in the order of `book.files`, taken of the very bytes that were
    written. `cover` is the cover's path below the books directory, None without one;
    `cover_sha1` is that of its bytes there, "" without one; `calibre_sha1` that of
    Calibre's own cover, from which it was made.
    """

    drawn: Drawn
    digests: tuple[Digest, ...]
    cover: str | None = None
    cover_sha1: str = ""
    calibre_sha1: str = ""


@dataclass(frozen=True, slots=True)
class Shelved:
    """An item on a bookshelf; `made_shelf` means that its shelf was made for it."""

    name: str
    shelf_id: ShelfId
    item_id: ItemId
    made_shelf: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A book whose rows are committed, as they were read back from the database.

    `receipts` are in the order of the book's files. `ids` are the server's ids of the
    names that `payloads.name_keys` lists. `fields` are what `payloads.ebook` would show
    of it, without the cover; that is at `cover`, below the books directory.
    """

    book: BookId
    ebook_id: EbookId
    receipts: tuple[tuple[FileId, Receipt], ...]
    ids: Mapping[tuple[str, str], int]
    fields: Fields
    version: int
    cover: str | None = None
    shelved: tuple[Shelved, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A book that this lane cannot carry; the API lane tries it.

    `why` is a clause for the log, cleaned: "its cover is only inside its file".
    """

    book: BookId
    why: str


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What the ledger kept of a book whose batch has no end, see `Drawn`.

    `sizes` and `digests` of what was placed are not known: the process may have been
    killed at any moment.
    """

    book: BookId
    ebook_id: EbookId
    files: tuple[tuple[FileId, SourceId, str], ...]
    base_dir: str
