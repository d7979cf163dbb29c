"""Which books the direct lane takes, and how many at once. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from migration.errors import Rejected
from migration.lanes.lane import Work
from migration.metadata.ebook_metadata import INTEGER_LIMIT, NAME_LENGTH, TITLE_LENGTH
from migration.metadata.sendable import refuse_unsendable
from migration.metadata.shelves import Wanted
from migration.model import BookFile, EbookMetadata

#: The size of a file is an integer of 32 bits in the server's table.
MOST_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much is written at once: books, files, and bytes of their files."""

    books: int = 250
    files: int = 1000
    size: int = 256 * 1024**2


def why_not(work: Work, wanted: Wanted, *, known: bool, most_bytes: int) -> str:
    """Returns why a book has to go by the API, as a clause; "" if it need not.

    `known` means that the ledger knows something of its ebook already. `most_bytes` is
    the longest upload that the server accepts.
    """
    book = work.book
    if book.removed or known:
        return "its ebook was begun before"
    if work.alone or work.begun is not None:
        return "its worker died while it was at it"
    if not work.files:
        return "it has no file to send"
    if book.cover_problem is not None:
        return "its cover cannot be read"
    return (
        next(filter(None, (_of_file(one, most_bytes) for one in work.files)), "")
        or _of_metadata(work.metadata)
        or _of_shelves(wanted)
    )


def _of_file(file: BookFile, most_bytes: int) -> str:
    if file.problem is not None:
        return "one of its files cannot be used"
    try:
        refuse_unsendable(file, most_bytes)
    except Rejected as error:
        return f"the server does not take one of its files ({error.reason})"
    return "one of its files is too big" if file.size > MOST_BYTES else ""


def _of_metadata(metadata: EbookMetadata) -> str:
    texts = [
        (metadata.title, TITLE_LENGTH),
        (metadata.series or "-", TITLE_LENGTH),
        *((one.last, NAME_LENGTH) for one in metadata.authors),
        *((one.first or "-", NAME_LENGTH) for one in metadata.authors),
        *((name, TITLE_LENGTH) for _id, name in metadata.genres),
    ]
    if not all(_is_text(text, longest) for text, longest in texts):
        return "one of its names does not fit the server's columns"
    if abs(metadata.series_index or 0) > INTEGER_LIMIT:
        return "its series index does not fit the server's column"
    return ""


def _of_shelves(wanted: Wanted) -> str:
    names_fit = all(_is_text(name, TITLE_LENGTH) for name in wanted.names)
    return "" if names_fit else "a name of its shelves does not fit"


def _is_text(text: str, longest: int) -> bool:
    """Whether PostgreSQL takes the text, which must not be empty."""
    return (
        0 < len(text) <= longest
        and "\0" not in text
        and not any("\ud800" <= one <= "\udfff" for one in text)
    )


def batches(works: Iterable[Work], limits: BatchLimits) -> Iterator[Sequence[Work]]:
    """Yields the books in batches within these limits, or single books beyond them."""
    batch: list[Work] = []
    files = size = 0
    for work in works:
        more = sum(file.size for file in work.files)
        full = (
            len(batch) >= limits.books
            or files + len(work.files) > limits.files
            or size + more > limits.size
        )
        if batch and full:
            yield batch
            batch, files, size = [], 0, 0
        batch.append(work)
        files, size = files + len(work.files), size + more
    if batch:
        yield batch
