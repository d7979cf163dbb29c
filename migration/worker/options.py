"""The worker's command line: every option with help, default, unit and environment variable.

Order: option, environment, `auto_monitor/.env`, `.env`. The password never comes from an argument.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import argcomplete
from dotenv import dotenv_values

from common.exit_status import ExitCode
from common.state_dir import HELP_BEGUN, Place
from migration.errors import Fatal, MigrationError, Misconfigured
from migration.state_dirs import resolve
from migration.worker.priority import parse_ionice
from migration.worker.rate_limit import parse_bandwidth, parse_duration

EPILOG = """\
examples:
  python bulk_migrate_calibre.py ~/Calibre --server http://127.0.0.1:6006 --username admin
      migrate everything; MBS2_PASSWORD is in the environment or in .env
  python bulk_migrate_calibre.py ~/Calibre --dry-run
      what would be sent, what the server would refuse, how long it may take
  python bulk_migrate_calibre.py ~/Calibre --limit 10 --formats epub,pdf
      try it with ten files
  python bulk_migrate_calibre.py ~/Calibre --retry-failed
      try again what failed
  python bulk_migrate_calibre.py ~/Calibre --cluster tcp://scheduler:8786
      let the machines of a Dask cluster read, hash and send the files
  python bulk_migrate_calibre.py ~/Calibre --verify
      prove by hash that the server has every file

exit status:
  0 all accounted for, none failed    1 all accounted for, some failed
  2 wrong usage or configuration      3 server unreachable or login refused
  4 library unreadable                5 state directory not writable
  6 ended with files pending          7 this worker id is already running
  8 closed, but something stands on the server that should not
  9 ledger damaged, set aside at the next start
  70 internal error                   130, 143 stopped by a signal after saving
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What one worker was asked to do. `limit` 0 means no limit, `formats` empty means all (upper case).

    `max_duration` is seconds, `bwlimit` bytes a second; 0 means no limit for each of these.
    """

    library: Path
    server: str
    ws_url: str
    username: str
    password: str
    db_uri: str
    worker_id: int
    parallel_uploads: int
    batch_size: int
    limit: int
    formats: frozenset[str]
    state_dir: Path
    default_language: str
    dry_run: bool
    rate: float
    retry_failed: bool
    verify: bool
    recheck: bool
    json: bool
    export_map: Path | None
    join_only: bool
    open_pass: bool
    max_duration: float
    bwlimit: float
    max_files_per_min: float
    nice: int
    ionice: tuple[str, int] | None
    cluster: str
    cluster_library: Path | None
    ship_files: bool
    log_json: bool = False
    adopt_library: bool = False

    def __repr__(self) -> str:
        """Without the password and the database URI, which may hold one."""
        return f"Options(library={str(self.library)!r}, server={self.server!r}, worker_id={self.worker_id})"


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def build_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser, with the defaults that this environment gives."""
    parser = argparse.ArgumentParser(
        prog="bulk_migrate_calibre.py",
        description="Moves every file of a Calibre library to a MyBookshelf2 server, once. The library is only read.",
        epilog=EPILOG,
        formatter_class=_Help,
        allow_abbrev=False,
    )

    def option(flag: str, variable: str, default: str, text: str, **more: Any) -> None:
        shown = f"default: {default}" if default else "no default"
        parser.add_argument(
            flag,
            default=environment.get(variable) or default,
            help=f"{text} [{shown}; environment: {variable}]",
            **more,
        )

    parser.add_argument(
        "library",
        nargs="?",
        default=environment.get("CALIBRE_LIBRARY") or None,
        metavar="LIBRARY",
        help="the Calibre library: the folder with metadata.db [no default; environment: CALIBRE_LIBRARY]",
    )
    option("--server", "MBS2_SERVER", "http://127.0.0.1:6006", "URL of the server", metavar="URL")
    option("--ws-url", "MBS2_WS_URL", "", "URL of its task engine; without it /ws on the same port, then port 8080",
           metavar="URL")  # fmt: skip
    option("--username", "MBS2_USERNAME", "admin", "user to log in as; the password is MBS2_PASSWORD", metavar="U")
    option("--worker-id", "WORKER_ID", "1", "number of this worker, 1 or more", type=_positive, metavar="N")
    option("--parallel-uploads", "PARALLEL_UPLOADS", "3", "files sent at the same time, 1-10", type=_up_to(10),
           metavar="N")  # fmt: skip
    option("--batch-size", "BATCH_SIZE", "1000", "books claimed at a time, 1-10000", type=_up_to(10000), metavar="N")
    option("--limit", "MIGRATE_LIMIT", "0", "stop after this many files, 0 for no limit", type=_natural, metavar="N")
    option("--formats", "MIGRATE_FORMATS", "", "only these formats, such as epub,pdf; all without it", metavar="A,B")
    parser.add_argument("--state-dir", metavar="DIR", default=environment.get("STATE_DIR") or None, help=HELP_BEGUN)
    option("--default-language", "DEFAULT_LANGUAGE", "en",
           "language code for books without a language the server has", metavar="CODE")  # fmt: skip
    option("--rate", "MIGRATE_RATE", "0", "files per minute for the estimate of --dry-run, 0 for the measured rate",
           type=_number, metavar="R")  # fmt: skip
    for flag, variable, default, text, parse, name in _LIMITS:
        option(flag, variable, default, text, type=parse, metavar=name)
    _add_cluster(parser, option, environment)
    option("--log-format", "LOG_FORMAT", "text", "text, or json: the log also as NDJSON, in a file beside it",
           type=_log_format, metavar="F")  # fmt: skip
    _add_modes(parser)
    return parser


def _add_cluster(parser: argparse.ArgumentParser, option: Callable[..., None], environment: Mapping[str, str]) -> None:
    option("--cluster", "MIGRATE_CLUSTER", "",
           "let a Dask cluster do the heavy work: tcp://HOST:PORT or tls://HOST:PORT of its scheduler, or local:N for "
           "N processes here; see docs/cluster.md", type=_cluster, metavar="ADDRESS")  # fmt: skip
    option(
        "--cluster-library",
        "MIGRATE_CLUSTER_LIBRARY",
        "",
        "where the machines of the cluster have the library mounted, when not where this one has it",
        metavar="DIR",
    )
    parser.add_argument(
        "--ship-files",
        action="store_true",
        default=environment.get("MIGRATE_SHIP_FILES") == "1",
        help="with --cluster: send the files to machines that have no mount of the library "
        "[environment: MIGRATE_SHIP_FILES=1]",
    )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="print the plan; send nothing, write nothing but the log")
    mode.add_argument("--retry-failed", action="store_true", help="put failed files back to pending, then migrate")
    mode.add_argument(
        "--verify",
        action="store_true",
        help="compare every file with the server by hash, a line each: = there, - missing, ! unreadable, "
        "x refused by the server, ? not known; interrupted, the same command goes on where it stopped",
    )
    mode.add_argument(
        "--recheck", action="store_true", help="as --verify, and put what the server no longer has back to pending"
    )
    mode.add_argument(
        "--open-pass",
        action="store_true",
        help="check library, server and state directory, open a pass unless one is open, and end; then --join-only",
    )
    mode.add_argument(
        "--export-map",
        metavar="FILE",
        help="write a CSV of Calibre id, format, sha1, ebook id and source id [no default; environment: none]",
    )
    parser.add_argument(
        "--adopt-library",
        action="store_true",
        help="go on with this ledger although Calibre has restored the library, which gives it a new id; only when its "
        "books are the same [environment: none]",
    )
    parser.add_argument("--json", action="store_true", help="with --verify or --recheck: one JSON object per line")
    parser.add_argument(
        "--join-only",
        action="store_true",
        help="join the open pass, never open one; for workers that others start [environment: none]",
    )


def read_options(argv: Sequence[str], project: Path) -> Options:
    """The options from the command line and the environment. Exits with 2 and a sentence on wrong usage."""
    environment = environment_with_files(project)
    parser = build_parser(environment)
    argcomplete.autocomplete(parser)
    given = parser.parse_args(argv)
    if given.library is None:
        parser.error("no library given: name the folder with metadata.db, or set CALIBRE_LIBRARY")
    state_dir, server = _where(given, argv, environment, project)
    return Options(
        library=Path(given.library).expanduser(),
        server=server.rstrip("/"),
        ws_url=given.ws_url,
        username=given.username,
        password=environment.get("MBS2_PASSWORD", ""),
        db_uri=environment.get("MBS2_DB_URI", ""),
        worker_id=given.worker_id,
        parallel_uploads=given.parallel_uploads,
        batch_size=given.batch_size,
        limit=given.limit,
        formats=_formats(given.formats),
        state_dir=state_dir,
        default_language=given.default_language,
        dry_run=given.dry_run,
        rate=given.rate,
        retry_failed=given.retry_failed,
        verify=given.verify or given.recheck,
        recheck=given.recheck,
        json=given.json,
        export_map=Path(given.export_map).expanduser() if given.export_map else None,
        join_only=given.join_only,
        open_pass=given.open_pass,
        max_duration=given.max_duration,
        bwlimit=given.bwlimit,
        max_files_per_min=given.max_files_per_min,
        nice=given.nice,
        ionice=given.ionice,
        cluster=given.cluster,
        cluster_library=Path(given.cluster_library) if given.cluster_library else None,
        ship_files=given.ship_files,
        log_json=given.log_format == "json",
        adopt_library=given.adopt_library,
    )


def _where(
    given: argparse.Namespace, argv: Sequence[str], environment: Mapping[str, str], project: Path
) -> tuple[Path, str]:
    """The state directory, and the server as its ledger spells it. Exits with a sentence when it cannot be told."""
    if given.state_dir:
        return Path(given.state_dir).expanduser(), given.server
    library = Path(given.library)
    try:
        place = _there(given, library, argv, environment, project)
        if place is None:
            chosen = resolve.for_migration(library, given.server, environment, project)
            sys.stderr.write(f"{chosen.note or f'The state is in {chosen.state_dir}'}\n")
            place = chosen.place or Place(chosen.state_dir)
    except MigrationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(int(error.exit_code if isinstance(error, Fatal) else ExitCode.LIBRARY)) from None
    return place.state_dir, place.server_url or given.server


def _there(
    given: argparse.Namespace, library: Path, argv: Sequence[str], environment: Mapping[str, str], project: Path
) -> Place | None:
    """For what is about a migration that was begun: that one, whatever its server unless one is named."""
    if not (given.verify or given.recheck or given.retry_failed or given.dry_run or given.export_map):
        return None
    named = environment.get("MBS2_SERVER") or any(text.partition("=")[0] == "--server" for text in argv)
    command = shlex.join([".venv/bin/python", "bulk_migrate_calibre.py", *argv])
    return resolve.for_library(library, given.server if named else None, environment, project, command)


def environment_with_files(project: Path) -> dict[str, str]:
    """The environment, then `auto_monitor/.env`, then `.env`: the first that names a variable wins."""
    merged: dict[str, str] = {}
    for name in (".env", "auto_monitor/.env"):
        merged |= {key: value for key, value in dotenv_values(project / name).items() if value is not None}
    return merged | dict(os.environ)


def password_of(options: Options) -> str:
    """The password. Raises Misconfigured when none was given."""
    if not options.password:
        raise Misconfigured(f"no password for {options.username!r}: set MBS2_PASSWORD in the environment or in .env")
    return options.password


def _formats(text: str) -> frozenset[str]:
    return frozenset(part.strip().lstrip(".").upper() for part in text.split(",") if part.strip())


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither text nor json")
    return text


def _natural(text: str) -> int:
    value = int(text) if text.strip().isdecimal() else -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return value


def _positive(text: str) -> int:
    value = int(text) if text.strip().isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


def _up_to(highest: int) -> Any:
    def parse(text: str) -> int:
        value = _positive(text)
        if value > highest:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {highest}")
        return value

    return parse


def _cluster(text: str) -> str:
    if not re.fullmatch(r"(local:[1-9]\d{0,2}|(tcp|tls)://\S+:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither tcp://HOST:PORT, tls://HOST:PORT nor local:N")
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def _told(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The parser of a value, with its sentence shown to the user."""

    def told(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return told


def _nice(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,2}", text.strip()) or not -20 <= int(text) <= 19:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from -20 to 19")
    return int(text)


#: Option, environment variable, default, help, parser, metavar of what keeps a worker within bounds.
_LIMITS: tuple[tuple[str, str, str, str, Callable[[str], Any], str], ...] = (
    ("--max-duration", "MIGRATE_MAX_DURATION", "0",
     "take no new book after this time (90, 45s, 30m, 1h30m; seconds without a unit), finish those in hand and end "
     "with 6; the next start goes on; 0 for no limit", _told(parse_duration), "TIME"),
    ("--bwlimit", "MIGRATE_BWLIMIT", "0",
     "bytes of files sent a second by this process (512K, 1.5M, 2G; KiB without a suffix), 0 or off for no limit",
     _told(parse_bandwidth), "RATE"),
    ("--max-files-per-min", "MAX_FILES_PER_MIN", "0", "files begun a minute by this process, 0 for no limit", _number,
     "N"),
    ("--nice", "WORKER_NICE", "0", "priority for the processor, 0 (as usual) to 19 (last)", _nice, "N"),
    ("--ionice", "WORKER_IONICE", "",
     "priority for the disk: idle, or best-effort:0 (first) to best-effort:7 (last)", _told(parse_ionice), "CLASS"),
)  # fmt: skip
