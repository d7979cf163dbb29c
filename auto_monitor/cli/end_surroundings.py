"""What surrounds a migration that has ended: its own server, the demo, what to type."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auto_monitor import config
from auto_monitor.decide.end_page import Commands
from common.files.json_files import read_json
from common.hints import hint
from common.state_dir import EMBEDDED, Place, state_root
from migration.state_dirs import places
from migration.state_files import embedded

_DEMO = config.PROJECT / "demo"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`server` is where the embedded one listens now, `login` the file with its login;
    each is "" without one. `meant` are failures that the demo is made to have.
    """

    server: str
    login: str
    meant: Mapping[str, int]
    commands: Commands


def of(state_dir: Path, library: str, paused: Sequence[int]) -> Surroundings:
    """Returns them for a state directory, the library migrated last, paused workers."""
    server = embedded.running_url(state_dir / "bookshelf")
    place = places.at(state_dir)
    return Surroundings(
        server=server,
        login=_login(state_dir),
        meant=_meant(library),
        commands=_commands(place, library, paused, serves=bool(server)),
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


def _commands(
    place: Place | None, library: str, paused: Sequence[int], *, serves: bool
) -> Commands:
    """Returns the commands for this migration; `serves`: its own server runs."""
    if place is None:
        return Commands()
    state_dir = place.state_dir
    begin = _how_to_begin(place, library)
    return Commands(
        start=hint("start", *begin.words, state_dir=begin.state_dir),
        prefer=hint(
            "start", *begin.words, "--prefer", "calibre", state_dir=begin.state_dir
        ),
        retry=hint("retry", state_dir=state_dir),
        resume=hint("resume", str(paused[0]), state_dir=state_dir) if paused else "",
        stop=hint("stop", state_dir=state_dir) if serves else "",
        serve=hint("serve", state_dir=state_dir)
        if place.server == EMBEDDED and not serves
        else "",
    )


@dataclass(frozen=True, slots=True)
class _Begin:
    """The words that begin this migration again; a directory that must be named."""

    words: tuple[str, ...]
    state_dir: Path | None = None


def _how_to_begin(place: Place, library: str) -> _Begin:
    if place.state_dir == _DEMO / "state":
        return _Begin(("--demo",))
    words = ["--library", place.library or library or "DIR"]
    if place.server != EMBEDDED:
        words += ["--server", place.server_url or "URL"]
    root = state_root(os.environ)
    found_alone = root is not None and place.state_dir.parent == root
    return _Begin(tuple(words), None if found_alone else place.state_dir)
