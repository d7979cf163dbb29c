"""Where the state of a migration belongs, and which of several directories is meant.

A state directory belongs to one library, known by its id, and one server. The names,
the choice and the sentences are here; who looks at the disk is `migration.state_dirs`.
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
#: What stands for the server that is started with the state directory: its port is not
#: known before. Names of directories are made of it: another text is another directory.
EMBEDDED = "the embedded server"
#: How much of the library's folder name is kept, characters.
NAME_LENGTH = 40
#: The help of --state-dir: where a migration is begun, and where one is looked for.
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
    """A state directory, and whose it is as far as its files tell.

    `library_id` and `server` are what its ledger is bound to, `library` the folder that
    was migrated last; each "" when not known. `server` is as `canonical_server` has it,
    `server_url` as the ledger has it.
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
        """What its server may be called: the embedded one has a URL as well."""
        return self.server, canonical_server(self.server_url)

    def __str__(self) -> str:
        """What it is about, for people."""
        library, server = (
            for_log(text) or "not known" for text in (self.library, self.server)
        )
        return f"{library} to {server}"


def state_root(environment: Mapping[str, str]) -> Path | None:
    """The folder of all state directories; None without a home.

    As the XDG Base Directory Specification says, a path that is not absolute counts for
    nothing.
    """
    given = Path(environment.get("XDG_STATE_HOME", ""))
    if given.is_absolute():
        return given / APPLICATION
    home = Path(environment.get("HOME", ""))
    return home / ".local" / "state" / APPLICATION if home.is_absolute() else None


def directory_name(library: Path, library_id: str, server: str) -> str:
    """`<library folder>-<8 hex>`; the digits are of the library's id and the server.

    The library's id, not its path: so it is what the ledger is bound to, a library that
    is moved keeps its state, and another one that comes in its place gets its own.
    """
    identity = f"{library_id}\n{server}".encode("utf-8", "backslashreplace")
    digits = hashlib.sha256(identity).hexdigest()[:8]
    return f"{_safe(library.name)}-{digits}"


def _safe(name: str) -> str:
    kept = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name))
    return kept[:NAME_LENGTH].strip("-.") or "library"


def canonical_server(url: str) -> str:
    """One spelling for one server: case of the host, default port, slash at the end."""
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


def belonging(
    places: Iterable[Place], library: str, library_id: str, server: str
) -> Place | None:
    """The place this library and server have already; None when they have none.

    By the library's id; or by its folder when the id is another one, for Calibre gives
    a library that it restores a new one: its ledger then asks for --adopt-library."""
    of_server = [place for place in places if server in place.servers]
    same = [place for place in of_server if place.library_id == library_id]
    restored = [place for place in of_server if place.library == library]
    return max(same or restored, key=_recency, default=None)


def meant(places: Sequence[Place], command: str) -> Place | None:
    """The one that runs; when none does, the last one used; None when there is none.

    Raises StateDirUnclear, with `command` for each of those that run.
    """
    running = [place for place in places if place.runs]
    if len(running) > 1:
        raise StateDirUnclear(several(running, command))
    return running[0] if running else max(places, key=_recency, default=None)


def several(places: Sequence[Place], command: str) -> str:
    """The question which of these is meant, with the command for each."""
    lines = [f"{len(places)} migrations run here; name one:"]
    for place in sorted(places, key=_recency, reverse=True):
        lines.append(f"  {command} {option(place.state_dir)}   # {place}")
    return "\n".join(lines)


def option(state_dir: Path) -> str:
    """The option that names a state directory, as a shell takes it."""
    return f"--state-dir {shlex.quote(str(state_dir))}"


def _recency(place: Place) -> tuple[bool, datetime]:
    return place.runs, place.used_at
