"""`python -m deploy.check_env [PROFILE …]`: what .env lacks for these Compose profiles.

Compose itself can only require a variable for all profiles together; the server's
secrets are checked by the server.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence

from common.settings.command_line import read_settings
from common.settings.programs import CheckEnvSettings

_HOW = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
#: Required variables by profile, with what each is for.
NEEDED: dict[str, dict[str, str]] = {
    "": {
        "CALIBRE_LIBRARY": "the folder with Calibre's metadata.db",
        "MBS2_PASSWORD": "the password of MBS2_USERNAME on the server",
    },
    "embedded": {},
    "migrate": {},
    "watch": {},
    "server": {
        "MBS2_CODE": "your checkout of MyBookshelf2",
        "POSTGRES_PASSWORD": f"the password of the database's superuser; {_HOW}",
        "MBS2_DB_PASSWORD": f"the password of the server's own database user; {_HOW}",
        "MBS2_SECRET_KEY": f"signs access tokens; {_HOW}",
        "MBS2_SECRET_KEY2": f"signs refresh tokens; {_HOW}",
        "MBS2_DELEGATED_TOKEN": f"app and backend know each other by it; {_HOW}",
    },
}


def missing(
    environment: Mapping[str, str], profiles: Iterable[str]
) -> list[tuple[str, str]]:
    """Returns the variables not set for these profiles, each with what it is for."""
    needed = [
        item for profile in ("", *profiles) for item in NEEDED.get(profile, {}).items()
    ]
    return [
        (name, what) for name, what in needed if not environment.get(name, "").strip()
    ]


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
