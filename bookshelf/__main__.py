"""`python -m bookshelf`: runs the server until SIGTERM or SIGINT."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import psutil
import uvloop
from aiohttp import web

from bookshelf.application import SHELF
from bookshelf.config import ServerConfig, read_config
from bookshelf.http.connections import ConnectionLimits, Runner
from bookshelf.server import make_application
from bookshelf.storage.server_record import (
    RecordUnwritable,
    ServerRecord,
    former_urls,
)
from common.clock import birth_of
from common.errors import with_code
from common.exit_status import ExitCode
from common.files import lock
from common.json_value import Json
from common.sd_notify import NO_SETTINGS, Notifier, settings_objection

#: Seconds that open requests are given to finish after a signal.
STOP_SECONDS = 4.0
#: Seconds between two checks of server.json.
RECORD_SECONDS = 1.0


def main() -> int:
    """Returns the exit status: 0 stopped, 5 data directory or database unusable.

    2 when a service has no settings. Also 5 when the database was lost while the server ran.
    """
    # Whatever this process and its children create is for this user alone.
    os.umask(0o077)
    service = Notifier.taken_from(os.environ, os.getpid())
    config = read_config()
    if not config.password:
        objection = settings_objection(os.environ, "MBS2_PASSWORD")
        if objection:
            _say(objection, NO_SETTINGS)
            return ExitCode.USAGE
    logging.basicConfig(
        format="%(asctime)s - %(levelname)s - %(message)s", level=logging.WARNING
    )
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = _only_one(config.data_dir)
        app = make_application(config)
    except (OSError, sqlite3.Error, ValueError) as error:
        _say(f"cannot use {config.data_dir}: {_reason(error)}", RecordUnwritable.code)
        return ExitCode.STATE
    try:
        uvloop.run(_serve(app, config, service, held))
    except RecordUnwritable as error:
        _say(f"cannot use {config.data_dir}: {_reason(error.reason)}", error.code)
        return ExitCode.STATE
    except OSError as error:
        reason = error.strerror or error
        _say(f"cannot listen on {config.host}:{config.port}: {reason}", "cannot-listen")
        return ExitCode.USAGE
    finally:
        if app[SHELF].database.gone:
            _leave_at_once()
        os.close(held)
    return ExitCode.OK


def _say(sentence: str, code: str) -> None:
    sys.stderr.write(f"{with_code(sentence, code)}\n")


def _reason(error: Exception) -> str:
    """Describes an error, with what to do where that is known."""
    if isinstance(error, IsADirectoryError):
        return f"{error.filename2 or error.filename} is a directory, not a file; move it away"
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError
    ):
        return (
            f"bookshelf.db is damaged ({error}); put it back from a backup, or move "
            "bookshelf.db, bookshelf.db-wal and "
            "bookshelf.db-shm away: an empty one is made, and the next run of the "
            "migration sends again what it lacks"
        )
    return str(error)


def _leave_at_once() -> NoReturn:
    """Ends the process without closing the database.

    SQLite would write the rest of its log into whatever has replaced the database.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(ExitCode.STATE)


def _only_one(data_dir: Path) -> int:
    """Returns the lock of a data directory.

    Raises OSError when another server holds it.
    """
    held = lock.take(data_dir / "lock")
    if held is None:
        raise OSError("another server is running on it")
    return held


async def _serve(
    app: web.Application, config: ServerConfig, service: Notifier, held: int
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = Runner(app, ConnectionLimits(), STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port).start()
        url = _url(runner, config.host)
        started = datetime.fromtimestamp(
            psutil.Process().create_time(), tz=UTC
        ).isoformat()
        written: Json = {
            "url": url,
            "former": former_urls(config.data_dir, url),
            "pid": os.getpid(),
            "pid_started_at": started,
            "birth": birth_of(os.getpid()),
        }
        record = ServerRecord(config.data_dir, json.dumps(written).encode(), held)
        record.write()
        sys.stdout.write(f"bookshelf listening on {url}\n")
        sys.stdout.flush()
        service.ready()
        service.status(f"listening on {url}")
        await _until(stop, service, record)
        service.stopping()
    finally:
        await runner.cleanup()


async def _until(stop: asyncio.Event, service: Notifier, record: ServerRecord) -> None:
    """Waits for a signal, reporting meanwhile to systemd that the event loop runs."""
    while not stop.is_set():
        service.alive()
        record.keep()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                stop.wait(), min(RECORD_SECONDS, service.look_seconds or RECORD_SECONDS)
            )


def _url(runner: web.AppRunner, host: str) -> str:
    port = runner.addresses[0][1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


if __name__ == "__main__":
    sys.exit(main())
