"""The utilisation of the disk beside an iostat that is scripted: it hangs, talks
nonsense, is not there."""

from pathlib import Path

import pytest

from tests.support.environment import end
from tests.support.machine.iostatkit import HANGS, first_on_path, nothing_is_left, put
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import Watch
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder before all others on the PATH."""
    return first_on_path(tmp_path, monkeypatch)


def test_the_monitor_beside_one_that_hangs(
    tmp_path: Path, programs: Path, shelf: Shelf
) -> None:
    """Looks go on every half second; it is said once; stopping the monitor ends it."""
    put(programs, HANGS)
    watch = Watch(tmp_path, shelf)
    watch.more |= {
        "SCALE_CHECK_SECONDS": "0.5",
        "IOSTAT_SECONDS": "1",
        "MAX_FILES_PER_MIN": "60",
    }
    watch.open_pass()
    monitor = watch.start("--workers", "1")
    log = watch.state / "monitor.log"
    try:
        wait_for(lambda: log.exists() and "Scaling: keep; disk at" in log.read_text())
        wait_for(lambda: len((programs / "pids").read_text().split()) >= 4)
        said = (
            "iostat gives no figure: it did not end within 4 s; the kernel's "
            "counters are used instead"
        )
        assert log.read_text().count(said) == 1
        assert log.read_text().count("iostat") == 1
    finally:
        end(monitor)
    wait_for(lambda: nothing_is_left(programs))
