"""What the files of a worker say, for a question about it."""

from pathlib import Path

from auto_monitor.decide.question import Surroundings
from common.files.tail import last_bytes
from common.sanitize import sanitize_text
from migration.state_files import logs, progress

#: Bytes read from the log's end.
LOG_BYTES = 400_000


def surroundings(
    state_dir: Path, worker_id: int, script: Path, lines: int, saturated: float
) -> Surroundings:
    """Reads the last lines of the worker's log, its progress, and the script in place.

    What cannot be read is left out.
    """
    try:
        source = script.read_text("utf-8")
    except (OSError, ValueError):
        source = ""
    return Surroundings(
        lines=_last_lines(logs.log_path(state_dir, worker_id), lines),
        progress=progress.read(progress.progress_path(state_dir, worker_id)),
        script=source,
        script_name=script.name,
        saturated=saturated,
    )


def _last_lines(path: Path, count: int) -> list[str]:
    try:
        text = last_bytes(path, LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    parsed = (logs.parse(line) for line in text.splitlines())
    return [
        f"{line.level} {sanitize_text(line.message)}"
        for line in parsed
        if line is not None
    ][-count:]
