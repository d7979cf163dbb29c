"""The lane's own process over a real PostgreSQL and a real data directory."""

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from migration.errors import Misconfigured
from migration.lanes.direct.child import HostBroke, HostProcess
from migration.lanes.direct.messages import Draw, Drew, Opening
from migration.ledger import totals
from migration.server.data_dir.covers import Drawing
from migration.server.data_dir.layout import Layout
from migration.server.data_dir.names import Naming
from migration.server.data_dir.places import Places
from tests.support.environment import PROJECT
from tests.support.migration.lanekit import LaneHouse, book_of
from tests.support.migration.workerkit import wait_for
from tests.support.servers.directkit import LIBRARY

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("postgresql")]

Ask = Callable[..., list[tuple[Any, ...]]]
Begin = Callable[[], HostProcess]
BOOKS = 7


class Place:
    """A library, a data directory, and processes over them."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.house = LaneHouse(folder, [book_of(n) for n in range(1, BOOKS + 1)])
        self.data = folder / "data"
        places = Places.below(self.data)
        for place in (places.books, places.thumbnails, places.uploads):
            place.mkdir(parents=True)
        library = str(self.house.world.library)
        self.layout = Layout(places, Naming(), Drawing())
        self.opening = Opening(uri, self.layout, library, LIBRARY, 2, 2, 0, False)
        self.begun: list[HostProcess] = []
        self.moved: list[int] = []
        logging.getLogger("lane under test").setLevel(logging.INFO)

    def begin(self) -> HostProcess:
        """Starts one."""
        process = HostProcess(self.opening, 60.0, lambda: None, self.moved.append)
        self.begun.append(process)
        return process

    def files(self) -> int:
        """How many files are below the books directory, without covers."""
        return len([*(self.data / "books").rglob("*.epub")])


@pytest.fixture
def place(tmp_path: Path, uri: str) -> Iterator[Place]:
    made = Place(tmp_path, uri)
    yield made
    for process in made.begun:
        process.close()


def test_a_range_is_written_by_a_process_of_its_own(place: Place, ask: Ask) -> None:
    """The URI is on no command line and in no environment; it ends when it is told."""
    worker = place.house.worker(begin=place.begin)
    assert worker.carry() == []
    found = totals.read(place.house.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts.uploaded == BOOKS
    assert ask("SELECT count(*) FROM source") == [(BOOKS,)]
    assert place.files() == BOOKS
    [process] = place.begun
    seen = psutil.Process(process.pid)
    assert "postgresql://" not in " ".join([*seen.cmdline(), *seen.environ().values()])
    worker.lane.close()
    assert not psutil.pid_exists(process.pid)


def test_a_process_that_is_killed_is_begun_again(place: Place, ask: Ask) -> None:
    worker = place.house.worker(begin=place.begin)
    first = place.begin()
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(HostBroke, match="-9"):
        first.receive()
    assert worker.carry() == []
    assert ask("SELECT count(*) FROM ebook") == [(place.files(),)] == [(BOOKS,)]


def test_a_process_without_a_sign_of_life_is_given_up(place: Place) -> None:
    process = place.begin()
    process.silence = 1.0
    os.kill(process.pid, signal.SIGSTOP)
    process.send(Draw(()))
    with pytest.raises(HostBroke, match="no sign of life"):
        process.receive()
    process.close()
    assert not psutil.pid_exists(process.pid)


def test_a_database_that_is_not_the_servers_is_said(place: Place) -> None:
    wrong = place.opening.uri.rpartition("/")[0] + "/postgres"
    place.opening = Opening(wrong, place.layout, "/", LIBRARY, 2, 2, 0, False)
    with pytest.raises(Misconfigured, match="not one that can be written directly"):
        place.begin()


def test_it_does_not_outlive_its_worker(place: Place) -> None:
    """However the worker dies."""
    code = (
        "import pickle, sys, time\n"
        "from migration.lanes.direct.child import HostProcess\n"
        "opening = pickle.loads(bytes.fromhex(sys.stdin.readline()))\n"
        "print(HostProcess(opening, 60, lambda: None, print).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(pickle.dumps(place.opening).hex() + "\n")
    worker.stdin.flush()
    pid = int(worker.stdout.readline())
    worker.kill()
    worker.wait(10)
    wait_for(lambda: not psutil.pid_exists(pid) or _is_gone(pid), 10)
    worker.stdin.close()
    worker.stdout.close()


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_ids_are_drawn_for_each_book(place: Place) -> None:
    process = place.begin()
    process.send(Draw(()))
    assert process.receive() == Drew(())
