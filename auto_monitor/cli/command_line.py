"""The monitor's command line."""

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from auto_monitor import config
from auto_monitor.config import Misconfigured
from auto_monitor.decide.watching import WatchPolicy
from auto_monitor.fix_applier import managed_script
from common.arguments import Help, Parser, offer_completion
from common.settings.command_line import add_options, options_of, or_exit
from common.settings.load import Option, Sources, check, load, sources
from common.settings.monitor import MonitorSettings, Script
from common.settings.setting import settings_of as settings_of_model
from common.settings.shared import StateDir
from common.settings.worker import WorkerSettings
from common.state_dir import HELP_BEGUN
from migration.state_dirs import resolve

EPILOG = """\
examples:
  python auto_monitor/monitor.py --status --watch    show the progress, live
  python auto_monitor/monitor.py --resume 2          resume worker 2, which is paused
  python auto_monitor/monitor.py --rollback          revert the newest code fix
  python auto_monitor/monitor.py --diff              show what code fixes have changed
  python auto_monitor/monitor.py --apply FILE        put a proposed code fix in place
  python auto_monitor/monitor.py --dry-run --once    show what would be done now
  python auto_monitor/monitor.py --watch             stay; migrate what changes

exit status:
  0 the pass is closed, or the monitor was asked to stop, or a command was carried out
  2 wrong usage or configuration; another monitor is running; --status: the monitor is not running
  4, 5, 7 every worker ended with this status, which a restart cannot fix
  6 the time limit (MIGRATE_MAX_DURATION) has passed; the pass stays open
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one monitor was asked to do. Intervals and thresholds are in seconds.

    `target_given` means that the number of workers was given on the command line, so
    that it overrides the remembered one. `watching` is None when the monitor ends with
    the pass; `library_mark` is the library's mark when the newest pass was opened, if
    whoever opened it knows it, `asked` stands for the settings of the workers.
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
    alert_webhook_url: str = field(default="", repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    watching: WatchPolicy | None = None
    library_mark: str = ""
    asked: str = ""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="monitor.py",
        usage="%(prog)s [options]",
        description="Watches the workers of a migration: restarts those that are "
        "stuck or stopped, scales their number "
        "with the disk, and ends when the pass is closed. With --watch it stays, and "
        "has another pass run whenever the library has changed.",
        epilog=EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.subcommand = "monitor"
    add_options(parser, MonitorSettings, without={"state_dir", "watch"})
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
        help="observe and report what would be done; change nothing",
    )
    parser.add_argument(
        "--once", action="store_true", help="make one check, act on it, and exit"
    )
    parser.add_argument(
        "--stop-workers",
        action="store_true",
        help="also stop the workers when stopped",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="print nothing on the terminal; everything is in monitor.log",
    )
    _add_commands(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    command = parser.add_mutually_exclusive_group()
    command.add_argument(
        "--status",
        action="store_true",
        help="show workers, totals and open cases, and exit",
    )
    command.add_argument(
        "--resume",
        type=int,
        metavar="N",
        help="resume a paused worker [no default; environment: none]",
    )
    command.add_argument(
        "--rollback",
        action="store_true",
        help="restore the newest backup of the worker script, and exit; a script that "
        "somebody else has changed is left alone",
    )
    command.add_argument(
        "--diff",
        action="store_true",
        help="show what the worker script in place differs in from the release, and how "
        "to keep or drop it",
    )
    command.add_argument(
        "--apply",
        metavar="PROPOSAL",
        help="put a change from auto_monitor/proposals/ in place, and exit: it must pass "
        "guard and, where there is a sandbox, gate [no default; environment: none]",
    )
    parser.add_argument(
        "--json", action="store_true", help="with --status: one JSON object"
    )
    parser.add_argument(
        "--watch",
        action="store_const",
        dest="watch",
        const="1",
        help="stay, and have another pass run whenever the library has changed "
        "[default: 0; environment: WATCH]; with --status: keep updating until Ctrl-C "
        "or the pass is closed",
    )
    parser.add_argument(
        "--library-mark",
        metavar="TEXT",
        default="",
        help="with --watch: what ./start.sh saw of the library's files before it opened "
        "the pass [no default; environment: none]",
    )


def settings_of(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Returns the settings of a monitor that is to run.

    Raises Misconfigured or WrongSetting.
    """
    values = load(MonitorSettings, given.found)
    check(given.found, WorkerSettings)
    config.check_together(values)
    if values.library is None:
        raise Misconfigured("no library: give --library DIR or set CALIBRE_LIBRARY")
    library = values.library.resolve()
    watching = _watch_policy(given, values)
    # Under --watch a library that is away for a while is waited for.
    if watching is None and not (library / "metadata.db").is_file():
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
    state_dir = state_dir_of(given, values, environment)
    script = script_of(given.found, state_dir)
    if given.llm_enabled:
        config.require_llm_key(values)
    return Settings(
        library=library,
        server=values.server,
        state_dir=state_dir,
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
        watching=watching,
        library_mark=given.library_mark,
        asked=asked_of_workers(environment),
    )


def asked_of_workers(environment: Mapping[str, str]) -> str:
    """Returns a text that changes when a pass would be about something else.

    That is any setting of the workers but the server and its login, which the ledger is
    bound to and which are secret.
    """
    given = [
        f"{one.variable}={environment[one.variable]}"
        for one in settings_of_model(WorkerSettings)
        if environment.get(one.variable) and not one.variable.startswith("MBS2_")
    ]
    return hashlib.sha256("\n".join(sorted(given)).encode()).hexdigest()[:16]


def _watch_policy(
    given: argparse.Namespace, values: MonitorSettings
) -> WatchPolicy | None:
    """When to look at the library; None when the monitor ends with the pass.

    A dry run and a single check never stay, whatever WATCH says.
    """
    if not values.watch or given.dry_run or given.once:
        return None
    return WatchPolicy(
        timedelta(seconds=values.watch_every_seconds),
        timedelta(seconds=values.watch_quiet_seconds),
    )


def script_of(found: Sources, state_dir: Path) -> Path:
    """The worker script, absolute. Raises Misconfigured, WrongSetting."""
    script = chosen_script(found, state_dir)
    if not script.is_file():
        raise Misconfigured(
            f"there is no worker script {script}; is WORKER_SCRIPT right?"
        )
    return script


def chosen_script(found: Sources, state_dir: Path) -> Path:
    """Returns the script that was named, the copy that a service or container keeps in
    the state directory, or the checkout's. Raises WrongSetting."""
    managed = managed_script(state_dir)
    if found.find("WORKER_SCRIPT") is None and managed.is_file():
        return managed.resolve()
    return load(Script, found).worker_script.resolve()


def state_dir_of(
    given: argparse.Namespace, values: MonitorSettings, environment: Mapping[str, str]
) -> Path:
    """Returns the absolute state directory, by default that of library and server.

    The default is also stored in `given`. Raises StateDirUnclear, LibraryUnreadable or
    LibraryBusy.
    """
    if not given.state_dir:
        chosen = resolve.for_migration(
            values.library or Path(), values.server, environment, config.PROJECT
        )
        sys.stderr.write(f"{chosen.note}\n" if chosen.note else "")
        given.state_dir = chosen.state_dir
    return Path(given.state_dir).expanduser().resolve()


def read_arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Parses the arguments; returns them with the resulting environment.

    The sources of settings are added as `found`. Exits with status 2 on wrong usage.
    """
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    if given.json and not given.status:
        parser.error("--json goes with --status")
    if given.watch and given.json:
        parser.error("--watch is for people, --json for programs: give one of them")
    if given.watch and (given.dry_run or given.once):
        parser.error("--watch stays: leave out --dry-run and --once")
    found = or_exit(lambda: sources(config.PROJECT, os.environ))
    given.found = found.with_options(
        options_of(given, MonitorSettings) | _threshold(given.threshold)
    )
    given.state_dir = or_exit(lambda: load(StateDir, given.found)).state_dir
    return given, given.found.texts()


def _threshold(minutes: str | None) -> dict[str, Option]:
    """Converts `--threshold` from minutes to seconds.

    Text that is not a number stays as it is, for the loader to reject.
    """
    if minutes is None:
        return {}
    try:
        text = f"{float(minutes) * 60:.12g}"
    except ValueError:
        text = minutes
    return {"STUCK_THRESHOLD_SECONDS": Option("--threshold, in minutes", text)}
