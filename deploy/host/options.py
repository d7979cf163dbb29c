"""The command line of `./start.sh`, and the job it describes."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from auto_monitor.config import Misconfigured, require_llm_key
from common.completion import offer_completion
from common.settings.command_line import add_options, read_settings
from common.settings.load import Sources
from common.settings.programs import Capacity, StartSettings
from common.settings.shared import Database, Engine, User
from deploy import PROJECT
from deploy.host import state
from deploy.host.children import environment_for, refuse_unset_service
from deploy.host.embedded import embedded_server
from deploy.host.job import (
    Job,
    Mode,
    check_for_all,
    why_not_delete,
    without_selection,
)
from migration.state_dirs.resolve import Chosen

DEMO = PROJECT / "demo"


def read_job(
    argv: Sequence[str], console: Console, undo: ExitStack
) -> tuple[Job, Mode]:
    """Returns the job, whose server is running, and how to run it.

    Exits with 2 on wrong usage. Raises CannotStart, Fatal or OSError.
    """
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    values, found = read_settings(given, StartSettings)
    of_monitor = check_for_all(found)
    if given.llm_enabled:
        require_llm_key(of_monitor)
    _refuse(parser, given, found)
    if why := why_not_delete(values):
        parser.error(why)
    if given.demo:
        demo = _demo(given, values, found, undo)
        return demo, Mode.DRY_RUN if given.dry_run else Mode.DEMO
    if values.library is None:
        refuse_unset_service()
        parser.error("name your library: --library DIR (or try it with --demo)")
    mode = _mode(given)
    # A setting of this machine, unlike the option, gives way to what is asked for now.
    watch = values.watch and mode in (Mode.DAEMON, Mode.FOREGROUND)
    library = _library(values.library.resolve(), waits=watch and state.is_known(values))
    chosen, server = _where(given, values, library, found, console, undo)
    job = Job(
        library,
        chosen.state_dir,
        *server,
        workers=values.workers,
        workers_given=found.given("TARGET_WORKER_COUNT"),
        settings={},
        values=values,
        found=found,
        llm_enabled=given.llm_enabled,
        dashboard=not given.no_dashboard,
        adopt_library=given.adopt_library,
        as_json=given.json,
        watch=watch,
        state_dir_named=values.state_dir is not None,
    )
    return job, mode


def _refuse(
    parser: argparse.ArgumentParser, given: argparse.Namespace, found: Sources
) -> None:
    """Exits with 2 when options contradict each other."""
    if given.adopt_library and (given.demo or given.dry_run):
        parser.error(
            "--adopt-library starts a migration: leave out --demo and --dry-run"
        )
    if given.watch and (given.demo or given.dry_run or given.no_monitor):
        parser.error(
            "--watch is the monitor's, on a library of yours: leave out --demo, "
            "--dry-run and --no-monitor"
        )
    if given.demo and found.given("STATE_DIR"):
        parser.error("--demo keeps everything in demo/state/: leave out --state-dir")


def _where(
    given: argparse.Namespace,
    values: StartSettings,
    library: Path,
    found: Sources,
    console: Console,
    undo: ExitStack,
) -> "tuple[Chosen, _ChosenServer]":
    """Returns state directory and server; for a dry run nothing is made or started."""
    if given.dry_run:
        aside = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        chosen = state.choose(values, library, found.texts(), PROJECT, aside.print)
        return chosen, _ChosenServer(values.server or "", {}, None)
    chosen = _state_dir(values, library, found, console)
    return chosen, _server(values, chosen, found, undo)


class _ChosenServer(NamedTuple):
    """URL, login, and the file with the login if it is ours."""

    url: str
    login: dict[str, str]
    login_file: Path | None


def _demo(
    given: argparse.Namespace, values: StartSettings, found: Sources, undo: ExitStack
) -> Job:
    """Returns the job of the shipped library with its own server, in demo/state/."""
    server = _ChosenServer("", {}, None)
    if not given.dry_run:
        state.prepare(DEMO / "state", PROJECT)
        around = environment_for(found, Capacity)
        place = DEMO / "state" / "bookshelf"
        server = _ChosenServer(*embedded_server(place, around, undo))
    interval = found.find("CHECK_INTERVAL_SECONDS") or ("2",)
    values, unselected = without_selection(values, found)
    return Job(
        DEMO / "library",
        DEMO / "state",
        *server,
        workers=2,
        workers_given=True,
        settings={
            "BATCH_SIZE": "8",
            "CHECK_INTERVAL_SECONDS": interval[0],
            **unselected,
        },
        values=values,
        found=found,
        llm_enabled=given.llm_enabled,
        dashboard=not given.no_dashboard,
        as_json=given.json,
    )


def _library(library: Path, *, waits: bool) -> Path:
    if not waits and not (library / "metadata.db").is_file():
        raise Misconfigured(
            f"{library} has no metadata.db; name the folder of a Calibre library"
        )
    return library


def _state_dir(
    values: StartSettings, library: Path, found: Sources, console: Console
) -> Chosen:
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    chosen = state.choose(values, library, found.texts(), PROJECT, say)
    warning = state.prepare(chosen.state_dir, PROJECT)
    if warning:
        say(warning)
    return chosen


def _server(
    values: StartSettings, chosen: Chosen, found: Sources, undo: ExitStack
) -> _ChosenServer:
    """Returns the named server, or else starts an embedded one."""
    if values.server:
        # Spelled as in its ledger, which knows no other spelling.
        url = (chosen.place and chosen.place.server_url) or values.server
        return _ChosenServer(url, found.handed_on(User, Engine, Database), None)
    around = environment_for(found, Capacity) | found.handed_on(User)
    return _ChosenServer(*embedded_server(chosen.state_dir / "bookshelf", around, undo))


def _mode(given: argparse.Namespace) -> Mode:
    chosen = {
        Mode.DRY_RUN: given.dry_run,
        Mode.FOREGROUND: given.foreground,
        Mode.NO_MONITOR: given.no_monitor,
    }
    return next((mode for mode, wanted in chosen.items() if wanted), Mode.DAEMON)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = argparse.ArgumentParser(
        prog="./start.sh",
        description="Moves a Calibre library to a MyBookshelf2 server, unattended: "
        "starts the monitor, which starts "
        "the workers, keeps them going and ends when everything is accounted for. With "
        "--watch it stays, and migrates what changes in the library.",
        epilog="examples:\n  ./start.sh --demo\n  ./start.sh --library ~/Calibre\n"
        "  MBS2_PASSWORD=… ./start.sh --library ~/Calibre --server http://nas:6006 --workers 4\n"
        "  ./start.sh --library ~/Calibre --dry-run\n"
        "  ./start.sh --library ~/Calibre --tag Fantasy --tag Horror --not-format pdf\n"
        "  ./start.sh --library ~/Calibre --watch --every 15m\n\n"
        "exit status: 0 the monitor runs (--demo, --foreground: everything is "
        "accounted for); 2 wrong usage, or a "
        "monitor is running already; 3 the server does not answer or refuses the "
        "login; 4 the library cannot be read; "
        "5 the state directory cannot be written; 8 --demo: the audit found a "
        "difference, or something stands on the server that should not; 130 Ctrl-C",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="move the shipped demo library to the embedded server; all in demo/state/",
    )
    add_options(parser, StartSettings)
    parser.add_argument(
        "--llm-enabled",
        action="store_true",
        help="let the monitor ask an LLM for root causes and apply its fixes; "
        "OPENAI_API_KEY is in auto_monitor/.env",
    )
    parser.add_argument(
        "--adopt-library",
        action="store_true",
        help="go on although Calibre has restored the library, which gives it a new "
        "id; only when its books are the "
        "same",
    )
    parser.add_argument(
        "--no-dashboard",
        action="store_true",
        help="do not serve the page on DASHBOARD_HOST:DASHBOARD_PORT",
    )
    _add_modes(parser)
    return parser


def _add_modes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="with --dry-run: one JSON object"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--dry-run",
        action="store_true",
        help="say what a run would do now, from the library and the ledger; start, send "
        "and write nothing (the monitor's own: auto_monitor/monitor.py --dry-run)",
    )
    mode.add_argument(
        "--foreground",
        action="store_true",
        help="run the monitor in the foreground (systemd, containers)",
    )
    mode.add_argument(
        "--no-monitor",
        action="store_true",
        help="start only the workers, without a monitor to restart them",
    )
