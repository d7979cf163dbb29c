"""`python -m deploy.migrator.serve bookshelf|dashboard [OPTION …]`: what stays in its
container, the embedded server or the page. The options are the program's own."""

import argparse
import os
import sys
from collections.abc import Sequence

from common.settings.command_line import add_options
from common.settings.programs import KeepSettings
from deploy.migrator.keep import Stop, keep, read_or_stay, refuse
from deploy.needed import without
from migration.errors import ExitCode

#: Programs, with the variables they cannot do without in a container.
PROGRAMS = {"bookshelf": ("MBS2_PASSWORD",), "dashboard": ()}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status of the program."""
    given, options = build_parser().parse_known_args(argv)
    stop = Stop.on_signals()
    values, found = read_or_stay(given, KeepSettings, stop)
    for name in PROGRAMS[given.program]:
        # By itself the server would make up a password, which the migration cannot know.
        if found.find(name) is None:
            return refuse(without(name), ExitCode.USAGE, values, stop)
    command = [sys.executable, "-m", given.program, *options]
    return keep(command, os.environ, values, stop)


def build_parser() -> argparse.ArgumentParser:
    """What this program itself wants to know."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.migrator.serve",
        description="Keeps the embedded server or the page running in its container. "
        "Further options are that program's own: python -m bookshelf --help, "
        "python -m dashboard --help.",
        allow_abbrev=False,
    )
    parser.add_argument("program", choices=PROGRAMS, help="what is kept running")
    add_options(parser, KeepSettings)
    return parser


if __name__ == "__main__":
    sys.exit(main())
