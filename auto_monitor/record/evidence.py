"""`auto_monitor/evidence/`: what an attempt was based on, one file each."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from auto_monitor.model import Assessment, WorkerSnapshot
from common.clock import utc_now
from common.files.json_files import write_json
from common.json_value import Json
from common.sanitize import sanitize_text

#: Files that are kept.
NEWEST = 500


def evidence_dir(state_dir: Path) -> Path:
    """Returns the directory of evidence files."""
    return state_dir / "auto_monitor" / "evidence"


def keep(
    state_dir: Path, assessment: Assessment, seen: WorkerSnapshot, stack: str
) -> str:
    """Writes what was known when the attempt began; returns the file's name.

    Raises StateUnwritable.
    """
    folder = evidence_dir(state_dir)
    name = f"{utc_now():%Y%m%dT%H%M%S}-worker{assessment.worker_id}-{uuid.uuid4().hex[:8]}.json"
    value: dict[str, Json] = {
        "worker_id": assessment.worker_id,
        "health": assessment.health.value,
        "reason": assessment.reason,
        "since": assessment.since.isoformat(),
        "phase": seen.phase.value if seen.phase else None,
        "in_hand": str(seen.in_flight),
        "repeated_range": seen.repeated_range,
        "exit_code": seen.exit_code,
        "last_error": seen.last_words or None,
        "stack": sanitize_text(stack, multiline=True),
    }
    write_json(folder / name, value)
    for old in sorted(folder.glob("*.json"))[:-NEWEST]:
        old.unlink(missing_ok=True)
    return name


def propose(state_dir: Path, worker_id: int, root_cause: str, code: str) -> str:
    """Keeps a change for a person, as text that is never run; returns the file's name.

    Raises StateUnwritable.
    """
    name = f"{utc_now():%Y%m%dT%H%M%S}-worker{worker_id}-{uuid.uuid4().hex[:8]}.json"
    value: dict[str, Json] = {
        "worker_id": worker_id,
        "root_cause": root_cause,
        "code": code,
    }
    write_json(state_dir / "auto_monitor" / "proposals" / name, value)
    return name


@dataclass(frozen=True, slots=True)
class EvidenceFolder:
    """Evidence and proposals of one state directory."""

    state_dir: Path

    def keep(self, assessment: Assessment, seen: WorkerSnapshot, stack: str) -> str:
        """Writes what was known when an attempt began; returns the file's name.

        Raises StateUnwritable.
        """
        return keep(self.state_dir, assessment, seen, stack)

    def propose(self, worker_id: int, root_cause: str, code: str) -> str:
        """Keeps a change for a person; returns the file's name.

        Raises StateUnwritable.
        """
        return propose(self.state_dir, worker_id, root_cause, code)
