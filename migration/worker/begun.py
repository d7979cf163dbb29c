"""The migration that a command is about: `--verify`, `--undo` and their like.

They find its state directory, library and server, and the login of an embedded server,
by themselves. What is named to them is taken as it is.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.hints import hint
from common.settings.load import Sources
from common.settings.worker import WorkerSettings
from common.state_dir import EMBEDDED, Place, canonical_server
from migration.errors import EmbeddedServerStopped
from migration.state_dirs import places, resolve
from migration.state_files import embedded

#: Modes that do not ask the server.
_OFFLINE = ("dry_run", "export_map")


@dataclass(frozen=True, slots=True)
class Begun:
    """Library and state directory, and the settings that lead to the server."""

    library: Path | None
    state_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Whether the embedded server listens elsewhere than its ledger knows: once that is
    #: proved to be the same server, the ledger follows.
    moved: bool = False


def is_about_one(given: argparse.Namespace) -> bool:
    """Whether these modes need a migration that was begun."""
    return bool(
        given.verify
        or given.recheck
        or given.retry_failed
        or given.dry_run
        or given.undo is not None
        or given.export_map
    )


def find(
    given: argparse.Namespace,
    values: WorkerSettings,
    found: Sources,
    argv: Sequence[str],
    project: Path,
) -> Begun | None:
    """Returns the migration of the state directory, or else of the library, or else
    the one that runs or was used last; None when there is none.

    It may be one to any server, unless a server is named. Raises StateDirUnclear,
    LibraryUnreadable, LoginFileUnusable or EmbeddedServerStopped.
    """
    place = _place(values, found, hint("worker", *argv), project)
    if place is None:
        return None
    library = values.library or (Path(place.library) if place.library else None)
    offline = given.undo is None and any(vars(given)[mode] for mode in _OFFLINE)
    settings = _server(place, values, found, offline=offline)
    url = settings.get("server", "")
    moved = url != place.server_url and embedded.moved(
        place.state_dir / "bookshelf", place.server_url
    )
    return Begun(library, place.state_dir, settings, moved)


def _place(
    values: WorkerSettings, found: Sources, command: str, project: Path
) -> Place | None:
    if values.state_dir is not None:
        return places.at(values.state_dir, found.texts())
    if values.library is None:
        return resolve.running_or_last(found.texts(), project, command)
    named = found.find("MBS2_SERVER")
    server = named[0] if named else None
    return resolve.for_library(values.library, server, found.texts(), project, command)


def _server(
    place: Place, values: WorkerSettings, found: Sources, *, offline: bool
) -> dict[str, str]:
    """Returns the settings of the migration's server, as far as they are not given."""
    named = found.find("MBS2_SERVER") is not None
    same = canonical_server(values.server) in place.servers
    ours = place.server == EMBEDDED
    if named and not same and (not ours or found.given("MBS2_SERVER")):
        # The ledger refuses another server, and says which it belongs to.
        return {}
    if ours and not offline and not (named and same and values.password):
        return _embedded(place.state_dir)
    # Spelled as in its ledger, which knows no other spelling.
    return {"server": place.server_url} if place.server_url else {}


def _embedded(state_dir: Path) -> dict[str, str]:
    """Returns where the embedded server listens, and its login."""
    data_dir = state_dir / "bookshelf"
    url = embedded.running_url(data_dir)
    if not url:
        raise EmbeddedServerStopped(
            f"the embedded server of {state_dir} does not run; "
            f"{hint('serve', state_dir=state_dir)} starts it"
        )
    login = embedded.login(data_dir)
    # What .env says of another server is not for this one.
    return {
        "server": url,
        "username": login.username,
        "password": login.password,
        "ws_url": "",
        "db_uri": "",
    }
