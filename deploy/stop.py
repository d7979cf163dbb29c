"""`./stop.sh`: ends monitor, workers, dashboard and server, in this order.

It kills only what is provably ours.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common.arguments import Parser, offer_completion
from common.errors import StateDirUnclear, told
from common.hints import hint
from common.settings.command_line import read_settings
from common.settings.shared import StateDir
from common.state_dir import several
from deploy import PROJECT
from deploy.host.processes import (
    alive,
    dashboard,
    everything,
    monitor,
    server,
    stop,
    workers,
)
from migration.state_dirs import places


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 2 when the state directory is unclear, else 0."""
    words = sys.argv[1:] if argv is None else list(argv)
    given = build_parser().parse_args(words)
    try:
        state_dirs = _meant(given, words)
    except StateDirUnclear as unclear:
        every = hint("stop", "--all")
        sys.stderr.write(f"{told(unclear)}\n  {every}   # every one of them\n")
        return int(unclear.exit_code)
    stopped = sum(
        _stop_watching(path, monitor_only=given.monitor_only) for path in state_dirs
    )
    if not given.monitor_only:
        stopped += sum(_stop_serving(path) for path in state_dirs)
    if not stopped:
        sys.stdout.write("Nothing was running.\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="./stop.sh",
        description="Stops the monitor, the workers, the dashboard, then the "
        "embedded server, of the migration that "
        "runs. When several run they are listed, and nothing is stopped. A migration "
        "goes on where it was at the "
        "next start.",
        epilog="Exit status: 0 nothing is running any more; 2 wrong usage, or "
        "several migrations run.",
        allow_abbrev=False,
    )
    parser.subcommand = "stop"
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--state-dir",
        metavar="DIR",
        help="state directory of the migration [default: that of the one that runs; "
        "environment: STATE_DIR]",
    )
    which.add_argument(
        "--all",
        action="store_true",
        help="stop every migration of this user that is known here",
    )
    parser.add_argument(
        "--monitor-only",
        action="store_true",
        help="stop the monitor; workers, dashboard and server go on",
    )
    offer_completion(parser)
    return parser


def _meant(given: argparse.Namespace, words: Sequence[str]) -> list[Path]:
    """Returns the state directories whose processes to stop. Raises StateDirUnclear."""
    values, found = read_settings(given, StateDir)
    named = [values.state_dir.resolve()] if values.state_dir else []
    if named and not given.all:
        return named
    runs = _monitor_runs if given.monitor_only else _something_runs
    known = places.everywhere(found.texts(), PROJECT, runs)
    running = [place for place in known if place.runs]
    if len(running) > 1 and not given.all:
        raise StateDirUnclear(several(running, hint("stop", *words)))
    return list(dict.fromkeys([*(place.state_dir for place in running), *named]))


def _monitor_runs(state_dir: Path) -> bool:
    return monitor(state_dir) is not None


def _something_runs(state_dir: Path) -> bool:
    return bool(alive(everything(state_dir)))


def _stop_watching(state_dir: Path, *, monitor_only: bool) -> int:
    """Ends the monitor first, since it would restart the workers.

    Returns how many ran.
    """
    stopped = stop([monitor(state_dir)])
    if monitor_only:
        return stopped
    stopped += stop(workers(state_dir))
    shown = dashboard(state_dir)
    return stopped + stop([shown and shown.process])


def _stop_serving(state_dir: Path) -> int:
    found = server(state_dir / "bookshelf")
    return stop([found and found.process])


if __name__ == "__main__":
    sys.exit(main())
