"""Servers, dashboards and workers of these tests live in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.network.proxy import Decision, Proxy
from tests.support.servers.boardkit import Running
from tests.support.servers.inprocess import LocalBoard, LocalShelf, LocalWorkers, Server
from tests.support.servers.shelf import Shelf


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Whatever is put here is ended after the test."""
    started: list[Server] = []
    yield started
    for server in started:
        server.stop()


@pytest.fixture
def shelves(servers: list[Server]) -> Callable[..., Shelf]:
    """Starts servers."""

    def start(data_dir: Path, *options: str, **environment: str) -> Shelf:
        servers.append(made := LocalShelf(data_dir, *options, environment=environment))
        return made.shelf

    return start


@pytest.fixture
def boards(servers: list[Server]) -> Callable[..., Running]:
    """Starts dashboards."""

    def start(state: Path, *options: str) -> Running:
        servers.append(made := LocalBoard(state, *options))
        return made.running

    return start


@pytest.fixture
def workers(tmp_path: Path) -> LocalWorkers:
    """Workers on a state directory of the test's own."""
    return LocalWorkers(tmp_path / "state")


@pytest.fixture
def proxies() -> Iterator[Callable[..., Shelf]]:
    """Puts proxies in front of servers; all are stopped after the test."""
    made: list[Proxy] = []

    def front(shelf: Shelf, decide: Callable[[str, str], Decision]) -> Shelf:
        made.append(Proxy(shelf.url, decide))
        return Shelf(made[-1].url, shelf.data_dir, None)

    yield front
    for proxy in made:
        proxy.stop()
