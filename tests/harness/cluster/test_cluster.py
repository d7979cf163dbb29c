"""A Dask cluster whose scheduler and machines are threads of this process: what a
worker does with it, and what it makes of machines that cannot work."""

import gc
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from common.settings.worker import Waits
from migration.calibre.library import CalibreLibrary
from migration.cluster.borrowed import client_of
from migration.cluster.coordinator import DaskTransport
from migration.cluster.machines import FAILURES, Machines
from migration.cluster.messages import ClusterPlan, Endpoints
from migration.errors import ClusterUnusable, MachineLost
from migration.lanes.api.transfer import TransferObserver
from migration.model import Counts
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.session import Session
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import FAST, counts_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One machine with two threads."""
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as made:
        yield made


@pytest.fixture(autouse=True)
def _connections_end() -> Iterator[None]:
    """What a machine keeps open goes with its process, elsewhere."""
    yield
    client_of.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Four books, one of them of two formats."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(3)), Made("Two", files={"EPUB": epub(7), "TXT": b"text"}))
    return made


CONTENTS = [*(epub(n, title=f"Book {n}") for n in range(3)), epub(7), b"text"]


@pytest.mark.parametrize("how", [(), ("--ship-files",)], ids=["shared", "shipped"])
def test_every_file_arrives_through_the_cluster(
    cluster: Any, library: Library, shelf: Shelf, workers: LocalWorkers, how: list[str]
) -> None:
    """Read and sent by its machine, or shipped to it; a second pass sends nothing."""
    address = ("--cluster", cluster.scheduler_address)
    code, said = workers.run(library.root, shelf, *address, *how, **FAST)
    assert code == 0, said
    assert "works along, 2 slots" in said
    assert counts_of(workers) == Counts(5, 5)
    assert troubles(look(shelf.data_dir), CONTENTS) == []
    code, said = workers.run(library.root, shelf, *address, *how, **FAST)
    assert (code, counts_of(workers)) == (0, Counts(5, 0, 5)), said


def test_what_is_wrong_with_a_file_is_no_fault_of_the_machine(
    cluster: Any, library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Missing, empty: with the evidence of a look of this process; the rest arrives."""
    library.file(1).unlink()
    library.file(2).write_bytes(b"")
    address = ("--cluster", cluster.scheduler_address)
    code, said = workers.run(library.root, shelf, *address, **FAST)
    assert code == 1, said
    assert counts_of(workers) == Counts(5, 3, 0, 0, 2)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--cluster", "ADDRESS", "--cluster-library", "/nowhere"), 2, "can work: "),
        (("--cluster", "tls://127.0.0.1:9"), 2, "certificate"),
        (("--cluster", "nonsense"), 2, "--cluster"),
    ],
)
def test_a_cluster_that_cannot_be_used_ends_it(
    cluster: Any,
    library: Library,
    shelf: Shelf,
    workers: LocalWorkers,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    """With a sentence; nothing is sent."""
    given = [cluster.scheduler_address if o == "ADDRESS" else o for o in options]
    status, said = workers.run(library.root, shelf, *given, START_SECONDS="1")
    assert (status, words in said) == (code, True), said
    assert look(shelf.data_dir).ebooks == 0


# -- who may work ----------------------------------------------------------------------


@pytest.fixture
def machines(cluster: Any, library: Library, shelf: Shelf) -> Iterator[Machines]:
    """The machines, examined."""
    place = Endpoints(shelf.url, (shelf.ws_url,), str(library.root))
    made = Machines(
        cluster.scheduler_address,
        place,
        "topic",
        lambda _message: None,
        logging.getLogger("machines"),
    )
    made.open(20.0)
    yield made
    made.close()


def test_a_machine_that_sees_library_and_server_works(machines: Machines) -> None:
    """With all its threads."""
    [address] = machines.usable()
    assert machines.slots() == 2
    assert machines.trouble() == ""
    assert machines.has(address)
    assert not machines.has("tcp://127.0.0.1:1")
    assert machines.client().status == "running"


def test_failures_in_a_row_leave_a_machine_out(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    """A success in between begins anew; what is not there is nobody."""
    [address] = machines.usable()
    for _ in range(FAILURES - 1):
        machines.failure(address, "it cannot reach the server")
    machines.did_well(address)
    for _ in range(FAILURES - 1):
        machines.failure(address, "it cannot reach the server")
    assert machines.usable() == [address]
    machines.failure(address, "it cannot reach the server")
    assert machines.usable() == []
    assert machines.slots() == 0
    assert machines.trouble().startswith("No machine of the Dask cluster tcp://")
    assert "gets no work for now: it cannot reach the server" in caplog.text
    machines.quarantine(address, "again")
    machines.failure("tcp://127.0.0.1:1", "x")
    machines.did_well("tcp://127.0.0.1:1")
    assert "again" not in caplog.text


def test_without_a_connection_nothing_is_asked(machines: Machines) -> None:
    """Whoever asks is told."""
    machines.close()
    assert machines.trouble().endswith("is out of reach")
    with pytest.raises(MachineLost, match="is out of reach"):
        machines.client()


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("http://127.0.0.1:9", "can work"),
        ("URL", "can work"),
    ],
    ids=["no server", "no library"],
)
def test_a_machine_that_is_blind_or_deaf_is_named(
    cluster: Any, library: Library, shelf: Shelf, server: str, words: str
) -> None:
    """When none is left, the worker does not begin."""
    place = Endpoints(
        shelf.url if server == "URL" else server,
        (shelf.ws_url,),
        "/nowhere" if server == "URL" else str(library.root),
        Waits(answer_seconds=1.0),
    )
    made = Machines(
        cluster.scheduler_address,
        place,
        "topic",
        lambda _message: None,
        logging.getLogger("machines"),
    )
    try:
        with pytest.raises(ClusterUnusable, match=words):
            made.open(20.0)
    finally:
        made.close()


# -- machines that read something else -------------------------------------------------


def lose(path: Path) -> None:
    """The file is not there."""
    path.unlink()


def shorten(path: Path) -> None:
    """The file is another one."""
    path.write_bytes(b"short")


ELSEWHERE = [
    pytest.param(lose, "it cannot read what this one can", id="not there"),
    pytest.param(shorten, "has another size or time than the one here", id="another"),
]


@pytest.mark.parametrize(("change", "words"), ELSEWHERE)
def test_a_machine_whose_mount_differs_gets_no_work(
    tmp_path: Path,
    cluster: Any,
    library: Library,
    shelf: Shelf,
    change: Callable[[Path], None],
    words: str,
) -> None:
    """It is the machine that is to blame, not the file, which this one can read."""
    elsewhere = tmp_path / "mounted"
    shutil.copytree(library.root, elsewhere)
    read = CalibreLibrary(library.root, tmp_path)
    session = Session(
        HttpTransport(shelf.url), shelf.username, shelf.password, (shelf.ws_url,)
    )
    session.login()
    plan = ClusterPlan(
        cluster.scheduler_address, elsewhere, (shelf.ws_url,), ship=False, waits=Waits()
    )
    log = logging.getLogger("mounted")
    transport = DaskTransport(plan, read, BookshelfClient(session), log)
    transport.open()
    try:
        [book] = read.read_books(1, 1)
        path = library.file(1)
        change(elsewhere / path.relative_to(library.root))
        observer = TransferObserver(lambda _: None, lambda _: None, lambda: None)
        with pytest.raises(MachineLost, match=words):
            transport.identify(book.files[0], observer)
        assert transport.trouble().startswith("No machine of the Dask cluster")
    finally:
        transport.close()
        session.close()
        read.close()
