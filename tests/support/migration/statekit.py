"""A state directory as a migration leaves it, made through the modules that own its
files."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auto_monitor.model import (
    Case,
    CodeChanges,
    HistoryEntry,
    InFlight,
    MonitorState,
    WorkerRecord,
)
from auto_monitor.processes import identity_of
from auto_monitor.record import samples
from auto_monitor.record.history import HistoryFile, history_path, to_json
from auto_monitor.record.samples import Sample
from auto_monitor.record.state_file import MonitorStateFile, state_path
from common.files.json_files import write_json
from migration.ledger.database import LedgerDatabase
from migration.model import BookId, Counts, Current, FileId, LastError, Phase, Progress
from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME

HOSTILE = (
    "<script>alert(1)</script>",
    "كتاب الرياضيات والحكمة في علم الفلك",
    "W" * 250,
)
DIFF = """@@ -120,7 +120,9 @@
     def send_with_retries(self, work):
-        while True:
-            answer = self.client.send(work)
+        for attempt in range(TRIES):
+            answer = self.client.send(work)
+            if answer.settled: return answer  # <b>not bold</b>
         raise KeptFailing(work)
"""


class State:
    """A state directory under construction."""

    def __init__(self, folder: Path, *, total: int = 100_000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.total = total
        self.now = datetime.now(tz=UTC)
        self.opened = self.now - timedelta(hours=2)
        LedgerDatabase(folder / LEDGER_NAME).close()
        self.sql(
            "INSERT INTO passes (id, opened_at, highest_id, claimed_to, listed) "
            "VALUES (1, ?, ?, 0, ?)",
            (self.opened.isoformat(), total, total),
        )

    def sql(self, statement: str, parameters: Sequence[object] = ()) -> None:
        """One statement on the ledger."""
        with closing(sqlite3.connect(self.folder / LEDGER_NAME)) as db, db:
            db.execute(statement, tuple(parameters))

    def counts(self, counts: Counts, bytes_uploaded: int = 0) -> None:
        """The counters of the pass."""
        self.sql(
            "UPDATE passes SET discovered = ?, uploaded = ?, duplicate = ?, skipped "
            "= ?, failed = ?, pending = ?,"
            " bytes_uploaded = ?",
            (
                counts.discovered,
                counts.uploaded,
                counts.duplicate,
                counts.skipped,
                counts.failed,
                counts.pending,
                bytes_uploaded,
            ),
        )

    def failed(self, number: int) -> None:
        """So many failed files, of books 1 and on."""
        with closing(sqlite3.connect(self.folder / LEDGER_NAME)) as db, db:
            db.executemany(
                "INSERT INTO files (book_id, format, size, mtime_ns, outcome, "
                "pass_id, reason, message)"
                " VALUES (?, 'EPUB', ?, 1, 'failed', 1, ?, ?)",
                (
                    (
                        book,
                        book * 1000,
                        "too big" if book % 2 else "empty",
                        f"'{HOSTILE[book % 3]}/file.epub' is bad",
                    )
                    for book in range(1, number + 1)
                ),
            )

    def worker(
        self,
        number: int,
        *,
        phase: Phase = Phase.MIGRATING,
        name: str = "",
        **more: object,
    ) -> None:
        """Worker N, who has written its progress just now."""
        now = datetime.now(tz=UTC)
        file = (
            name
            or f"Ada Okonjo/Signals from the Ninth Moon ({number})/Signals from the Ninth Moon.epub"
        )
        current = tuple(
            Current(
                f"{file}{i or ''}",
                1_200_000 * (i + 1),
                4_800_000,
                now,
                FileId(BookId(number), "EPUB"),
            )
            for i in range(2)
        )
        value = Progress(
            number,
            os.getpid() + number,
            self.opened,
            phase,
            self.opened,
            now,
            str(self.folder / "library"),
            "http://127.0.0.1:1",
            run_id=1,
            last_progress_at=now,
            counts=Counts(900, 800, 50, 0, 20, 30),
            rate_files_per_min=210.5 + number,
            range=(1, 1000),
            current=current,
            last_error=LastError("ServerFault", "500 <b>oops</b>", now),
        )
        progress.write(
            progress.progress_path(self.folder, number),
            replace(value, **more),  # type: ignore[arg-type]
        )

    def monitor(self, workers: int, **more: object) -> None:
        """The monitor's state, as of now, with so many workers."""
        records = {
            n: WorkerRecord(n, identity=identity_of(os.getpid()))
            for n in range(1, workers + 1)
        }
        state = MonitorState(
            workers,
            workers,
            datetime.now(tz=UTC),
            disk_utilization=63.5,
            workers=records,
        )
        # A test's own fields.
        MonitorStateFile(state_path(self.folder)).write(replace(state, **more))  # type: ignore[arg-type]

    def samples(self, minutes: int) -> None:
        """A sample for each of the last minutes."""
        for minute in range(minutes):
            at = self.now - timedelta(minutes=minutes - minute)
            files = minute * 800 + (minute % 7) * 90
            disk = 55 + 40 * ((minute // 9) % 2) - (minute % 5) * 3.0
            running = 8 if (minute // 9) % 2 == 0 else 7
            samples.append(
                self.folder, Sample(at, 1, files, files * 1_700_000, disk, 8, running)
            )

    def entries(self, number: int) -> None:
        """So many attempts, the last ones now."""
        history = HistoryFile(history_path(self.folder))
        history.begin(self.now)
        made = [
            entry(i, self.now - timedelta(minutes=number - i)) for i in range(number)
        ]
        write_json(history.path, [to_json(item) for item in made])


def entry(number: int, at: datetime) -> HistoryEntry:
    """An attempt; every third one changed the code."""
    code = number % 3 == 2
    return HistoryEntry(
        timestamp=at.isoformat(),
        worker_id=number % 8 + 1,
        attempt=number % 3 + 1,
        trigger="stuck",
        minutes_stuck=5.2,
        status_before="migrating",
        fix_type="code_fix" if code else "restart",
        root_cause="send_with_retries never gives up when the answer is lost"
        if code
        else f"stuck: no progress; in hand: file {number}:EPUB {HOSTILE[number % 3]}",
        description="bound the loop",
        code_changes=CodeChanges(DIFF[:40], DIFF) if code else None,
        applied=True,
        validation="passed guard and gate: 36 books, 66 files" if code else None,
        verified=(True, True, False, None)[number % 4],
        reason="file is settled" if number % 4 != 3 else "",
        llm_used=code,
        model="gpt-4o-mini" if code else None,
        tokens=4210 if code else None,
        confidence=0.86 if code else None,
        occurrences=2,
        recurring=number % 5 == 0,
        case=Case(at, InFlight()) if number % 4 == 3 else None,
    )


def under_way(folder: Path) -> State:
    """A migration of 1,000 files under way: three workers, four failures, five
    attempts."""
    made = State(folder, total=1000)
    made.counts(Counts(600, 500, 40, 6, 4, 50), 5_000_000)
    made.failed(4)
    made.entries(5)
    made.monitor(3)
    for number in (1, 2, 3):
        made.worker(number)
    return made
