"""`python -m dashboard`: serves the page, prints a link, or writes the report."""

import asyncio
import errno
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
from aiohttp import web

from common.clock import birth_of, utc_now
from common.errors import CodedError, told
from common.exit_status import ExitCode
from common.files import lock
from common.files.json_files import (
    StateUnwritable,
    make_state_dir,
    read_json,
    write_json,
)
from common.hints import hint
from common.json_value import Json
from dashboard.config import EVERY_ADDRESS, DashboardConfig, read_config
from dashboard.report import report
from dashboard.web.access import Access
from dashboard.web.server import make_application

#: Seconds that open requests are given to finish after a signal.
STOP_SECONDS = 2.0


def main() -> int:
    """Returns the exit status; see the epilog of --help."""
    config = read_config()
    logging.basicConfig(
        format="%(asctime)s - %(levelname)s - %(message)s", level=logging.WARNING
    )
    try:
        if config.link:
            return _print_link(config)
        if config.report is not None:
            return _write_report(config, config.report)
        return _serve_alone(config)
    except (OSError, StateUnwritable) as error:
        sys.stderr.write(f"cannot use {config.state_dir}: {error}\n")
        return ExitCode.STATE


def _serve_alone(config: DashboardConfig) -> int:
    make_state_dir(config.state_dir)
    app = make_application(config)
    held = lock.take(config.folder / "lock")
    if held is None:
        sys.stderr.write(
            f"a dashboard is already running on {config.state_dir}; --link prints a link to it\n"
        )
        return ExitCode.USAGE
    try:
        asyncio.run(_serve(app, config))
    except _CannotListen as error:
        sys.stderr.write(f"{told(error)}\n")
        return ExitCode.USAGE
    finally:
        os.close(held)
    return ExitCode.OK


class _CannotListen(CodedError):
    """The address is taken or not ours; the message says which, and what to do."""

    code = "cannot-listen"


def _write_report(config: DashboardConfig, folder: Path) -> int:
    try:
        page = report.write(
            config.state_dir, folder, utc_now(), config.pass_id, keep=config.keep
        )
    except report.NothingToReport as error:
        sys.stderr.write(f"{told(error)}\n")
        return ExitCode.USAGE
    sys.stdout.write(f"The report is in {page}\n")
    return ExitCode.OK


def _print_link(config: DashboardConfig) -> int:
    record = read_json(config.folder / "server.json")
    # By its lock: the processes of another container cannot be seen.
    if not isinstance(record, dict) or lock.holder(config.folder / "lock") is None:
        start = hint("dashboard", state_dir=config.state_dir)
        sys.stderr.write(
            f"no dashboard is running on {config.state_dir}; {start} starts one\n"
        )
        return ExitCode.USAGE
    sys.stdout.write(f"{record['url']}/enter?link={Access(config.folder).new_link()}\n")
    return ExitCode.OK


async def _serve(app: web.Application, config: DashboardConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, config.host, config.port).start()
        except OSError as error:
            advice = (
                "; give another --port, or 0" if error.errno == errno.EADDRINUSE else ""
            )
            reason = error.strerror or error
            raise _CannotListen(
                f"cannot listen on {config.host}:{config.port}: {reason}{advice}"
            ) from error
        url = config.public_url or _url(runner, config.host)
        started = datetime.fromtimestamp(
            psutil.Process().create_time(), tz=UTC
        ).isoformat()
        record: dict[str, Json] = {
            "url": url,
            "pid": os.getpid(),
            "pid_started_at": started,
        }
        write_json(
            config.folder / "server.json", {**record, "birth": birth_of(os.getpid())}
        )
        # A link is a secret: it is shown on a terminal, and in a file only if asked for.
        link = (
            f"/enter?link={Access(config.folder).new_link()}"
            if config.show_link or sys.stdout.isatty()
            else ""
        )
        sys.stdout.write(f"dashboard listening on {url}{link}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def _url(runner: web.AppRunner, host: str) -> str:
    port = runner.addresses[0][1]
    shown = "127.0.0.1" if host in EVERY_ADDRESS else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


if __name__ == "__main__":
    sys.exit(main())
