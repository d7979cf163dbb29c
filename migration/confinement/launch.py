#!/usr/bin/env python3
"""Confines this process for good and then runs a worker script in it.

`python migration/confinement/launch.py SCRIPT LIBRARY --server … --worker-id N …`

The process stays the same, and its command line names script and worker as that of
every worker does: the monitor recognises it, and the ledger's owner can be proved.
Nothing is executed after it is confined, so no program may be.
"""

import atexit
import contextlib
import importlib
import json
import logging
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

if __name__ == "__main__":
    # Modules of ours are found in the project only, not beside this file.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from requests.utils import get_environ_proxies

from common.clock import SteadyClock
from common.files.json_files import make_state_dir
from common.files.system_errors import reason_of
from common.hints import hint
from common.settings.load import load, sources
from common.settings.shared import Database, Engine, LogFormat
from migration.confinement import broker, inside, kernel, rules
from migration.confinement.rules import Job, Python
from migration.errors import MigrationError, StateUnwritable
from migration.ledger.ledger import Ledger
from migration.ledger.recovery import open_ledger
from migration.state_files import reservation
from migration.state_files.owner import this_process
from migration.worker.process.ending import refused

PROJECT = Path(__file__).resolve().parents[2]
#: Imported before the folder of the project cannot be listed any more.
_WORKER = "migration.commands.worker"
_FIRST = ("settings", _WORKER, "migration.worker.policy")

#: Seconds within which one of several addresses of the server's database must answer.
ANSWER_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Given(Database, Engine, LogFormat):
    """What the launcher itself must know of the worker's settings."""


def main(argv: Sequence[str]) -> None:
    """Runs the script named first, with the rest as its arguments."""
    try:
        job, channel = _confined(argv)
    except Exception as error:  # noqa: BLE001
        # Python's own status would be 1, which tells the monitor that the worker has
        # done its part; 2 says that no restart helps, which only a few can.
        raise refused(error) from None
    inside.install(channel)
    # Whatever the script does instead of its work, it does not end with 0 or 1.
    importlib.import_module(_WORKER).final.expect()
    sys.argv = list(argv)
    runpy.run_path(str(job.script), run_name="__main__")


def _confined(argv: Sequence[str]) -> tuple[Job, inside.Channel]:
    """Confines this process; returns its job and the channel to its broker.

    Raises CannotConfine where this system cannot, other Fatal, and OSError.
    """
    given = load(Given, sources(PROJECT, os.environ))
    job = replace(job_of(argv), ws_url=given.ws_url)
    try:
        found = kernel.tiers()
        if not found.enough:
            raise kernel.CannotConfine(found.sentence())
        place = _place_of_database(given.db_uri, ports=found.ports)
        _prepare(job, as_json=given.log_format == "json")
        channel = _broker(job, given.db_uri if place else "")
        # Meanwhile the broker gets ready.
        for name in _FIRST:
            importlib.import_module(name)
        channel.wait()
        python = Python((sys.prefix, sys.base_prefix), tuple(sys.path))
        certificates = [os.environ[n] for n in rules.CERTIFICATES if n in os.environ]
        kernel.confine(rules.rules(job, python, certificates), place[1:])
    except kernel.CannotConfine as error:
        raise kernel.CannotConfine(
            f"{job.script} was changed by an LLM and cannot be confined: {error}; "
            f"{hint('rollback', state_dir=job.state_dir)} takes the change back"
        ) from error
    return job, channel


def job_of(argv: Sequence[str]) -> Job:
    """Returns the job of a worker's command line, as the monitor writes it."""
    named = {
        option.removeprefix("--"): argv[place + 1]
        for place, option in enumerate(argv[:-1])
        if option in ("--server", "--worker-id", "--state-dir")
    }
    return Job(
        script=Path(argv[0]).resolve(),
        library=Path(argv[1]).expanduser().resolve(),
        state_dir=Path(named["state-dir"]).expanduser().resolve(),
        worker_id=int(named["worker-id"]),
        project=PROJECT,
        server=named["server"].rstrip("/"),
    )


def _prepare(job: Job, *, as_json: bool) -> None:
    """Makes what the worker may not make, and mends a damaged ledger while it can.

    Raises StateUnwritable.
    """
    try:
        make_state_dir(job.state_dir)
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.state_dir / reservation.FOLDER).mkdir(exist_ok=True)
        _open_ledger(job)
        unused: tuple[str, ...] = ("-wal", "-shm")
        if not as_json:
            unused += (".ndjson", ".ndjson.1")
        for path in rules.written_files(job):
            if not path.name.endswith(unused):
                flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
                os.close(os.open(path, flags, 0o600))
    except OSError as error:
        raise StateUnwritable(
            f"cannot write {error.filename or job.state_dir}: {reason_of(error)}"
        ) from error
    os.environ["TMPDIR"] = str(job.folder)
    os.environ["WORKER_FOLDER"] = str(job.folder)
    # It works alone: other machines would run what it says, and are not confined.
    os.environ.pop("MIGRATE_CLUSTER", None)


def _open_ledger(job: Job) -> None:
    """Makes or mends the ledger."""
    try:
        owner = this_process(job.worker_id)
        clock = SteadyClock()
        open_ledger(
            job.state_dir,
            lambda: Ledger(job.state_dir, owner, clock),
            logging.getLogger(__name__),
        ).close()
    except MigrationError:
        # The worker meets it too, and says it where people look.
        pass


def _broker(job: Job, db_uri: str) -> inside.Channel:
    """Starts the broker; returns the channel to it."""
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", broker.__name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
        )
    job_values = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(job).items()
    }
    proxies = get_environ_proxies(job.server).values()
    order = {"job": job_values, "proxies": [*proxies], "db_uri": db_uri}
    own.send(json.dumps(order).encode())
    atexit.register(_ended, own, process)
    return inside.Channel(own)


def _ended(own: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    """Lets the broker end, and waits for it."""
    own.close()
    process.wait()


def _place_of_database(uri: str, *, ports: bool) -> tuple[()] | tuple[str, int]:
    """Returns address and port of the server's database, to which its library connects.

    Returns () where the kernel cannot name ports, or the database is not at one place:
    the worker does without, and asks the server instead.
    """
    if not uri:
        return ()
    place = _database(uri) if ports else None
    if place is None:
        sys.stderr.write(
            "MBS2_DB_URI is not used by a confined worker here: the kernel cannot "
            "allow a single port, or the database is not at a single address\n"
        )
        os.environ.pop("MBS2_DB_URI", None)
        return ()
    # The library's own look-up would be refused.
    os.environ["PGHOSTADDR"] = place[0]
    return place


def _database(uri: str) -> tuple[str, int] | None:
    """Returns address and port of the database; None when there is not just one."""
    from psycopg import ProgrammingError, conninfo

    try:
        values = conninfo.conninfo_to_dict(uri)
        host, port = str(values.get("host", "")), str(values.get("port") or 5432)
        if not host or host.startswith(("/", "@")) or "," in host + port:
            return None
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (ProgrammingError, OSError, ValueError):
        return None
    addresses = dict.fromkeys(str(one[4][0]) for one in found)
    return answering(tuple(addresses), int(port)), int(port)


def answering(addresses: Sequence[str], port: int) -> str:
    """Returns the first address where somebody answers, or the first of all.

    The database's library tries them all, but is given one here.
    """
    for address in addresses if len(addresses) > 1 else ():
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address, port), ANSWER_SECONDS),
        ):
            return address
    return addresses[0]


if __name__ == "__main__":
    main(sys.argv[1:])
