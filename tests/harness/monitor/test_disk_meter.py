"""The utilisation of the disk beside an iostat that is scripted: it hangs, talks
nonsense, is not there."""

import os
import time
from pathlib import Path

import pytest

from auto_monitor.monitor import get_disk_io_utilization
from auto_monitor.observe import disk
from auto_monitor.observe.disk import LibraryDiskMeter
from tests.support.machine.iostatkit import HANGS, first_on_path, nothing_is_left, put
from tests.support.migration.workerkit import wait_for

#: What the counters of the kernel are made to say.
SHARE = 40.0
REPORT = """#!/bin/sh
[ "$LC_ALL" = C ] || exit 1
echo '{"sysstat": {"hosts": [{"statistics": [{"disk": ['
for disk in $(ls /sys/block); do echo "{\\"disk_device\\": \\"$disk\\", \\"util\\": UTIL},"; done
echo '{"disk_device": "none", "util": 0}]}]}]}}'
"""
NEVER_SILENT = "#!/bin/sh\necho $$ >>PIDS; exec yes nonsense\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder before all others on the PATH."""
    return first_on_path(tmp_path, monkeypatch)


class Counters:
    """Disks that are busy for SHARE percent of the time."""

    def __call__(self) -> dict[str, int]:
        """Milliseconds, as the kernel counts."""
        return {
            name: int(time.monotonic() * 10 * SHARE)
            for name in os.listdir("/sys/block")  # noqa: PTH208
        }


SCRIPTS = [
    (REPORT.replace("UTIL", "97.25"), 97.25, ""),
    (REPORT.replace("UTIL", "nan"), SHARE, "not sysstat's JSON"),
    (REPORT.replace("UTIL", "NaN"), SHARE, "not a number from 0 to 100"),
    (REPORT.replace("UTIL", "104"), SHARE, "not a number from 0 to 100"),
    (REPORT.replace("UTIL", "12,5"), SHARE, "not sysstat's JSON"),
    ("#!/bin/sh\nexit 3\n", SHARE, "it ended with status 3"),
    ("#!/no/such/interpreter\n", SHARE, "not installed"),
    ("nonsense", SHARE, "it cannot be started: Exec format error"),
    (HANGS, SHARE, "it did not end within 1.3 s"),
    (NEVER_SILENT, SHARE, "it prints more than 1000000 bytes"),
]


@pytest.mark.parametrize(
    ("script", "figure", "trouble"), SCRIPTS, ids=lambda value: str(value)[:30]
)
def test_every_kind_of_iostat(
    tmp_path: Path,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    figure: float,
    trouble: str,
) -> None:
    """Whatever it does, there is a figure, nobody is held up for a second, and nothing
    is left running."""
    monkeypatch.setattr("auto_monitor.observe.iostat.PATIENCE_SECONDS", 0.3)
    put(programs, script)
    if "sh\n" not in script:
        # Whoever looks for a program passes over one that cannot be executed.
        monkeypatch.setenv("PATH", str(programs))
    meter = LibraryDiskMeter(tmp_path, seconds=1, counters=Counters())
    try:
        began = time.monotonic()
        meter.begin()
        assert time.monotonic() - began < 0.5
        for _ in range(10):
            began = time.monotonic()
            found = meter.utilization()
            assert time.monotonic() - began < disk.LOOK_SECONDS + 0.6
            if found == pytest.approx(figure, abs=2) and bool(trouble) == bool(
                meter.trouble
            ):
                break
        assert found == pytest.approx(figure, abs=2)
        assert trouble in meter.trouble
        assert bool(trouble) == bool(meter.trouble)
    finally:
        meter.close()
    if "PIDS" in script:
        wait_for(lambda: nothing_is_left(programs))


def test_one_that_hangs_holds_up_nobody(tmp_path: Path, programs: Path) -> None:
    """The question of a person: within a second, by the counters; iostat is ended with
    it."""
    put(programs, HANGS)
    began = time.monotonic()
    found = get_disk_io_utilization(tmp_path)
    assert time.monotonic() - began < disk.LOOK_SECONDS + 0.6
    assert found is not None
    assert 0 <= found <= 100
    wait_for(lambda: nothing_is_left(programs))
    put(programs, REPORT.replace("UTIL", "97"))
    assert get_disk_io_utilization(tmp_path) == 97.0
    assert get_disk_io_utilization(tmp_path / "gone") is None
