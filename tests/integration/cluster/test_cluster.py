"""A Dask cluster of real processes: the same result as without it, whoever dies,
freezes or is restarted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.faults import cluster
from common.clock import utc_now
from deploy import cluster_certificates
from deploy.cluster_certificates import ROLES, ensure
from migration.ledger import totals
from migration.model import Counts, Phase
from migration.state_files import progress
from tests.support.environment import PASSWORD, PROJECT, clean_environment, needs
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.machine.clusterkit import DaskCluster
from tests.support.migration.workerkit import lines_of, wait_for
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Answer, Decision, Do, Proxy, Script, Wait
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import by_sha1, seen

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1.5",
    "TASK_SECONDS": "20",
}


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskCluster]:
    """A cluster of the test's own, nothing started yet."""
    made = DaskCluster(tmp_path / "dask")
    yield made
    made.close()


def library_of(tmp_path: Path, books: int = 60) -> tuple[Library, list[bytes]]:
    """Books of one EPUB each."""
    library = Library(tmp_path / "library")
    made = epubs(range(books), padding=5000)
    library.add(*made)
    return library, [book.files["EPUB"] for book in made]


def uploaded(workers: Workers) -> int:
    """Files of worker 1 so far, by its progress file."""
    found = progress.read(progress.progress_path(workers.state_dir, 1))
    return found.counts.uploaded if found is not None else 0


def proved(workers: Workers) -> tuple[Counts, dict[str, int]]:
    """The counts of the ledger, proved row by row, and the failures by reason."""
    ledger = workers.state_dir / "migration_ledger.db"
    found = totals.read(ledger)
    assert found is not None
    assert totals.proved(ledger, found.pass_id)
    return found.counts, dict(found.failed)


# -- the same result -------------------------------------------------------------------


def test_a_local_cluster_brings_the_same_as_a_plain_run(
    small_library: Path, tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """Every file, byte and field of the library that real calibredb made."""
    plain, through = shelves(tmp_path / "plain"), shelves(tmp_path / "through")
    alone = Workers(tmp_path / "alone")
    assert alone.run(small_library, plain)[0] == 1
    code, said = workers.run(small_library, through, "--cluster", "local:2")
    assert code == 1, said
    assert (
        proved(workers)
        == proved(alone)
        == (Counts(223, 218, 0, 0, 5, 0), {"unsupported": 5})
    )
    assert look(through.data_dir).working_titles == 0
    shown: list[dict[str, Any]] = []
    for shelf in (plain, through):
        with shelf.session() as session:
            files = by_sha1(session, shelf.url)
        shown.append(
            {
                sha1: (seen(ebook), extension)
                for sha1, (ebook, extension) in files.items()
            }
        )
    assert shown[0] == shown[1]
    ended = progress.read(progress.progress_path(workers.state_dir, 1))
    assert ended is not None
    assert (ended.status, ended.counts.uploaded, ended.parallel_uploads) == (
        Phase.COMPLETED,
        218,
        12,
    )


def test_a_local_cluster_listens_on_loopback_and_ends_with_its_coordinator(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """Also when the coordinator is killed; the next run takes up what it left."""
    library, contents = library_of(tmp_path)
    shelf = shelves(tmp_path / "shelf", "--task-ms", "100")
    coordinator = workers.start(library.root, shelf, "--cluster", "local:2", **FAST)
    wait_for(lambda: uploaded(workers) >= 5)
    family = [
        psutil.Process(coordinator.pid),
        *psutil.Process(coordinator.pid).children(recursive=True),
    ]
    assert len(family) >= 3
    hosts = {
        found.laddr.ip
        for member in family
        for found in member.net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    }
    assert hosts == {"127.0.0.1"}
    coordinator.kill()
    workers.finish(coordinator)
    wait_for(
        lambda: (
            not any(
                member.is_running() and member.status() != "zombie" for member in family
            )
        ),
        30,
    )
    before = look(shelf.data_dir).ebooks
    stopped = workers.start(library.root, shelf, "--cluster", "local:1", **FAST)
    wait_for(lambda: look(shelf.data_dir).ebooks > before + 3)
    stopped.terminate()
    assert workers.finish(stopped)[0] == 128 + signal.SIGTERM
    code, said = workers.run(library.root, shelf, "--cluster", "local:1", **FAST)
    assert code == 0, said
    assert troubles(look(shelf.data_dir), contents) == []
    assert proved(workers)[0] == Counts(discovered=60, uploaded=60)


# -- whoever fails ---------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--ship-files",)], ids=["mounted", "shipped"])
def test_machines_die_and_freeze_and_nothing_is_lost_or_sent_twice(
    tmp_path: Path,
    dask: DaskCluster,
    shelves: Callable[..., Shelf],
    workers: Workers,
    options: tuple[str, ...],
) -> None:
    """One is killed, one stopped in the middle; the third and a fourth that joins later
    do the rest."""
    # Enough for twice the five seconds below: the frozen one is missed even if it had
    # nothing in hand just then.
    library, contents = library_of(tmp_path, 220)
    shelf = shelves(tmp_path / "shelf", "--task-ms", "200", "--task-slots", "8")
    # A machine that says nothing for so long is no member any more; five minutes by
    # default.
    dask.start_scheduler(environment={"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"})
    killed, frozen, _third = (dask.start_machine() for _number in range(3))
    coordinator = workers.start(
        library.root, shelf, "--cluster", dask.address, *options, **FAST
    )
    wait_for(lambda: uploaded(workers) >= 8)
    killed.send_signal(signal.SIGKILL)
    wait_for(lambda: uploaded(workers) >= 16)
    frozen.send_signal(signal.SIGSTOP)
    dask.start_machine()
    code, said = workers.finish(coordinator)
    assert code == 0, said
    assert troubles(look(shelf.data_dir), contents) == []
    assert proved(workers)[0] == Counts(discovered=220, uploaded=220)
    assert sum("has left the cluster" in line for line in lines_of(workers)) == 2


def test_the_scheduler_is_restarted_and_meanwhile_the_worker_waits(
    tmp_path: Path, dask: DaskCluster, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """`waiting`, no attempts counted; then it goes on by itself."""
    library, contents = library_of(tmp_path)
    shelf = shelves(tmp_path / "shelf", "--task-ms", "100", "--task-slots", "8")
    dask.start_scheduler()
    for _number in range(2):
        dask.start_machine(forever=True)
    coordinator = workers.start(library.root, shelf, "--cluster", dask.address, **FAST)
    wait_for(lambda: uploaded(workers) >= 10)
    assert dask.scheduler is not None
    dask.scheduler.kill()
    dask.scheduler.wait(10)
    path = progress.progress_path(workers.state_dir, 1)
    wait_for(
        lambda: (
            (found := progress.read(path)) is not None and found.status is Phase.WAITING
        )
    )
    dask.start_scheduler()
    code, said = workers.finish(coordinator)
    assert code == 0, said
    assert troubles(look(shelf.data_dir), contents) == []
    assert proved(workers)[0] == Counts(discovered=60, uploaded=60)
    assert "The cluster is back" in lines_of(workers)
    assert not [line for line in lines_of(workers) if "died" in line]


def test_a_file_on_which_three_machines_died_is_given_up_and_no_secret_is_shown(
    tmp_path: Path, dask: DaskCluster, shelf: Shelf, workers: Workers
) -> None:
    """So is one over which the program stumbles on every machine; nothing else fails,
    whoever was beside it."""
    library, contents = library_of(tmp_path, 20)
    library.add(
        Made("Deadly", files={"TXT": b"DEATH  to machines"}),
        Made("Odd", files={"TXT": b"STUMBLE upon it"}),
    )
    dask.start_scheduler()
    for _number in range(2):
        dask.start_machine(
            nanny=True,
            environment={
                "DASK_DISTRIBUTED__WORKER__PRELOAD": str(
                    PROJECT / "tests" / "support" / "network" / "poison.py"
                )
            },
        )
    code, said = workers.run(library.root, shelf, "--cluster", dask.address, **FAST)
    assert code == 1, said
    assert proved(workers) == (
        Counts(discovered=22, uploaded=20, failed=2),
        {"stopped its worker 3 times": 2},
    )
    assert troubles(look(shelf.data_dir), contents) == []
    logs = [path.read_text("utf-8", "replace") for path in dask.folder.glob("*.log")]
    assert "a fault of the program itself" in "".join(logs)
    assert [text for text in (*logs, said) if "eyJ" in text or PASSWORD in text] == []


def test_machines_in_networks_of_their_own_are_cut_off_killed_and_orphaned(
    tmp_path: Path,
) -> None:
    """One loses its cable, one dies, the scheduler is restarted (`python -m
    benchmarks.faults.cluster faults` in small)."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces take root")
    needs("ip")
    if subprocess.run(
        ["unshare", "--net", "true"], check=False, capture_output=True
    ).returncode:
        pytest.skip(
            "this root may not make network namespaces (a container without CAP_SYS_ADMIN)"
        )
    assert cluster.faults(tmp_path, files=60) == []
    left = subprocess.run(
        ["ip", "netns", "list"], check=True, capture_output=True, text=True
    ).stdout
    assert f"mbs{os.getpid()}-" not in left


# -- who may work ----------------------------------------------------------------------


def blind(library: Path) -> list[str]:
    """Words before a machine's command, so that an empty folder lies over the library
    for it; root only."""
    if os.geteuid() != 0:
        pytest.skip(
            "hiding the library from a machine takes a mount, and that takes root"
        )
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs none "{library}" && exec "$@"',
        "sh",
    ]


def test_files_are_shipped_to_machines_that_do_not_see_the_library(
    tmp_path: Path, dask: DaskCluster, shelf: Shelf, workers: Workers
) -> None:
    """Without --ship-files that is said at once, with the way out."""
    library, contents = library_of(tmp_path, 30)
    large = epub(1000, padding=3_000_000)
    library.add(Made("Large", files={"EPUB": large}))
    dask.start_scheduler()
    for _number in range(2):
        dask.start_machine(inside=blind(library.root))
    wait_for(lambda: dask.said("scheduler").count("Register worker") == 2)
    code, said = workers.run(library.root, shelf, "--cluster", dask.address, **FAST)
    assert code == 2
    assert "does not see" in said
    assert "--ship-files" in said
    code, said = workers.run(
        library.root, shelf, "--cluster", dask.address, "--ship-files", **FAST
    )
    assert code == 0, said
    assert troubles(look(shelf.data_dir), [*contents, large]) == []
    assert proved(workers)[0] == Counts(discovered=31, uploaded=31)


def test_a_machine_without_this_program_or_with_another_gets_no_work(
    tmp_path: Path, dask: DaskCluster, shelf: Shelf, workers: Workers
) -> None:
    """Each is named with the reason; the others work."""
    library, contents = library_of(tmp_path, 10)
    other = tmp_path / "other"
    for package in ("common", "migration"):
        shutil.copytree(PROJECT / package, other / package)
    with (other / "migration" / "metadata" / "mime.py").open("a") as file:
        file.write("\n# an older version\n")
    dask.start_scheduler()
    dask.start_machine(cwd=tmp_path, environment={"PYTHONPATH": ""})
    dask.start_machine(cwd=other, environment={"PYTHONPATH": str(other)})
    wait_for(lambda: dask.said("scheduler").count("Register worker") == 2)
    code, said = workers.run(library.root, shelf, "--cluster", dask.address, **FAST)
    assert code == 2
    assert "has not got this program" in said
    assert "give all machines the same checkout" in said
    dask.start_machine()
    wait_for(lambda: dask.said("scheduler").count("Register worker") == 3)
    code, said = workers.run(library.root, shelf, "--cluster", dask.address, **FAST)
    assert code == 0, said
    assert troubles(look(shelf.data_dir), contents) == []


def test_a_scheduler_without_this_program_is_refused(
    tmp_path: Path, dask: DaskCluster, shelf: Shelf, workers: Workers
) -> None:
    """It unpacks what it passes on."""
    library, _contents = library_of(tmp_path, 1)
    dask.start_scheduler(cwd=tmp_path, environment={"PYTHONPATH": ""})
    code, said = workers.run(library.root, shelf, "--cluster", dask.address)
    assert code == 2, said
    assert "the Dask scheduler" in said
    assert "has not got this program" in said


def test_a_scheduler_that_is_not_there_ends_the_worker_with_3(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """After START_SECONDS, with its address."""
    library, _contents = library_of(tmp_path, 1)
    code, said = workers.run(
        library.root, shelf, "--cluster", "tcp://127.0.0.1:1", START_SECONDS="1"
    )
    assert code == 3, said
    assert "the Dask scheduler tcp://127.0.0.1:1 did not answer for 1 s" in said


def test_without_dask_the_option_says_what_to_install(
    tmp_path: Path, shelf: Shelf
) -> None:
    """And nothing else needs it."""
    library, _contents = library_of(tmp_path, 1)
    program = (
        "import sys; sys.modules['distributed'] = None; import "
        "bulk_migrate_calibre as b; sys.exit(b.main())"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(library.root),
        "--server",
        shelf.url,
        "--state-dir",
    ]
    env = clean_environment(MBS2_PASSWORD=PASSWORD)
    with_it = subprocess.run(
        [*command, str(tmp_path / "a"), "--cluster", "local:1"],
        cwd=PROJECT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert with_it.returncode == 2, with_it.stderr
    assert "pip install -r requirements-cluster.txt" in with_it.stderr
    without = subprocess.run(
        [*command, str(tmp_path / "b")], cwd=PROJECT, env=env, timeout=60, check=False
    )
    assert without.returncode == 0


def test_with_tls_only_who_has_a_certificate_may_work(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """With certificates made by our command, by Dask's own settings as it prints them."""
    library, contents = library_of(tmp_path, 10)
    ensure(tmp_path / "tls", tmp_path / "authority", utc_now())
    settings = cluster_certificates.settings(tmp_path / "tls", *ROLES)
    dask = DaskCluster(tmp_path / "dask", protocol="tls")
    try:
        dask.start_scheduler(environment=settings)
        dask.start_machine(environment=settings)
        code, said = workers.run(library.root, shelf, "--cluster", dask.address, **FAST)
        assert code == 2, said
        assert "needs certificates" in said
        code, said = workers.run(
            library.root, shelf, "--cluster", dask.address, **FAST, **settings
        )
    finally:
        dask.close()
    assert code == 0, said
    assert troubles(look(shelf.data_dir), contents) == []


# -- the token -------------------------------------------------------------------------


def test_a_token_that_is_refused_on_a_machine_is_renewed_by_the_coordinator(
    tmp_path: Path, dask: DaskCluster, shelf: Shelf, workers: Workers
) -> None:
    """Machines have no password. What Dask shows of its tasks over HTTP holds neither
    that nor a token."""
    library, contents = library_of(tmp_path, 20)
    script = Script("POST", "/api/upload", Answer(401), 3)
    slow = threading.Event()

    def decide(method: str, path: str) -> Decision:
        decision = script(method, path)
        waits = slow.is_set() and "/api/upload" in path and decision is Do.PASS
        return Wait(2) if waits else decision

    proxy = Proxy(shelf.url, decide)
    try:
        dask.start_scheduler()
        dask.start_machine()
        front = Shelf(proxy.url, shelf.data_dir, None)
        # A task that ends sooner than a page is fetched is never seen.
        slow.set()
        coordinator = workers.start(
            library.root, front, "--cluster", dask.address, **FAST
        )
        shown = shown_over_http(dask)
        slow.clear()
        code, said = workers.finish(coordinator)
    finally:
        proxy.stop()
    assert code == 0, said
    assert script.done == 3
    assert troubles(look(shelf.data_dir), contents) == []
    assert any("carry-" in page for page in shown)
    assert [page for page in shown if "eyJ" in page or PASSWORD in page] == []


def shown_over_http(dask: DaskCluster) -> list[str]:
    """Pages of the scheduler about its machines and their tasks, while there are
    some."""
    found = re.search(r"dashboard at:\s+(http://\S+?)/status", dask.said("scheduler"))
    assert found is not None
    base = f"{found[1]}/info/"
    pages: list[str] = []

    def look_there(path: str) -> str:
        try:
            with urllib.request.urlopen(base + path, timeout=10) as answer:
                pages.append(answer.read().decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            # A task that has ended meanwhile has no page any more.
            assert error.code == 404, path
            return ""
        return pages[-1]

    def tasks_seen() -> bool:
        workers = re.findall(r"worker/[^\"']+\.html", look_there("main/workers.html"))
        tasks = {
            task
            for path in workers
            for task in re.findall(r"task/carry-[^\"']+\.html", look_there(path))
        }
        return any([look_there(task) for task in tasks])

    wait_for(tasks_seen)
    return pages
