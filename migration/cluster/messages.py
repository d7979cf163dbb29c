"""Messages between a worker and the machines of its cluster."""

from dataclasses import dataclass, field
from pathlib import Path

from common.settings.worker import Waits
from migration.errors import (
    MigrationError,
)
from migration.model import BookFile, Digest, UploadId


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that no log line, dashboard or traceback shows."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a machine finds the server and the library.

    The server as every machine reaches it; the library where every machine has it, None
    when files are shipped.
    """

    server: str
    ws_urls: tuple[str, ...]
    library: str | None
    waits: Waits = field(default_factory=Waits)


@dataclass(frozen=True, slots=True)
class TransferTask:
    """One file, and the topic and name under which the machine reports on it."""

    place: Endpoints
    file: BookFile
    topic: str
    name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as a machine read it: digest, mtime in ns, Dask address."""

    digest: Digest
    mtime_ns: int
    machine: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The server's upload; None when it said that it has these bytes."""

    upload_id: UploadId | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The error a task ended with, and the machine."""

    error: MigrationError
    machine: str


@dataclass(frozen=True, slots=True)
class Software:
    """What must be the same everywhere: this program, Python, Dask.

    `program` is a SHA-1 of the sources of `common` and `migration`.
    """

    program: str
    python: str
    dask: str

    def __str__(self) -> str:
        return f"program {self.program} on Python {self.python} with Dask {self.dask}"


@dataclass(frozen=True, slots=True)
class Examined:
    """A machine's description of itself.

    `problem` says why it cannot work, or is "".
    """

    host: str
    software: Software
    problem: str


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What was asked for.

    The cluster's address, where its machines have the library, and the task engine's
    URLs.
    """

    address: str
    library: Path
    ws_urls: tuple[str, ...]
    ship: bool
    waits: Waits
