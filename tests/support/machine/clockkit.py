"""The wall clock of some processes, set while they run: libfaketime, and a Python that
can sleep under it."""

import sys
import sysconfig
from pathlib import Path

from tests.support.environment import needs

#: libfaketime 0.9.10 takes the deadline of clock_nanosleep for one of the wall clock,
#: whichever clock it is for: CPython's time.sleep, and with it every wait of
#: `subprocess` with a time-out, fails with EINVAL. `select` sleeps without it.
_SLEEP = """
import select, time

def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)

time.sleep = sleep
"""


class FakeTime:
    """The clock of the processes that are started with its `python` and its
    `environment`, set by what a file says."""

    def __init__(self, folder: Path) -> None:
        """Makes the file, and the Python, a virtual environment of its own with all
        packages of ours, in `folder`."""
        needs("faketime")
        self._file = folder / "faketime"
        self.set(0)
        self.python = _python(folder / "python")

    def set(self, seconds: int) -> None:
        """The clock is so many seconds off from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Only the wall clock is faked: the monotonic one cannot be set."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def _python(folder: Path) -> str:
    """It is the monitor's sys.executable, and so its workers' as well: their
    environment is the monitor's to choose."""
    base = Path(sys.executable).resolve()
    packages = (
        folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    )
    packages.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(base)
    # A line of a .pth file is a folder, or, when it begins with "import", run at every
    # start of this Python.
    ours = sysconfig.get_path("purelib")
    (packages / "clock.pth").write_text(
        f"import sleep_under_faketime, site; site.addsitedir({ours!r})\n"
    )
    (packages / "sleep_under_faketime.py").write_text(_SLEEP)
    return str(folder / "bin" / "python")
