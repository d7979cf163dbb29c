"""What one worker has done so far: the thread-safe state behind its progress file."""

import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from common.sanitize import for_log
from migration.errors import Deferred, Transient
from migration.ledger.records import Stage
from migration.model import Counts, Current, FileId, LastError, Outcome, Phase, Progress
from migration.worker.progress.furthest import Furthest, Mark

#: The rate counts the files settled by work within this time.
RATE_WINDOW = timedelta(minutes=5)
#: What may be said of a worker; whether its work moves follows from the work alone.
_MAY_BE_SET = frozenset({"status", "run_id", "range", "parallel_uploads"})
#: The stages of a file in order, by the names under which they are reported.
_RANKS = {stage.name.lower(): int(stage) for stage in Stage}


@dataclass(slots=True)
class _Sending:
    id: FileId
    file: str
    size: int
    since: datetime
    entered: datetime
    bytes_sent: int = 0
    bytes_read: int = 0
    stage: str = ""
    spent: dict[str, float] = field(default_factory=dict)


class Sending:
    """A file being sent; the sending thread reports its bytes and stages."""

    def __init__(self, tracker: "Tracker", entry: _Sending) -> None:
        self._tracker = tracker
        self._entry = entry

    def sent(self, count: int) -> None:
        """Records that `count` bytes were sent."""
        self._entry.bytes_sent += count
        self._tracker.reach(self._entry.id, self._mark())
        self._tracker.limiter(count)

    def read(self, count: int) -> None:
        """Records that `count` bytes were read before anything is sent."""
        self._entry.bytes_read += count
        self._tracker.reach(self._entry.id, self._mark())

    def stage(self, name: str) -> None:
        """Records that the file has entered a stage."""
        self._leave_stage()
        self._entry.stage = name
        if name == "upload":
            self._entry.bytes_sent = 0
        self._entry.bytes_read = 0
        self._tracker.reach(self._entry.id, self._mark())

    def slowest_stage(self) -> str:
        """Returns the stage that has taken longest so far."""
        self._leave_stage()
        return max(
            self._entry.spent, key=lambda name: self._entry.spent[name], default=""
        )

    def _mark(self) -> Mark:
        entry = self._entry
        return _RANKS.get(entry.stage, 0), entry.bytes_sent + entry.bytes_read

    def _leave_stage(self) -> None:
        now, entry = self._tracker.now(), self._entry
        if entry.stage:
            seconds = (now - entry.entered).total_seconds()
            entry.spent[entry.stage] = entry.spent.get(entry.stage, 0.0) + seconds
        entry.entered = now


class Tracker:
    """Counts, times and files in flight.

    `snapshot` returns the frozen value to write.
    """

    def __init__(
        self,
        start: Progress,
        shown: Callable[[], datetime],
        clock: Callable[[], datetime],
        limiter: Callable[[int], None],
    ) -> None:
        """Times that are written come from `shown`, the wall clock; `clock` is steady.

        `limiter` is called with the number of bytes before more are read; a bandwidth
        limit waits there.
        """
        self._lock = threading.Lock()
        self._base = start
        self._shown = shown
        self._clock = clock
        self._began = clock()
        self._counts: Counter[str] = Counter()
        self._sending: dict[int, _Sending] = {}
        self._settled: deque[datetime] = deque()
        self._processed = 0
        self._furthest = Furthest()
        self._last_failure: Callable[[], BaseException | None] = lambda: None
        self.limiter = limiter

    def now(self) -> datetime:
        """Returns the time of the steady clock."""
        return self._clock()

    def set(self, **changes: object) -> None:
        """Replaces fields of the progress by name.

        Raises TypeError for those that follow from the work.
        """
        if not _MAY_BE_SET.issuperset(changes):
            raise TypeError(f"only {', '.join(sorted(_MAY_BE_SET))} can be set")
        with self._lock:
            self._base = replace(self._base, **changes)  # type: ignore[arg-type]

    def reach(self, piece: Hashable, mark: Mark) -> None:
        """Records how far a piece of work has got.

        It is progress only if it has never got so far before: a worker that goes in
        circles must not look healthy.
        """
        now = self._shown()
        with self._lock:
            if self._furthest.reach(piece, mark):
                self._step(now)

    def _step(self, now: datetime) -> None:
        base = self._base
        self._base = replace(base, last_progress_at=now, steps=(base.steps or 0) + 1)

    def range_read(self, first: int, last: int, settled: Counts, new: int) -> None:
        """Counts a range that was read for the first time.

        Reading one again must not look like progress.
        """
        with self._lock:
            self._counts.update(
                discovered=settled.discovered,
                duplicate=settled.duplicate,
                skipped=settled.skipped,
                failed=settled.failed,
                pending=new,
            )
            self._processed += settled.duplicate + settled.skipped + settled.failed
            self._base = replace(self._base, range=(first, last))
            if settled.discovered and self._furthest.reach((first, last), (0, 0)):
                self._step(self._shown())
            if self._processed and self._base.status is Phase.DISCOVERING:
                self._base = replace(self._base, status=Phase.MIGRATING)

    def settled(self, book_id: int, outcome: Outcome, size: int) -> int:
        """Counts a settled file; returns how many of this process have that outcome."""
        now = self._shown()
        with self._lock:
            self._counts[outcome] += 1
            self._counts["pending"] -= 1
            self._processed += 1
            self._settled.append(self._clock())
            uploaded = outcome is Outcome.UPLOADED
            status = (
                Phase.MIGRATING
                if self._base.status is Phase.DISCOVERING
                else self._base.status
            )
            self._base = replace(
                self._base,
                status=status,
                last_processed_book_id=book_id,
                last_upload_at=now if uploaded else self._base.last_upload_at,
                bytes_uploaded=self._base.bytes_uploaded + (size if uploaded else 0),
                # A refusal proves nothing about the files that fail without one.
                fruitless=self._base.fruitless if outcome is Outcome.FAILED else 0,
            )
            self._step(now)
            return self._counts[outcome]

    def compared(self, counts: Counts, book_id: int) -> None:
        """Records the counts of `--verify` after a further file.

        `counts` covers all so far.
        """
        now = self._clock()
        with self._lock:
            self._counts = Counter(
                {name: getattr(counts, name) for name in Counts.__dataclass_fields__}
            )
            self._processed = counts.discovered - counts.pending
            self._settled.append(now)
            self._base = replace(self._base, last_processed_book_id=book_id)
            self._step(now)

    def slow(self) -> None:
        """Counts a slow upload."""
        with self._lock:
            self._base = replace(self._base, slow_uploads=self._base.slow_uploads + 1)

    def over(self, file_id: FileId) -> None:
        """Forgets how far a file had got: it is settled."""
        with self._lock:
            self._furthest.forget(file_id)

    def fruitless(self) -> None:
        """Counts a file that has ended without an outcome, and nothing explains it."""
        with self._lock:
            self._base = replace(self._base, fruitless=self._base.fruitless + 1)

    def failed_with(self, error: BaseException, places: Sequence[str] = ()) -> None:
        """Records the last error; the same one reported again is not a new one.

        `places` are the frames of an unforeseen one.
        """
        asked = error.retry_after if isinstance(error, Transient) else 0.0
        with self._lock:
            if self._last_failure() is error and not places:
                return
            try:
                self._last_failure = weakref.ref(error)
            except TypeError:
                # Python's own errors cannot be referred to without being kept alive.
                self._last_failure = lambda: None
            last = LastError(
                type(error).__name__,
                for_log(str(error)),
                self._shown(),
                asked,
                tuple(places),
            )
            self._base = replace(self._base, last_error=last)

    @contextmanager
    def sending(self, file_id: FileId, file: str, size: int) -> Iterator[Sending]:
        """Lists the file among the current files while the block runs.

        After an attempt that failed, its bytes count once more, but not for ever.
        """
        entry = _Sending(file_id, file, size, self._shown(), self._clock())
        with self._lock:
            self._sending[id(entry)] = entry
            self._furthest.begin(file_id, size)
        try:
            yield Sending(self, entry)
        except (Transient, Deferred):
            with self._lock:
                self._furthest.begin_anew(file_id)
            raise
        finally:
            with self._lock:
                del self._sending[id(entry)]

    @property
    def processed(self) -> int:
        """The number of files settled by this process, whatever the outcome."""
        with self._lock:
            return self._processed

    def count(self, outcome: Outcome) -> int:
        """Returns the number of files of this process with that outcome."""
        with self._lock:
            return self._counts[outcome]

    def snapshot(self) -> Progress:
        """Returns the progress as of now."""
        now = self._clock()
        with self._lock:
            while self._settled and self._settled[0] < now - RATE_WINDOW:
                self._settled.popleft()
            current = tuple(
                Current(
                    entry.file,
                    min(entry.bytes_sent, entry.size),
                    entry.size,
                    entry.since,
                    entry.id,
                )
                for entry in self._sending.values()
            )
            counts = {
                name: max(0, self._counts[name]) for name in Counts.__dataclass_fields__
            }
            return replace(
                self._base,
                updated_at=self._shown(),
                current=current,
                counts=Counts(**counts),
                rate_files_per_min=self._rate(now),
            )

    def _rate(self, now: datetime) -> float:
        window = min(RATE_WINDOW, now - self._began).total_seconds()
        return round(len(self._settled) * 60 / window, 1) if window > 0 else 0.0
