"""What surrounds a migration that has ended: its own server, the demo, what to type."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auto_monitor import config
from auto_monitor.decide.end_page import Commands
from common.files.json_files import read_json
from common.hints import hint
from common.settings.load import load, sources
from common.settings.shared import Told
from common.state_dir import EMBEDDED, Place, state_root
from migration.state_dirs import places
from migration.state_files import embedded

_DEMO = config.PROJECT / "demo"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`server` is where people find it, "" when that is where the workers do; `login` is
    the file with the embedded one's login, or "". `meant` are failures that the demo is
    made to have.
    """

    server: str
    login: str
    meant: Mapping[str, int]
    commands: Commands


def of(state_dir: Path, library: str, paused: Sequence[int]) -> Surroundings:
    """Returns them for a state directory, the library migrated last, paused workers."""
    server = embedded.running_url(state_dir / "bookshelf")
    place = places.at(state_dir, os.environ)
    told = load(Told, sources(config.PROJECT, os.environ))
    ours = place is not None and place.server == EMBEDDED
    return Surroundings(
        server=server or ("" if ours else told.shelf_url),
        login=_login(state_dir),
        meant=_meant(library),
        commands=Commands()
        if place is None
        else replace(
            _commands(place, paused, serves=bool(server)),
            **_how_to_begin(place, library, told.migrate_start),
        ),
    )


def _meant(library: str) -> Mapping[str, int]:
    """Returns the failures that the demo's library is made to have."""
    if not library or Path(library).resolve() != _DEMO / "library":
        return {}
    expected = read_json(_DEMO / "expected.json")
    first = expected.get("first_run") if isinstance(expected, dict) else None
    meant = first.get("failed") if isinstance(first, dict) else None
    if not isinstance(meant, dict):
        return {}
    return {reason: n for reason, n in meant.items() if isinstance(n, int)}


def _login(state_dir: Path) -> str:
    path = state_dir / "bookshelf" / "credentials"
    return str(path) if path.is_file() else ""


def _commands(place: Place, paused: Sequence[int], *, serves: bool) -> Commands:
    """Returns the commands for this migration; `serves`: its own server runs."""
    state_dir = place.state_dir
    stopped = place.server == EMBEDDED and not serves
    return Commands(
        retry=hint("retry", state_dir=state_dir),
        resume=hint("resume", str(paused[0]), state_dir=state_dir) if paused else "",
        stop=hint("stop", state_dir=state_dir) if serves else "",
        serve=hint("serve", state_dir=state_dir) if stopped else "",
    )


def _how_to_begin(place: Place, library: str, given: str) -> dict[str, str]:
    """Returns the commands that begin this migration again; `given` says how, or ""."""
    if given:
        return {"start": given, "prefer": f"MIGRATE_PREFER=calibre {given}"}
    root = state_root(os.environ)
    named: Path | None = place.state_dir
    if place.state_dir == _DEMO / "state":
        words, named = ["--demo"], None
    else:
        words = ["--library", place.library or library or "DIR"]
        if place.server != EMBEDDED:
            words += ["--server", place.server_url or "URL"]
        if root is not None and place.state_dir.parent == root:
            # Library and server lead there.
            named = None
    return {
        "start": hint("start", *words, state_dir=named),
        "prefer": hint("start", *words, "--prefer", "calibre", state_dir=named),
    }
