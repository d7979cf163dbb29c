"""Many books in one request, as only the embedded server takes them.

The server says so in its token (`Session.takes_calibre_books`). A book is made
completely or refused; one that is sent again is answered as before, so a request whose
answer was lost may be repeated.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from common.json_value import Json
from common.sanitize import for_log
from migration.errors import ServerFault
from migration.model import BookId, Digest, EbookId, EbookMetadata, Receipt, SourceId
from migration.server import payloads
from migration.server.calibre_fields import CalibreFields
from migration.server.payloads import Ebook
from migration.server.session import Session, accepted

PATH = "/api/calibre/books"
MIME = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BookToSend:
    """A book with its bytes.

    `files` are extension, digest and content, in the order of the receipts; `cover` is
    the picture, None where the server is to take the one inside an EPUB.
    """

    id: BookId
    metadata: EbookMetadata
    fields: CalibreFields
    cover: bytes | None
    files: tuple[tuple[str, Digest, bytes], ...]

    @property
    def size(self) -> int:
        """The bytes of its files and its cover."""
        return sum(len(data) for _, _, data in self.files) + len(self.cover or b"")


@dataclass(frozen=True, slots=True)
class Imported:
    """A book that the server has: its ebook, a receipt for each file by extension.

    `cover` is the SHA-1 of the picture the server shows, "" without one; `made` says
    whether this very request made the ebook.
    """

    book: BookId
    ebook: Ebook
    receipts: tuple[tuple[str, Receipt], ...]
    cover: str
    made: bool


def send(
    session: Session, library: str, books: Sequence[BookToSend]
) -> dict[BookId, Imported | str]:
    """Sends a batch; returns for each book its ebook, or why it was refused.

    Raises Transient when the answer was lost or says nothing.
    """
    response = accepted(
        session.call("POST", PATH, upload=(_body(library, books), MIME), once=True)
    )
    answers = response.mapping().get("books")
    given = (
        [one for one in answers if isinstance(one, dict)]
        if isinstance(answers, list)
        else []
    )
    if [one.get("book") for one in given] != [book.id for book in books]:
        raise ServerFault("the server's answer is about other books than were sent")
    return {
        book.id: _read(book, answer) for book, answer in zip(books, given, strict=True)
    }


def find(session: Session, library: str, book: BookId) -> Imported | None:
    """Returns what the server made of a book of an earlier request; None for nothing."""
    if not session.takes_calibre_books():
        return None
    response = session.call("GET", f"{PATH}/{library}/{book}")
    if response.status == 404:
        return None
    answer = accepted(response).mapping()
    files = answer.get("files")
    found = [
        (
            payloads.text(file, "format"),
            Digest(payloads.text(file, "sha1"), payloads.integer(file.get("size"))),
        )
        for file in (files if isinstance(files, list) else [])
        if isinstance(file, dict)
    ]
    return _imported(book, found, answer)


def _body(library: str, books: Sequence[BookToSend]) -> bytes:
    """Returns the length of the JSON, the JSON, then each book's cover and files."""
    head: dict[str, Json] = {"library": library, "books": [*map(_asked, books)]}
    text = json.dumps(head).encode("ascii")
    parts = [len(text).to_bytes(8, "big"), text]
    for book in books:
        parts += [book.cover] if book.cover is not None else []
        parts += [data for _extension, _digest, data in book.files]
    return b"".join(parts)


def _asked(book: BookToSend) -> Json:
    metadata, fields = book.metadata, book.fields
    ebook: dict[str, Json] = {
        "title": metadata.title,
        "language": {"id": metadata.language_id},
        "genres": [{"id": genre_id} for genre_id, _name in metadata.genres],
        "authors": payloads.authors(metadata, {}),
        **payloads.series(metadata, {}),
    }
    return {
        "book": book.id,
        "ebook": ebook,
        "rating": metadata.rating,
        "calibre": {
            "comments": fields.comments,
            "identifiers": dict(fields.identifiers),
            "series_index": fields.series_index,
            "sort": fields.sort,
        },
        "cover": None if book.cover is None else len(book.cover),
        "files": [
            {"format": extension, "sha1": digest.sha1, "size": digest.size}
            for extension, digest, _data in book.files
        ],
    }


def _read(book: BookToSend, answer: dict[str, Json]) -> Imported | str:
    if "refused" in answer:
        return for_log(str(answer["refused"]), 200)
    found = [(extension, digest) for extension, digest, _data in book.files]
    return _imported(book.id, found, answer)


def _imported(
    book: BookId, files: Sequence[tuple[str, Digest]], answer: dict[str, Json]
) -> Imported:
    """Returns what an answer says. Raises ServerFault when it contradicts itself."""
    body, sources = answer.get("ebook"), answer.get("sources")
    ebook_id = EbookId(payloads.integer(answer.get("id")))
    ebook = payloads.ebook(ebook_id, body if isinstance(body, dict) else {})
    held = {number: (form, size) for number, form, size in ebook.sources}
    receipts = []
    numbers = sources if isinstance(sources, list) else []
    if len(numbers) != len(files):
        raise ServerFault(f"the server has {len(numbers)} of {len(files)} files")
    for (extension, digest), number in zip(files, numbers, strict=True):
        source = SourceId(payloads.integer(number))
        if held.get(source) != (extension, digest.size):
            raise ServerFault(f"ebook {ebook_id} does not show its source {source}")
        receipts.append((extension, Receipt(digest, ebook_id, source)))
    return Imported(
        book,
        ebook,
        tuple(receipts),
        payloads.text(answer, "cover_sha1"),
        answer.get("made") is True,
    )
