"""`monitor_samples.ndjson`: how far the pass was at every look of the monitor, a line
each; both directions.

Appended without waiting for the disk, and bounded: at `MAX_BYTES` it becomes `.1`, of
which there is one. Counters are cumulative, so a lost line loses no file."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.json_value import Json

NAME = "monitor_samples.ndjson"
SCHEMA = 1
#: Two files of this size are about two months of looks once a minute.
MAX_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment: files settled and bytes uploaded in the pass so far, disk in percent,
    workers desired and running."""

    at: datetime
    pass_id: int
    settled: int
    bytes_uploaded: int
    disk: float | None
    desired: int | None
    running: int


def append(state_dir: Path, sample: Sample) -> None:
    """Adds a line. Raises OSError."""
    path = state_dir / NAME
    value = {
        "schema": SCHEMA,
        "at": sample.at.isoformat(),
        "pass": sample.pass_id,
        "settled": sample.settled,
        "bytes_uploaded": sample.bytes_uploaded,
        "disk": sample.disk,
        "desired": sample.desired,
        "running": sample.running,
    }
    with path.open("ab") as file:
        file.write(json.dumps(value).encode() + b"\n")
        full = file.tell() > MAX_BYTES
    if full:
        path.replace(path.with_name(f"{NAME}.1"))


def read(state_dir: Path, pass_id: int) -> list[Sample]:
    """The samples of a pass, oldest first; lines that are none are left out."""
    found = []
    for name in (f"{NAME}.1", NAME):
        try:
            lines = (state_dir / name).read_bytes().splitlines()
        except OSError:
            continue
        found += [
            sample
            for line in lines
            if (sample := parse(line)) is not None and sample.pass_id == pass_id
        ]
    return found


def parse(line: bytes) -> Sample | None:
    """A line as a sample; None for any other."""
    try:
        value: Json = json.loads(line)
        if not isinstance(value, dict) or value["schema"] != SCHEMA:
            return None
        at = datetime.fromisoformat(str(value["at"]))
        disk, desired = value["disk"], value["desired"]
        return (
            Sample(
                at,
                _whole(value["pass"]),
                _whole(value["settled"]),
                _whole(value["bytes_uploaded"]),
                None if disk is None else float(str(disk)),
                None if desired is None else _whole(desired),
                _whole(value["running"]),
            )
            if at.tzinfo is not None
            else None
        )
    except (ValueError, KeyError, RecursionError):
        return None


def _whole(value: Json) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")
    return value
