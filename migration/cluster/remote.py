"""What runs on a machine of a Dask cluster: it reads, hashes and sends files.

Every task returns a plain value, or the error as a value: Dask would log an exception
with its arguments. Everything here may be repeated without harm: an upload that is
never attached is cleaned up by the server.
"""

import hashlib
import importlib.metadata
import io
import os
import platform
import socket
import time
from functools import cache
from pathlib import Path
from typing import BinaryIO

import distributed

import common
import migration
from common.resources import resource_error
from migration.calibre.paths import Tree
from migration.cluster.borrowed import client_of
from migration.cluster.messages import (
    Endpoints,
    Examined,
    Failed,
    Seen,
    Sent,
    Software,
    Token,
    TransferTask,
)
from migration.errors import (
    MigrationError,
    OutOfResources,
    Transient,
    Unreadable,
)
from migration.lanes.api.file_stream import digest_of
from migration.lanes.api.transfer import TransferObserver, transmit
from migration.ledger.records import Stage
from migration.model import Digest, EbookMetadata, RemoteMatch
from migration.server.http.transport import HttpTransport

#: Seconds between two reports of the bytes sent.
REPORT_SECONDS = 1.0


def here() -> str:
    """Returns the Dask address of the machine that runs this."""
    return str(distributed.get_worker().address)


def examine(place: Endpoints) -> Examined:
    """Checks whether this machine sees the library and reaches the server."""
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
    """Sends a file, shared or shipped, and has the server read its metadata."""
    try:
        _tell(task, begun=1)
        client = client_of(task.place, token)
        with io.BytesIO(shipped) if shipped is not None else _opened(task) as opened:
            done = transmit(
                client, opened, task.file, digest, metadata, _reporting(task)
            )
        return Sent(None if isinstance(done, RemoteMatch) else done)
    except MigrationError as error:
        return Failed(error, here())
    except OSError as error:
        return Failed(_unreadable(task, error), here())


# -- helpers ---------------------------------------------------------------------------


@cache
def software() -> Software:
    """Returns the software of this process."""
    program = hashlib.sha1(usedforsecurity=False)
    for package in (common, migration):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            program.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    return Software(
        program.hexdigest()[:12], python, importlib.metadata.version("distributed")
    )


def _opened(task: TransferTask) -> BinaryIO:
    """Opens the file below this machine's mount.

    The folder is opened again each time, since a mount may have come back.
    """
    tree = Tree(Path(task.place.library or ""))
    try:
        return tree.open(task.file.path)
    finally:
        tree.close()


def _tell(task: TransferTask, **what: int) -> None:
    """Reports on a task to the coordinator, through Dask's own events."""
    distributed.get_worker().log_event(task.topic, {"name": task.name, **what})


def _reporting(task: TransferTask) -> TransferObserver:
    """Returns callbacks that report stages at once and bytes once a second."""
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

    return TransferObserver(reach, count, lambda: None)


def _unreadable(task: TransferTask, error: OSError) -> Unreadable | OutOfResources:
    return resource_error(error) or Unreadable(
        f"{task.file.id} cannot be read: {error.strerror or error}"
    )


def _blind(place: Endpoints) -> str:
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


def _deaf(place: Endpoints) -> str:
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
