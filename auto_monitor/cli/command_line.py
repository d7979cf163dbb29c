"""The monitor's command line: every option with help, default, unit and environment variable."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argcomplete

from auto_monitor import config
from auto_monitor.config import Misconfigured
from common.state_dir import HELP_BEGUN
from migration.state_dirs import resolve

EPILOG = """\
examples:
  python auto_monitor/monitor.py --status --watch    how the migration gets on, live
  python auto_monitor/monitor.py --resume 2          worker 2 was paused; try again
  python auto_monitor/monitor.py --rollback          take the newest code fix back
  python auto_monitor/monitor.py --dry-run --once    what would be done now

exit status:
  0 the pass is closed, or the monitor was asked to stop, or a command was carried out
  2 wrong usage or configuration; another monitor is running; --status: the monitor does not live
  4, 5, 7 every worker ended with this status, which a restart cannot mend
  6 the time for the whole (MIGRATE_MAX_DURATION) is up; the pass stays open
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one monitor was asked to do. Intervals and thresholds are seconds.

    `target_given`: the number of workers was named on the command line, so it counts more than what is remembered.
    """

    library: Path
    server: str
    state_dir: Path
    script: Path
    target: int
    check_interval: float
    threshold: float
    llm_enabled: bool = False
    dry_run: bool = False
    once: bool = False
    stop_workers: bool = False
    quiet: bool = False
    target_given: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def build_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser, with the defaults that this environment gives."""
    parser = argparse.ArgumentParser(
        prog="monitor.py",
        description="Watches the workers of a migration: restarts those that are stuck or stopped, scales their number "
        "with the disk, and ends when the pass is closed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def option(flag: str, variable: str, default: object, text: str, **more: Any) -> None:
        shown = "no default" if default is None else f"default: {default}"
        parser.add_argument(
            flag,
            default=environment.get(variable) or default,
            help=f"{text} [{shown}; environment: {variable}]",
            **more,
        )

    option("--library", "CALIBRE_LIBRARY", None, "the Calibre library", metavar="DIR")
    option("--server", "MBS2_SERVER", "http://127.0.0.1:6006", "URL of the server", metavar="URL")
    parser.add_argument("--state-dir", metavar="DIR", default=environment.get("STATE_DIR") or None, help=HELP_BEGUN)
    option("--workers", "TARGET_WORKER_COUNT", config.TARGET_WORKER_COUNT, "workers that should run, 1-8", type=int,
           metavar="N")  # fmt: skip
    option("--check-interval", "CHECK_INTERVAL_SECONDS", f"{config.CHECK_INTERVAL_SECONDS:g}",
           "seconds between two looks", type=float, metavar="S")  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, metavar="MIN", default=config.STUCK_THRESHOLD_SECONDS / 60,
        help="minutes without progress after which a worker is stuck [default: 5; environment: STUCK_THRESHOLD_SECONDS,"
        " in seconds]",
    )  # fmt: skip
    parser.add_argument("--llm-enabled", action="store_true", help="ask an LLM for the root cause and apply its fixes")
    parser.add_argument("--dry-run", action="store_true", help="observe, and say what would be done; touch nothing")
    parser.add_argument("--once", action="store_true", help="one look, and what it leads to; then end")
    parser.add_argument("--stop-workers", action="store_true", help="when asked to stop, stop the workers too")
    parser.add_argument("--quiet", action="store_true", help="say nothing on the terminal; monitor.log has it all")
    _add_commands(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    command = parser.add_mutually_exclusive_group()
    command.add_argument("--status", action="store_true", help="show workers, totals, open cases; then end")
    command.add_argument(
        "--resume", type=int, metavar="N", help="a paused worker: try again [no default; environment: none]"
    )
    command.add_argument(
        "--rollback", action="store_true", help="put the newest backup of the worker script back, by hand; then end"
    )
    parser.add_argument("--json", action="store_true", help="with --status: one JSON object")
    parser.add_argument("--watch", action="store_true", help="with --status: live, until Ctrl-C or the pass is closed")


def settings_of(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """The settings of a monitor that is to run. Raises Misconfigured."""
    config.check()
    if not given.library:
        raise Misconfigured("no library: give --library DIR or set CALIBRE_LIBRARY")
    library = Path(given.library).expanduser().resolve()
    if not (library / "metadata.db").is_file():
        raise Misconfigured(f"{library} has no metadata.db; name the folder of a Calibre library")
    if not config.MIN_WORKER_COUNT <= given.workers <= config.MAX_WORKER_COUNT:
        raise Misconfigured(
            f"--workers {given.workers} is not between {config.MIN_WORKER_COUNT} and {config.MAX_WORKER_COUNT}"
        )
    if given.check_interval <= 0 or given.threshold <= 0:
        raise Misconfigured("--check-interval and --threshold must be more than 0")
    script = script_of(environment)
    if given.llm_enabled:
        config.require_llm_key(environment)
    return Settings(
        library=library,
        server=given.server.rstrip("/"),
        state_dir=state_dir_of(given, environment),
        script=script,
        target=given.workers,
        check_interval=given.check_interval,
        threshold=given.threshold * 60,
        llm_enabled=given.llm_enabled,
        dry_run=given.dry_run,
        once=given.once,
        stop_workers=given.stop_workers,
        quiet=given.quiet,
        target_given=given.workers_given,
        environment=environment,
    )


def script_of(environment: Mapping[str, str]) -> Path:
    """The worker script, absolute. Raises Misconfigured."""
    script = Path(environment.get("WORKER_SCRIPT") or config.PROJECT / "bulk_migrate_calibre.py").expanduser().resolve()
    if not script.is_file():
        raise Misconfigured(f"there is no worker script {script}; is WORKER_SCRIPT right?")
    return script


def state_dir_of(given: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    """The state directory, absolute; without one, that of the library and the server, which is filled in.

    Raises StateDirUnclear, LibraryUnreadable, LibraryBusy.
    """
    if not given.state_dir:
        chosen = resolve.for_migration(Path(given.library), given.server, environment, config.PROJECT)
        sys.stderr.write(f"{chosen.note}\n" if chosen.note else "")
        given.state_dir = chosen.state_dir
    return Path(given.state_dir).expanduser().resolve()


def names(argv: Sequence[str], option: str) -> bool:
    """Was this option given, as against its default or its environment variable?"""
    return any(text == option or text.startswith(f"{option}=") for text in argv)


def read_arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """The arguments and the environment they were completed from. Exits with 2 on wrong usage."""
    environment = config.environment()
    parser = build_parser(environment)
    argcomplete.autocomplete(parser)
    given = parser.parse_args(argv)
    given.workers_given = names(argv, "--workers")
    if (given.watch or given.json) and not given.status:
        parser.error("--watch and --json go with --status")
    if given.watch and given.json:
        parser.error("--watch is for people, --json for programs: give one of them")
    return given, environment
