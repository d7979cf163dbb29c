"""Servers, dashboards and workers in this process: quick, and seen by coverage."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import uvloop
from aiohttp import web

import bulk_migrate_calibre
from bookshelf.config import read_config
from bookshelf.http.connections import ConnectionLimits, Runner
from bookshelf.server import make_application
from dashboard.config import read_config as read_board
from dashboard.web.server import make_application as make_board
from tests.support.environment import PASSWORD, USERNAME, clean_environment
from tests.support.migration.workerkit import wait_for
from tests.support.servers.boardkit import Running
from tests.support.servers.firstuser import seed
from tests.support.servers.shelf import Shelf


class Server:
    """An application in a thread of its own, which listens on a free port of loopback."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self._loop = uvloop.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._started.wait(30)
        self.where = ("127.0.0.1", int(runner.addresses[0][1]))
        self.url = f"http://127.0.0.1:{self.where[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it as a signal does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(30)

    def _serve(self) -> None:
        loop = self._loop
        try:
            loop.run_until_complete(self._runner.setup())
            loop.run_until_complete(web.TCPSite(self._runner, "127.0.0.1", 0).start())
            loop.call_soon(self._started.set)
            loop.run_forever()
        finally:
            loop.run_until_complete(self._runner.cleanup())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


class LocalShelf(Server):
    """An embedded server, whose login costs nothing to check."""

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        limits: ConnectionLimits | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        arguments = ["--data-dir", str(data_dir), "--port", "0", *options]
        with _environment(clean_environment(MBS2_PASSWORD=PASSWORD, **environment)):
            config = read_config(arguments)
            seed(data_dir, USERNAME, PASSWORD)
            app = make_application(config)
        super().__init__(
            Runner(app, limits or ConnectionLimits(), shutdown_seconds=0.5)
        )
        self.shelf = Shelf(self.url, data_dir, None)


class LocalBoard(Server):
    """A dashboard over a state directory."""

    def __init__(self, state: Path, *options: str) -> None:
        arguments = ["--state-dir", str(state), "--port", "0", *options]
        with _environment(clean_environment()):
            state.mkdir(parents=True, exist_ok=True)
            app = make_board(read_board(arguments))
        super().__init__(web.AppRunner(app, access_log=None, shutdown_timeout=0.5))
        self.running = Running(self.url, state)


class LocalWorkers:
    """Runs the worker's `main` in this thread, as a user runs its process."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def run(
        self, library: Path, shelf: Shelf, *options: str, **environment: str
    ) -> tuple[int, str]:
        """Runs a worker to its end; returns its exit status and what it said."""
        where = ["--server", shelf.url, "--state-dir", str(self.state_dir)]
        told = {
            "MBS2_USERNAME": shelf.username,
            "MBS2_PASSWORD": shelf.password,
            **environment,
        }
        given = [str(library), *where, *options]
        return call_main(bulk_migrate_calibre.main, given, **told)


def call_main(
    main: Callable[[], int], arguments: Sequence[str], **environment: str
) -> tuple[int, str]:
    """Calls a program; returns its exit status, and what it wrote to both streams."""
    with _signals():
        return call_beside(main, arguments, **environment)


def call_beside(
    main: Callable[[], int], arguments: Sequence[str], **environment: str
) -> tuple[int, str]:
    """The same in a thread, where signals cannot be touched."""
    said = io.StringIO()
    with (
        _arguments(arguments),
        _environment(clean_environment(**environment)),
        _umask(),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        try:
            code = main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return int(code), said.getvalue()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is done with a server that runs: `ask`, once `record` is there."""

    record: Path
    ask: Callable[[], None]


def serve(
    main: Callable[[], int],
    arguments: Sequence[str],
    asked: Asked,
    **environment: str,
) -> tuple[int, str]:
    """Calls a program that serves until a signal, which it gets when it was asked."""
    failed: list[BaseException] = []

    def ask_and_end() -> None:
        try:
            wait_for(asked.record.exists, seconds=20)
            # What it says next would be read by whoever is called beside it.
            wait_for(_says_that_it_listens, seconds=20)
            asked.ask()
        except BaseException as error:  # noqa: BLE001 - raised again where it is seen
            failed.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    # Until the program has its own handler, a signal would end the tests.
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    asking = threading.Thread(target=ask_and_end)
    asking.start()
    try:
        ended = call_main(main, arguments, **environment)
    finally:
        asking.join(30)
        signal.signal(signal.SIGTERM, before)
    if failed:
        raise failed[0]
    return ended


def _says_that_it_listens() -> bool:
    said = sys.stdout
    return isinstance(said, io.StringIO) and " listening on " in said.getvalue()


@contextlib.contextmanager
def _umask() -> Iterator[None]:
    """A program may change it."""
    before = os.umask(0o022)
    os.umask(before)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def _arguments(values: Sequence[str]) -> Iterator[None]:
    """For a while these are the program's."""
    before = sys.argv
    sys.argv = ["program", *values]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """For a while the environment is this."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """What a program does to signals is undone."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
