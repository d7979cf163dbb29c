"""A person who is not root, with a home and a checkout in folders with blanks."""

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.environment import PROJECT, STAND_INS
from tests.support.machine.checkoutkit import make_checkout
from tests.support.machine.hostkit import NOBODY, nobody, public_folder
from tests.support.migration.workerkit import wait_for

#: What the person has set, so that nothing waits longer than it must.
QUICK = {
    "CHECK_INTERVAL_SECONDS": "1",
    "IOSTAT_SECONDS": "1",
    "REPORT_SECONDS": "0",
    "LAST_LOOK_SECONDS": "0.1",
    "TARGET_WORKER_COUNT": "1",
    "DASHBOARD_PORT": "0",
}
#: Seconds that a command may take.
PATIENCE = 120.0
_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


class Person:
    """Types commands into a shell, in the checkout."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "Anna's home"
        self.checkout = make_checkout(self.home / "a clone")
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(STAND_INS), os.environ["PATH"])),
            "LANG": "C.UTF-8",
            **QUICK,
        }
        _set_up(self.checkout, self.environment)

    def owns_everything(self) -> None:
        """As if the person had made it all."""
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def types(self, command: str) -> tuple[int, str]:
        """Types a command; returns its exit status, and all it said."""
        done = subprocess.run(
            nobody(["bash", "-c", command]),
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout

    def types_until(self, command: str, sign: str) -> str:
        """Types a command that goes on and on, and Ctrl-C once it has said `sign`;
        returns all it said."""
        output = self.home.parent / "output"
        with output.open("wb") as written:
            shell = subprocess.Popen(
                nobody(["bash", "-c", f"exec {command}"]),
                cwd=self.checkout,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,
            )
        try:
            # What it has said instead tells more than that the sign never came.
            with suppress(AssertionError):
                wait_for(
                    lambda: (
                        sign in output.read_text("utf-8", "replace")
                        or shell.poll() is not None
                    )
                )
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGINT)
            shell.wait(30)
        return output.read_text("utf-8", "replace")


@contextmanager
def person() -> Iterator[Person]:
    """One with a folder that any user may look into; whatever they started is ended."""
    with public_folder() as folder:
        one = Person(folder)
        one.owns_everything()
        try:
            yield one
        finally:
            one.types("./stop.sh --all")


def _set_up(checkout: Path, environment: dict[str, str]) -> None:
    """Makes sure that a user who is not root may run the checkout's Python."""
    if _runs(checkout / ".venv" / "bin" / "python"):
        return
    (checkout / ".venv").unlink()
    for python in (f"/usr/local/bin/{_VERSION}", f"/usr/bin/{_VERSION}"):
        if _runs(Path(python)):
            _make_venv(checkout / ".venv", python)
            return
    if os.environ.get("CI"):
        pytest.fail("no Python here that a user who is not root may run")
    pytest.skip("no Python here that a user who is not root may run")


def _runs(python: Path) -> bool:
    # setpriv gives root's rights up only after it has found the program.
    done = subprocess.run(
        nobody(["sh", "-c", 'exec "$0" -c ""', str(python)]),
        cwd="/",
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


def _make_venv(folder: Path, python: str) -> None:
    """One of another Python with the libraries of ours, as if they were installed."""
    subprocess.run(
        [python, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120
    )
    packages, ours = folder / "lib" / _VERSION / "site-packages", _libraries()
    (packages / "libraries.pth").write_text(f"{ours}\n")
    (packages / "pip").symlink_to(ours / "pip")
    # By this a start sees that nothing is to be installed.
    names = ("requirements.txt", "requirements-cluster.txt", "requirements.txt")
    stamp = subprocess.run(
        ["cksum"],
        input=b"".join((PROJECT / name).read_bytes() for name in names),
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout
    (folder / "installed-requirements").write_bytes(stamp)


def _libraries() -> Path:
    return Path(sysconfig.get_path("purelib"))
