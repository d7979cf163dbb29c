"""A worker in this process: real library, ledger and server, a told clock, faults on
demand."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bulk_migrate_calibre import CalibreMigrator
from common.resources import Reserve
from migration.calibre.library import CalibreLibrary
from migration.commands.connected import command
from migration.errors import ExitCode, ResponseLost, Transient
from migration.evidence import about
from migration.lanes.api.transfer import LocalTransport, TransferObserver
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.ledger.records import Intended
from migration.model import (
    BookFile,
    Counts,
    Digest,
    EbookId,
    EbookMetadata,
    Phase,
    Progress,
    Receipt,
    RemoteMatch,
)
from migration.server.client import BookshelfClient, SizedStream
from migration.server.http.transport import HttpTransport
from migration.server.session import Session, task_urls
from migration.state_files.owner import this_process
from migration.worker.checked.observed import Observed
from migration.worker.joining import bind
from migration.worker.options import Options, read_options
from migration.worker.parts import Parts, put_together
from migration.worker.progress.progress_file import ProgressFile
from migration.worker.progress.tracker import Tracker
from migration.worker.resources import Resources
from migration.worker.threads.limits import RateLimiter
from migration.worker.threads.uploader_pool import UploaderPool
from migration.worker.threads.work_queue import WorkQueue
from tests.support.environment import PASSWORD
from tests.support.libraries.librarykit import Library
from tests.support.migration.fakes import ToldClock

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class ToldQueue(WorkQueue):
    """A queue whose time goes by only while there is nothing to do but wait."""

    def __init__(self, clock: ToldClock) -> None:
        super().__init__(clock)
        self.clock = clock

    def rest(self, seconds: float) -> None:
        """Half a second passes at once when every book that is left is deferred."""
        if self.idle():
            self.clock.move(seconds)
            with self._changed:
                self._changed.notify_all()
        super().rest(0.05)


class ToldPool(UploaderPool):
    """Uploader threads, and a main thread, whose waiting takes no time."""

    def __init__(self, queue: ToldQueue, leave: Callable[[], None], size: int) -> None:
        super().__init__(queue, leave, size)
        self.clock = queue.clock

    def check(self, seconds: float) -> None:
        """The clock moves instead."""
        self.clock.move(seconds)
        super().check(0.0)

    def sleep(self, seconds: float) -> None:
        """The same, in an uploader thread."""
        self.clock.move(seconds)
        self.heed_stop()


class FaultyClient(BookshelfClient):
    """The real client, some of whose calls fail before anything is sent, and others
    after it was done."""

    def __init__(self, url: str) -> None:
        http = HttpTransport(url)
        super().__init__(Session(http, "admin", PASSWORD, task_urls(url, "")))
        self._refuses: dict[str, deque[Transient]] = defaultdict(deque)
        self._loses: dict[str, deque[ResponseLost]] = defaultdict(deque)
        #: Called before each upload.
        self.on_upload: Callable[[Digest], None] = lambda _digest: None

    def fails(self, name: str, *errors: Transient) -> None:
        """The next calls of `upload` or `probe` do nothing and fail so."""
        self._refuses[name].extend(errors)

    def loses_answer(self, name: str) -> None:
        """The next call of `create` or `attach` is carried out, and its answer is
        lost."""
        self._loses[name].append(ResponseLost("no answer"))

    def probe(self) -> Transient | None:
        """Asks every part of the server."""
        refused = self._refuses["probe"]
        return refused.popleft() if refused else super().probe()

    def upload(
        self, outgoing: SizedStream, digest: Digest, extension: str
    ) -> str | RemoteMatch:
        """Sends the bytes."""
        self.on_upload(digest)
        if self._refuses["upload"]:
            raise self._refuses["upload"].popleft()
        return super().upload(outgoing, digest, extension)

    def create(
        self,
        intended: Intended,
        metadata: EbookMetadata,
        ids: Mapping[tuple[str, str], int],
        *,
        bare: bool,
    ) -> EbookId:
        """Makes an ebook."""
        made = super().create(intended, metadata, ids, bare=bare)
        self._lose("create")
        return made

    def attach(self, intended: Intended, ebook_id: EbookId) -> Receipt:
        """Attaches an upload."""
        made = super().attach(intended, ebook_id)
        self._lose("attach")
        return made

    def _lose(self, name: str) -> None:
        if self._loses[name]:
            raise self._loses[name].popleft()


class FaultyTransport(LocalTransport):
    """Looks at a file in this process; `missing(file)` may raise first, as a look at
    the disk does."""

    def __init__(
        self, library: CalibreLibrary, client: BookshelfClient, hands: int
    ) -> None:
        super().__init__(library, client, hands)
        self.missing: Callable[[BookFile], object] = lambda _file: None

    def identify(self, file: BookFile, watch: TransferObserver) -> Digest:
        """Hashes the file."""
        with about(file.id):
            self.missing(file)
        return super().identify(file, watch)


class WorkerHarness:
    """One worker on a library and a server; `run` lets it do everything a process
    does."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = ToldClock(NOW)
        self.library = Library(folder / "library")
        self.options = _options(folder, url, options)
        self.client = FaultyClient(url)
        self.lines: list[str] = []
        self.log = logging.getLogger(f"worker harness {folder.name}")
        self.log.setLevel(logging.INFO)
        self.log.addHandler(_Lines(self.lines))
        self.log.propagate = False
        #: The hash of a changed script that it runs.
        self.changed_script = ""
        self.migrator: CalibreMigrator
        self.transport: FaultyTransport
        #: What its script is given.
        self.parts: Parts
        #: What it has seen itself.
        self.observed: Observed

    def run(
        self, prepare: Callable[[CalibreMigrator], None] = lambda _migrator: None
    ) -> ExitCode:
        """Connects, binds, migrates; `prepare` is called before the work begins."""
        opened = CalibreLibrary(self.options.library, self.options.state_dir / "copy")
        pool = ToldPool(
            ToldQueue(self.clock),
            self.client.session.close,
            self.options.parallel_uploads,
        )
        limiter = RateLimiter(0, 1, self.clock.seconds, pool.sleep)
        tracker = Tracker(self._first_progress(), self.clock, self.clock, limiter.wait)
        path = self.options.state_dir / "migration_progress_worker1.json"
        progress_file = ProgressFile(path, tracker, self.clock, self.log, needed=True)
        ledger = Ledger(
            self.options.state_dir, this_process(1), self.clock, library=opened
        )
        self.transport = FaultyTransport(
            opened, self.client, self.options.parallel_uploads
        )
        resources = Resources(
            self.options,
            opened,
            self.client,
            self.transport,
            ledger,
            tracker,
            self.log,
            progress_file,
            pool,
            limiter,
            self.clock,
            Reserve(0),
        )
        built = put_together(resources, self.changed_script)
        self.observed = built.conclusion.stops.observed
        self.parts = built.parts
        self.migrator = CalibreMigrator(built.parts)
        prepare(self.migrator)
        try:
            self.migrator.check_api_connectivity()
            bind(resources)
            return command(self.migrator, built)
        finally:
            pool.dismiss()
            resources.end(Phase.STOPPED)
            self.counts = self._counts(ledger)
            ledger.close()
            opened.close()
            self.client.session.close()

    def said(self, text: str) -> int:
        """How many lines of the log hold this text."""
        return sum(text in line for line in self.lines)

    def _counts(self, ledger: Ledger) -> Counts:
        found = totals.read(ledger.path)
        return found.counts if found else Counts()

    def _first_progress(self) -> Progress:
        return Progress(
            1,
            2,
            NOW,
            Phase.INITIALIZING,
            NOW,
            NOW,
            str(self.options.library),
            self.options.server,
        )


class _Lines(logging.Handler):
    """Keeps the lines of a log."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        self._lines.append(record.getMessage())


def _options(folder: Path, url: str, more: tuple[str, ...]) -> Options:
    state = folder / "state"
    state.mkdir()
    common = [
        str(folder / "library"),
        "--server",
        url,
        "--state-dir",
        str(state),
        "--parallel-uploads",
        "1",
        "--audit",
        "off",
        # As in `clean_environment`.
        "--lane",
        "api",
    ]
    return read_options([*common, *more], folder)
