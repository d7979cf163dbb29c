"""Which books may be sent many at a time, and their bytes as Calibre has them now."""

import hashlib
import json
from dataclasses import dataclass

from common.resources import raise_if_exhausted
from migration.calibre.cover import is_plain_jpeg
from migration.calibre.library import CalibreLibrary
from migration.errors import Rejected
from migration.lanes.api.transfer import TransferObserver, extension_of
from migration.lanes.lane import Work
from migration.ledger.parts.imports import Outgoing
from migration.ledger.records import Stage
from migration.metadata.ebook_metadata import library_of
from migration.model import BookFile, Digest, FileId
from migration.server import calibre_fields
from migration.server.importing import BookToSend

#: The most bytes of one book: a larger one costs little more by itself.
BOOK_BYTES = 8 * 1024 * 1024
#: The most files of one book, and the most bytes of its metadata as JSON.
BOOK_FILES, TEXT_BYTES = 8, 64 * 1024
#: The most bytes of a cover.
COVER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Parcel:
    """A book that is ready to be sent; `cover` is the SHA-1 of Calibre's own cover."""

    work: Work
    book: BookToSend
    outgoing: Outgoing
    cover: str


def fits(work: Work) -> bool:
    """Whether a book may be sent among others; any other goes through the API. Pure.

    Left out are those on which a worker died, large ones, and those whose cover the
    server could only look for in a file that it needs a program for.
    """
    book, files = work.book, work.files
    return (
        not work.alone
        and not book.removed
        and 0 < len(files) <= BOOK_FILES
        and all(file.problem is None and file.size > 0 for file in files)
        and sum(file.size for file in files) <= BOOK_BYTES
        and book.cover_problem is None
        and (book.cover is not None or all(map(_is_epub, files)))
        and library_of(work.metadata.working_title) != ""
        and len(json.dumps([book.extras, book.tags])) <= TEXT_BYTES
    )


def _is_epub(file: BookFile) -> bool:
    return file.id.format == "EPUB"


def read(
    library: CalibreLibrary, work: Work, watches: dict[FileId, TransferObserver]
) -> Parcel | None:
    """Reads a book's files and cover; None when one of them is not as it was listed.

    What is wrong with it is found out, and said, when it is sent through the API.
    """
    path, cover = work.book.cover, None
    try:
        found = [_file(library, file, watches[file.id]) for file in work.files]
        cover = None if path is None else _cover(library, path)
    except (Rejected, OSError) as error:
        raise_if_exhausted(error)
        return None
    files = tuple(file for file in found if file is not None)
    if len(files) < len(found) or (cover is None) is not (path is None):
        return None
    fields = calibre_fields.of_book(work.book)
    book = BookToSend(work.book.id, work.metadata, fields, cover, files)
    digests = {
        file.id: digest for file, (_, digest, _) in zip(work.files, files, strict=True)
    }
    outgoing = Outgoing(work.book.id, work.metadata.working_title, digests)
    return Parcel(work, book, outgoing, "" if cover is None else _sha1(cover))


def _file(
    library: CalibreLibrary, file: BookFile, watch: TransferObserver
) -> tuple[str, Digest, bytes] | None:
    watch.reach(Stage.HASH)
    with library.open_file(file.path) as opened:
        data = opened.read(file.size + 1)
    if len(data) != file.size:
        return None
    watch.hashed(len(data))
    return extension_of(file), Digest(_sha1(data), len(data)), data


def _cover(library: CalibreLibrary, path: bytes) -> bytes | None:
    with library.open_file(path) as opened:
        held = opened.read(COVER_BYTES + 1)
    return held if len(held) <= COVER_BYTES and is_plain_jpeg(held) else None


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
