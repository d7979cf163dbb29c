"""What the ledger keeps of a batch of the direct lane until it has ended; its JSON.

It is recorded before anything is written, so that whoever takes over from a killed
worker knows what may have been left on the server, and can finish it. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from common.json_value import Json
from migration.ledger.records import BookState, Carried
from migration.metadata.compare import Fields, from_json, to_json
from migration.metadata.shelves import MadeItem
from migration.model import BookId, EbookId, FileId, Receipt, ShelfId, SourceId


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A file that is about to be placed; `location` is below the books directory."""

    id: FileId
    source_id: SourceId
    location: str


@dataclass(frozen=True, slots=True)
class JournalBook:
    """A book that is about to be written, with what is carried of it.

    `calibre` are its values as they are written, without the cover, `extras` a hash of
    the others (`Carried.extras`), `modified` when Calibre had changed it last. `lost`
    names the fields that are not carried; `note` is the fingerprint of the note of its
    items on shelves.
    """

    id: BookId
    ebook_id: EbookId
    base_dir: str
    files: tuple[JournalFile, ...]
    working_title: str
    calibre: Fields
    extras: str = ""
    modified: bytes = b""
    lost: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that has not ended.

    `settled` means that its books are, and only files may have been left behind.
    """

    token: int
    owner: str
    pass_id: int
    begun_at: datetime
    books: tuple[JournalBook, ...]
    settled: bool = False


@dataclass(frozen=True, slots=True)
class ShelfOfBook:
    """A shelf that a book was put on; `made` means that it was made for it."""

    name: str
    shelf_id: ShelfId
    item: MadeItem
    made: bool


@dataclass(frozen=True, slots=True)
class EndedBook:
    """A book that is on the server now, with the proof, to be recorded as finished."""

    id: BookId
    state: BookState
    receipts: tuple[tuple[FileId, Receipt], ...]
    names: Mapping[tuple[str, str], int]
    carried: Carried
    modified: bytes
    lost: tuple[str, ...]
    shelves: tuple[ShelfOfBook, ...] = ()


class BadJournal(ValueError):
    """The text is not what `to_text` writes."""


def to_text(books: tuple[JournalBook, ...]) -> str:
    """Returns the books as JSON; ASCII, so that any text of a book fits."""
    return json.dumps([_book(one) for one in books], separators=(",", ":"))


def _book(one: JournalBook) -> dict[str, Json]:
    return {
        "id": one.id,
        "ebook": one.ebook_id,
        "dir": one.base_dir,
        "files": [
            [file.id.format, file.source_id, file.location] for file in one.files
        ],
        "working": one.working_title,
        "calibre": to_json(one.calibre),
        "extras": one.extras,
        "modified": one.modified.decode("latin-1"),
        "lost": [*one.lost],
        "note": one.note,
    }


def from_text(text: str) -> tuple[JournalBook, ...]:
    """Reads what `to_text` wrote. Raises BadJournal."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise BadJournal(str(error)) from error
    if not isinstance(body, list):
        raise BadJournal("no list")
    return tuple(map(_read, body))


def _read(body: object) -> JournalBook:
    match body:
        case {
            "id": int(number),
            "ebook": int(ebook),
            "dir": str(folder),
            "files": list(files),
            "working": str(working),
            "calibre": dict(calibre),
            "extras": str(extras),
            "modified": str(modified),
            "lost": list(lost),
            "note": str(note),
        } if all(isinstance(name, str) for name in lost):
            book = BookId(number)
            return JournalBook(
                book,
                EbookId(ebook),
                folder,
                tuple(_file(book, file) for file in files),
                working,
                from_json(calibre),
                extras,
                _bytes(modified),
                tuple(lost),
                note,
            )
    raise BadJournal("a book lacks its values")


def _file(book: BookId, body: object) -> JournalFile:
    match body:
        case [str(form), int(source), str(location)]:
            return JournalFile(FileId(book, form), SourceId(source), location)
    raise BadJournal("a file lacks its values")


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadJournal("a time that is no bytes") from error
