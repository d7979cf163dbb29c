"""Where the state of a migration is kept, and which of several directories is meant.

A state directory belongs to one library, identified by its id, and one server. Names,
choice and messages are here; `migration.state_dirs` reads the disk.
"""

import hashlib
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import StateDirUnclear
from common.sanitize import for_log

#: The folder of all state directories, below the user's folder for state.
APPLICATION = "calibre-to-mybookshelf2"
#: Stands for the server that is started with the state directory, whose port is not
#: known before. It is part of the directory's name: changing it would change the
#: directory.
EMBEDDED = "the embedded server"
#: How many characters of the library's folder name are used.
NAME_LENGTH = 40
#: Help texts of --state-dir: for commands that begin a migration, and for those that
#: look for one.
HELP = "folder of ledger, logs and progress"
HELP_BEGUN = (
    f"{HELP} [default: that of this library and server, below $XDG_STATE_HOME or "
    "~/.local/state; environment: STATE_DIR]"
)
HELP_FOUND = (
    f"{HELP} [default: that of the migration that runs, or else of the last "
    "one; environment: STATE_DIR]"
)
NEVER = datetime.min.replace(tzinfo=UTC)

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """A state directory, and what it belongs to as far as its files show.

    `library_id` and `server` are what its ledger is bound to, `library` is the folder
    that was migrated last; each is "" when not known. `server` is canonical
    (`canonical_server`), `server_url` is as in the ledger.
    """

    state_dir: Path
    library_id: str = ""
    library: str = ""
    server: str = ""
    server_url: str = ""
    used_at: datetime = NEVER
    runs: bool = False

    @property
    def servers(self) -> tuple[str, str]:
        """The names of its server: the embedded one has a URL as well."""
        return self.server, canonical_server(self.server_url)

    def __str__(self) -> str:
        """Returns library and server, for display."""
        library, server = (
            for_log(text) or "not known" for text in (self.library, self.server)
        )
        return f"{library} to {server}"


def state_root(environment: Mapping[str, str]) -> Path | None:
    """Returns the folder of all state directories; None without a home directory.

    As the XDG Base Directory Specification requires, a path that is not absolute is
    ignored.
    """
    given = Path(environment.get("XDG_STATE_HOME", ""))
    if given.is_absolute():
        return given / APPLICATION
    home = Path(environment.get("HOME", ""))
    return home / ".local" / "state" / APPLICATION if home.is_absolute() else None


def directory_name(library: Path, library_id: str, server: str) -> str:
    """Returns `<library folder>-<8 hex>`, a hash of the library's id and the server.

    It uses the library's id rather than its path, because the ledger is bound to the
    id: a library that is moved keeps its state, and another library in its place gets
    its own.
    """
    identity = f"{library_id}\n{server}".encode("utf-8", "backslashreplace")
    digits = hashlib.sha256(identity).hexdigest()[:8]
    return f"{_safe(library.name)}-{digits}"


def _safe(name: str) -> str:
    kept = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name))
    return kept[:NAME_LENGTH].strip("-.") or "library"


def canonical_server(url: str) -> str:
    """Returns one spelling per server: case, default port, trailing slash."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url.strip().rstrip("/")
    if not host:
        return url.strip().rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    named = "" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{shown}{named}{parts.path.rstrip('/')}"


#: Names of this machine that mean the same server, if the port is the same.
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def same_server(one: str, other: str) -> bool:
    """Whether two URLs, or EMBEDDED, mean the same server by what they say."""
    names = [canonical_server(url) for url in (one, other)]
    if names[0] == names[1]:
        return True
    parts = [urlsplit(name) for name in names]
    if any(part.hostname not in _LOOPBACK for part in parts):
        return False
    told = [(part.scheme, part.port, part.path) for part in parts]
    return told[0] == told[1]


def belonging(
    places: Iterable[Place], library: str, library_id: str, server: str
) -> Place | None:
    """Returns the place that this library and server have already; None without one.

    It is found by the library's id, or else by its folder, because Calibre gives a
    library that it restores a new id: its ledger then asks for --adopt-library.
    """
    of_server = [
        place
        for place in places
        if any(same_server(server, name) for name in place.servers)
    ]
    same = [place for place in of_server if place.library_id == library_id]
    restored = [place for place in of_server if place.library == library]
    return max(same or restored, key=_recency, default=None)


def meant(places: Sequence[Place], command: str) -> Place | None:
    """Returns the place that runs, or else the last one used; None when there are none.

    One where a start was refused before its ledger was bound is the last to be meant.
    Raises StateDirUnclear when several run, with `command` for each.
    """
    running = [place for place in places if place.runs]
    if len(running) > 1:
        raise StateDirUnclear(several(running, command))
    return running[0] if running else max(places, key=_last_begun, default=None)


def _last_begun(place: Place) -> tuple[bool, datetime]:
    return bool(place.library_id), place.used_at


def several(places: Sequence[Place], command: str) -> str:
    """Asks which of these is meant, with the command for each."""
    lines = [f"{len(places)} migrations run here; name one:"]
    for place in sorted(places, key=_recency, reverse=True):
        lines.append(f"  {command} {option(place.state_dir)}   # {place}")
    return "\n".join(lines)


def option(state_dir: Path) -> str:
    """Returns the option that names a state directory, quoted for a shell."""
    return f"--state-dir {shlex.quote(str(state_dir))}"


def _recency(place: Place) -> tuple[bool, datetime]:
    return place.runs, place.used_at
