"""The monitor's command line: every option with help, default, unit and environment
variable."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auto_monitor import config
from auto_monitor.config import Misconfigured
from common.completion import offer_completion
from common.settings.command_line import add_options, options_of, or_exit
from common.settings.load import Option, Sources, check, load, sources
from common.settings.monitor import MonitorSettings, Script
from common.settings.shared import StateDir
from common.settings.worker import WorkerSettings
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

    `target_given`: the number of workers was named on the command line, so it counts
    more than what is remembered."""

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
    alert_webhook_url: str = field(default="", repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def build_parser() -> argparse.ArgumentParser:
    """The parser; the settings' values stay texts, which the loader reads."""
    parser = argparse.ArgumentParser(
        prog="monitor.py",
        description="Watches the workers of a migration: restarts those that are "
        "stuck or stopped, scales their number "
        "with the disk, and ends when the pass is closed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    add_options(parser, MonitorSettings, without={"state_dir"})
    parser.add_argument("--state-dir", metavar="DIR", default=None, help=HELP_BEGUN)
    parser.add_argument(
        "--threshold",
        metavar="MIN",
        default=None,
        help="minutes without progress after which a worker is stuck [default: 5; "
        "environment: STUCK_THRESHOLD_SECONDS,"
        " in seconds]",
    )
    parser.add_argument(
        "--llm-enabled",
        action="store_true",
        help="ask an LLM for the root cause and apply its fixes",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="observe, and say what would be done; touch nothing",
    )
    parser.add_argument(
        "--once", action="store_true", help="one look, and what it leads to; then end"
    )
    parser.add_argument(
        "--stop-workers",
        action="store_true",
        help="when asked to stop, stop the workers too",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="say nothing on the terminal; monitor.log has it all",
    )
    _add_commands(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    command = parser.add_mutually_exclusive_group()
    command.add_argument(
        "--status",
        action="store_true",
        help="show workers, totals, open cases; then end",
    )
    command.add_argument(
        "--resume",
        type=int,
        metavar="N",
        help="a paused worker: try again [no default; environment: none]",
    )
    command.add_argument(
        "--rollback",
        action="store_true",
        help="put the newest backup of the worker script back, by hand; then end",
    )
    parser.add_argument(
        "--json", action="store_true", help="with --status: one JSON object"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="with --status: live, until Ctrl-C or the pass is closed",
    )


def settings_of(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """The settings of a monitor that is to run. Raises Misconfigured, WrongSetting."""
    values = load(MonitorSettings, given.found)
    check(given.found, WorkerSettings)
    config.check_together(values)
    if values.library is None:
        raise Misconfigured("no library: give --library DIR or set CALIBRE_LIBRARY")
    library = values.library.resolve()
    if not (library / "metadata.db").is_file():
        raise Misconfigured(
            f"{library} has no metadata.db; name the folder of a Calibre library"
        )
    if (
        not values.min_worker_count
        <= values.target_worker_count
        <= values.max_worker_count
    ):
        raise Misconfigured(
            f"--workers {values.target_worker_count} is not between {values.min_worker_count} and "
            f"{values.max_worker_count}"
        )
    script = script_of(given.found)
    if given.llm_enabled:
        config.require_llm_key(values)
    return Settings(
        library=library,
        server=values.server,
        state_dir=state_dir_of(given, values, environment),
        script=script,
        target=values.target_worker_count,
        check_interval=values.check_interval_seconds,
        threshold=values.stuck_threshold_seconds,
        llm_enabled=given.llm_enabled,
        dry_run=given.dry_run,
        once=given.once,
        stop_workers=given.stop_workers,
        quiet=given.quiet,
        alert_webhook_url=values.alert_webhook_url,
        target_given=given.found.given("TARGET_WORKER_COUNT"),
        environment=environment,
    )


def script_of(found: Sources) -> Path:
    """The worker script, absolute. Raises Misconfigured, WrongSetting."""
    script = load(Script, found).worker_script.resolve()
    if not script.is_file():
        raise Misconfigured(
            f"there is no worker script {script}; is WORKER_SCRIPT right?"
        )
    return script


def state_dir_of(
    given: argparse.Namespace, values: MonitorSettings, environment: Mapping[str, str]
) -> Path:
    """The state directory, absolute; without one, that of the library and the server,
    which is filled in.

    Raises StateDirUnclear, LibraryUnreadable, LibraryBusy.
    """
    if not given.state_dir:
        chosen = resolve.for_migration(
            values.library or Path(), values.server, environment, config.PROJECT
        )
        sys.stderr.write(f"{chosen.note}\n" if chosen.note else "")
        given.state_dir = chosen.state_dir
    return Path(given.state_dir).expanduser().resolve()


def read_arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """The arguments, with where settings come from as `found`, and the environment that
    results.

    Exits with 2 on wrong usage.
    """
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    if (given.watch or given.json) and not given.status:
        parser.error("--watch and --json go with --status")
    if given.watch and given.json:
        parser.error("--watch is for people, --json for programs: give one of them")
    found = or_exit(lambda: sources(config.PROJECT, os.environ))
    given.found = found.with_options(
        options_of(given, MonitorSettings) | _threshold(given.threshold)
    )
    given.state_dir = or_exit(lambda: load(StateDir, given.found)).state_dir
    return given, given.found.texts()


def _threshold(minutes: str | None) -> dict[str, Option]:
    """`--threshold` counts in minutes; what is no number stays as it is, for the loader
    to refuse."""
    if minutes is None:
        return {}
    try:
        text = f"{float(minutes) * 60:.12g}"
    except ValueError:
        text = minutes
    return {"STUCK_THRESHOLD_SECONDS": Option("--threshold, in minutes", text)}
