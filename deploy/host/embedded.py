"""Starts the embedded server, or finds the running one."""

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from common.settings.load import READ_FILES
from deploy.host import processes
from deploy.host.children import ServerNotStarted, begun
from migration.state_files import embedded

#: Seconds within which it must listen.
START_SECONDS = 30.0


def embedded_server(
    data_dir: Path, environment: Mapping[str, str], undo: ExitStack
) -> tuple[str, dict[str, str], Path]:
    """Starts the embedded server unless it runs; returns its URL, its login and the
    file the login is in.

    `environment` has all of its settings, and the login that its first user gets. Its
    port is that of the last time, because the ledger is bound to the URL.
    `undo` stops it again, if this call has started it. Raises CannotStart,
    LoginFileUnusable, OSError."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = processes.server(data_dir)
    if known is None or known[0].running() is None:
        port = known[1].rpartition(":")[2] if known else "0"
        undo.callback(_stop, data_dir)
        known = _start(data_dir, port, environment)
    login = embedded.login(data_dir)
    # Empty, not left out: who inherits an environment may have another server's in it.
    return (
        known[1],
        {**login.settings(), "MBS2_WS_URL": "", "MBS2_DB_URI": ""},
        data_dir / "credentials",
    )


def _stop(data_dir: Path) -> None:
    known = processes.server(data_dir)
    processes.stop([known[0]] if known else [])


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
