"""The state directory of a start: choosing it, and making it easy to find."""

import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from auto_monitor.record.history import HistoryFile, history_path
from common import known_dirs
from common.errors import StateUnwritable
from common.known_dirs import Use
from common.settings.programs import StartSettings
from common.state_dir import state_root
from deploy.host import links, usable
from migration.calibre.lock_wait import LockWait
from migration.ledger import totals
from migration.state_dirs import resolve
from migration.state_dirs.resolve import Chosen
from migration.state_files.logs import log_files, log_path
from migration.state_files.names import LEDGER_NAME

#: What a user can do who may not write a state directory.
ANOTHER = "give this user the right to write there, or give another --state-dir"


def choose(
    given: StartSettings,
    library: Path,
    environment: Mapping[str, str],
    project: Path,
    say: Callable[[str], None],
    *,
    rebind: bool = False,
) -> Chosen:
    """Returns the named directory, or else that of this library and server.

    To `rebind`: that of this library and the server's old address.
    Waits for a library that Calibre has locked. Raises StateDirUnclear or
    LibraryUnreadable.
    """
    if given.state_dir is not None:
        return Chosen(given.state_dir.resolve())
    wait = LockWait(say, seconds=given.library_lock_seconds)
    find = resolve.for_rebinding if rebind else resolve.for_migration
    chosen = find(library, given.server, environment, project, wait.read)
    if chosen.note:
        say(chosen.note)
    return chosen


def is_known(given: StartSettings) -> bool:
    """Whether something was migrated here before: then the library is one, wherever it
    may be now.

    Without a named state directory that cannot be known: the default depends on what is
    in the library.
    """
    place = given.state_dir
    return place is not None and (place.resolve() / LEDGER_NAME).exists()


def prepare(state_dir: Path, project: Path, way_out: str = ANOTHER) -> str:
    """Creates the directory, private to this user.

    Returns a warning if others can read it. Raises StateUnwritable, with `way_out`.
    """
    usable.make(state_dir, way_out=way_out)
    if state_dir == project:
        # What is written there must not go through links into another migration's logs.
        links.clear(project)
    mode = stat.S_IMODE(state_dir.stat().st_mode)
    if not mode & stat.S_IRWXO:
        return ""
    return (
        f"{state_dir} is open to all users of this machine (mode {mode:04o}); "
        "chmod o-rwx closes it"
    )


def bound_server(state_dir: Path) -> str:
    """Returns the URL that the ledger is bound to; "" when there is none yet."""
    with suppress(*totals.UNREADABLE):
        return totals.bound_to(state_dir / LEDGER_NAME)[1]
    return ""


def use_of(state_dir: Path, library: Path, server: str, now: datetime) -> Use:
    """Returns the entry for the index, once the ledger is bound."""
    library_id = ""
    with suppress(*totals.UNREADABLE):
        library_id, _server = totals.bound_to(state_dir / LEDGER_NAME)
    return Use(state_dir, str(library), library_id, server, now)


def leave_traces(
    use: Use,
    workers: int,
    environment: Mapping[str, str],
    checkout: Path | None,
) -> list[str]:
    """Notes the directory and links its logs in the checkout, if it has one; says what
    was not possible.

    Nothing here stops a start.
    """
    told = [_note(use, environment)]
    state_dir = use.state_dir
    if checkout not in (None, state_dir):
        names = _files(state_dir, workers, use.used_at, told.append)
        told.append(_unlinked(links.point(checkout, state_dir, names), checkout))
    return [text for text in told if text]


def _note(use: Use, environment: Mapping[str, str]) -> str:
    root = state_root(environment)
    # A home inside the state directory is a container's, where it is of no use.
    if root is None or root.is_relative_to(use.state_dir):
        return ""
    try:
        known_dirs.note(root, use)
    except (StateUnwritable, OSError) as error:
        return f"{use.state_dir} is not noted, so name it to every command: {error}"
    return ""


def _files(
    state_dir: Path, workers: int, now: datetime, tell: Callable[[str], None]
) -> list[str]:
    """Returns the names to link; creates missing files, so that no link dangles."""
    logs = [log_path(state_dir, number).name for number in range(1, workers + 1)]
    older = (
        path.name for path, _number in log_files(state_dir) if path.suffix == ".log"
    )
    logs = list(dict.fromkeys([*logs, *older]))
    for name in (*logs, *(name for name in links.MONITORS if name.endswith(".log"))):
        # The program that writes it will report the reason.
        with suppress(OSError):
            (state_dir / name).touch(mode=0o600)
    with suppress(StateUnwritable):
        HistoryFile(history_path(state_dir), tell=tell).begin(now)
    return [*links.MONITORS, *logs]


def _unlinked(problems: Mapping[str, str], project: Path) -> str:
    if not problems:
        return ""
    name, reason = next(iter(problems.items()))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"There is no link {project / name}{more}: {reason}"
