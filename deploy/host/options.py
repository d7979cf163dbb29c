"""The job that the command line of `./start.sh` describes."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from auto_monitor.config import require_llm_key
from common.settings.load import Sources
from common.settings.programs import Capacity, StartSettings
from common.settings.shared import Database, Engine, User
from deploy import PROJECT
from deploy.host import state
from deploy.host.before import read_start
from deploy.host.children import (
    checked_library,
    environment_for,
    refuse_unset_service,
)
from deploy.host.command_line import (
    WATCHING,
    mode_of,
    read_arguments,
    refuse,
)
from deploy.host.embedded import Port, embedded_server, has_moved
from deploy.host.job import (
    Job,
    Mode,
    check_for_all,
    contradictory,
    without_selection,
    workers_of,
)
from migration.state_dirs.resolve import Chosen

Say = Callable[[str], None]
DEMO = PROJECT / "demo"
_OF_THE_DEMO = (
    "--demo keeps everything there: let its owner run it, or use a copy of this folder "
    "of your own (git clone)"
)


def read_job(argv: Sequence[str], say: Say, undo: ExitStack) -> tuple[Job, Mode]:
    """Returns the job, whose server is running, and how to run it.

    Exits with 2 on wrong usage. Raises CannotStart, Fatal or OSError.
    """
    parser, given = read_arguments(argv)
    values, found = read_start(given)
    refuse(parser, given, values, found)
    of_monitor = check_for_all(found)
    if given.llm_enabled:
        require_llm_key(of_monitor)
    if why := contradictory(values):
        parser.error(why)
    if given.demo:
        demo = _demo(given, values, found, say, undo)
        return demo, Mode.DRY_RUN if given.dry_run else Mode.DEMO
    if values.library is None:
        refuse_unset_service()
        parser.error("name your library: ./start.sh DIR (or try it with --demo)")
    mode = mode_of(given)
    # A setting of this machine, unlike the option, gives way to what is asked for now.
    watch = values.watch and mode in WATCHING
    library = checked_library(
        values.library.resolve(), waits=watch and state.is_known(values)
    )
    chosen, server = _where(given, values, library, found, say, undo)
    numbers = workers_of(values, found)
    job = Job(
        library,
        chosen.state_dir,
        server.url,
        server.login,
        server.login_file,
        workers=numbers.workers,
        workers_given=numbers.given,
        settings=numbers.settings,
        values=values,
        found=found,
        llm_enabled=given.llm_enabled,
        dashboard=not given.no_dashboard,
        adopt_library=given.adopt_library,
        rebind=given.rebind or server.moved,
        as_json=given.json,
        watch=watch,
    )
    return job, mode


def _say_aside(text: str) -> None:
    """What goes beside the plan, which may be for a program."""
    sys.stderr.write(f"{text}\n")


def _where(
    given: argparse.Namespace,
    values: StartSettings,
    library: Path,
    found: Sources,
    say: Say,
    undo: ExitStack,
) -> "tuple[Chosen, _ChosenServer]":
    """Returns state directory and server; for a dry run nothing is made or started."""
    if given.dry_run:
        chosen = state.choose(values, library, found.texts(), PROJECT, _say_aside)
        return chosen, _ChosenServer(values.server or "", {}, None)
    chosen = _state_dir(values, library, found, say, rebind=given.rebind)
    return chosen, _server(values, chosen, found, say, undo)


class _ChosenServer(NamedTuple):
    """URL, login, and the file with the login if it is ours."""

    url: str
    login: dict[str, str]
    login_file: Path | None
    #: Whether it is the one that the ledger knows at another address.
    moved: bool = False


def _demo(
    given: argparse.Namespace,
    values: StartSettings,
    found: Sources,
    say: Say,
    undo: ExitStack,
) -> Job:
    """Returns the job of the shipped library with its own server, in demo/state/."""
    server = _ChosenServer("", {}, None)
    if not given.dry_run:
        state.prepare(DEMO / "state", PROJECT, _OF_THE_DEMO)
        around = environment_for(found, Capacity)
        server = _embedded(DEMO / "state", around, values, say, undo)
    interval = found.find("CHECK_INTERVAL_SECONDS") or ("2",)
    values, unselected = without_selection(values, found)
    return Job(
        DEMO / "library",
        DEMO / "state",
        server.url,
        server.login,
        server.login_file,
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
        rebind=server.moved,
    )


def _state_dir(
    values: StartSettings,
    library: Path,
    found: Sources,
    say: Say,
    *,
    rebind: bool,
) -> Chosen:
    chosen = state.choose(values, library, found.texts(), PROJECT, say, rebind=rebind)
    warning = state.prepare(chosen.state_dir, PROJECT)
    if warning:
        say(warning)
    return chosen


def _server(
    values: StartSettings,
    chosen: Chosen,
    found: Sources,
    say: Say,
    undo: ExitStack,
) -> _ChosenServer:
    """Returns the named server, or else starts an embedded one."""
    if values.server:
        # Spelled as in its ledger, which knows no other spelling.
        url = (chosen.place and chosen.place.server_url) or values.server
        return _ChosenServer(url, found.handed_on(User, Engine, Database), None)
    around = environment_for(found, Capacity) | found.handed_on(User)
    return _embedded(chosen.state_dir, around, values, say, undo)


def _embedded(
    state_dir: Path,
    around: Mapping[str, str],
    values: StartSettings,
    say: Say,
    undo: ExitStack,
) -> _ChosenServer:
    """Starts the embedded server, on another port than before if it has to be."""
    port = Port(values.embedded_port, say)
    data_dir = state_dir / "bookshelf"
    return _ChosenServer(
        *embedded_server(data_dir, around, undo, port),
        moved=has_moved(data_dir, state.bound_server(state_dir)),
    )
