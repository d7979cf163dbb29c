"""`migration_worker{N}.log`: how it is written and how its lines are parsed.

A line is `YYYY-MM-DD HH:MM:SS,mmm - LEVEL - message`, in UTC. With LOG_FORMAT=json the
same is also written to `migration_worker{N}.ndjson`, one JSON object per line, for
programs. The messages that people and the monitor look for are made here, beside the
patterns that find them.
"""

import contextlib
import json
import logging
import logging.handlers
import re
import shutil
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.files.system_errors import reason_of
from common.json_value import Json
from common.resources import raise_if_exhausted
from common.sanitize import for_log, sanitize_text
from migration.errors import StateUnwritable
from migration.model import Counts

#: A log is rotated at this size in bytes; this many old ones are kept.
MAX_BYTES, BACKUPS = 50_000_000, 5
#: The longest message that is written in full, in characters.
LONGEST = 4_000
#: The attribute of a record whose blanks mean something: a line of code.
AS_IT_IS = "as_it_is"
#: The beginning of an unforeseen error in the log, and how many of its frames are
#: named.
INTERNAL_ERROR, CRASH_FRAMES = "Internal error:", 12
#: The version of the NDJSON lines; new fields do not change it.
JSON_SCHEMA = 1
#: At most this many files of a list are named.
NAMED = 20
#: Shorter values are too likely to be part of an innocent word.
SHORTEST_SECRET = 4

_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) - ([A-Z]+) - (.*)")
_NAME = re.compile(r"migration_worker(\d{1,9})\.log(?:\.\d+)?")
_secrets: set[str] = set()
_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a worker's log."""

    at: datetime
    level: str
    message: str


def log_path(state_dir: Path, worker_id: int) -> Path:
    """Returns the path of worker N's log."""
    return state_dir / f"migration_worker{worker_id}.log"


def log_files(state_dir: Path) -> list[tuple[Path, int]]:
    """Returns every existing log with its worker's number, rotated ones included."""
    found = [
        (path, _NAME.fullmatch(path.name))
        for path in sorted(state_dir.glob("migration_worker*.log*"))
    ]
    return [(path, int(match[1])) for path, match in found if match is not None]


def mask(secret: str) -> None:
    """Masks this value in every log from now on."""
    if len(secret) >= SHORTEST_SECRET:
        _secrets.add(secret)


def configure(
    state_dir: Path, worker_id: int, *, console: bool, as_json: bool = False
) -> logging.Logger:
    """Returns the worker's logger. Raises StateUnwritable.

    It writes to the worker's file, rotated by size, to the terminal when `console`, and
    with `as_json` also as NDJSON to a file of its own.
    """
    log = logging.getLogger("migration")
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    path = log_path(state_dir, worker_id)
    try:
        handlers: list[logging.Handler] = [_QuietHandler(path)]
        if as_json:
            handlers.append(
                json_handler(path, {"source": "worker", "worker_id": worker_id})
            )
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        if handler.formatter is None:
            handler.setFormatter(Formatter())
        log.addHandler(handler)
    return log


def internal_error(error: BaseException) -> str:
    """Describes an unforeseen error with its frames, innermost first.

    `Internal error: … | File "…", line 1 in name`.
    """
    frames = traceback.extract_tb(error.__traceback__)
    every = (
        f'File "{Path(frame.filename).name}", line {frame.lineno} in {frame.name}'
        for frame in reversed(frames)
    )
    # A recursion repeats the same frames a thousand times: each is kept once, so the
    # way there is still visible.
    places = list(dict.fromkeys(every))[:CRASH_FRAMES]
    return " | ".join(
        [
            f"{INTERNAL_ERROR} {type(error).__name__}: {for_log(str(error), 500)}",
            *places,
        ]
    )


def places_of(error: BaseException) -> tuple[str, ...]:
    """Returns the frames of an unforeseen error, our own first, innermost first.

    Libraries come after: what they were asked to do is what can be mended.
    """
    frames = traceback.extract_tb(error.__traceback__)
    named = [(_ours(frame.filename), frame) for frame in reversed(frames)]
    every = [
        f'File "{name or _of_library(frame.filename)}", line {frame.lineno} in {frame.name}'
        for ours in (True, False)
        for name, frame in named
        if bool(name) is ours
    ]
    return tuple(dict.fromkeys(every))[:CRASH_FRAMES]


def _ours(path: str) -> str:
    """Returns the name of a file of this program; "" for any other's."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if main is not None and Path(path) == Path(main):
        return Path(path).name
    inside = Path(path).is_relative_to(_PROJECT) and "site-packages" not in path
    return str(Path(path).relative_to(_PROJECT)) if inside else ""


def _of_library(path: str) -> str:
    return (
        path.rpartition("site-packages/")[2]
        if "site-packages/" in path
        else Path(path).name
    )


def json_handler(log: Path, source: Mapping[str, Json]) -> logging.Handler:
    """Returns a handler that writes NDJSON beside a log. Raises OSError.

    `source` is added to every line and says which program wrote it.
    """
    handler = _QuietHandler(log.with_suffix(".ndjson"))
    handler.setFormatter(JsonFormatter(source))
    return handler


class Formatter(logging.Formatter):
    """One clean line per event, in UTC, with secrets masked.

    A traceback is put on the same line.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s - %(levelname)s - %(message)s")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return (
            f"{self.formatTime(record)} - {record.levelname} - {self.message(record)}"
        )

    def message(self, record: logging.LogRecord) -> str:
        """Returns the message, cleaned and without secrets."""
        message = record.getMessage()
        if record.exc_info:
            message += " | " + self.formatException(record.exc_info).replace(
                "\n", " | "
            )
        for secret in _secrets:
            message = message.replace(secret, "***")
        if getattr(record, AS_IT_IS, False):
            return sanitize_text(message, multiline=True).replace("\n", " ")[:LONGEST]
        return for_log(message, LONGEST)


class JsonFormatter(Formatter):
    """One JSON object per event.

    `schema`, `at` (ISO 8601 UTC), `level`, `message`, and the values in the message.
    """

    def __init__(self, source: Mapping[str, Json]) -> None:
        super().__init__()
        self._source = source

    def format(self, record: logging.LogRecord) -> str:
        message = self.message(record)
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(
            timespec="milliseconds"
        )
        value = {
            "schema": JSON_SCHEMA,
            "at": at,
            "level": record.levelname,
            **self._source,
            "message": message,
        }
        return json.dumps(value | event(message), ensure_ascii=False)


class _QuietHandler(logging.handlers.RotatingFileHandler):
    """A handler that reports the first failure to write on stderr, and no more.

    A full disk must not end a migration because of its log.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            maxBytes=MAX_BYTES,
            backupCount=BACKUPS,
            encoding="utf-8",
            errors="replace",
        )

    def doRollover(self) -> None:
        """Begins the log anew when it is full; a confined worker cannot rename files.

        It keeps one earlier log, in a file that was made for it.
        """
        try:
            super().doRollover()
        except PermissionError:
            with contextlib.suppress(OSError):
                shutil.copyfile(self.baseFilename, f"{self.baseFilename}.1")
            self.stream = self._open()
            self.stream.truncate(0)

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging's signature
        """Called by logging when a line could not be written."""
        if not self._told:
            self._told = True
            sys.stderr.write(
                f"cannot write the log {self.baseFilename}: {sys.exception()}\n"
            )


def parse(line: str) -> LogLine | None:
    """Parses a line of the log; None when it is not one (a torn line after a crash)."""
    match = _LINE.fullmatch(line.rstrip("\n"))
    if match is None:
        return None
    try:
        at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(
            microsecond=int(match[2]) * 1000, tzinfo=UTC
        )
    except ValueError:
        return None
    return LogLine(at, match[3], match[4])


# -- messages and the patterns that find them ------------------------------------------

STARTS = re.compile(r"Worker (\d+) starts \(pid (\d+)\): ")
QUERYING = re.compile(r"Querying Calibre database: books (\d+)-(\d+)")
FOUND = re.compile(r"Found (\d+) new files so far")
PROCESSED_BATCH = re.compile(
    r"Processed batch: books (\d+)-(\d+), (\d+) files, (\d+) duplicate at once"
)
UPLOADED = re.compile(r"Uploaded (.*) \((\d+) bytes, ([\d.]+) s\)")
AVERAGE_RATE = re.compile(r"Average upload rate: ([\d.]+) files/min")
HASH_REFRESH = re.compile(r"Hash refresh: (\d+) new hashes")
API_CONNECTIVITY = re.compile(r"API connectivity: (OK|FAILED)")


#: The messages that are events for programs, with the names of their values.
_EVENTS = (
    ("range_read", QUERYING, ("first", "last")),
    ("files_found", FOUND, ("files",)),
    ("range_entered", PROCESSED_BATCH, ("first", "last", "files", "duplicate")),
    ("uploaded", UPLOADED, ("file", "bytes", "seconds")),
    ("duplicate", re.compile(r"Duplicate (.*)"), ("file",)),
    (
        "failed",
        re.compile(r"Failed (.*?): ([^:]+): (.*)"),
        ("file", "reason", "detail"),
    ),
    (
        "slow_upload",
        re.compile(r"Slow upload: (.*), (\d+) bytes, (\d+) s, most of it in (\w+)"),
        ("file", "bytes", "seconds", "stage"),
    ),
    ("updated", re.compile(r"Updated book (.*): ([^:]*)"), ("book", "fields")),
    ("average_rate", AVERAGE_RATE, ("files_per_min",)),
    ("hash_refresh", HASH_REFRESH, ("new",)),
    ("api_connectivity", API_CONNECTIVITY, ("result",)),
)
_TEXTS = frozenset({"file", "reason", "detail", "stage", "result", "book", "fields"})


def event(message: str) -> dict[str, Json]:
    """Returns `event` and the values of a message, numbers as numbers.

    Returns {} for a message that is for people only.
    """
    for name, pattern, names in _EVENTS:
        if match := pattern.match(message):
            said = zip(names, match.groups(), strict=True)
            fields: dict[str, Json] = {
                key: text if key in _TEXTS else _number(text) for key, text in said
            }
            return {"event": name, **fields}
    return {}


def _number(text: str) -> Json:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def starts(worker_id: int, pid: int, library: Path, server: str) -> str:
    """This process begins to write the log."""
    return f"Worker {worker_id} starts (pid {pid}): {library} -> {server}"


def querying(first: int, last: int) -> str:
    """A range of book ids is read from the library."""
    return f"Querying Calibre database: books {first}-{last}"


def found(files: int) -> str:
    """How many files with work to do this process has found."""
    return f"Found {files} new files so far"


def processed_batch(first: int, last: int, files: int, settled: Counts) -> str:
    """A range was registered in the ledger."""
    return (
        f"Processed batch: books {first}-{last}, {files} files, {settled.duplicate} "
        "duplicate at once, "
        f"{settled.skipped} skipped, {settled.failed} failed, {settled.pending} to do"
    )


def uploaded(file: str, size: int, seconds: float) -> str:
    """A file arrived, with the server's receipt."""
    return f"Uploaded {file} ({size} bytes, {seconds:.1f} s)"


def updated(book: str, fields: Sequence[str]) -> str:
    """What Calibre has changed of a book was sent."""
    return f"Updated book {book}: {', '.join(fields)}"


def no_longer_listed(files: Sequence[str]) -> str:
    """Failed or pending files were removed in Calibre.

    They have left the ledger and its counts.
    """
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    named = ", ".join(files[:NAMED])
    return f"No longer listed by Calibre, so no longer counted: {named}{more}"


def duplicate(file: str) -> str:
    """The server has these bytes."""
    return f"Duplicate {file}"


def failed(file: str, reason: str, message: str) -> str:
    """A file will not arrive."""
    return f"Failed {file}: {reason}: {message}"


def average_rate(files_per_min: float) -> str:
    """Logged after every 100 uploads."""
    return f"Average upload rate: {files_per_min:.1f} files/min"


def slow_upload(file: str, size: int, seconds: float, stage: str) -> str:
    """An upload took over two minutes, most of it in `stage`."""
    return f"Slow upload: {file}, {size} bytes, {seconds:.0f} s, most of it in {stage}"


def hash_refresh(new: int) -> str:
    """The hashes the server has were refreshed."""
    return f"Hash refresh: {new} new hashes"


def api_connectivity(server: str, error: str) -> str:
    """Whether the server answered at start."""
    return (
        f"API connectivity: FAILED ({server}: {error})"
        if error
        else f"API connectivity: OK ({server})"
    )
