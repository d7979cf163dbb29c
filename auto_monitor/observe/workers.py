"""Observing a worker from outside: process, progress file, and new lines of its log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from auto_monitor.model import InFlight, ProcessIdentity, WorkerRecord, WorkerSnapshot
from auto_monitor.observe.resources import Gauge, ResourceWatch
from auto_monitor.processes import START_TOLERANCE, Workers
from common.clock import utc_now
from common.sanitize import for_log
from migration.model import Phase, Progress
from migration.state_files import logs, progress

#: The first reading of a log begins this many bytes before its end.
FIRST_LOOK_BYTES = 64_000
#: One reading is limited to this many bytes; if a worker wrote more, the rest is
#: skipped, for it says nothing new.
LOOK_BYTES = 1_000_000
#: If a worker has written within this time, its clock agrees with ours.
BEAT_TRUSTED = timedelta(seconds=30)
#: Ranges remembered per process, to tell a new one from one that is read again.
RANGES_REMEMBERED = 20_000
#: Characters of a worker's last error that are passed on.
LONGEST_WORDS = 300
#: What a worker waits for that is neither its own affair nor the server's.
WAITS_FOR = frozenset({"LibraryBusy", "MachineLost"})
#: The longest wait that a server may ask for, in seconds.
LONGEST_ASKED = 900.0


class LogTail:
    """Reads only the new lines of a log, by remembering an offset and an inode."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode: int | None = None
        self._offset = 0

    def new_lines(self) -> list[str]:
        """Returns the complete lines since the last call.

        Those before a rotation first.
        """
        try:
            stat = self._path.stat()
        except OSError:
            return []
        if self._inode is None:
            self._inode, self._offset = (
                stat.st_ino,
                max(0, stat.st_size - FIRST_LOOK_BYTES),
            )
            torn = self._offset > 0
            return self._read(self._path)[torn:]
        lines: list[str] = []
        if stat.st_ino != self._inode:
            rotated = self._path.with_name(self._path.name + ".1")
            if _inode(rotated) == self._inode:
                lines = self._read(rotated)
            self._inode, self._offset = stat.st_ino, 0
        elif stat.st_size < self._offset:
            self._offset = 0
        return lines + self._read(self._path)

    def _read(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                if size - self._offset > LOOK_BYTES:
                    self._offset = size - LOOK_BYTES
                file.seek(self._offset)
                data = file.read(LOOK_BYTES)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        return data[:end].decode("utf-8", "replace").splitlines()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


@dataclass(slots=True)
class _Memory:
    """What was seen of one process so far.

    `marks` are the last values of progress and heartbeat and when they changed.
    `failed_at` is the last error that is somebody's fault. `quiet_since` is when the
    worker last got on, or said what it waits for; it lies in the future while a server
    has asked for time. `waited`: it was seen to wait since it last got on.

    `writer` is the pid that began the present part of the log, None before a beginning
    was seen.
    """

    identity: ProcessIdentity | None
    tail: LogTail
    progress: Progress | None = None
    progress_mark: tuple[int, datetime | None] = (0, None)
    progress_seen_at: datetime | None = None
    arrived_mark: tuple[int, int] = (0, 0)
    arrived_seen_at: datetime | None = None
    failed_at: datetime | None = None
    failed_then: datetime | None = None
    error_mark: datetime | None = None
    quiet_since: datetime | None = None
    waited: bool = False
    beat_mark: datetime | None = None
    beat_seen_at: datetime | None = None
    ranges: set[str] = field(default_factory=set)
    found: int = -1
    repeated: str = ""
    looked: bool = False
    writer: int | None = None
    resources: ResourceWatch | None = None


class WorkerObserver:
    """Makes snapshots; remembers only what distinguishes movement from standstill."""

    def __init__(
        self,
        state_dir: Path,
        workers: Workers,
        wall: Callable[[], datetime] = utc_now,
        gauge: Gauge | None = None,
    ) -> None:
        """`wall` is the clock by which the workers write their times."""
        self._gauge = gauge or Gauge()
        self._state_dir = state_dir
        self._workers = workers
        self._wall = wall
        self._memories: dict[int, _Memory] = {}

    def found_by_hand(self) -> dict[int, ProcessIdentity]:
        """Returns every live worker with a progress file, however started."""
        found = {}
        for path in progress.progress_paths(self._state_dir):
            seen = progress.read(path)
            if seen is None:
                continue
            identity = ProcessIdentity(
                seen.pid,
                seen.pid_started_at,
                progress.birth_of_writer(self._state_dir, seen),
            )
            if self._workers.lives(identity, seen.worker_id):
                found[seen.worker_id] = identity
        return found

    def look(self, record: WorkerRecord, now: datetime) -> WorkerSnapshot:
        """Returns a snapshot of one worker."""
        memory = self._memory(record)
        alive = self._workers.lives(record.identity, record.worker_id)
        self._read_progress(memory, record, now)
        self._read_log(memory, now)
        seen = memory.progress
        counts = seen.counts if seen else None
        exit_code = None if alive else self._workers.exit_code(record.identity)
        exit_code = record.exit_code if exit_code is None else exit_code
        watch = memory.resources
        if watch is not None and alive and record.identity is not None:
            watch.look(record.identity.pid, now)
        return WorkerSnapshot(
            worker_id=record.worker_id,
            alive=alive,
            progress_seen_at=memory.progress_seen_at or now,
            beat_seen_at=memory.beat_seen_at or now,
            phase=seen.status if seen else None,
            settled=counts is not None
            and counts.uploaded + counts.duplicate + counts.skipped + counts.failed > 0
            and seen is not None
            and seen.status not in (Phase.INITIALIZING, Phase.DISCOVERING),
            exit_code=exit_code,
            in_flight=in_flight(seen),
            repeated_range=memory.repeated,
            all_failing_since=memory.arrived_seen_at
            if memory.failed_at != memory.failed_then
            else None,
            last_words=last_words(seen),
            error_class=seen.last_error.error_class
            if seen and last_words(seen) and seen.last_error
            else "",
            fruitless=seen.fruitless if seen else 0,
            quiet_since=memory.quiet_since if memory.waited else None,
            leak=watch.leak if watch and alive else None,
            growing=watch.growing if watch and alive else None,
            killed_for_memory=not alive
            and watch is not None
            and watch.was_killed(exit_code),
            crash=crash_of(seen),
        )

    def _memory(self, record: WorkerRecord) -> _Memory:
        memory = self._memories.get(record.worker_id)
        if memory is None or memory.identity != record.identity:
            tail = (
                memory.tail
                if memory
                else LogTail(logs.log_path(self._state_dir, record.worker_id))
            )
            writer = memory.writer if memory else None
            memory = self._memories[record.worker_id] = _Memory(
                record.identity,
                tail,
                writer=writer,
                resources=ResourceWatch(self._gauge),
            )
        return memory

    def _read_progress(
        self, memory: _Memory, record: WorkerRecord, now: datetime
    ) -> None:
        """Reads the worker's progress.

        An unreadable file keeps its last value; one of another process says nothing
        about this one.
        """
        seen = progress.read(progress.progress_path(self._state_dir, record.worker_id))
        if (
            seen is not None
            and record.identity is not None
            and self._wrote(seen, record.identity)
        ):
            memory.progress = seen
        self._note_steps(memory, now)
        beat = memory.progress.updated_at if memory.progress else None
        if memory.beat_seen_at is None:
            memory.beat_seen_at, memory.beat_mark = now, beat
        _note_errors(memory, now)
        arrived = _arrived(memory.progress)
        if memory.arrived_seen_at is None or arrived != memory.arrived_mark:
            memory.arrived_mark, memory.arrived_seen_at = arrived, now
            memory.failed_then = memory.failed_at
        if beat != memory.beat_mark:
            memory.beat_seen_at, memory.beat_mark = now, beat
        if memory.progress is not None and memory.progress.status is Phase.WAITING:
            # Nothing has to move while it waits; the time counts from the end of the
            # wait.
            memory.progress_seen_at = max(
                memory.progress_seen_at or now, memory.beat_seen_at
            )

    def _note_steps(self, memory: _Memory, now: datetime) -> None:
        """Notes when work moved: by the worker's count of steps, which never repeats.

        Its times say only how long ago that was at the first look; workers of older
        versions have nothing else.
        """
        seen = memory.progress
        moved = seen.last_progress_at if seen else None
        beat = seen.updated_at if seen else None
        steps = seen.steps if seen else None
        mark = (
            (0, moved) if steps is None else (max(steps, memory.progress_mark[0]), None)
        )
        if memory.progress_seen_at is None:
            memory.progress_seen_at = now - self._said_age(moved, beat)
            memory.progress_mark = mark
        elif mark != memory.progress_mark:
            memory.progress_seen_at = memory.quiet_since = now
            memory.progress_mark, memory.waited = mark, False

    def _wrote(self, seen: Progress, identity: ProcessIdentity) -> bool:
        """Whether this progress was written by that process.

        Its start by the wall clock changes when the clock is set.
        """
        if seen.pid != identity.pid:
            return False
        apart = abs((seen.pid_started_at - identity.started).total_seconds())
        if apart <= START_TOLERANCE:
            return True
        return (
            bool(identity.birth)
            and progress.birth_of_writer(self._state_dir, seen) == identity.birth
        )

    def _said_age(self, moved: datetime | None, beat: datetime | None) -> timedelta:
        """Returns how long ago work last moved, as the worker first reports it.

        It writes every second. If it does not, it hangs or the clock was set since;
        then the result is zero, and only time will tell.
        """
        wall = self._wall()
        if (
            moved is None
            or beat is None
            or not timedelta() <= wall - beat <= BEAT_TRUSTED
        ):
            return timedelta()
        return max(timedelta(), wall - moved)

    def _read_log(self, memory: _Memory, now: datetime) -> None:
        """Detects work in the log: a range read for the first time, more files found.

        The same again is a loop.
        """
        for text in memory.tail.new_lines():
            line = logs.parse(text)
            if line is None or memory.identity is None:
                continue
            if match := logs.STARTS.match(line.message):
                memory.writer = int(match[2])
            if not _is_by(line, memory.writer, memory.identity):
                # What an earlier process of this worker wrote says nothing about this
                # one.
                continue
            moved = False
            if match := logs.QUERYING.match(line.message) or logs.PROCESSED_BATCH.match(
                line.message
            ):
                known = f"{line.message.split(':')[0]} {match[1]}-{match[2]}"
                moved = known not in memory.ranges
                memory.repeated = "" if moved else f"books {match[1]}-{match[2]}"
                if len(memory.ranges) < RANGES_REMEMBERED:
                    memory.ranges.add(known)
            elif match := logs.FOUND.match(line.message):
                # Reading a range again finds its pending files again.
                moved = int(match[1]) > memory.found and not memory.repeated
                memory.found = max(memory.found, int(match[1]))
            if moved:
                memory.progress_seen_at = (
                    now
                    if memory.looked
                    else max(memory.progress_seen_at or now, min(now, line.at))
                )
        memory.looked = True


def _is_by(line: logs.LogLine, writer: int | None, identity: ProcessIdentity) -> bool:
    """Whether this process wrote the line.

    If no beginning was seen: whether it was running by then, by the wall clock.
    """
    return line.at >= identity.started if writer is None else writer == identity.pid


def _arrived(seen: Progress | None) -> tuple[int, int]:
    """Returns what has arrived and what is in flight: files, bytes."""
    if seen is None:
        return (0, 0)
    return (
        seen.counts.uploaded + seen.counts.duplicate,
        sum(file.bytes_sent for file in seen.current),
    )


def _note_errors(memory: _Memory, now: datetime) -> None:
    """Notes what the worker says has failed, and until when it has a reason to wait.

    A file that was refused has an outcome; a server that asks for time, and a library
    that Calibre has locked, are nobody's fault.
    """
    seen = memory.progress
    quiet_since = memory.quiet_since or now
    if not memory.waited and seen is not None and seen.status is Phase.WAITING:
        memory.waited, quiet_since = True, max(quiet_since, now)
    memory.quiet_since = quiet_since
    error = seen.last_error if seen else None
    if error is None or error.at == memory.error_mark:
        return
    memory.error_mark = error.at
    asked = timedelta(seconds=min(error.retry_after, LONGEST_ASKED))
    memory.quiet_since = max(quiet_since, now + asked)
    if not asked and error.error_class not in WAITS_FOR:
        memory.failed_at = error.at


def last_words(seen: Progress | None) -> str:
    """Returns the last error of a worker that failed; "" for any other."""
    if seen is None or seen.status is not Phase.FAILED or seen.last_error is None:
        return ""
    return f"{seen.last_error.error_class}: {for_log(seen.last_error.message, LONGEST_WORDS)}"


def crash_of(seen: Progress | None) -> str:
    """Returns where the unforeseen error of a worker that failed was raised, or "".

    It is read from the progress file alone: anything may stand in a log line.
    """
    failed = seen is not None and seen.status is Phase.FAILED
    error = seen.last_error if seen is not None and failed else None
    return "" if error is None else "\n".join(map(for_log, error.places))


def in_flight(seen: Progress | None) -> InFlight:
    """Returns what the worker had in flight when it wrote this progress."""
    if seen is None:
        return InFlight()
    return InFlight(
        seen.run_id, tuple(sorted(file.id for file in seen.current)), seen.range
    )
