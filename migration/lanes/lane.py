"""The interface of a lane: a way for the books of a range to get to the server.

Ledger, accounting, progress, monitor and comparison are the same for all lanes. A lane
is made with the function that accounts for a file, and calls it with each file's proof.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from migration.model import Book, BookFile, Digest, EbookMetadata, FileId, UploadResult
from migration.server.payloads import Ebook


@dataclass(frozen=True, slots=True)
class Tries:
    """What one book has met with in this process; `worker.failing` decides by it.

    `stumbles` counts failures outside any file's attempt, while the server accepted
    other files. `holds` counts how often the book was deferred because the server asked
    for time, with others settled since the last time (`processed_at_hold`).
    """

    stumbles: int = 0
    holds: int = 0
    processed_at_hold: int = -1


@dataclass(slots=True)
class Work:
    """One book and what is to be done for it.

    Files leave `files` when they are settled.

    `begun` is the file whose attempt has been recorded and has not ended. `alone` means
    that the last worker died while it was at this book; nothing else is worked on
    meanwhile, so that the next death cannot be blamed on another book. `made` is the
    book's ebook as made in this attempt; `reopened` means that it was given its working
    title back in this attempt.
    """

    book: Book
    metadata: EbookMetadata
    files: list[BookFile]
    alone: bool = False
    begun: FileId | None = None
    tries: Tries = Tries()
    made: Ebook | None = None
    reopened: bool = False
    digests: dict[FileId, Digest] = field(default_factory=dict)


#: Accounts for one file of a book; takes the file out of `Work.files`.
Account = Callable[[Work, BookFile, UploadResult], None]


class Lane(Protocol):
    """Carries whole ranges of books. Called by the worker's main thread only."""

    def carry(self, works: Sequence[Work]) -> Sequence[Work]:
        """Carries as many books of one range as it can; returns the others.

        The uploaders send those one by one through the API. A file that was carried has
        been accounted for, with the server's receipt, when this returns; a book that
        was carried has no open step in the ledger any more. After `kill -9` at any
        instant the next process may call it with the same books. Raises Transient or
        Fatal.
        """
