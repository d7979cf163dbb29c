"""What a worker and the process of its direct lane say to each other.

They are frozen values of this program and travel by pickle, over a pair of sockets that
only these two processes have: both run the released code, and no text of a book, a
server or an LLM is ever read as a message.
"""

from dataclasses import dataclass, field

from migration.model import BookId, FileId, Receipt
from migration.server.data_dir.layout import Layout
from migration.server.direct.batch import (
    Drawn,
    LeftBehind,
    NewBook,
    Placed,
    Refused,
    Written,
)


@dataclass(frozen=True, slots=True)
class Opening:
    """The first message: what the process needs. `uri` is a secret.

    `login` and `owner` are users by id, `looked` is the highest id of a file on the
    server that the ledger knows.
    """

    uri: str = field(repr=False)
    layout: Layout
    library: str
    library_uuid: str
    login: int
    owner: int
    looked: int
    public_shelves: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw ids and choose folders for these books."""

    books: tuple[NewBook, ...]


@dataclass(frozen=True, slots=True)
class Drew:
    """What was drawn, in the books' order."""

    books: tuple[Drawn | Refused, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Place the files of these books, which the ledger's journal has."""

    token: int
    books: tuple[Drawn, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """So many bytes were placed since the last message; a sign of life."""

    count: int


@dataclass(frozen=True, slots=True)
class DidPlace:
    """What was placed, in the books' order."""

    books: tuple[Placed | Refused, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Write the rows of the batch that was placed last, but for some of its books.

    The files of those are removed.
    """

    token: int
    without: frozenset[BookId]


@dataclass(frozen=True, slots=True)
class Wrote:
    """What was written, as it was read back; nothing of the others is left."""

    books: tuple[Written | Refused, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Find out which books of a batch have rows; remove what is left of the others."""

    token: int
    books: tuple[LeftBehind, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """The books that have rows, with the SHA-1 of each one's cover on the disk."""

    books: tuple[tuple[Written, str], ...]


@dataclass(frozen=True, slots=True)
class Tidy:
    """A range is through: merge the names that somebody else made at the same time."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """How many of our names were merged with others' of the same words."""

    merged: int


@dataclass(frozen=True, slots=True)
class Recall:
    """Name more files that a lane has written for this library; from the first one on."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """Some of them, by what their rows say; none when there are no more."""

    files: tuple[tuple[FileId, Receipt], ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The request failed. `fatal`: it cannot succeed, otherwise it may later."""

    fatal: bool
    why: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has opened all it needs."""


Request = Draw | Place | Write | Settle | Tidy | Recall
Reply = Ready | Drew | DidPlace | Wrote | Settled | Tidied | Recalled | Failed
