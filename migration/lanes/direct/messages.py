"""What a worker and the process of its direct lane say to each other.

They are frozen values of this program and travel by pickle, over a pair of sockets that
only these two processes have: both run the released code, and no text of a book, a
server or an LLM is ever read as a message.
"""

from dataclasses import dataclass

from migration.model import BookId
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
    """The first message: what the process needs. `uri` is a secret."""

    uri: str
    data_dir: str
    library: str
    library_uuid: str
    owner: int
    covers: str
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
class Failed:
    """The request failed. `fatal`: it cannot succeed, otherwise it may later."""

    fatal: bool
    why: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has opened all it needs."""


Request = Draw | Place | Write | Settle
Reply = Ready | Drew | DidPlace | Wrote | Settled | Failed
