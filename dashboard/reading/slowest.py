"""The slowest uploads, from the existing logs of the workers.

The time is bounded.
"""

import heapq
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from migration.state_files import logs

#: How many uploads are listed; seconds after which the search returns what it has.
MOST, PATIENCE_SECONDS = 25, 30.0
_MARK = b" - INFO - Uploaded "


@dataclass(frozen=True, slots=True, order=True)
class Upload:
    """One upload: seconds taken, time of its end, bytes, file as logged."""

    seconds: float
    at: datetime
    size: int
    file: str
    worker_id: int


def slowest(
    state_dir: Path, since: datetime, patience: float = PATIENCE_SECONDS
) -> tuple[list[Upload], bool]:
    """Returns the slowest uploads since a time, and whether it read all logs."""
    found: list[Upload] = []
    deadline = time.monotonic() + patience
    for path, worker_id in logs.log_files(state_dir):
        for upload in _uploads(path, worker_id, since):
            if len(found) < MOST:
                heapq.heappush(found, upload)
            elif upload > found[0]:
                heapq.heapreplace(found, upload)
        if time.monotonic() > deadline:
            return sorted(found, reverse=True), False
    return sorted(found, reverse=True), True


def _uploads(path: Path, worker_id: int, since: datetime) -> list[Upload]:
    """Returns the uploads of one log that could be among the slowest.

    A log has at most 50 MB.
    """
    candidates: list[Upload] = []
    first = since.strftime("%Y-%m-%d %H:%M:%S").encode()
    try:
        with path.open("rb") as file:
            for line in file:
                if _MARK in line and line >= first:
                    parsed = logs.parse(line.decode("utf-8", "replace"))
                    match = logs.UPLOADED.fullmatch(parsed.message) if parsed else None
                    if parsed is not None and match is not None:
                        upload = Upload(
                            float(match[3]),
                            parsed.at,
                            int(match[2]),
                            match[1],
                            worker_id,
                        )
                        candidates.append(upload)
                        if len(candidates) > 20 * MOST:
                            candidates = heapq.nlargest(MOST, candidates)
    except OSError:
        return []
    return candidates
