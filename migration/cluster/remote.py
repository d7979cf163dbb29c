"""What runs on a machine of a Dask cluster: it reads a file, hashes it, sends it, and
says how that went.

Every task returns a plain value, or the error as a value: an exception would be logged
by Dask with its arguments. Nothing here can be done twice with harm: an upload that is
never attached is cleaned up by the server."""

import hashlib
import importlib.metadata
import io
import os
import platform
import socket
import time
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import BinaryIO

import distributed

import common
import migration
from common.resources import resource_error
from common.settings.worker import Waits
from migration.calibre.paths import Tree
from migration.errors import (
    MigrationError,
    OutOfResources,
    TokenRefused,
    Transient,
    Unreadable,
)
from migration.lanes.api.outgoing import digest_of
from migration.lanes.api.transfer import Watch, transmit
from migration.ledger.records import Stage
from migration.model import BookFile, Digest, EbookMetadata, RemoteMatch, UploadId
from migration.server.client import BookshelfClient
from migration.server.transport import HttpTransport

#: Bytes that left are reported this often, seconds.
REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that no log line, dashboard or traceback shows."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """The server as every machine reaches it; the library where every machine has it,
    None when files are shipped."""

    server: str
    ws_urls: tuple[str, ...]
    library: str | None
    waits: Waits = field(default_factory=Waits)


@dataclass(frozen=True, slots=True)
class TransferTask:
    """One file, and under which topic and name the machine tells of it."""

    place: Place
    file: BookFile
    topic: str
    name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as a machine read it: the identity of its bytes, its mtime in ns; the
    machine is a Dask address."""

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
    """What must be the same everywhere: this program (SHA-1 of the substrate's
    sources), Python, Dask."""

    program: str
    python: str
    dask: str

    def __str__(self) -> str:
        return f"program {self.program} on Python {self.python} with Dask {self.dask}"


@dataclass(frozen=True, slots=True)
class Examined:
    """A machine introduces itself. `problem` is a sentence when it cannot work, or
    ""."""

    host: str
    software: Software
    problem: str


# -- tasks -----------------------------------------------------------------------------


def here() -> str:
    """The Dask address of the machine that was chosen."""
    return str(distributed.get_worker().address)


def examine(place: Place) -> Examined:
    """Can this machine work? It must see the library and reach the server."""
    return Examined(socket.gethostname(), software(), _blind(place) or _deaf(place))


def identify(task: TransferTask) -> Seen | Failed:
    """Reads and hashes a file of the shared library."""
    try:
        _tell(task, begun=1)
        with _opened(task) as opened:
            digest = digest_of(opened, lambda: None)
            return Seen(digest, os.fstat(opened.fileno()).st_mtime_ns, here())
    except MigrationError as error:
        return Failed(error, here())
    except OSError as error:
        return Failed(_unreadable(task, error), here())


def carry(
    task: TransferTask,
    digest: Digest,
    metadata: EbookMetadata,
    token: Token,
    shipped: bytes | None,
) -> Sent | Failed:
    """Sends a file, of the shared library or as it was shipped, and lets the server
    read its metadata."""
    try:
        _tell(task, begun=1)
        client = _client(task.place, token)
        with io.BytesIO(shipped) if shipped is not None else _opened(task) as opened:
            done = transmit(
                client, opened, task.file, digest, metadata, _reporting(task)
            )
        return Sent(None if isinstance(done, RemoteMatch) else done)
    except MigrationError as error:
        return Failed(error, here())
    except OSError as error:
        return Failed(_unreadable(task, error), here())


# -- how -------------------------------------------------------------------------------


@cache
def software() -> Software:
    """Of this process."""
    program = hashlib.sha1(usedforsecurity=False)
    for package in (common, migration):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            program.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    return Software(
        program.hexdigest()[:12], python, importlib.metadata.version("distributed")
    )


class _Borrowing(BookshelfClient):
    """Works with a token it was given; it has no password to get another."""

    def __init__(self, place: Place, token: Token) -> None:
        super().__init__(
            HttpTransport(place.server, place.waits.answer_seconds),
            "",
            "",
            place.ws_urls,
            place.waits,
        )
        self._token = token.value
        # By the coordinator's clock, not this machine's: the token is used until the
        # server refuses it.
        self._renew_at = float("inf")

    def login(self) -> None:
        """Cannot: only the coordinator has the password. Raises TokenRefused."""
        raise TokenRefused(f"{self.server} refuses the token")


@lru_cache(maxsize=4)
def _client(place: Place, token: Token) -> BookshelfClient:
    """One for all tasks with a token, so that connections are kept."""
    return _Borrowing(place, token)


def _opened(task: TransferTask) -> BinaryIO:
    """The file below this machine's mount. The folder is opened anew each time: a mount
    may have come back."""
    tree = Tree(Path(task.place.library or ""))
    try:
        return tree.open(task.file.path)
    finally:
        tree.close()


def _tell(task: TransferTask, **what: int) -> None:
    """Tells the coordinator something about a task, through Dask's own events."""
    distributed.get_worker().log_event(task.topic, {"name": task.name, **what})


def _reporting(task: TransferTask) -> Watch:
    """Tells of stages at once, of bytes once a second."""
    moved, reported = 0, time.monotonic()

    def reach(stage: Stage) -> None:
        nonlocal moved
        _tell(task, stage=int(stage), moved=moved)
        moved = 0

    def count(more: int) -> None:
        nonlocal moved, reported
        moved += more
        if time.monotonic() - reported >= REPORT_SECONDS:
            _tell(task, moved=moved)
            moved, reported = 0, time.monotonic()

    return Watch(reach, count, lambda: None)


def _unreadable(task: TransferTask, error: OSError) -> Unreadable | OutOfResources:
    return resource_error(error) or Unreadable(
        f"{task.file.id} cannot be read: {error.strerror or error}"
    )


def _blind(place: Place) -> str:
    if place.library is None:
        return ""
    path = Path(place.library) / "metadata.db"
    try:
        path.stat()
    except OSError as error:
        return (
            f"it does not see {path} ({error.strerror}): mount the library there, "
            "name its place with "
            "--cluster-library, or use --ship-files"
        )
    return ""


def _deaf(place: Place) -> str:
    try:
        HttpTransport(place.server, place.waits.answer_seconds).send(
            "GET", "/api/languages"
        )
    except Transient as error:
        return (
            f"it does not reach {place.server} ({error}): --server must name it "
            "as all machines see it"
        )
    return ""
