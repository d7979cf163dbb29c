"""The worker's command line.

Values come from the option, the environment, `auto_monitor/.env` and `.env`, in this
order. The password is never read from an argument.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.arguments import Help, Parser, offer_completion
from common.errors import told
from common.settings.command_line import add_options, read_settings
from common.settings.load import Sources
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings
from common.state_dir import HELP_BEGUN
from migration.calibre.contradictory import objection
from migration.errors import ExitCode, Fatal, MigrationError, NoPassword
from migration.state_dirs import resolve
from migration.worker import begun
from migration.worker.begun import Begun

EPILOG = """\
examples:
  python bulk_migrate_calibre.py ~/Calibre --server http://127.0.0.1:6006 --username admin
      migrate everything; MBS2_PASSWORD is in the environment or in .env
  python bulk_migrate_calibre.py ~/Calibre --dry-run
      what a run would do now: what is new, changed in Calibre, refused, and how long
      it may take; --json for programs
  python bulk_migrate_calibre.py ~/Calibre --limit 10 --formats epub,pdf
      try it with ten files
  python bulk_migrate_calibre.py ~/Calibre --tag Fantasy --not-author "Jane Doe"
      only what is selected: different options all have to hold, and one given
      twice is met by either value
  python bulk_migrate_calibre.py ~/Calibre --retry-failed
      try again what failed
  python bulk_migrate_calibre.py ~/Calibre --cluster tcp://scheduler:8786
      let the machines of a Dask cluster read, hash and send the files
  python bulk_migrate_calibre.py ~/Calibre --verify
      prove by hash that the server has every file
  python bulk_migrate_calibre.py ~/Calibre --undo 3 --dry-run
      what of pass 3 would be taken back from the server; without --dry-run: do it

exit status:
  0 all accounted for, none failed    1 all accounted for, some failed
  2 wrong usage or configuration      3 server unreachable or login refused
  4 library unreadable                5 state directory not writable
  6 ended with files pending          7 this worker id is already running
  8 closed, but the audit found a difference, or something stands on the server
    that should not
  9 ledger damaged, set aside at the next start
  70 internal error                   130, 143 stopped by a signal after saving
"""


@dataclass(frozen=True, kw_only=True)
class Options(WorkerSettings):
    """What one worker was asked to do: its settings and command-line modes.

    An empty `formats` means all formats (upper case). `limit` is files, `max_duration`
    seconds and `bwlimit` bytes per second; 0 means no limit for each of these.
    """

    library: Path
    state_dir: Path
    dry_run: bool = False
    retry_failed: bool = False
    undo: int | None = None
    verify: bool = False
    recheck: bool = False
    json: bool = False
    export_map: Path | None = None
    join_only: bool = False
    open_pass: bool = False
    adopt_library: bool = False
    rebind: bool = False

    @property
    def log_json(self) -> bool:
        """Whether logs are also written as NDJSON."""
        return self.log_format == "json"

    @property
    def sees_ratings(self) -> bool:
        """Whether ratings are carried, and are the login's own, which it can compare."""
        return self.ratings == "on" and self.lane_owner in ("", self.username)

    def __repr__(self) -> str:
        """Leaves out the password, and the database URI, which may contain one."""
        return (
            f"Options(library={str(self.library)!r}, server={self.server!r}, "
            f"worker_id={self.worker_id})"
        )


#: Modes that --undo cannot be combined with.
_NOT_WITH_UNDO = (
    "retry_failed",
    "verify",
    "recheck",
    "open_pass",
    "export_map",
    "join_only",
    "adopt_library",
    "rebind",
)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="bulk_migrate_calibre.py",
        usage="%(prog)s [options] [LIBRARY]",
        description="Moves every file of a Calibre library to a MyBookshelf2 server, "
        "once. The library is only read.",
        epilog=EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.subcommand = "worker"
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
        help="say what a run would do now: new, changed, replaced and removed books and "
        "files; ask only library and ledger, send and write nothing",
    )
    mode.add_argument(
        "--retry-failed",
        action="store_true",
        help="make failed files pending again, then migrate",
    )
    mode.add_argument(
        "--verify",
        action="store_true",
        help="compare every file with the server by hash, a line each: = there, - "
        "missing, ! unreadable, x refused by the server, ? not known; after an "
        "interruption the same command resumes where it stopped",
    )
    mode.add_argument(
        "--recheck",
        action="store_true",
        help="as --verify, and make files pending again that the server no longer has",
    )
    mode.add_argument(
        "--open-pass",
        action="store_true",
        help="check library, server and state directory, open a pass unless one is "
        "open, and exit; for use before --join-only",
    )
    mode.add_argument(
        "--export-map",
        metavar="FILE",
        help="write a CSV of Calibre id, format, sha1, ebook id and source id [no "
        "default; environment: none]",
    )


def _add_switches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--undo",
        type=_pass_number,
        metavar="PASS",
        help="take back from the server what this pass made there (its number is in "
        "the log and --status) and nobody has changed or used since, a line each: - "
        "deleted, = stays and why; with --dry-run it only lists; after an interruption "
        "the same command goes on [no default; environment: none]",
    )
    parser.add_argument(
        "--adopt-library",
        action="store_true",
        help="continue with this ledger after Calibre has restored the library, which "
        "gives it a new id; only if its books are the same [environment: none]",
    )
    parser.add_argument(
        "--rebind",
        action="store_true",
        help="continue with this ledger when its server has a new address, which "
        "--server names; only if the newest files are there, by id and hash "
        "[environment: none]",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --verify, --recheck or --undo: one JSON object per line; with "
        "--dry-run alone: one object",
    )
    parser.add_argument(
        "--join-only",
        action="store_true",
        help="join the open pass but never open one; for workers started by other "
        "programs [environment: none]",
    )


def _pass_number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a pass")
    return int(text)


def read_options(argv: Sequence[str], project: Path) -> Options:
    """Returns the options from the command line and the environment.

    Exits with status 2 and a message on wrong usage.
    """
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    if given.undo is not None and any(vars(given)[mode] for mode in _NOT_WITH_UNDO):
        parser.error("--undo goes with --dry-run and --json, not with another mode")
    values, found = read_settings(given, WorkerSettings, project)
    deletes = values.delete_removed
    if why := (
        objection(values, found, datetime.now(UTC), deletes=deletes)
        or values.lane_refusal
    ):
        parser.error(why)
    where = _where(given, values, found, argv, project)
    # A map is made from the ledger alone.
    if where.library is None and not given.export_map:
        parser.error(
            "no library given: name the folder with metadata.db, or set CALIBRE_LIBRARY"
        )
    settings = {
        one.field: getattr(values, one.field) for one in settings_of(WorkerSettings)
    } | {"server": values.server, **where.settings}
    return Options(
        **{
            **settings,
            "library": where.library or Path(),
            "state_dir": where.state_dir,
            "server": settings["server"].rstrip("/"),
        },
        dry_run=given.dry_run,
        retry_failed=given.retry_failed,
        undo=given.undo,
        verify=given.verify or given.recheck,
        recheck=given.recheck,
        json=given.json,
        export_map=Path(given.export_map).expanduser() if given.export_map else None,
        join_only=given.join_only,
        open_pass=given.open_pass,
        adopt_library=given.adopt_library,
        rebind=given.rebind or where.moved,
    )


def _where(
    given: argparse.Namespace,
    values: WorkerSettings,
    found: Sources,
    argv: Sequence[str],
    project: Path,
) -> Begun:
    """Returns library and state directory, and what leads to the server.

    Exits with a message when they cannot be determined.
    """
    try:
        if begun.is_about_one(given):
            one = begun.find(given, values, found, argv, project)
            if one is not None:
                return one
        if values.state_dir is not None or values.library is None:
            return Begun(values.library, values.state_dir or Path())
        chosen = resolve.for_migration(
            values.library, values.server, found.texts(), project
        )
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        raise SystemExit(
            int(error.exit_code if isinstance(error, Fatal) else ExitCode.LIBRARY)
        ) from None
    if not given.dry_run:
        # Nothing is there, and a dry run makes nothing.
        sys.stderr.write(f"{chosen.note or f'The state is in {chosen.state_dir}'}\n")
    url = chosen.place.server_url if chosen.place else ""
    return Begun(values.library, chosen.state_dir, {"server": url} if url else {})


def password_of(options: Options) -> str:
    """Returns the password. Raises Misconfigured when none was given."""
    if not options.password:
        raise NoPassword(
            f"no password for {options.username!r}: set MBS2_PASSWORD in the environment or in .env"
        )
    return options.password
