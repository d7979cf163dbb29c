"""The machine's clock is set in mid-run, for a worker and for a monitor with its
workers: nothing waits for it."""

import time
from pathlib import Path

import pytest

from migration.state_files import progress
from tests.support.libraries.librarykit import library_of
from tests.support.libraries.truth import look, troubles
from tests.support.machine.clockkit import FakeTime
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Do, Proxy, Script
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "3",
    "TASK_SECONDS": "4",
}


@pytest.mark.parametrize(
    "seconds", [-3600, 86400], ids=["an hour back", "a day forward"]
)
def test_a_worker_with_an_open_intention_goes_on(
    tmp_path: Path, shelf: Shelf, workers: Workers, seconds: int
) -> None:
    """The answer to a creation is lost and the clock is set meanwhile: it is reconciled
    in its time, all arrives."""
    clock = FakeTime(tmp_path)
    library, contents = library_of(tmp_path, 6)
    lost = Script("POST", "/api/ebooks", Do.CUT, 2)

    def decide(method: str, path: str) -> Do:
        found = lost(method, path) if path == "/api/ebooks" else Do.PASS
        if found is Do.CUT:
            clock.set(seconds)
        assert isinstance(found, Do)
        return found

    proxy = Proxy(shelf.url, decide)
    try:
        server = Shelf(proxy.url, shelf.data_dir, None)
        process = workers.start(library.root, server, **FAST, **clock.environment())
        path = progress.progress_path(workers.state_dir, 1)
        wait_for(lambda: lost.done >= 2)
        began, first = time.monotonic(), path.stat().st_ino
        wait_for(lambda: path.exists() and path.stat().st_ino != first)
        # It writes once a second, also after its clock was set back.
        assert time.monotonic() - began < 5
        code, said = workers.finish(process, 120)
    finally:
        proxy.stop()
    assert code == 0, said
    assert time.monotonic() - began < 60
    seen = progress.read(path)
    assert seen is not None
    assert abs(seen.updated_at.timestamp() - time.time() - seconds) < 60
    assert troubles(look(shelf.data_dir), contents) == []
