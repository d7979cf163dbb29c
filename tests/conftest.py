"""Fixtures: a clean environment, real servers and workers on loopback, each ended by
whoever started it."""

import gc
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import freezegun
import hypothesis
import pytest
import requests

from common.settings.reference import PROGRAMS
from common.settings.setting import settings_of
from tests.support.firstuser import seed
from tests.support.home import Home

# Without its bytecode every process of a test would compile two hundred modules, and
# every process of pytest all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long one example takes says how busy the machine is, not whether the code is
# right.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

# Freezing time looks at every attribute of every module; those of `settings` that only
# MyBookshelf2 reads end a process without its secrets. The time would then stay frozen
# for every later test of this process.
freezegun.configure(extend_ignore_list=["settings"])

# Before anything is started: even the fixtures of a whole session get no other home.
HOME = Home()


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


PROJECT = Path(__file__).resolve().parent.parent
FIXTURES = PROJECT / "tests" / "fixtures"
USERNAME, PASSWORD = "admin", "correct horse battery"

_SETTINGS = frozenset(
    one.variable for model in PROGRAMS.values() for one in settings_of(model)
)
#: What else is a person's: of MyBookshelf2, of libraries, and where state is kept.
_OTHERS = ("MBS2_", "OPENAI_", "DASK_", "XDG_STATE_HOME")
#: A person's .env is for migrations. Set before the first module of ours reads settings.
os.environ["READ_ENV_FILES"] = "0"


def _is_a_persons(name: str) -> bool:
    return name in _SETTINGS or name.startswith(_OTHERS)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests."""
    kept = {key: text for key, text in os.environ.items() if not _is_a_persons(key)}
    # Nothing on loopback arrives late unless a test says so. The links in the checkout
    # and its .env are a person's.
    ours = {"LAST_LOOK_SECONDS": "0.1", "CHECKOUT_LINKS": "0", "READ_ENV_FILES": "0"}
    return {
        **kept,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "error",
        **ours,
        **more,
    }


def needs(program: str) -> None:
    """Skips the test when a program is missing; under CI that is a failure."""
    if shutil.which(program) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is missing under CI")
        pytest.skip(
            f"{program} is not installed (./run_tests.sh --system-deps installs it)"
        )


@dataclass(frozen=True, slots=True)
class Shelf:
    """A running embedded server."""

    url: str
    data_dir: Path
    process: "subprocess.Popen[str] | None"
    username: str = USERNAME
    password: str = PASSWORD

    @property
    def ws_url(self) -> str:
        """Its task engine."""
        return self.url.replace("http://", "ws://") + "/ws"

    def session(self) -> requests.Session:
        """A session that is logged in."""
        session = requests.Session()
        answer = session.post(
            f"{self.url}/login",
            json={"username": self.username, "password": self.password},
            timeout=20,
        )
        session.headers["Authorization"] = f"bearer {answer.json()['access_token']}"
        return session


def start_shelf(
    data_dir: Path, *options: str, port: int = 0, **environment: str
) -> Shelf:
    """Starts an embedded server and waits until it listens.

    A new one has its user already; hashing a password costs more than all the rest.
    """
    if not environment.keys() & {"MBS2_USERNAME", "MBS2_PASSWORD"}:
        seed(data_dir, USERNAME, PASSWORD)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bookshelf",
            "--data-dir",
            str(data_dir),
            "--port",
            str(port),
            *options,
        ],
        cwd=PROJECT,
        env=clean_environment(MBS2_PASSWORD=PASSWORD, **environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("bookshelf listening on "), (
        f"the server did not start: {line!r}"
    )
    return Shelf(line.split()[-1], data_dir, process)


def end(process: "subprocess.Popen[str] | None") -> None:
    """Ends a process and closes its pipes."""
    if process is None:
        return
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches a test, and no test a home
    that another one used."""
    for key in list(os.environ):
        if _is_a_persons(key):
            monkeypatch.delenv(key)
    monkeypatch.setenv("READ_ENV_FILES", "0")
    monkeypatch.setenv("HOME", str(HOME.fresh()))


@pytest.fixture(autouse=True, scope="session")
def _the_persons_state() -> Iterator[None]:
    """Nothing that a test starts comes near the state directories of the person who
    runs the tests."""
    yield
    assert HOME.written() == []


@pytest.fixture
def shelves() -> Iterator[Callable[..., Shelf]]:
    """Starts servers; all are ended after the test."""
    started: list[Shelf] = []

    def start(
        data_dir: Path, *options: str, port: int = 0, **environment: str
    ) -> Shelf:
        started.append(start_shelf(data_dir, *options, port=port, **environment))
        return started[-1]

    yield start
    for shelf in started:
        end(shelf.process)


@pytest.fixture
def shelf(tmp_path: Path, shelves: Callable[..., Shelf]) -> Shelf:
    """An embedded server of the test's own."""
    return shelves(tmp_path / "shelf")


class Workers:
    """Runs the worker as a process, as a user does."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        #: What is run as the worker.
        self.script = PROJECT / "bulk_migrate_calibre.py"
        self.running: list[subprocess.Popen[str]] = []

    def start(
        self, library: Path, shelf: Shelf, *options: str, **environment: str
    ) -> "subprocess.Popen[str]":
        """Starts a worker and returns at once."""
        command = [
            sys.executable,
            str(self.script),
            str(library),
            "--server",
            shelf.url,
            "--state-dir",
            str(self.state_dir),
            *options,
        ]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=clean_environment(MBS2_PASSWORD=shelf.password, **environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.running.append(process)
        return process

    def run(
        self, library: Path, shelf: Shelf, *options: str, **environment: str
    ) -> tuple[int, str]:
        """Runs a worker to its end; returns its exit status and what it said."""
        process = self.start(library, shelf, *options, **environment)
        return self.finish(process)

    @staticmethod
    def finish(
        process: "subprocess.Popen[str]", timeout: float = 240
    ) -> tuple[int, str]:
        """Waits for a worker; returns its exit status and what it said."""
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out + err


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Workers on a state directory of the test's own; all are ended after the test."""
    made = Workers(tmp_path / "state")
    yield made
    for process in made.running:
        end(process)


@pytest.fixture(scope="session")
def small_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 201-book library that real calibredb made; for reading only."""
    folder = tmp_path_factory.mktemp("fixture")
    with tarfile.open(FIXTURES / "lib_small.tar.gz") as archive:
        # Python before 3.11.4 has no filters; later ones warn without one.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    return folder / "lib_small"


@pytest.fixture(autouse=True)
def _threads_end() -> Iterator[None]:
    """A test leaves no thread behind that is not a daemon."""
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.daemon
    ]
    assert not left, f"threads left running: {left}"
