"""The worker's command line: every option with help, default, unit and environment
variable.

Order: option, environment, `auto_monitor/.env`, `.env`. The password never comes from
an argument."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.completion import offer_completion
from common.errors import told
from common.exit_status import ExitCode
from common.settings.command_line import add_options, read_settings
from common.settings.load import Sources
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings
from common.state_dir import HELP_BEGUN, Place
from migration.errors import Fatal, MigrationError, NoPassword
from migration.state_dirs import resolve

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


@dataclass(frozen=True, kw_only=True)
class Options(WorkerSettings):
    """What one worker was asked to do: its settings, and what only the command line can
    say.

    `limit` 0 means no limit, `formats` empty means all (upper case). `max_duration` is
    seconds, `bwlimit` bytes a second; 0 means no limit for each of these."""

    library: Path
    state_dir: Path
    dry_run: bool = False
    retry_failed: bool = False
    verify: bool = False
    recheck: bool = False
    json: bool = False
    export_map: Path | None = None
    join_only: bool = False
    open_pass: bool = False
    adopt_library: bool = False

    @property
    def log_json(self) -> bool:
        """Are logs also written as NDJSON?"""
        return self.log_format == "json"

    def __repr__(self) -> str:
        """Without the password and the database URI, which may hold one."""
        return (
            f"Options(library={str(self.library)!r}, server={self.server!r}, "
            f"worker_id={self.worker_id})"
        )


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def build_parser() -> argparse.ArgumentParser:
    """The parser; the settings' values stay texts, which the loader reads."""
    parser = argparse.ArgumentParser(
        prog="bulk_migrate_calibre.py",
        description="Moves every file of a Calibre library to a MyBookshelf2 server, "
        "once. The library is only read.",
        epilog=EPILOG,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    add_options(parser, WorkerSettings, without={"state_dir"})
    parser.add_argument("--state-dir", metavar="DIR", default=None, help=HELP_BEGUN)
    _add_modes(parser)
    _add_switches(parser)
    return parser


def _add_modes(parser: argparse.ArgumentParser) -> None:
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan; send nothing, write nothing but the log",
    )
    mode.add_argument(
        "--retry-failed",
        action="store_true",
        help="put failed files back to pending, then migrate",
    )
    mode.add_argument(
        "--verify",
        action="store_true",
        help="compare every file with the server by hash, a line each: = there, - "
        "missing, ! unreadable, "
        "x refused by the server, ? not known; interrupted, the same command goes on "
        "where it stopped",
    )
    mode.add_argument(
        "--recheck",
        action="store_true",
        help="as --verify, and put what the server no longer has back to pending",
    )
    mode.add_argument(
        "--open-pass",
        action="store_true",
        help="check library, server and state directory, open a pass unless one is "
        "open, and end; then --join-only",
    )
    mode.add_argument(
        "--export-map",
        metavar="FILE",
        help="write a CSV of Calibre id, format, sha1, ebook id and source id [no "
        "default; environment: none]",
    )


def _add_switches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--adopt-library",
        action="store_true",
        help="go on with this ledger although Calibre has restored the library, "
        "which gives it a new id; only when its "
        "books are the same [environment: none]",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --verify or --recheck: one JSON object per line",
    )
    parser.add_argument(
        "--join-only",
        action="store_true",
        help="join the open pass, never open one; for workers that others start "
        "[environment: none]",
    )


def read_options(argv: Sequence[str], project: Path) -> Options:
    """The options from the command line and the environment. Exits with 2 and a
    sentence on wrong usage."""
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    values, found = read_settings(given, WorkerSettings, project)
    if values.library is None:
        parser.error(
            "no library given: name the folder with metadata.db, or set CALIBRE_LIBRARY"
        )
    state_dir, server = _where(given, values, found, argv, project)
    settings = {
        one.field: getattr(values, one.field) for one in settings_of(WorkerSettings)
    }
    return Options(
        **{**settings, "state_dir": state_dir, "server": server.rstrip("/")},
        dry_run=given.dry_run,
        retry_failed=given.retry_failed,
        verify=given.verify or given.recheck,
        recheck=given.recheck,
        json=given.json,
        export_map=Path(given.export_map).expanduser() if given.export_map else None,
        join_only=given.join_only,
        open_pass=given.open_pass,
        adopt_library=given.adopt_library,
    )


def _where(
    given: argparse.Namespace,
    values: WorkerSettings,
    found: Sources,
    argv: Sequence[str],
    project: Path,
) -> tuple[Path, str]:
    """The state directory, and the server as its ledger spells it. Exits with a
    sentence when it cannot be told."""
    if values.state_dir is not None:
        return values.state_dir, values.server
    library = values.library or Path()
    try:
        place = _there(given, library, found, argv, project)
        if place is None:
            chosen = resolve.for_migration(
                library, values.server, found.texts(), project
            )
            sys.stderr.write(
                f"{chosen.note or f'The state is in {chosen.state_dir}'}\n"
            )
            place = chosen.place or Place(chosen.state_dir)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        raise SystemExit(
            int(error.exit_code if isinstance(error, Fatal) else ExitCode.LIBRARY)
        ) from None
    return place.state_dir, place.server_url or values.server


def _there(
    given: argparse.Namespace,
    library: Path,
    found: Sources,
    argv: Sequence[str],
    project: Path,
) -> Place | None:
    """For what is about a migration that was begun: that one, whatever its server
    unless one is named."""
    if not (
        given.verify
        or given.recheck
        or given.retry_failed
        or given.dry_run
        or given.export_map
    ):
        return None
    named = found.find("MBS2_SERVER")
    command = shlex.join([".venv/bin/python", "bulk_migrate_calibre.py", *argv])
    return resolve.for_library(
        library, named[0] if named else None, found.texts(), project, command
    )


def password_of(options: Options) -> str:
    """The password. Raises Misconfigured when none was given."""
    if not options.password:
        raise NoPassword(
            f"no password for {options.username!r}: set MBS2_PASSWORD in the environment or in .env"
        )
    return options.password
