"""`python3 -m deploy.check_env [PROFILE …]`: what `.env` lacks for Compose's profiles, and
which of its lines Compose reads otherwise than they look.

Compose can only require a variable for all profiles and commands together. This runs where
nothing is installed: only the standard library, and nothing newer than Python 3.8.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.settings import secret_files
from deploy.env_file import Entry, entries
from deploy.needed import NEEDED, SECRETS, missing

PROJECT = Path(__file__).resolve().parents[1]
PROFILES = tuple(sorted(name for name in NEEDED if name))
DEFAULT = "embedded,migrate"
_VARIABLE, _READ_FILES = "COMPOSE_PROFILES", "READ_ENV_FILES"
_SWITCH = {"1": True, "true": True, "yes": True, "on": True}
_SWITCH.update({"0": False, "false": False, "no": False, "off": False})


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each thing that is wrong; returns 1 when there are any."""
    given = read_arguments(argv)
    try:
        found = _entries(PROJECT / ".env")
        known = {**{one.name: one.value for one in found}, **os.environ}
        profiles = _profiles(given.profiles, known)
    except _Refused as reason:
        sys.stderr.write(f"{reason} [wrong-setting]\n")
        return 2
    said = [
        *(line for one in found for line in remarks(one, known)),
        *files(known),
        *(
            f"{name} is missing in .env: {what}"
            for name, what in missing(known, profiles)
        ),
    ]
    for line in said:
        sys.stderr.write(f"{line}\n")
    return 1 if said else 0


class _Refused(Exception):
    """Wrong usage; the message says what."""


def _entries(path: Path) -> list[Entry]:
    switch = os.environ.get(_READ_FILES, "").strip() or "1"
    if switch.lower() not in _SWITCH:
        where = "it comes from the environment"
        raise _Refused(f"{_READ_FILES}={switch!r} is not 1 or 0; {where}")
    if not _SWITCH[switch.lower()] or not path.exists():
        return []
    try:
        return list(entries(path.read_text("utf-8"), os.environ))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        said = f"{path} cannot be read: {reason}; correct it or move it away"
        raise _Refused(said) from error


def _profiles(given: str, known: Mapping[str, str]) -> list[str]:
    text = given or known.get(_VARIABLE, "").strip() or DEFAULT
    profiles = [word.strip().lower() for word in text.split(",") if word.strip()]
    if profiles and not set(profiles) - set(PROFILES):
        return profiles
    names = "one or more of " + ", ".join(PROFILES) + ", between commas"
    where = str(PROJECT / ".env")
    if given:
        where = "option PROFILES"
    elif os.environ.get(_VARIABLE, "").strip():
        where = "the environment"
    raise _Refused(f"{_VARIABLE}={text!r} is not {names}; it comes from {where}")


def remarks(one: Entry, known: Mapping[str, str]) -> Iterator[str]:
    """Yields what Compose makes of a line that nobody would expect. Shows no value."""
    quoted = "; in single quotes it stays as it is ('…', a single quote as \\')"
    at = f"{one.name} (.env, line {one.line})"
    if one.broken:
        yield f"{at}: Compose refuses the whole file, since {one.broken}{quoted}"
    if one.after_quote:
        yield f"{at}: Compose leaves out what follows the closing quote"
    if one.name not in SECRETS:
        unset = [name for name in one.replaced if name not in known]
        for name in unset:
            yield f"{at}: Compose puts nothing in for ${name}, which is not set{quoted}"
        return
    if one.replaced and not any(one.value == known.get(n) for n in one.replaced):
        yield f"{at}: Compose puts a variable in for its ${quoted}"
    if one.dollars:
        yield f"{at}: $$ is one $ for Compose{quoted}"
    if one.comment:
        yield f"{at}: what follows its blank and # is a comment for Compose{quoted}"
    if one.escapes:
        yield f"{at}: a backslash between double quotes changes what follows{quoted}"


def files(known: Mapping[str, str]) -> Iterator[str]:
    """Yields what is wrong with the files of secrets."""
    for name in SECRETS:
        place = known.get(f"{name}_FILE", "").strip()
        if not place:
            continue
        if known.get(name, "").strip():
            yield f"{name} and {name}_FILE are both set; leave one of them out"
            continue
        try:
            secret_files.read(place, PROJECT)
        except secret_files.Unusable as reason:
            yield f"{name}_FILE={place} {reason}"


def read_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments; the profiles as the variable has them."""
    given = build_parser().parse_args(argv)
    given.profiles = ",".join(given.profiles)
    return given


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text."""
    parser = argparse.ArgumentParser(
        prog="python3 -m deploy.check_env",
        description="Reports what .env lacks for profiles of docker-compose.yml, and which "
        "of its passwords Compose reads otherwise than they look.",
        epilog="Exit status: 0 nothing is wrong, 1 something is, 2 wrong usage.",
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
