"""The lane to the embedded server, built on the resources of a worker's process."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from common.sanitize import sanitize_filename
from migration.lanes.api.transfer import TransferObserver
from migration.lanes.context import Context
from migration.lanes.embedded.lane import EmbeddedLane
from migration.lanes.lane import Lane, Work
from migration.model import BookFile, BookId, UploadResult
from migration.worker.accounting import Accounting
from migration.worker.resources import Resources
from migration.worker.threads.uploader_pool import BEAT_SECONDS, Hands

T = TypeVar("T")

#: Batches of one worker at the same time: one is read while the server has another.
BATCHES = 2


def put_together(
    opened: Resources,
    context: Context,
    api: Lane,
    accounting: Accounting,
    ends: Callable[[], bool],
) -> Lane:
    """Returns the lane; `api` where books have to be sent one by one.

    So they are where the user wants it, under limits by the file or by the byte, and
    on the machines of a cluster.
    """
    options = opened.options
    if (
        options.lane == "api"
        or options.max_files_per_min
        or options.bwlimit
        or options.cluster
    ):
        return api
    process = WorkerProcess(opened, accounting, ends)
    return EmbeddedLane(context, opened.client, process)


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """What the lane needs of this process, see `lane.Process`."""

    opened: Resources
    accounting: Accounting
    ends: Callable[[], bool]

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Runs the tasks in threads of their own, publishing the progress meanwhile.

        A task that was begun is waited for, also when the worker is asked to stop: it
        ends within seconds, and what it has sent is accounted for.
        """
        if not tasks:
            return []
        hands = Hands(min(BATCHES, len(tasks)), self.opened.client.session.close)
        try:
            futures = [hands.submit(task) for task in tasks]
            return [self._result(future) for future in futures]
        finally:
            hands.dismiss()

    def _result(self, future: "Future[T]") -> T:
        while True:
            try:
                return future.result(BEAT_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                self.opened.publish()

    @contextmanager
    def sending(self, file: BookFile) -> Iterator[TransferObserver]:
        """Lists the file among those that are being sent."""
        name = sanitize_filename(os.fsdecode(file.path))
        with self.opened.tracker.sending(file.id, name, file.size) as entry:
            yield TransferObserver(
                lambda stage: entry.stage(stage.name.lower()),
                entry.sent,
                self.opened.pool.heed_stop,
                entry.read,
            )

    def tell(self, work: Work, file: BookFile, result: UploadResult) -> None:
        """Says of a file that the ledger has its outcome."""
        self.accounting.tell(work, file, result)

    def finished(self, book: BookId) -> None:
        """Says of a book that nothing is left to be done."""
        self.opened.tracker.reach(("book", book), (0, 0))
