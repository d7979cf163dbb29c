"""`--cluster`: the machines of a Dask cluster read, hash and send files.

This process is the coordinator and does everything that counts. Each file takes two
tasks. The first one finds out which machine Dask chooses: `identify` reads and hashes
the file there (with `--ship-files`, when the bytes are read here, it only returns the
machine). The second one sends the file from the same machine, whose page cache holds it
now. It is bound to that machine, so Dask never repeats it elsewhere by itself: when the
machine dies, the ledger learns of it first.

What a machine says proves nothing. Its upload counts when the server's own
`uploads-meta` confirms it; that the server has some bytes already counts when the
server says so to the coordinator.
"""

import asyncio
import itertools
import logging
import os
import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from distributed.scheduler import KilledWorker

from common.sanitize import for_log
from migration.calibre.library import CalibreLibrary
from migration.cluster.machines import GONE, PATIENCE, Machines
from migration.cluster.messages import (
    ClusterPlan,
    Endpoints,
    Failed,
    Seen,
    Sent,
    Token,
    TransferTask,
)
from migration.cluster.remote import carry, here, identify
from migration.errors import (
    FileChanged,
    MachineLost,
    MissingFile,
    NotRegular,
    OutOfResources,
    OutsideLibrary,
    Rejected,
    ServerFault,
    ServerUnreachable,
    TokenRefused,
    Unreadable,
)
from migration.evidence import about
from migration.lanes.api.file_stream import digest_of
from migration.lanes.api.transfer import TransferObserver, extension_of
from migration.ledger.records import Stage
from migration.model import BookFile, Digest, EbookMetadata, RemoteMatch, UploadId
from migration.server.client import BookshelfClient

#: The most uploader threads, whatever the size of the cluster.
MAX_HANDS = 256
#: With `--ship-files`, the most bytes in flight to machines at the same time; a larger
#: file is sent alone.
SHIP_BYTES = 256 * 1024 * 1024
#: Seconds between two checks whether the machine that has a task is still there.
LOOK_SECONDS = 0.5
#: Errors that may be due to the file, or to the mount of the machine that read it.
UNREADABLE = (MissingFile, Unreadable, NotRegular, OutsideLibrary)
#: How far two readings of a file's mtime may differ, in ns, since file systems store it
#: with different precision.
MTIME_NS = 2_000_000_000


class DaskTransport:
    """A `Transport` through a cluster.

    `client` and `library` are the coordinator's own.
    """

    def __init__(
        self,
        plan: ClusterPlan,
        library: CalibreLibrary,
        client: BookshelfClient,
        log: logging.Logger,
    ) -> None:
        self._ship = plan.ship
        self._place = Endpoints(
            client.session.server,
            plan.ws_urls,
            None if plan.ship else str(plan.library),
            plan.waits,
        )
        self._topic = f"mbs2-{uuid.uuid4().hex}"
        self._names = itertools.count(1)
        self._boxes: dict[str, queue.SimpleQueue[dict[str, int]]] = {}
        self._cargo = Cargo(SHIP_BYTES)
        self._chosen = threading.local()
        self._library = library
        self._server = client
        self._machines = Machines(
            plan.address, self._place, self._topic, self._told, log
        )

    def open(self) -> None:
        """Connects to the scheduler and examines the machines."""
        self._machines.open(self._place.waits.start_seconds)

    def close(self) -> None:
        """Leaves the cluster; Dask drops what it was still doing for us."""
        self._machines.close()

    def hands(self) -> int:
        """Returns three for each slot.

        One book is being sent, one waits behind it, and for one an ebook is being made
        here.
        """
        return min(3 * self._machines.slots(), MAX_HANDS)

    def trouble(self) -> str:
        """Returns what is wrong (no scheduler, or no machine that can work), or ""."""
        return self._machines.trouble()

    # -- the two tasks -----------------------------------------------------------------

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        """Hashes on the machine that Dask chooses, or here when files are shipped."""
        with about(file.id):
            return self._identify(file, watch)

    def _identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        watch.reach(Stage.HASH)
        self._chosen.machine = None
        if self._ship:
            with self._library.open_file(file.path) as opened:
                return digest_of(opened, watch.heed_stop, watch.hashed)
        with self._task(file) as task:
            answer = self._run(identify, (task,), task, watch, on=None)
        if isinstance(answer, Failed):
            self._blame(file, answer)
            raise answer.error
        assert isinstance(answer, Seen)
        if not _same(answer, file.size, file.mtime_ns):
            self._look_myself(file, answer)
        self._chosen.machine = answer.machine
        return answer.digest

    def carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
        """Sends from the machine that read the file, or ships it the bytes."""
        with about(file.id):
            return self._carry(file, digest, metadata, watch)

    def _carry(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
    ) -> UploadId | RemoteMatch:
        machine = self._choose(file, watch)
        watch.reach(Stage.UPLOAD)
        if not self._ship:
            return self._send(file, digest, metadata, watch, machine)
        with self._cargo.room(digest.size, watch.heed_stop):
            return self._send(
                file,
                digest,
                metadata,
                watch,
                machine,
                self._shipped(file, digest, machine),
            )

    def _send(
        self,
        file: BookFile,
        digest: Digest,
        metadata: EbookMetadata,
        watch: TransferObserver,
        machine: str,
        shipped: Any = None,
    ) -> UploadId | RemoteMatch:
        for again in (True, False):
            with self._task(file) as task:
                token = self._server.session.access_token()
                answer = self._run(
                    carry,
                    (task, digest, metadata, Token(token), shipped),
                    task,
                    watch,
                    on=machine,
                )
            if not (
                again
                and isinstance(answer, Failed)
                and isinstance(answer.error, TokenRefused)
            ):
                break
            self._server.session.login_again(token)
        if isinstance(answer, Failed):
            self._blame(file, answer)
            raise answer.error
        assert isinstance(answer, Sent)
        self._machines.did_well(machine)
        return (
            self._match(file, digest) if answer.upload_id is None else answer.upload_id
        )

    def _choose(self, file: BookFile, watch: TransferObserver) -> str:
        """Returns the machine of this thread's last `identify`, else Dask's choice."""
        machine: str | None = getattr(self._chosen, "machine", None)
        self._chosen.machine = None
        if machine in self._machines.usable():
            return str(machine)
        with self._task(file) as task:
            return str(self._run(here, (), task, watch, on=None))

    def _shipped(self, file: BookFile, digest: Digest, machine: str) -> Any:
        """Copies the file's bytes into the memory of the machine."""
        with self._library.open_file(file.path) as opened:
            data = opened.read(digest.size + 1)
        if len(data) != digest.size:
            raise FileChanged(f"{file.id} has another size than when it was first read")
        client = self._machines.client()
        scatter = client.scatter(
            [data], workers=[machine], direct=True, hash=False, asynchronous=True
        )
        sending = asyncio.run_coroutine_threadsafe(scatter, client.loop.asyncio_loop)
        while self._machines.has(machine):
            try:
                return sending.result(LOOK_SECONDS)[0]
            except GONE as error:
                if sending.done():
                    self._disown(
                        machine, f"it cannot be sent files: {for_log(str(error), 200)}"
                    )
        sending.cancel()
        raise MachineLost(f"machine {machine} is gone", died=False)

    # -- what is believed --------------------------------------------------------------

    def _match(self, file: BookFile, digest: Digest) -> RemoteMatch:
        """Asks the server about bytes that a machine says it has."""
        match = self._server.check(digest, extension_of(file))
        if match is None:
            raise ServerFault(
                f"the server told a machine that it has {digest.sha1}, and this one that it has not"
            )
        return match

    def _blame(self, file: BookFile, failed: Failed) -> None:
        """Leaves the machine out and raises MachineLost if it is to blame."""
        error = failed.error
        if isinstance(error, ServerUnreachable):
            self._machines.failure(failed.machine, str(error))
        if isinstance(error, OutOfResources):
            self._disown(failed.machine, str(error))
        if isinstance(error, UNREADABLE) and not self._ship and self._readable(file):
            self._disown(failed.machine, f"it cannot read what this one can: {error}")

    def _look_myself(self, file: BookFile, seen: Seen) -> None:
        """Checks a file that machines read differently: changed, or another library?"""
        with self._library.open_file(file.path) as opened:
            status = os.fstat(opened.fileno())
        if not _same(seen, status.st_size, status.st_mtime_ns):
            self._disown(
                seen.machine,
                f"its copy of {file.id} has another size or time than the one here",
            )

    def _readable(self, file: BookFile) -> bool:
        try:
            with self._library.open_file(file.path) as opened:
                digest_of(opened, lambda: None)
        except (Rejected, OSError):
            return False
        return True

    def _disown(self, machine: str, reason: str) -> NoReturn:
        self._machines.quarantine(machine, reason)
        raise MachineLost(f"{machine}: {reason}", died=False)

    # -- one task ----------------------------------------------------------------------

    @contextmanager
    def _task(self, file: BookFile) -> Iterator[TransferTask]:
        """Yields a task with a name under which a machine can report on the file."""
        name = f"{self._topic}-{next(self._names)}"
        self._boxes[name] = queue.SimpleQueue()
        try:
            yield TransferTask(self._place, file, self._topic, name)
        finally:
            del self._boxes[name]

    def _told(self, message: dict[str, Any]) -> None:
        """Receives a message from a machine; called by Dask's own thread."""
        box = self._boxes.get(str(message.get("name")))
        if box is not None:
            box.put(message)

    def _run(
        self,
        work: Callable[..., object],
        arguments: tuple[object, ...],
        task: TransferTask,
        watch: TransferObserver,
        *,
        on: str | None,
    ) -> object:
        """Runs a task on a given machine or on any, and waits for it.

        Raises MachineLost.
        """
        client = self._machines.client()
        allowed = self._machines.usable() if on is None else [on]
        if not allowed:
            raise MachineLost("no machine can work", died=False)
        box = self._boxes[task.name]
        try:
            # Dask uses the key to learn how long such tasks take; it must not reveal
            # anything about the book.
            key = f"{work.__name__}-{task.name}"
            # A task that chooses a machine goes first: it is short, and a book waiting
            # for it would block a slot later.
            first = int(on is None)
            future = client.submit(
                work, *arguments, key=key, workers=allowed, priority=first, pure=False
            )
        except GONE as error:
            raise MachineLost(
                f"the scheduler took no task: {for_log(str(error), 200)}", died=False
            ) from error
        future.add_done_callback(lambda _future: box.put({}))
        trail = _Trail(watch)
        try:
            while not future.done():
                self._still_there(client, trail, allowed)
                if on is None:
                    watch.heed_stop()
                try:
                    trail.follow(box.get(timeout=LOOK_SECONDS))
                except queue.Empty:
                    continue
            while not box.empty():
                trail.follow(box.get())
            return self._answer(future, trail, on)
        finally:
            future.release()

    def _still_there(self, client: Any, trail: "_Trail", allowed: list[str]) -> None:
        """Raises MachineLost when the task's machine is gone or it began twice."""
        gone = not any(self._machines.has(machine) for machine in allowed)
        if self._machines.client() is not client:
            raise MachineLost(
                "the scheduler was away meanwhile", died=False, uploaded=trail.uploaded
            )
        if gone or trail.begun > 1:
            raise MachineLost(
                "its machine died while it was at it",
                died=True,
                uploaded=trail.uploaded,
            )

    def _answer(self, future: Any, trail: "_Trail", on: str | None) -> object:
        """Returns what the machine returned. Raises MachineLost."""
        try:
            if future.status == "finished":
                return future.result(timeout=PATIENCE)
            error = (
                future.exception(timeout=PATIENCE) if future.status == "error" else None
            )
        except GONE:
            error = None
        if error is None:
            # Cancelled, because something it needed is gone: the scheduler, or the
            # machine with its shipped bytes.
            died = (
                on is not None
                and not self._machines.has(on)
                and not self._machines.trouble()
            )
            raise MachineLost("its task was lost", died=died, uploaded=trail.uploaded)
        if isinstance(error, KilledWorker):
            raise MachineLost(
                "its machine died while it was at it",
                died=True,
                uploaded=trail.uploaded,
            )
        what = f"its own program failed: {type(error).__name__}: {for_log(str(error), 200)}"
        if on is not None:
            self._machines.quarantine(on, what)
        raise MachineLost(what, died=True, uploaded=trail.uploaded)


class _Trail:
    """What machines have reported about one task.

    How often it was begun, and whether the bytes are on the server.
    """

    def __init__(self, watch: TransferObserver) -> None:
        self._watch = watch
        self.begun = 0
        self.uploaded = False

    def follow(self, message: dict[str, int]) -> None:
        """Records a message and passes on what is for the watch."""
        self.begun += message.get("begun", 0)
        if message.get("moved"):
            self._watch.moved(message["moved"])
        if "stage" in message:
            self.uploaded = True
            self._watch.reach(Stage(message["stage"]))


class Cargo:
    """A limit on the bytes in flight; a file larger than the limit is sent alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def room(self, size: int, heed_stop: Callable[[], None]) -> Iterator[None]:
        """Waits for room and keeps it while the block runs.

        `heed_stop` may raise meanwhile.
        """
        with self._changed:
            while self._taken and self._taken + size > self._size:
                self._changed.wait(LOOK_SECONDS)
                heed_stop()
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def _same(seen: Seen, size: int, mtime_ns: int) -> bool:
    return seen.digest.size == size and abs(seen.mtime_ns - mtime_ns) <= MTIME_NS
