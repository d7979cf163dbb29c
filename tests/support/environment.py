"""Where the tests are, and an environment without the settings of whoever runs them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from common.settings.reference import PROGRAMS
from common.settings.setting import settings_of

PROJECT = Path(__file__).resolve().parents[2]
FIXTURES = PROJECT / "tests" / "fixtures"
#: Programs in place of others that cost more than all the rest of a test.
STAND_INS = PROJECT / "tests" / "support" / "bin"
USERNAME, PASSWORD = "admin", "correct horse battery"

_SETTINGS = frozenset(
    one.variable for model in PROGRAMS.values() for one in settings_of(model)
)
#: What else is a person's: of MyBookshelf2, of libraries, and where state is kept.
_OTHERS = ("MBS2_", "OPENAI_", "DASK_", "XDG_STATE_HOME")


#: A person's .env is for migrations. Set before the first module of ours reads settings.
os.environ["READ_ENV_FILES"] = "0"


def is_a_persons(name: str) -> bool:
    """Is this variable a setting of the person who runs the tests?"""
    return name in _SETTINGS or name.startswith(_OTHERS)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests, and with
    bytecode: without it every process would compile two hundred modules."""
    kept = {key: text for key, text in os.environ.items() if not is_a_persons(key)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    # Nothing on loopback arrives late unless a test says so. The links in the checkout
    # and its .env are a person's. An audit is a process more for each run; the tests of
    # it, of updates and of the demo have it.
    ours = {
        "LAST_LOOK_SECONDS": "0.1",
        "CHECKOUT_LINKS": "0",
        "READ_ENV_FILES": "0",
        "AUDIT": "off",
        # Most tests are about how one book is sent; those of other lanes say so.
        "MIGRATE_LANE": "api",
        # Tests beside each other must not all want the same one.
        "EMBEDDED_PORT": "0",
    }
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
