"""Starts the embedded server, or finds the running one."""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from common.hints import hint
from common.settings.load import READ_FILES
from deploy.host import processes
from deploy.host.children import (
    CannotStart,
    ServerNotStarted,
    begun,
    comes_up,
    last_words,
)
from migration.state_files import embedded

#: Its port at first, if that is free.
DEFAULT_PORT = 6006
#: Seconds within which it must listen.
START_SECONDS = 30.0
#: How it says that its port is taken.
_TAKEN = "cannot listen on"


@dataclass(frozen=True, slots=True)
class Port:
    """The port that is asked for (None: nobody did; 0: any), and who is told of another.

    Who gives none wants the server where it was.
    """

    asked: int | None
    say: Callable[[str], None]


def embedded_server(
    data_dir: Path,
    environment: Mapping[str, str],
    undo: ExitStack,
    port: Port | None = None,
) -> tuple[str, dict[str, str], Path]:
    """Starts the embedded server unless it runs; returns its URL, its login and the
    file the login is in.

    `environment` has all of its settings, and the login that its first user gets.
    Without `port` its port is that of the last time.
    `undo` stops it again, if this call has started it. Raises CannotStart,
    LoginFileUnusable, OSError."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = processes.server(data_dir)
    asked = port.asked if port else None
    if known is None or known.process.running() is None:
        undo.callback(_stop, data_dir)
        known = _on_a_port(data_dir, known and known.url, environment, port)
    elif asked and asked != _port_of(known.url):
        raise CannotStart(
            f"the embedded server runs on {known.url}: "
            f"{hint('stop', state_dir=data_dir.parent)} ends it, then start it with "
            f"--embedded-port {asked}"
        )
    login = embedded.login(data_dir)
    # Empty, not left out: who inherits an environment may have another server's in it.
    return (
        known.url,
        {**login.settings(), "MBS2_WS_URL": "", "MBS2_DB_URI": ""},
        data_dir / "credentials",
    )


def has_moved(data_dir: Path, known: str) -> bool:
    """Whether the URL that a ledger knows is an earlier one of this server."""
    return embedded.moved(data_dir, known)


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def _on_a_port(
    data_dir: Path, url: str | None, environment: Mapping[str, str], port: Port | None
) -> processes.Served:
    """Starts it on the port that is asked for, or else that of the last time.

    If that is taken it gets another one, where somebody is told and the ledger follows.
    """
    last = _port_of(url) if url else None
    asked = port.asked if port else None
    usual = DEFAULT_PORT if port and asked is None else 0
    wanted = asked or last or usual
    if url and wanted != last:
        _refuse_to_leave(data_dir, f"--embedded-port {wanted}")
        embedded.keep_url(data_dir)
    try:
        return _start(data_dir, str(wanted), environment)
    except ServerNotStarted as error:
        if _TAKEN not in str(error):
            raise
    taken = f"port {wanted} is taken by another program"
    if port is None or asked:
        raise ServerNotStarted(
            f"{taken}: end that one, or start with another --embedded-port"
        )
    if url:
        _refuse_to_leave(data_dir, taken)
        embedded.keep_url(data_dir)
    found = _start(data_dir, "0", environment)
    port.say(f"{taken.capitalize()}: the embedded server listens on {found.url}.")
    return found


def _refuse_to_leave(data_dir: Path, why: str) -> None:
    """Raises CannotStart while workers wait for the server at its last address."""
    if processes.alive(processes.workers(data_dir.parent)):
        raise CannotStart(
            f"workers are running on {data_dir.parent} and wait for the embedded server "
            f"where it was ({why}): {hint('stop', state_dir=data_dir.parent)} ends "
            "them, then start again"
        )


def _stop(data_dir: Path) -> None:
    known = processes.server(data_dir)
    processes.stop([known and known.process])


def _start(
    data_dir: Path, port: str, environment: Mapping[str, str]
) -> processes.Served:
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
        up = comes_up(child, START_SECONDS, lambda: _listens(data_dir, child.pid))
        known = processes.server(data_dir)
        if up and known is not None:
            return known
        if child.poll() is None:
            raise ServerNotStarted(
                f"the embedded server did not listen within {START_SECONDS:g} s; see {log}"
            )
        said = last_words(log.read_bytes()) or "no reason given"
        raise ServerNotStarted(f"the embedded server did not start: {said} (see {log})")


def _listens(data_dir: Path, pid: int) -> bool:
    known = processes.server(data_dir)
    return known is not None and known.process.pid == pid
