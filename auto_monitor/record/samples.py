"""`monitor_samples.ndjson`: the state of the pass at every check, one line each.

The format is here in both directions. Lines are appended without waiting for the disk,
and the size is bounded: at `MAX_BYTES` the file becomes `.1`, of which there is one.
Counters are cumulative, so a lost line loses no file.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common import codec
from common.json_value import Json

NAME = "monitor_samples.ndjson"
SCHEMA = 1
#: Two files of this size hold about two months of checks once a minute.
MAX_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of a pass.

    Files settled and bytes uploaded so far, disk in percent, workers desired and
    running.
    """

    at: datetime
    pass_id: int
    settled: int
    bytes_uploaded: int
    disk: float | None
    desired: int | None
    running: int


converter = codec.converter()
codec.rename(converter, Sample, {"pass_id": "pass"})


def append(state_dir: Path, sample: Sample) -> None:
    """Appends a line. Raises OSError."""
    path = state_dir / NAME
    value = {"schema": SCHEMA, **converter.unstructure(sample)}
    with path.open("ab") as file:
        file.write(json.dumps(value).encode() + b"\n")
        full = file.tell() > MAX_BYTES
    if full:
        path.replace(path.with_name(f"{NAME}.1"))


def read(state_dir: Path, pass_id: int) -> list[Sample]:
    """Returns the samples of a pass, oldest first; malformed lines are left out."""
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
    """Parses a line; None when it is malformed."""
    try:
        value: Json = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return None
    return codec.read_as(Sample, value, converter)
