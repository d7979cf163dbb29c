"""What is seen of a worker: the new part of its log, progress that moves, loops, and a
day without false alarms."""

import json
import logging.handlers
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auto_monitor.decide.detection import DetectionPolicy, assess
from auto_monitor.decide.standstill import all_wait
from auto_monitor.model import (
    Assessment,
    Health,
    InFlight,
    ProcessIdentity,
    WorkerRecord,
)
from auto_monitor.observe.workers import LOOK_BYTES, LogTail, WorkerObserver
from migration.model import BookId, Counts, Current, FileId, LastError, Phase, Progress
from migration.state_files import logs, progress
from tests.support.migration.fakes import LivingWorkers

START = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = DetectionPolicy(5 * MINUTE, 20 * MINUTE)
IDENTITY = ProcessIdentity(4711, START)
RECORD = WorkerRecord(1, identity=IDENTITY)


class Written:
    """A worker's files, written as it would."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.value = Progress(
            1,
            4711,
            START,
            Phase.INITIALIZING,
            START,
            START,
            "lib",
            "http://s",
            last_progress_at=START,
        )

    def beat(self, now: datetime, **changes: object) -> None:
        """The progress file as of now."""
        self.value = replace(self.value, updated_at=now, **changes)  # type: ignore[arg-type]
        progress.write(progress.progress_path(self.state_dir, 1), self.value)

    def line(self, now: datetime, message: str) -> None:
        """One line of its log."""
        with logs.log_path(self.state_dir, 1).open("a") as log:
            log.write(f"{now:%Y-%m-%d %H:%M:%S},000 - INFO - {message}\n")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A worker that has just started."""
    made = Written(tmp_path)
    made.beat(START)
    return made


def test_a_day_of_honest_work_without_a_false_alarm(written: Written) -> None:
    """Discovery for 15 minutes, uploads of 40 minutes, only duplicates, three hours of
    waiting, rotated logs."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    log = logs.log_path(written.state_dir, 1)
    alarms = []
    for minute in range(24 * 60):
        now = START + minute * MINUTE
        if minute < 15:
            written.beat(now, status=Phase.DISCOVERING)
            if minute == 3:
                written.line(now, logs.querying(1, 1000))
        elif 300 <= minute < 480:
            written.beat(now, status=Phase.WAITING)
        elif minute % 45 < 40 and minute >= 600:
            file = Current(
                "big.pdf", minute * 1000, 10**9, now, FileId(BookId(7), "PDF")
            )
            written.beat(
                now, status=Phase.MIGRATING, current=(file,), last_progress_at=now
            )
        else:
            moved = now if minute % 4 == 3 else written.value.last_progress_at
            counts = Counts(duplicate=minute, discovered=minute)
            written.beat(
                now,
                status=Phase.MIGRATING,
                counts=counts,
                current=(),
                last_progress_at=moved,
            )
            written.line(now, logs.duplicate(f"{minute}/EPUB 'x'"))
        if minute % 200 == 199:
            log.rename(log.with_name(log.name + ".1"))
        verdict = assess(observer.look(RECORD, now), now, POLICY)
        if verdict.health is not Health.WORKING:
            alarms.append((minute, verdict))
    assert alarms == []


class Trace:
    """A worker's progress, minute by minute, and what is made of it."""

    def __init__(self, folder: Path) -> None:
        self.written = Written(folder)
        self.observer = WorkerObserver(folder, LivingWorkers(folder))
        self.now = START
        self.written.value = replace(
            self.written.value, steps=1, counts=Counts(1, 1), status=Phase.MIGRATING
        )

    def minute(self, **changes: object) -> Assessment:
        """The verdict on it, also as the only one that could wait for another."""
        self.now += MINUTE
        value = replace(self.written.value, updated_at=self.now, **changes)  # type: ignore[arg-type]
        self.written.value = value
        path = progress.progress_path(self.written.state_dir, 1)
        path.write_text(json.dumps(progress.to_json(value)))
        seen = self.observer.look(RECORD, self.now)
        verdicts = {1: assess(seen, self.now, POLICY)}
        return {**verdicts, **all_wait({1: seen}, verdicts, self.now, POLICY)}[1]


SHOWN = st.fixed_dictionaries(
    {},
    optional={
        "last_progress_at": st.integers(0, 600).map(lambda n: START + n * MINUTE),
        "bytes_uploaded": st.integers(0, 100),
        "counts": st.builds(Counts, *[st.integers(0, 5)] * 6).map(
            lambda counts: replace(counts, uploaded=counts.uploaded + 1)
        ),
        "current": st.integers(0, 9).map(
            lambda n: (Current("x", n, 9, START, FileId(BookId(7), "PDF")),)
        ),
    },
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 4), st.sampled_from([Phase.MIGRATING, Phase.WAITING]), SHOWN
        ),
        max_size=10,
    )
)
def test_a_worker_that_gets_on_is_well(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[tuple[int, Phase, dict[str, object]]],
) -> None:
    """A step every few minutes is enough, whatever else it shows and waits for."""
    trace = Trace(tmp_path_factory.mktemp("trace"))
    for minutes, phase, shown in pieces:
        steps = (trace.written.value.steps or 0) + 1
        for _ in range(minutes):
            found = trace.minute(status=phase, steps=steps, **shown)
            assert found.health is Health.WORKING


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(SHOWN, min_size=7, max_size=12),
    st.sampled_from([Phase.MIGRATING, Phase.WAITING]),
)
def test_one_that_does_not_is_stuck_in_its_time(
    tmp_path_factory: pytest.TempPathFactory,
    shown: list[dict[str, object]],
    phase: Phase,
) -> None:
    """Whatever it shows: only steps count."""
    trace = Trace(tmp_path_factory.mktemp("trace"))
    found = [trace.minute(status=phase, **one).health for one in shown]
    assert found[:5] == [Health.WORKING] * 5
    assert found[5:] == [Health.STUCK] * (len(shown) - 5)


def test_the_clock_of_the_machine_moves_nothing(written: Written) -> None:
    """The worker's times jump by an hour, forwards and back: what counts is that they
    change."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    for minute in range(60):
        jump = timedelta(hours={0: 0, 1: 1, 2: -1}[minute // 20])
        stamp = START + minute * MINUTE + jump
        written.beat(
            stamp, status=Phase.MIGRATING, counts=Counts(1, 1), last_progress_at=stamp
        )
        now = START + minute * MINUTE
        assert assess(observer.look(RECORD, now), now, POLICY).health is Health.WORKING
    later = START + 64 * MINUTE
    assert assess(observer.look(RECORD, later), later, POLICY).health is Health.STUCK


JUMPS = [timedelta(hours=-1), timedelta(hours=1), timedelta(days=-1), timedelta(days=1)]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_worker_that_starts_after_the_clock_was_set_is_as_healthy_as_any(
    tmp_path: Path, jump: timedelta
) -> None:
    """The monitor's steady clock is off by the jump then. At its first look nothing is
    old; its log is read at once."""
    shifted = Written(tmp_path)
    shifted.value = replace(
        shifted.value, pid_started_at=START + jump, started_at=START + jump
    )
    shifted.line(START + jump, logs.starts(1, 4710, tmp_path, "http://s"))
    shifted.line(START + jump, logs.querying(1, 9))
    shifted.line(START + jump, logs.starts(1, 4711, tmp_path, "http://s"))
    shifted.beat(
        START + jump,
        status=Phase.MIGRATING,
        counts=Counts(1, 1),
        last_progress_at=START + jump,
    )
    observer = WorkerObserver(tmp_path, LivingWorkers(tmp_path), lambda: START + jump)
    record = replace(RECORD, identity=ProcessIdentity(4711, START + jump))
    assert assess(observer.look(record, START), START, POLICY).health is Health.WORKING
    for minute in range(1, 30):
        now = START + minute * MINUTE
        first = 1 if minute < 10 else 10
        shifted.line(now + jump, logs.querying(first, first + 8))
        shifted.beat(now + jump, status=Phase.MIGRATING, counts=Counts(1, 1))
        stuck = assess(observer.look(record, now), now, POLICY).health is Health.STUCK
        # Books 1-9 were new to this process in minute 1, 10-18 in minute 10.
        assert stuck == (6 <= minute < 10 or minute >= 15), minute


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_log_that_goes_on_after_the_clock_was_set_is_still_read(
    written: Written, jump: timedelta
) -> None:
    """Its lines bear times from before the start of the process then."""
    written.line(START, logs.starts(1, 4711, written.state_dir, "http://s"))
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    observer.look(RECORD, START)
    for minute in range(1, 30):
        now = START + minute * MINUTE
        written.line(now + jump, logs.querying(minute, minute))
        written.beat(now + jump, status=Phase.MIGRATING, counts=Counts(1, 1))
        assert assess(observer.look(RECORD, now), now, POLICY).health is Health.WORKING


@pytest.mark.parametrize(
    ("wall", "age"),
    [
        (timedelta(), 4 * MINUTE),
        (timedelta(hours=1), timedelta()),
        (timedelta(hours=-1), timedelta()),
    ],
    ids=["the same clock", "set forward since", "set back since"],
)
def test_what_a_worker_says_at_the_first_look_counts_when_its_clock_is_ours(
    written: Written, wall: timedelta, age: timedelta
) -> None:
    """A monitor that is started again need not wait anew for a worker that hangs."""
    now = START + 10 * MINUTE
    written.beat(
        now,
        status=Phase.MIGRATING,
        counts=Counts(1, 1),
        last_progress_at=now - 4 * MINUTE,
    )
    observer = WorkerObserver(
        written.state_dir, LivingWorkers(written.state_dir), lambda: now + wall
    )
    assert observer.look(RECORD, now).progress_seen_at == now - age


def test_new_ranges_in_the_log_are_progress_and_the_same_again_is_a_loop(
    written: Written,
) -> None:
    """Even when the progress file says nothing."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    observer.look(RECORD, START)
    for minute in range(1, 30):
        now = START + minute * MINUTE
        first = minute * 10 if minute <= 10 else 100
        written.line(now, logs.querying(first, first + 9))
        written.line(now, logs.found(minute * 5))
        written.beat(now, status=Phase.MIGRATING, counts=Counts(1, 1))
        seen = observer.look(RECORD, now)
        stuck = assess(seen, now, POLICY).health is Health.STUCK
        assert stuck == (minute >= 15), minute
    assert seen.repeated_range == "books 100-109"


def test_a_worker_whose_files_all_fail(written: Written) -> None:
    """Since a file last arrived, whatever it does in between; over as soon as one
    arrives or is under way."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    written.beat(START, status=Phase.MIGRATING)
    assert observer.look(RECORD, START).all_failing_since is None
    for minute in range(1, 30):
        now = START + minute * MINUTE
        phase = Phase.WAITING if minute % 2 else Phase.MIGRATING
        if minute < 9:
            written.beat(
                now, status=phase, last_error=LastError("ServerFault", "no", now)
            )
        else:
            written.beat(
                now, status=phase, last_progress_at=now, counts=Counts(failed=minute)
            )
        assert observer.look(RECORD, now).all_failing_since == START
    later = START + 30 * MINUTE
    written.beat(
        later, current=(Current("a.pdf", 1, 9, later, FileId(BookId(7), "PDF")),)
    )
    assert observer.look(RECORD, later).all_failing_since is None
    written.beat(later, counts=Counts(uploaded=1, failed=29))
    assert observer.look(RECORD, later).all_failing_since is None


def test_what_it_hung_on(written: Written) -> None:
    """Files before ranges; a progress file of another process says nothing."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    file = FileId(BookId(7), "PDF")
    written.beat(
        START, run_id=3, range=(1, 9), current=(Current("x", 0, 1, START, file),)
    )
    assert observer.look(RECORD, START).in_flight == InFlight(3, (file,), (1, 9))
    assert str(InFlight(3, (file,), (1, 9))) == "file 7/PDF"
    other = replace(RECORD, identity=ProcessIdentity(4711, START + timedelta(hours=1)))
    seen = observer.look(other, START)
    assert (seen.phase, seen.in_flight) == (None, InFlight())


def test_where_it_crashed_is_told_by_its_substrate_alone(written: Written) -> None:
    """In the progress file of a worker that failed; neither a line of its log nor the
    last error of one that runs is a crash."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    at = 'File "bulk_migrate_calibre.py", line 7 in works'
    written.line(START, f"{logs.INTERNAL_ERROR} KeyError: 'x' | {at}")
    error = LastError("KeyError", f"'x' | {at}", START)
    written.beat(START, status=Phase.FAILED, last_error=error)
    assert observer.look(RECORD, START).crash == ""
    crashed = replace(error, places=(at, 'File "a.py", line 1 in b\n'))
    written.beat(START, status=Phase.MIGRATING, last_error=crashed)
    assert observer.look(RECORD, START).crash == ""
    written.beat(START, status=Phase.FAILED)
    assert observer.look(RECORD, START).crash == f'{at}\nFile "a.py", line 1 in b'


def test_a_progress_file_that_cannot_be_read_keeps_its_last_value(
    written: Written,
) -> None:
    """Torn, empty, gone."""
    observer = WorkerObserver(written.state_dir, LivingWorkers(written.state_dir))
    written.beat(START, status=Phase.MIGRATING)
    observer.look(RECORD, START)
    path = progress.progress_path(written.state_dir, 1)
    for data in (b"", b'{"schema": 1, "wor', b"[]"):
        path.write_bytes(data)
        assert observer.look(RECORD, START).phase is Phase.MIGRATING
    path.unlink()
    assert observer.look(RECORD, START).phase is Phase.MIGRATING


@given(
    st.lists(
        st.one_of(
            st.lists(st.text("ab\tü", max_size=5), max_size=4), st.just("rotate")
        ),
        max_size=12,
    )
)
def test_every_line_is_read_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[str] | str]
) -> None:
    """However it is written and rotated between looks; a torn line waits for its
    end."""
    path = tmp_path_factory.mktemp("log") / "migration_worker1.log"
    path.touch()
    tail = LogTail(path)
    tail.new_lines()
    written, read = [], []
    for step in steps:
        if isinstance(step, str):
            path.rename(path.with_name(path.name + ".1"))
            path.touch()
        else:
            for line in step:
                with path.open("ab") as log:
                    data = (line + "\n").encode()
                    log.write(data[:1])
                    log.flush()
                    read += tail.new_lines()
                    log.write(data[1:])
                written.append(line)
        read += tail.new_lines()
    assert read == written


def test_a_look_reads_a_bounded_part(tmp_path: Path) -> None:
    """The end of an old log at first, and at most LOOK_BYTES ever."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * 99 + b"\n")
    tail = LogTail(path)
    assert len(tail.new_lines()) == 1
    with path.open("ab") as log:
        for _ in range(30):
            log.write((b"y" * 99 + b"\n") * 1000)
    assert len(tail.new_lines()) * 100 <= LOOK_BYTES
    assert tail.new_lines() == []


def test_our_own_rotation_is_followed(tmp_path: Path) -> None:
    """The handler the worker uses."""
    path = tmp_path / "log"
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=300, backupCount=3)
    tail, read = LogTail(path), []
    for number in range(50):
        handler.emit(logging.LogRecord("x", 20, "", 0, f"line {number}", None, None))
        read += tail.new_lines()
    handler.close()
    assert read == [f"line {number}" for number in range(50)]
