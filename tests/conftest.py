"""Fixtures: a clean environment, real servers and workers on loopback, each ended by
whoever started it."""

import gc
import os
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import freezegun
import hypothesis
import pytest

from tests.support.environment import (
    FIXTURES,
    PROJECT,
    STAND_INS,
    end,
    is_a_persons,
    needs,
)
from tests.support.machine.home import Home
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf, start_shelf

# Without bytecode every process of pytest would compile all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nothing that is started runs Calibre's `ebook-meta` for each upload.
os.environ["PATH"] = os.pathsep.join((str(STAND_INS), os.environ["PATH"]))

# How long one example takes says how busy the machine is, not whether the code is
# right.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

# Freezing time looks at every attribute of every module; those of `settings` that only
# MyBookshelf2 reads end a process without its secrets. The time would then stay frozen
# for every later test of this process.
freezegun.configure(extend_ignore_list=["settings"])

# Before anything is started: even the fixtures of a whole session get no other home.
HOME = Home()


#: What a test may take that says nothing else (`timeout` in pyproject.toml).
DEFAULT_SECONDS = 300.0
#: Folders of tests, those whose tests take longest first.
_LONGEST_FIRST = ("e2e", "integration", "harness", "contract", "unit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Side by side the long tests begin first: no process is left alone with one at the
    end."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[float, int]:
    """By the time it may take, then by where it is."""
    limit = item.get_closest_marker("timeout")
    folder = item.path.relative_to(PROJECT / "tests").parts[0]
    return (
        -float(limit.args[0]) if limit and limit.args else -DEFAULT_SECONDS,
        _LONGEST_FIRST.index(folder),
    )


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches a test, and no test a home
    that another one used."""
    for key in list(os.environ):
        if is_a_persons(key):
            monkeypatch.delenv(key)
    monkeypatch.setenv("READ_ENV_FILES", "0")
    monkeypatch.setenv("HOME", str(HOME.fresh()))


@pytest.fixture(autouse=True, scope="session")
def _the_persons_state() -> Iterator[None]:
    """Nothing that a test starts comes near the state directories of the person who
    runs the tests."""
    yield
    assert HOME.written() == []


@pytest.fixture
def shelves() -> Iterator[Callable[..., Shelf]]:
    """Starts servers; all are ended after the test."""
    started: list[Shelf] = []

    def start(
        data_dir: Path, *options: str, port: int = 0, **environment: str
    ) -> Shelf:
        started.append(start_shelf(data_dir, *options, port=port, **environment))
        return started[-1]

    yield start
    for shelf in started:
        end(shelf.process)


@pytest.fixture
def real_ebook_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibre's own, not the one that finds nothing."""
    path = os.environ["PATH"].split(os.pathsep)
    kept = os.pathsep.join(name for name in path if name != str(STAND_INS))
    monkeypatch.setenv("PATH", kept)
    needs("ebook-meta")


@pytest.fixture
def shelf(tmp_path: Path, shelves: Callable[..., Shelf]) -> Shelf:
    """An embedded server of the test's own."""
    return shelves(tmp_path / "shelf")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Workers on a state directory of the test's own; all are ended after the test."""
    made = Workers(tmp_path / "state")
    yield made
    for process in made.running:
        end(process)


@pytest.fixture(scope="session")
def small_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 201-book library that real calibredb made; for reading only."""
    folder = tmp_path_factory.mktemp("fixture")
    with tarfile.open(FIXTURES / "lib_small.tar.gz") as archive:
        # Python before 3.11.4 has no filters; later ones warn without one.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    return folder / "lib_small"


@pytest.fixture(autouse=True)
def _threads_end() -> Iterator[None]:
    """A test leaves no thread behind that is not a daemon."""
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.daemon
    ]
    assert not left, f"threads left running: {left}"
