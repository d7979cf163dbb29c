"""`./migrate serve`: starts the embedded server of a migration, and nothing else.

After `./stop.sh` its books can be looked at again, and `--verify` can ask it.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from common.arguments import Parser, offer_completion
from common.errors import told
from common.hints import hint
from common.settings.command_line import read_settings
from common.settings.programs import Capacity
from common.settings.shared import StateDir
from common.state_dir import HELP_FOUND
from deploy import PROJECT
from deploy.host.children import CannotStart, environment_for
from deploy.host.embedded import embedded_server
from migration.errors import Fatal
from migration.state_dirs import resolve


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 it runs, 2 there is none, or it cannot be started."""
    words = sys.argv[1:] if argv is None else list(argv)
    given = build_parser().parse_args(words)
    values, found = read_settings(given, StateDir)
    try:
        state_dir = values.state_dir or resolve.for_command(
            found.texts(), PROJECT, hint("serve", *words)
        )
        data_dir = state_dir.resolve() / "bookshelf"
        if not (data_dir / "bookshelf.db").is_file():
            raise CannotStart(
                f"there is no embedded server in {state_dir}: the books are on the "
                "server that was named at the start"
            )
        with ExitStack() as undo:
            around = environment_for(found, Capacity)
            url, _login, login_file = embedded_server(data_dir, around, undo)
            undo.pop_all()
    except (CannotStart, Fatal) as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code)
    sys.stdout.write(
        f"The books can be looked at on {url}\nThe login is in {login_file}; the "
        f"server runs until\n  {hint('stop', state_dir=state_dir)}\n"
    )
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="./migrate serve",
        description="Starts the embedded server of a migration, unless it runs, and "
        "says where it listens.",
        epilog="exit status: 0 it runs; 2 wrong usage, or there is none to start",
        allow_abbrev=False,
    )
    parser.subcommand = "serve"
    parser.add_argument("--state-dir", metavar="DIR", default=None, help=HELP_FOUND)
    offer_completion(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
