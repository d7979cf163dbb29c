"""`python -m deploy.check_env [PROFILE …]`: what .env lacks for these Compose profiles.

Compose itself can only require a variable for all profiles together; the server's
secrets are checked by the server.
"""

import argparse
import sys
from collections.abc import Sequence

from common.settings.command_line import read_settings
from common.settings.programs import CheckEnvSettings
from deploy.needed import NEEDED, missing


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each missing variable; returns 1 when there are any."""
    values, found = read_settings(read_arguments(argv), CheckEnvSettings)
    profiles = [name for name in NEEDED if name in values.profiles]
    lacking = missing(found.texts(), profiles)
    for name, what in lacking:
        sys.stderr.write(f"{name} is missing in .env: {what}\n")
    return 1 if lacking else 0


def read_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments; the profiles as the variable has them."""
    given = build_parser().parse_args(argv)
    given.profiles = ",".join(given.profiles)
    return given


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.check_env",
        description="Reports what .env lacks for profiles of docker-compose.yml.",
        epilog="Exit status: 0 nothing is missing, 1 something is, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "profiles",
        nargs="*",
        metavar="PROFILE",
        help="server, embedded, migrate, watch [default: embedded migrate; environment: "
        "COMPOSE_PROFILES, by commas]",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
