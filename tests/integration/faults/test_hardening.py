"""Networks that lie, workers that freeze, disks that fill: everything arrives, nothing
twice."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.faults import kill9
from migration.errors import ExitCode
from migration.ledger import totals
from migration.model import Counts, Phase
from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epubs, library_of
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import FAST, wait_for
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Answer, Decision, Do, Proxy, Script, Wait
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


@pytest.fixture
def proxied(
    shelf: Shelf,
) -> Iterator[Callable[[Callable[[str, str], Decision]], Shelf]]:
    """Puts a proxy before the server."""
    made: list[Proxy] = []

    def put(decide: Callable[[str, str], Decision]) -> Shelf:
        made.append(Proxy(shelf.url, decide))
        return Shelf(made[-1].url, shelf.data_dir, None)

    yield put
    for proxy in made:
        proxy.stop()


TROUBLES = [
    pytest.param("POST", "/api/upload/check", Do.RESET, 6, id="check is reset"),
    pytest.param("POST", "/api/upload", Do.RESET, 6, id="uploads are reset"),
    pytest.param("POST", "/api/upload", Do.CUT, 4, id="answers to uploads are lost"),
    pytest.param("POST", "/api/ebooks", Do.CUT, 4, id="answers to create are lost"),
    pytest.param(
        "POST",
        "/api/ebooks",
        Do.LATE,
        3,
        id="create is carried out after the client was cut off",
    ),
    pytest.param("POST", "/add-upload", Do.CUT, 4, id="answers to attach are lost"),
    pytest.param(
        "POST",
        "/add-upload",
        Do.LATE,
        3,
        id="attach is carried out after the client was cut off",
    ),
    pytest.param("POST", "/add-upload", Answer(500), 2, id="attach answers 500"),
    pytest.param("POST", "/api/ebooks", Answer(502), 2, id="create answers 502"),
    pytest.param("PATCH", "/api/ebooks", Do.CUT, 3, id="answers to the title are lost"),
    pytest.param(
        "PATCH",
        "/api/ebooks",
        Answer(200, '{"error": "Stalled record"}', "application/json"),
        3,
        id="the version is another",
    ),
    pytest.param("POST", "/rate", Do.CUT, 3, id="answers to the rating are lost"),
    pytest.param(
        "GET", "/api/uploads-meta", Answer(503), 3, id="uploads-meta answers 503"
    ),
    pytest.param("GET", "/api/uploads-meta", Wait(1.0), 3, id="answers come late"),
    pytest.param(
        "POST", "/api/upload", Answer(401), 3, id="the token is refused in the middle"
    ),
    pytest.param(
        "ws", "connect", Do.RESET, 3, id="the task engine refuses connections"
    ),
    pytest.param(
        "ws", "success", Do.CUT, 3, id="the task engine hangs up before the result"
    ),
    pytest.param(
        "ws", "success", Do.DROP, 2, id="results of the task engine are dropped"
    ),
    pytest.param(
        "ws", "started", Do.DROP, 3, id="frames of the task engine are dropped"
    ),
    pytest.param(
        "ws", "started", Do.CUT, 3, id="the task engine hangs up after the start"
    ),
]


@pytest.mark.parametrize(("method", "part", "decision", "times"), TROUBLES)
def test_everything_arrives_once_whatever_the_network_does(
    tmp_path: Path,
    shelf: Shelf,
    workers: Workers,
    proxied: Callable[[Callable[[str, str], Decision]], Shelf],
    method: str,
    part: str,
    decision: Decision,
    times: int,
) -> None:
    """Two workers behind a lying proxy."""
    library, contents = library_of(tmp_path)
    script = Script(method, part, decision, times)
    front = proxied(script)
    asking = {"ASK_FIRST_BYTES": "0"} if part.endswith("check") else {}
    running = [
        workers.start(
            library.root,
            front,
            "--worker-id",
            str(number),
            "--batch-size",
            "5",
            **FAST,
            **asking,
        )
        for number in (1, 2)
    ]
    ends = [workers.finish(process) for process in running]
    assert [code for code, _said in ends] == [0, 0], ends
    assert script.done == times
    assert troubles(look(shelf.data_dir), contents) == []
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(discovered=24, uploaded=24)
    assert totals.proved(workers.state_dir / "migration_ledger.db", 1)


HTML, GONE = Answer(200, "<p>Under maintenance</p>"), Answer(404, "<p>Not here</p>")
LATER = Answer(429, headers={"Retry-After": "1"})
AWAY = Answer(
    200,
    '{"error": "Database error", "error_details": "(psycopg2.OperationalError) it closed"}',
    "application/json",
)
PORTAL = Answer(302, "", headers={"Location": "http://portal.example/login"})
#: What stands in the place of answers, one after the other, each for a request of its
#: own.
NO_ANSWERS = [
    (
        "POST",
        "/api/upload",
        [HTML, AWAY, LATER, Answer(200, "{}", "application/json"), Answer(204, "")],
    ),
    ("GET", "/api/uploads-meta", [GONE, HTML]),
    (
        "POST",
        "/api/ebooks",
        [HTML, replace(HTML, acted=True), AWAY, replace(AWAY, acted=True), Answer(503)],
    ),
    (
        "GET",
        "/index/",
        [HTML, Answer(429), Answer(200, '{"items": [', "application/json")],
    ),
    (
        "POST",
        "/add-upload",
        [GONE, replace(HTML, acted=True), replace(LATER, acted=True)],
    ),
    ("PATCH", "/api/ebooks", [HTML, PORTAL, AWAY]),
    (
        "POST",
        "/rate",
        [HTML, Answer(302, ""), Answer(200, '{"status": "ok"}', "application/json")],
    ),
    ("GET", "/api/ebooks/", [GONE, HTML]),
]


class InTurn:
    """Hands out the made-up answers of every route, a good one after each; then passes
    everything."""

    def __init__(self) -> None:
        self._left = {(method, part): list(kinds) for method, part, kinds in NO_ANSWERS}
        self._turn = dict.fromkeys(self._left, 0)
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Decision:
        for (wanted, part), kinds in self._left.items():
            exact = part in ("/api/upload", "/api/ebooks") and wanted == "POST"
            if method == wanted and (path == part if exact else part in path):
                with self._lock:
                    self._turn[wanted, part] += 1
                    if kinds and self._turn[wanted, part] % 2:
                        return kinds.pop(0)
        return Do.PASS

    def left(self) -> list[Decision]:
        """What nobody has got."""
        return [kind for kinds in self._left.values() for kind in kinds]


def test_answers_that_are_none_change_nothing(
    tmp_path: Path,
    shelf: Shelf,
    workers: Workers,
    proxied: Callable[[Callable[[str, str], Decision]], Shelf],
) -> None:
    """Pages, redirects, foreign JSON, trouble inside 200, with the server acting or
    not: all there once.

    The limit of requests is waited for, and the redirect is said with its target.
    """
    library, contents = library_of(tmp_path, 12)
    script = InTurn()
    front, quick = proxied(script), FAST | {"RECONCILE_AFTER_SECONDS": "0.3"}
    code, said = workers.run(library.root, front, **quick)
    if code == ExitCode.PENDING:
        # One book has met three of them while others went well: the next start's.
        code, more = workers.run(library.root, front, **quick)
        said += more
    assert code == 0, said
    assert script.left() == []
    assert troubles(look(shelf.data_dir), contents) == []
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts, dict(found.failed)) == (Counts(24, 24), {})
    assert not {"title", "rating", "cover"} & set(found.not_carried)
    with shelf.session() as session:
        for number in range(12):
            shown = session.get(
                f"{shelf.url}/api/ebooks/index/Книга {number}", timeout=20
            ).json()["items"]
            assert [
                (item["title"], item["rating"])
                for item in shown
                if item["title"] == f"Книга {number}"
            ] == [(f"Книга {number}", 80)]
    assert (
        "answered with a redirect to http://portal.example/login; a proxy or a portal stands before"
        in said
    )
    assert "nothing new is sent for 1 s, as asked" in said


def test_a_book_the_server_always_fails_on_stays_pending_alone(
    tmp_path: Path,
    shelf: Shelf,
    workers: Workers,
    proxied: Callable[[Callable[[str, str], Decision]], Shelf],
) -> None:
    """Three rounds of 500 while others arrive: nobody refused it, so it is pending, not
    failed; and the run ends.

    The status says so, the pass stays open, its empty ebook does not stay; the next
    start takes it up and finishes."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(30)))

    def decide(method: str, path: str) -> Decision:
        # The embedded server numbers its ebooks from 1; the fifth can never be attached
        # to.
        return (
            Answer(500)
            if (method, path) == ("POST", "/api/ebooks/5/add-upload")
            else Do.PASS
        )

    front = proxied(decide)
    code, said = workers.run(library.root, front, "--parallel-uploads", "2", **FAST)
    assert code == 6, said
    assert (
        "Ended with files pending: the server failed on 1 books again and again" in said
    )
    assert (
        "stays open: discovered 30 = uploaded 29 + duplicate 0 + skipped 0 + failed "
        "0 + pending 1 (proved"
    ) in said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts, dict(found.failed), found.closed_at) == (
        Counts(30, 29, 0, 0, 0, 1),
        {},
        None,
    )
    truth = look(shelf.data_dir)
    assert (truth.ebooks, truth.ebooks_without_source, truth.working_titles) == (
        29,
        0,
        0,
    )
    code, said = workers.run(library.root, front, "--parallel-uploads", "2", **FAST)
    assert code == 0, said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts, found.closed_at is None) == (Counts(30, 30), False)
    truth = look(shelf.data_dir)
    assert (truth.ebooks, truth.ebooks_without_source, truth.working_titles) == (
        30,
        0,
        0,
    )


def freeze(process: "subprocess.Popen[str]", ledger: Path) -> None:
    """Stops a worker between two writes to the ledger: in the middle of one nobody else
    could begin at all."""
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        wait_for(
            lambda: (
                Path(f"/proc/{process.pid}/stat")
                .read_text()
                .rpartition(")")[2]
                .split()[0]
                == "T"
            )
        )
        with closing(sqlite3.connect(ledger, timeout=0.2, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
            else:
                db.execute("ROLLBACK")
                return
    pytest.fail("the worker was always writing to the ledger when it was stopped")


def test_a_frozen_worker_that_wakes_does_nothing_twice(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """SIGSTOP in the middle, another worker does the rest, SIGCONT: nothing twice,
    nothing lost."""
    library, contents = library_of(tmp_path, 30)
    shelf = shelves(tmp_path / "lax", "--permissive", "--delay-ms", "30")
    first = workers.start(
        library.root, shelf, "--worker-id", "1", "--batch-size", "10", **FAST
    )
    path = progress.progress_path(workers.state_dir, 1)
    wait_for(
        lambda: (seen := progress.read(path)) is not None and seen.counts.uploaded >= 3
    )
    freeze(first, workers.state_dir / LEDGER_NAME)
    second = workers.start(
        library.root, shelf, "--worker-id", "2", "--batch-size", "10", **FAST
    )
    other = progress.progress_path(workers.state_dir, 2)
    wait_for(
        lambda: (
            (seen := progress.read(other)) is not None and seen.status is Phase.WAITING
        )
    )
    # It goes on waiting, for longer than anything else is waited for here.
    since = progress.read(other)
    assert since is not None
    wait_for(
        lambda: (
            (seen := progress.read(other)) is not None
            and seen.status is Phase.WAITING
            and seen.updated_at - since.updated_at >= timedelta(seconds=2)
        )
    )
    first.send_signal(signal.SIGCONT)
    assert [workers.finish(process)[0] for process in (first, second)] == [0, 0]
    assert troubles(look(shelf.data_dir), contents) == []


@pytest.mark.slow
def test_kills_at_random_lose_nothing(tmp_path: Path) -> None:
    """The short run of benchmarks/faults/kill9.py, against a server without unique
    constraints."""
    assert (
        kill9.run(
            files=40, kills=8, options=["--delay-ms", "40", "--permissive"], seed=5
        )
        == []
    )


@pytest.mark.slow
def test_a_large_file_costs_no_memory(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """300 MB go through a worker that stays under 150 MB; bytes move in its
    progress."""
    # Each call takes a while, so that the file is still in hand when the progress is
    # next written.
    shelf = shelves(tmp_path / "shelf", "--delay-ms", "600")
    library = Library(tmp_path / "library")
    library.add(Made(files={"TXT": b"x"}))
    size = 300_000_000
    with library.file(1, "TXT").open("wb") as file:
        file.truncate(size)
    process = workers.start(library.root, shelf)
    path = progress.progress_path(workers.state_dir, 1)
    peak = moved = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status")
        try:
            peak = max(
                peak,
                *(
                    int(line.split()[1])
                    for line in status.read_text().splitlines()
                    if "VmHWM" in line
                ),
                0,
            )
        except OSError:
            break
        seen = progress.read(path)
        moved = (
            max(moved, *(file.bytes_sent for file in seen.current), 0)
            if seen
            else moved
        )
        time.sleep(0.05)
    code, said = workers.finish(process)
    assert code == 0, said
    assert 0 < peak < 150_000
    assert moved > 0
    ended = progress.read(path)
    assert ended is not None
    assert ended.bytes_uploaded == size


# -- the state directory ---------------------------------------------------------------


def test_a_state_directory_that_is_deleted_ends_the_worker_clearly(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """Status 5 and a sentence; a new start does the rest."""
    library, contents = library_of(tmp_path, 40)
    shelf = shelves(tmp_path / "shelf", "--delay-ms", "30")
    process = workers.start(library.root, shelf, **FAST)
    path = progress.progress_path(workers.state_dir, 1)
    wait_for(
        lambda: (seen := progress.read(path)) is not None and seen.counts.uploaded >= 3
    )
    shutil.rmtree(workers.state_dir)
    code, said = workers.finish(process)
    assert code == 5, said
    assert (
        f"cannot write {workers.state_dir}" in said or "was deleted or replaced" in said
    )
    assert contents


def test_a_full_disk_ends_the_worker_clearly_and_loses_nothing(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """A small tmpfs: status 5; with more space the next worker does the rest."""
    if os.getuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    library, contents = library_of(tmp_path, 60)
    workers.state_dir.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(workers.state_dir)],
        check=False,
        timeout=30,
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        code, said = workers.run(library.root, shelf, **FAST)
        assert code == 5, said
        assert "free space on its disk" in said or "free some space" in said
        subprocess.run(
            ["mount", "-o", "remount,size=100m", str(workers.state_dir)],
            check=True,
            timeout=30,
        )
        code, said = workers.run(library.root, shelf, **FAST)
        assert code == 0, said
    finally:
        subprocess.run(["umount", "-l", str(workers.state_dir)], check=True, timeout=30)
    assert troubles(look(shelf.data_dir), contents) == []


def test_a_damaged_ledger_is_set_aside_and_rebuilt_from_the_server(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """In the middle of a pass, without a backup: nothing twice, formats join their
    ebooks, nothing is deleted."""
    library, contents = library_of(tmp_path, 10)
    process = workers.start(library.root, shelf, "--limit", "7", **FAST)
    assert workers.finish(process)[0] == 0
    ledger = workers.state_dir / "migration_ledger.db"
    damaged = b"\xa5" * ledger.stat().st_size
    ledger.write_bytes(damaged)
    for side in ("-wal", "-shm"):
        ledger.with_name(ledger.name + side).unlink(missing_ok=True)
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    assert "was set aside as" in said
    assert [
        path.read_bytes() for path in workers.state_dir.glob("migration_ledger.2*.db")
    ] == [damaged]
    assert troubles(look(shelf.data_dir), contents) == []
    assert look(shelf.data_dir).ebooks == 10
    found = totals.read(ledger)
    assert found is not None
    assert (
        found.counts.discovered,
        found.counts.uploaded + found.counts.duplicate,
    ) == (20, 20)


def test_damage_met_while_running_is_rescued_at_the_next_start(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """Status 5 first; then the backup of the closed pass takes its place, and all is
    known again."""
    library, contents = library_of(tmp_path, 10)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    (workers.state_dir / "migration_ledger.damaged").touch()
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    assert "the backup of the last closed pass" in said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(discovered=20, duplicate=20)
    assert troubles(look(shelf.data_dir), contents) == []


def test_a_file_that_kills_its_worker_three_times_is_given_up(
    tmp_path: Path,
    shelf: Shelf,
    workers: Workers,
    proxied: Callable[[Callable[[str, str], Decision]], Shelf],
) -> None:
    """The worker dies at the same step of the same file, thrice; the fourth goes on
    without it; all others arrive."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(6)))
    running: list[subprocess.Popen[str]] = []

    def decide(method: str, path: str) -> Decision:
        # The embedded server numbers its ebooks from 1; attaching to the first one
        # kills.
        if (method, path) == ("POST", "/api/ebooks/1/add-upload"):
            running[-1].kill()
            return Do.RESET
        return Do.PASS

    front = proxied(decide)
    for _ in range(3):
        running.append(
            workers.start(library.root, front, "--parallel-uploads", "1", **FAST)
        )
        assert workers.finish(running[-1])[0] == -signal.SIGKILL
    code, said = workers.run(library.root, front, "--parallel-uploads", "1", **FAST)
    assert code == 1, said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts, dict(found.failed)) == (
        Counts(6, 5, 0, 0, 1, 0),
        {"stopped its worker 3 times": 1},
    )
    truth = look(shelf.data_dir)
    assert (truth.ebooks, truth.ebooks_without_source, truth.working_titles) == (
        5,
        0,
        0,
    )


def test_an_error_of_the_program_has_a_status_of_its_own(
    tmp_path: Path, shelf: Shelf
) -> None:
    """Not Python's 1, which means done; the log says where, the progress file that it
    failed."""
    library, _contents = library_of(tmp_path, 2)
    text = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
    script, state = tmp_path / "bulk_migrate_calibre.py", tmp_path / "state"
    script.write_text(
        text.replace(
            "        self.refuse_unsendable(file)\n", "        self.no_such_thing()\n"
        ),
        "utf-8",
    )
    command = [
        sys.executable,
        str(script),
        str(library.root),
        "--server",
        shelf.url,
        "--state-dir",
        str(state),
    ]
    done = subprocess.run(
        command,
        env=clean_environment(MBS2_PASSWORD=shelf.password),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 70
    log = (state / "migration_worker1.log").read_text("utf-8")
    assert (
        "Internal error: AttributeError: 'CalibreMigrator' object has no attribute "
        "'no_such_thing' | File"
    ) in log
    seen = progress.read(progress.progress_path(state, 1))
    assert seen is not None
    assert seen.last_error is not None
    assert (seen.status, seen.last_error.error_class) == (
        Phase.FAILED,
        "AttributeError",
    )
