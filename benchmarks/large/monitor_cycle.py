"""What one look of the monitor costs: CPU of a look at 8 workers with 1 GB of logs, and
of the lines they add.

python -m benchmarks.large.monitor_cycle
"""

import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auto_monitor.decide.detection import DetectionPolicy, assess
from auto_monitor.model import Identity, MonitorState, WorkerRecord
from auto_monitor.observe.workers import WorkerObserver
from auto_monitor.record.state_file import MonitorStateFile
from migration.model import BookId, Counts, Current, FileId, Phase, Progress
from migration.state_files import logs, progress
from tests.support.migration.fakes import LivingWorkers

WORKERS, LOG_BYTES, LOOKS, GOAL = 8, 125_000_000, 60, 0.050
#: Lines each worker adds between two looks: about 500 files a minute.
NEW_LINES = 500
START = datetime(2026, 11, 24, tzinfo=UTC)
POLICY = DetectionPolicy(timedelta(minutes=5), timedelta(minutes=20))
LINE = f"2026-11-24 00:00:00,000 - INFO - {logs.uploaded(chr(39) + 'x' * 60, 1_000_000, 1.5)}\n"


def main() -> int:
    """Prints the table; 1 when the goal is missed."""
    folder = Path(tempfile.mkdtemp(prefix="monitor_cycle-"))
    try:
        return measure(folder)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path) -> int:
    """Writes logs of 1 GB, then looks at the workers as the monitor does."""
    records = {
        n: WorkerRecord(n, identity=Identity(1000 + n, START))
        for n in range(1, WORKERS + 1)
    }
    for number in records:
        with logs.log_path(folder, number).open("w") as log:
            block = LINE * 1000
            for _ in range(LOG_BYTES // len(block)):
                log.write(block)
        write_progress(folder, number, 0)
    observer = WorkerObserver(folder, LivingWorkers(folder))
    state_file = MonitorStateFile(folder / "monitor_state.json")
    spent = []
    for look in range(LOOKS):
        now = START + timedelta(minutes=look)
        for number in records:
            write_progress(folder, number, look)
            with logs.log_path(folder, number).open("a") as log:
                log.write(LINE * NEW_LINES)
        began = time.process_time()
        for record in records.values():
            assess(observer.look(record, now), now, POLICY)
        state_file.write(MonitorState(WORKERS, WORKERS, now, workers=records))
        spent.append(time.process_time() - began)
    typical, worst = sorted(spent)[len(spent) // 2], max(spent)
    print(
        f"{WORKERS} workers, {WORKERS * LOG_BYTES / 1e9:.1f} GB of logs, {NEW_LINES} "
        "new lines each:"
    )
    print(
        f"CPU of one look: median {typical * 1000:.1f} ms, worst {worst * 1000:.1f} "
        f"ms (goal {GOAL * 1000:.0f} ms)"
    )
    return int(worst > GOAL)


def write_progress(folder: Path, number: int, look: int) -> None:
    """Worker N's progress at one look."""
    now = START + timedelta(minutes=look)
    file = Current("a/b/c.epub", look, 10**6, now, FileId(BookId(look), "EPUB"))
    value = Progress(
        number,
        1000 + number,
        START,
        Phase.MIGRATING,
        START,
        now,
        "lib",
        "http://s",
        last_progress_at=now,
    )
    value = replace(
        value, counts=Counts(look, look), current=(file,) * 3, range=(1, 1000), run_id=1
    )
    progress.write(progress.progress_path(folder, number), value)


if __name__ == "__main__":
    sys.exit(main())
