"""Which state directory is meant when none was named."""

import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from common.known_dirs import Use
from common.sanitize import sanitize_text
from common.state_dir import (
    EMBEDDED,
    Place,
    belonging,
    canonical_server,
    directory_name,
    meant,
    option,
    state_root,
)
from migration.calibre.connection import connect, readable
from migration.errors import NotALibrary, StateDirUnclear
from migration.state_dirs import places

#: Seconds to wait, each time, for a Calibre that has locked its library.
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A state directory for a migration; `place` is set when it holds one already."""

    state_dir: Path
    place: Place | None = None
    note: str = ""


def for_migration(
    library: Path,
    server: str | None,
    environment: Mapping[str, str],
    project: Path,
    wait: Callable[[Callable[[], str]], str] = lambda work: work(),
) -> Chosen:
    """Chooses the one for this library and this server, by default the embedded one.

    `wait` calls the function that reads the library's id, again if necessary. Raises
    StateDirUnclear without a home directory, LibraryUnreadable or LibraryBusy.
    """
    known = places.real(environment, project)
    folder = library.expanduser().resolve()
    library_id = wait(lambda: library_id_of(folder))
    name = EMBEDDED if server is None else canonical_server(server)
    place = belonging(known, str(folder), library_id, name)
    if place is not None:
        return Chosen(place.state_dir, place, _going_on(place, environment, project))
    root = state_root(environment)
    if root is None:
        raise StateDirUnclear(
            "there is no home for the state of this migration: HOME and XDG_STATE_HOME "
            "are not set; give --state-dir DIR, or set STATE_DIR"
        )
    state_dir = root / directory_name(folder, library_id, name)
    lost = [
        use
        for use in places.gone(environment)
        if (use.library_id, use.server) == (library_id, name)
    ]
    note = (
        _lost(lost, state_dir)
        or _elsewhere(known, library_id, name, state_dir)
        or _beside(known, project, state_dir)
    )
    return Chosen(state_dir, None, note)


def for_rebinding(
    library: Path,
    server: str | None,
    environment: Mapping[str, str],
    project: Path,
    wait: Callable[[Callable[[], str]], str] = lambda work: work(),
) -> Chosen:
    """Chooses the migration of this library whose server has this new address.

    Raises StateDirUnclear when there is none, or more than one; LibraryUnreadable or
    LibraryBusy.
    """
    folder = library.expanduser().resolve()
    library_id = wait(lambda: library_id_of(folder))
    known = places.real(environment, project)
    there = belonging(known, str(folder), library_id, canonical_server(server or ""))
    if there is not None:
        return Chosen(there.state_dir, there, _going_on(there, environment, project))
    moved = _on_servers(known, library_id)
    if len(moved) == 1:
        # The new address is what is asked for; the place's is the old one.
        return Chosen(moved[0].state_dir)
    if not moved:
        raise StateDirUnclear(
            f"nothing was migrated from {folder} to a server that could have moved; "
            "start without --rebind, or name the state directory: --state-dir DIR"
        )
    listed = "\n".join(f"  {option(place.state_dir)}   # {place}" for place in moved)
    raise StateDirUnclear(
        f"{folder} was migrated to several servers; name the one that moved:\n{listed}"
    )


def _going_on(place: Place, environment: Mapping[str, str], project: Path) -> str:
    root = state_root(environment)
    if root is not None and place.state_dir.is_relative_to(root.resolve()):
        return ""
    why = "which an earlier version left there" if place.state_dir == project else ""
    return f"Going on with the state in {place.state_dir}{', ' + why if why else ''}."


def _lost(lost: Sequence[Use], state_dir: Path) -> str:
    """Returns the message for a migration that was kept elsewhere before, or ""."""
    if not lost:
        return ""
    return (
        f"The state of this migration was in {lost[-1].state_dir}, which is not there any "
        f"more (is its disk mounted?); it begins anew in {state_dir}."
    )


def _on_servers(known: Sequence[Place], library_id: str) -> list[Place]:
    """Returns the migrations of a library to servers that have addresses."""
    return [
        place
        for place in known
        if place.library_id == library_id and place.server not in ("", EMBEDDED)
    ]


def _elsewhere(
    known: Sequence[Place], library_id: str, server: str, state_dir: Path
) -> str:
    """Returns a new directory's message if the library is on another server, or ""."""
    others = [] if server == EMBEDDED else _on_servers(known, library_id)
    if not others or state_dir.exists():
        return ""
    return (
        f"This library was migrated to {others[-1].server} before; its migration to "
        f"{server} is another one, in {state_dir}. If it is the same server at a new "
        "address: stop this, and start once with --rebind."
    )


def _beside(known: list[Place], project: Path, state_dir: Path) -> str:
    """Returns a new directory's message if the checkout holds other state, or ""."""
    old = next((place for place in known if place.state_dir == project), None)
    if old is None or state_dir.exists():
        return ""
    return f"The state in {project} is that of {old}; this one is in {state_dir}."


def for_library(
    library: Path,
    server: str | None,
    environment: Mapping[str, str],
    project: Path,
    command: str,
) -> Place | None:
    """Returns the migration of this library (and server, if named) for a command.

    The one whose workers run, or else the last one used; None when there is none.
    Raises StateDirUnclear when several run, and LibraryUnreadable.
    """
    folder = library.expanduser().resolve()
    library_id = library_id_of(folder)
    name = None if server is None else canonical_server(server)
    of_library = [
        place
        for place in places.everywhere(environment, project)
        if (place.library_id == library_id or place.library == str(folder))
        and (name is None or name in place.servers)
    ]
    return meant(of_library, command)


def for_command(
    environment: Mapping[str, str],
    project: Path,
    command: str,
    runs: places.Runs = places.workers_run,
) -> Path:
    """Returns the migration that runs, or else the last one used, which it reports.

    `command` is what was called, for the list when several run. Raises StateDirUnclear,
    also when nothing was migrated yet.
    """
    place = running_or_last(environment, project, command, runs)
    if place is None:
        raise StateDirUnclear(
            "nothing was migrated yet, as far as can be seen; if it was, give --state-dir"
        )
    return place.state_dir


def running_or_last(
    environment: Mapping[str, str],
    project: Path,
    command: str,
    runs: places.Runs = places.workers_run,
) -> Place | None:
    """As `for_command`; None when nothing was migrated yet."""
    place = meant(places.everywhere(environment, project, runs), command)
    if place is not None and not place.runs:
        sys.stderr.write(f"Nothing runs; the last one used is {place.state_dir}\n")
    return place


def library_id_of(library: Path) -> str:
    """Returns the id Calibre gave a library.

    Raises LibraryUnreadable or LibraryBusy.
    """
    with tempfile.TemporaryDirectory(prefix="calibre-library-") as private:
        # A copy is made there only if a crashed writer must be rolled back.
        db, _copied = connect(library, Path(private), _BUSY_SECONDS)
        with closing(db), readable(library / "metadata.db"):
            return _library_id(db, library)


def _library_id(db: sqlite3.Connection, library: Path) -> str:
    there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'library_id'")
    row = None
    if there.fetchone():
        row = db.execute("SELECT uuid FROM library_id LIMIT 1").fetchone()
    if not row or not row[0]:
        raise NotALibrary(
            f"{library / 'metadata.db'} has no library id; open the library once in "
            "Calibre, which gives it one"
        )
    return sanitize_text(row[0])
