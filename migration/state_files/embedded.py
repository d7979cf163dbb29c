"""The embedded server of a migration: where it listens, and its login.

The server writes both files into its data directory, `bookshelf/` of the state
directory: `server.json` whenever it starts, `credentials` when its user gets a password.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from common.clock import birth_of
from common.files.json_files import read_json, write_json
from common.hints import hint
from common.json_value import Json
from migration.errors import LoginFileUnusable

#: Seconds by which recorded and measured start times may differ, where the system has
#: no better identity of a process.
_START_TOLERANCE = 2.0
#: The file of the URLs it had before it came to listen on another port.
FORMER_URLS = "former_urls.json"
_MOST_URLS = 50


@dataclass(frozen=True, slots=True)
class Login:
    """The user of the embedded server."""

    username: str
    password: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """Returns it by the names of its settings."""
        return {"MBS2_USERNAME": self.username, "MBS2_PASSWORD": self.password}


def running_url(data_dir: Path) -> str:
    """Returns where it listens now; "" when it does not run.

    Another process may have got its port, and must not be told its password.
    """
    record = _record(data_dir)
    return str(record.get("url") or "") if _lives(record) else ""


def urls(data_dir: Path) -> tuple[str, ...]:
    """Returns where it has listened, the last one at the end; the ledger knows one."""
    record = _record(data_dir)
    former = (read_json(data_dir / FORMER_URLS), record.get("former"))
    known = [url for texts in former if isinstance(texts, list) for url in texts]
    last = record.get("url")
    return tuple(
        dict.fromkeys(str(url) for url in [*known, last] if url and url != last)
    ) + ((str(last),) if last else ())


def moved(data_dir: Path, known: str) -> bool:
    """Whether the URL that a ledger knows is one where it has listened before."""
    return known in urls(data_dir) and known != _record(data_dir).get("url")


def keep_url(data_dir: Path) -> None:
    """Keeps its last URL among the former ones, before it gets another one.

    Raises StateUnwritable.
    """
    known = list[Json](urls(data_dir)[-_MOST_URLS:])
    write_json(data_dir / FORMER_URLS, known)


def _record(data_dir: Path) -> dict[str, Json]:
    value = read_json(data_dir / "server.json")
    return value if isinstance(value, dict) else {}


def _lives(record: dict[str, Json]) -> bool:
    """Whether the process that wrote the record is alive."""
    pid, birth = record.get("pid"), record.get("birth")
    if not isinstance(pid, int):
        return False
    with suppress(psutil.Error, ValueError, TypeError):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if birth and birth_of(pid):
            return birth_of(pid) == birth
        started = datetime.fromtimestamp(process.create_time(), tz=UTC)
        recorded = datetime.fromisoformat(str(record.get("pid_started_at")))
        return abs((started - recorded).total_seconds()) <= _START_TOLERANCE
    return False


def login(data_dir: Path) -> Login:
    """Returns user name and password. Raises LoginFileUnusable, with what to do."""
    credentials = data_dir / "credentials"
    try:
        text = credentials.read_text("utf-8")
    except PermissionError as error:
        raise LoginFileUnusable(
            f"cannot read {credentials}, the login of the embedded server: "
            f"{error.strerror}; give this user the right "
            "to read it"
        ) from None
    except FileNotFoundError:
        raise _without(data_dir, "is gone") from None
    except IsADirectoryError:
        raise _without(data_dir, "is a directory: move it away") from None
    except UnicodeDecodeError:
        raise _without(data_dir, "is damaged") from None
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if not (lines.get("username") and lines.get("password")):
        raise _without(data_dir, "is damaged")
    return Login(lines["username"], lines["password"])


def _without(data_dir: Path, why: str) -> LoginFileUnusable:
    """Returns the refusal; the login cannot be restored without a new password.

    The server keeps only a hash of the password.
    """
    state_dir = data_dir.parent
    return LoginFileUnusable(
        f"{data_dir / 'credentials'}, the login of the embedded server, "
        f"{why}. Give it a password, the old one or a new one: "
        f"{hint('stop', state_dir=state_dir)}, then MBS2_PASSWORD=… "
        f"{hint('start', state_dir=state_dir)}"
    )
