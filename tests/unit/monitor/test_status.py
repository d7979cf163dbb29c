"""`monitor.py --status --json`: what programs of other people read."""

import json
from datetime import UTC, datetime

from auto_monitor.cli.status import (
    FileStatus,
    MonitorStatus,
    PassStatus,
    Status,
    WatchStatus,
    WorkerStatus,
    to_json,
)
from auto_monitor.record.json_files import converter
from common import codec
from migration.model import Counts

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STATUS = Status(
    schema=1,
    at=NOW,
    monitor=MonitorStatus(True, False, 77, 3.1, ""),
    desired_workers=1,
    target_workers=2,
    library="/lib",
    server="http://server",
    disk_utilization_percent=63.5,
    io_pressure_percent=None,
    workers=(
        WorkerStatus(
            1,
            status="migrating",
            lives=True,
            pid=78,
            rate_files_per_min=210.5,
            beat_age_seconds=0.5,
            progress_age_seconds=0.7,
            range=(1, 1000),
            current=("a/b.epub",),
            files=(FileStatus("a/b.epub", 5, 10, 1.5),),
            bytes_uploaded=500,
            settled=40,
            slow_uploads=1,
            last_error="ServerFault: oops",
            attempts=1,
            known_to_monitor=True,
            case="attempt 1, stuck on file 1/EPUB",
        ),
        WorkerStatus(
            2,
            paused=True,
            paused_by_hand=True,
            exit_code=-9,
            stuck_why="it opens ever more files",
        ),
    ),
    totals=PassStatus(
        7,
        NOW,
        None,
        Counts(10, 4, 0, 0, 1, 5),
        12,
        {"empty": 1},
        {"series": 2},
        {},
        500,
        50.0,
    ),
    rate_files_per_min=210.5,
    eta_seconds=120.0,
    watch=WatchStatus(NOW, 0.0, NOW, 900.0, "no change", "", "watching; looked"),
    llm="HTTP 503",
)
PRINTED = """
{"schema": 1, "at": "2026-11-24T12:00:00+00:00",
 "monitor": {"alive": true, "stale": false, "pid": 77, "heartbeat_age_seconds": 3.1, "ended": ""},
 "desired_workers": 1, "target_workers": 2, "library": "/lib", "server": "http://server",
 "disk_utilization_percent": 63.5, "io_pressure_percent": null,
 "workers": [
  {"worker_id": 1, "status": "migrating", "lives": true, "pid": 78, "rate_files_per_min": 210.5,
   "beat_age_seconds": 0.5, "progress_age_seconds": 0.7, "range": [1, 1000],
   "current": ["a/b.epub"],
   "files": [{"file": "a/b.epub", "bytes_sent": 5, "size": 10, "seconds": 1.5}],
   "bytes_uploaded": 500, "settled": 40, "slow_uploads": 1, "last_error": "ServerFault: oops",
   "attempts": 1, "paused": false, "paused_by_hand": false, "stuck": false,
   "known_to_monitor": true, "case": "attempt 1, stuck on file 1/EPUB", "exit_code": null,
   "stuck_why": ""},
  {"worker_id": 2, "status": "unknown", "lives": false, "pid": null, "rate_files_per_min": null,
   "beat_age_seconds": null, "progress_age_seconds": null, "range": null, "current": [],
   "files": [], "bytes_uploaded": 0, "settled": 0, "slow_uploads": 0, "last_error": null,
   "attempts": 0, "paused": true, "paused_by_hand": true, "stuck": false,
   "known_to_monitor": false, "case": null, "exit_code": -9,
   "stuck_why": "it opens ever more files"}],
 "totals": {"pass_id": 7, "opened_at": "2026-11-24T12:00:00+00:00", "closed_at": null,
  "counts": {"discovered": 10, "uploaded": 4, "duplicate": 0, "skipped": 0, "failed": 1,
             "pending": 5},
  "total": 12, "failed": {"empty": 1}, "not_carried": {"series": 2}, "noticed": {},
  "bytes_uploaded": 500, "books_claimed_percent": 50.0, "selection": null,
  "undoes": null, "deleted": {}, "stays": {}, "deletions": ""},
 "rate_files_per_min": 210.5, "eta_seconds": 120.0,
 "watch": {"looked_at": "2026-11-24T12:00:00+00:00", "looked_age_seconds": 0.0,
  "next_look_at": "2026-11-24T12:00:00+00:00", "every_seconds": 900.0, "found": "no change",
  "trouble": "", "text": "watching; looked"}, "llm": "HTTP 503"}
"""


def test_the_json_is_the_promised_one() -> None:
    """Every key, in its order."""
    assert json.dumps(to_json(STATUS)) == json.dumps(json.loads(PRINTED))


def test_the_json_is_the_whole_value() -> None:
    """Read again it is the same."""
    read = codec.read_as(Status, json.loads(json.dumps(to_json(STATUS))), converter)
    assert read == STATUS
