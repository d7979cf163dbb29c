"""Fixtures that several of these files use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.environment import end
from tests.support.monitor.watchkit import Watch
from tests.support.servers.shelf import Shelf


@pytest.fixture
def slow_shelf(tmp_path: Path, shelves: Callable[..., Shelf]) -> Shelf:
    """A server that takes its time, so that something can happen meanwhile."""
    return shelves(tmp_path / "shelf", "--delay-ms", "40")


@pytest.fixture
def watch(tmp_path: Path, slow_shelf: Shelf) -> Iterator[Watch]:
    """A pass that is open; whatever still runs is ended."""
    made = Watch(tmp_path, slow_shelf)
    made.open_pass()
    yield made
    for process in made.running:
        end(process)
