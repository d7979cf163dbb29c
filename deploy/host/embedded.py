"""Starts the embedded server, or finds the running one."""

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from common.settings.load import READ_FILES
from deploy.host import processes
from deploy.host.children import (
    CannotStart,
    LoginFileUnusable,
    ServerNotStarted,
    begun,
)

#: Seconds within which it must listen.
START_SECONDS = 30.0


def embedded_server(
    data_dir: Path, environment: Mapping[str, str], undo: ExitStack
) -> tuple[str, dict[str, str], Path]:
    """Starts the embedded server unless it runs; returns its URL, its login and the
    file the login is in.

    `environment` has all of its settings, and the login that its first user gets. Its
    port is that of the last time, because the ledger is bound to the URL.
    `undo` stops it again, if this call has started it. Raises CannotStart, OSError."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = processes.server(data_dir)
    if known is None or known[0].running() is None:
        port = known[1].rpartition(":")[2] if known else "0"
        undo.callback(_stop, data_dir)
        known = _start(data_dir, port, environment)
    credentials = data_dir / "credentials"
    # Empty, not left out: who inherits an environment may have another server's in it.
    return (
        known[1],
        {**_login(credentials), "MBS2_WS_URL": "", "MBS2_DB_URI": ""},
        credentials,
    )


def _stop(data_dir: Path) -> None:
    known = processes.server(data_dir)
    processes.stop([known[0]] if known else [])


def _login(credentials: Path) -> dict[str, str]:
    """Returns user name and password of the embedded server.

    Raises CannotStart, with how to get a login.
    """
    try:
        text = credentials.read_text("utf-8")
    except PermissionError as error:
        raise LoginFileUnusable(
            f"cannot read {credentials}, the login of the embedded server: "
            f"{error.strerror}; give this user the right "
            "to read it"
        ) from None
    except FileNotFoundError:
        raise _without_login(credentials, "is gone") from None
    except IsADirectoryError:
        raise _without_login(credentials, "is a directory: move it away") from None
    except UnicodeDecodeError:
        raise _without_login(credentials, "is damaged") from None
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if not (lines.get("username") and lines.get("password")):
        raise _without_login(credentials, "is damaged")
    return {"MBS2_USERNAME": lines["username"], "MBS2_PASSWORD": lines["password"]}


def _without_login(credentials: Path, why: str) -> CannotStart:
    """Returns the refusal; the login cannot be restored without a new password.

    The server keeps only a hash of the password.
    """
    return LoginFileUnusable(
        f"{credentials}, the login of the embedded server, {why}. Give it a "
        "password, the old one or a new one: "
        "./stop.sh, then MBS2_PASSWORD=… ./start.sh"
    )


def _start(
    data_dir: Path, port: str, environment: Mapping[str, str]
) -> tuple[processes.Recorded, str]:
    log = data_dir / "server.log"
    command = [
        sys.executable,
        "-m",
        "bookshelf",
        "--data-dir",
        str(data_dir),
        "--port",
        port,
    ]
    # The login in .env is that of another server.
    around = {**environment, READ_FILES: "0"}
    with log.open("ab") as output, begun(command, around, output) as child:
        return _await(data_dir, child, log)


def _await(
    data_dir: Path, child: "subprocess.Popen[bytes]", log: Path
) -> tuple[processes.Recorded, str]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        known = processes.server(data_dir)
        if known is not None and known[0].pid == child.pid:
            return known
        if child.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()
            raise ServerNotStarted(
                "the embedded server did not start: "
                f"{last[-1] if last else 'no reason given'} (see {log})"
            )
        time.sleep(0.05)
    raise ServerNotStarted(
        f"the embedded server did not listen within {START_SECONDS:g} s; see {log}"
    )
