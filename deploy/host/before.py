"""What a start is about that names only a state directory."""

import argparse
from dataclasses import replace
from pathlib import Path

from common.settings.command_line import read_settings
from common.settings.load import Sources
from common.settings.programs import StartSettings
from common.state_dir import EMBEDDED
from migration.state_dirs import places


def read_start(given: argparse.Namespace) -> tuple[StartSettings, Sources]:
    """Returns what a start is about, and where that is from.

    Ends the process with a line for each wrong setting, and 2.
    """
    values, found = read_settings(given, StartSettings)
    return as_before(values, found), found


def as_before(given: StartSettings, found: Sources) -> StartSettings:
    """Returns the settings with the library and server of the named state directory.

    Its ledger is bound to them, so that `--state-dir` alone goes on with a migration.
    What is named counts, but for a server in .env when the option names the directory
    of an embedded one.
    """
    place = places.at(given.state_dir, found.texts()) if given.state_dir else None
    if place is None:
        return given
    library = given.library or (Path(place.library) if place.library else None)
    server = given.server
    if place.server == EMBEDDED:
        if found.given("STATE_DIR") and not found.given("MBS2_SERVER"):
            server = None
    elif server is None:
        server = place.server_url or None
    return replace(given, library=library, server=server)
