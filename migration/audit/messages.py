"""What the worker and its audit tell each other: one JSON object a line.

The worker writes one order to the audit's standard input and keeps it open: its end
means that the worker is gone. The audit writes to its standard output.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from common.settings.worker import Waits
from migration.audit.findings import Finding, Kind
from migration.model import BookId, EbookId

#: The longest line that is read, in bytes.
LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be audited, and with what.

    `audit` is the setting; with `books` just these are read back. It has the password,
    so it travels by a pipe only.
    """

    library: Path
    state_dir: Path
    server: str
    ws_url: str
    username: str
    password: str
    db_uri: str
    audit: str
    default_language: str
    formats: frozenset[str]
    ratings: bool
    waits: Waits
    books: tuple[BookId, ...] | None = None

    def __repr__(self) -> str:
        """Leaves out what is secret."""
        return f"Order(library={str(self.library)!r}, audit={self.audit!r})"

    def line(self) -> bytes:
        """Returns the order as it is sent."""
        values: dict[str, Any] = {
            one.name: getattr(self, one.name) for one in fields(self)
        }
        values["library"], values["state_dir"] = str(self.library), str(self.state_dir)
        values["formats"] = sorted(self.formats)
        values["waits"] = {
            one.name: getattr(self.waits, one.name) for one in fields(Waits)
        }
        return json.dumps(values).encode() + b"\n"


def order(line: bytes) -> Order:
    """Reads an order. Raises ValueError, TypeError or KeyError for anything else."""
    values: dict[str, Any] = json.loads(line)
    values["library"] = Path(values["library"])
    values["state_dir"] = Path(values["state_dir"])
    values["formats"] = frozenset(values["formats"])
    values["waits"] = Waits(**values["waits"])
    if values["books"] is not None:
        values["books"] = tuple(map(BookId, values["books"]))
    return Order(**values)


@dataclass(frozen=True, slots=True)
class Checked:
    """A book was dealt with; `left` if it is the next pass's work, by Calibre's edits."""

    left: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """The audit waits; `why` is "" when it goes on."""

    why: str


@dataclass(frozen=True, slots=True)
class Begun:
    """How many books the pass has changed, and how many are read back."""

    changed: int
    chosen: int


@dataclass(frozen=True, slots=True)
class Alive:
    """Something moved, such as a block of a large file."""


@dataclass(frozen=True, slots=True)
class Done:
    """Every book was dealt with."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The audit cannot go on."""

    why: str


#: Seconds between two signs of life while nothing is told.
ALIVE_SECONDS = 5.0

Message = Begun | Checked | Waiting | Alive | Done | Failed | Finding
_MESSAGES = {
    kind.__name__: kind for kind in (Begun, Checked, Waiting, Alive, Done, Failed)
}
#: Tells the worker.
Tell = Callable[[Message], None]


def line(message: Message) -> str:
    """Returns a message as it is sent: its name and its values."""
    values = [getattr(message, one.name) for one in fields(message)]
    return json.dumps([type(message).__name__, *values])


def read(text: bytes) -> Message | None:
    """Reads a line of the audit; None for what is no message, such as a warning."""
    try:
        name, *values = json.loads(text)
        if name == Finding.__name__:
            kind, book_id, ebook_id, said = values
            return Finding(Kind(kind), BookId(book_id), EbookId(ebook_id), said)
        return _MESSAGES[name](*values)
    except (ValueError, TypeError, KeyError):
        return None
