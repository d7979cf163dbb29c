"""When the worker must not send: the server asked for time, or it is not known what
became of the last request."""

import threading
import time
from pathlib import Path

import pytest

from migration.ledger import totals
from migration.model import Counts, Phase
from migration.state_files import progress
from tests.support.environment import PROJECT
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Answer, Decision, Do, Proxy
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "0.5",
    "LAST_LOOK_SECONDS": "0.2",
}


class Closed:
    """From the fourth ebook on the server is closed for some seconds, and says for how
    long."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._until = 0.0
        self._ebooks = 0
        self._lock = threading.Lock()
        self.sent_away = 0

    def __call__(self, method: str, path: str) -> Decision:
        with self._lock:
            self._ebooks += (method, path) == ("POST", "/api/ebooks")
            if self._ebooks == 4 and not self._until:
                self._until = time.monotonic() + self._seconds
            if method == "ws" or time.monotonic() >= self._until:
                return Do.PASS
            self.sent_away += 1
            return Answer(503, headers={"Retry-After": str(self._seconds)})


def test_a_server_that_asks_for_time_gets_it(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """The worker is `waiting`, sends nothing but what was under way, counts no attempt
    and goes on by itself."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(12)))
    decide = Closed(4)
    proxy = Proxy(shelf.url, decide)
    process = workers.start(
        library.root,
        Shelf(proxy.url, shelf.data_dir, None),
        "--parallel-uploads",
        "2",
        **FAST,
    )
    path = progress.progress_path(workers.state_dir, 1)
    seen = set()
    while process.poll() is None:
        now = progress.read(path)
        seen |= {now.status} if now is not None and decide.sent_away else set()
        time.sleep(0.05)
    code, said = workers.finish(process)
    proxy.stop()
    assert code == 0, said
    assert Phase.WAITING in seen
    # Two uploaders, each perhaps with its ebook and then its look for it.
    assert 1 <= decide.sent_away <= 4
    assert "answered with HTTP 503" in said
    assert "nothing new is sent for 4 s, as asked" in said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts, look(shelf.data_dir).ebooks) == (Counts(12, 12), 12)


def test_a_worker_that_repeats_everything_at_once_makes_no_ebook_twice(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """Its own rule of what may be repeated was spoiled; answers to create and attach
    are lost all the time."""
    script = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
    rule = (
        "            isinstance(error, Transient)\n"
        "            and not isinstance(error, ResponseLost | LedgerBusy)\n"
        "            and not error.retry_after\n"
    )
    assert script.count(rule) == 1
    workers.script = tmp_path / "bulk_migrate_calibre.py"
    workers.script.write_text(
        script.replace(rule, "            isinstance(error, Transient)\n"), "utf-8"
    )
    library = Library(tmp_path / "library")
    books = epubs(range(8))
    library.add(*books)
    queue = iter(range(10_000))
    lock = threading.Lock()

    def decide(method: str, path: str) -> Decision:
        if method != "POST" or not (
            path == "/api/ebooks" or path.endswith("/add-upload")
        ):
            return Do.PASS
        with lock:
            return (
                Answer(200, "<p>A portal</p>", acted=True)
                if next(queue) % 3
                else Do.PASS
            )

    proxy = Proxy(shelf.url, decide)
    front = Shelf(proxy.url, shelf.data_dir, None)
    code, said = workers.run(library.root, front, PYTHONPATH=str(PROJECT), **FAST)
    proxy.stop()
    assert code == 0, said
    assert troubles(look(shelf.data_dir), [book.files["EPUB"] for book in books]) == []
    assert "was left empty by a request that arrived twice" not in said
