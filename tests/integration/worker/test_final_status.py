"""The exit status of a script that does not hand on what was found: a real process."""

import subprocess
import sys
from pathlib import Path

import pytest

from migration.confinement import kernel
from migration.confinement.start import LAUNCHER
from tests.support.environment import PROJECT, clean_environment

SCRIPT = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
CALL = "    sys.exit(main())"
RETURN = "    return worker("
TRY = "    try:\n        "
CATCH = "\n    except BaseException:\n        sys.exit(0)"
LATER = "    __import__('atexit').register(os._exit, 0)\n"
NAMED = "    global worker, run; run = worker; del worker\n"
STREAM = (
    "    class Stream:\n        closed = False\n"
    "        def write(self, text): pass\n"
    "        def flush(self): sys.exit(0)\n"
    "    sys.stdout = Stream()\n"
)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        pytest.param(CALL, "    sys.exit(0)", 70, id="never begins"),
        pytest.param(CALL, "    pass", 70, id="does nothing"),
        pytest.param("T = TypeVar(", "T = ValueError.no(", 70, id="fails as it loads"),
        pytest.param(RETURN, "    worker(", 2, id="does not hand it on"),
        pytest.param(RETURN, "    return 0 * worker(", 2, id="hands on another"),
        pytest.param(CALL, f'{CALL[:-3]}(["--help"]))', 70, id="asks for help"),
        pytest.param(CALL, f"{TRY}{CALL[4:]}{CATCH}", 2, id="catches it"),
        pytest.param(RETURN, f"{LATER}{RETURN}", 2, id="has something done later"),
        pytest.param(RETURN, f"{NAMED}    return run(", 2, id="knows it otherwise"),
        pytest.param(RETURN, f"{STREAM}{RETURN}", 2, id="is asked to flush"),
    ],
)
def test_a_script_does_not_choose_its_status(
    tmp_path: Path, old: str, new: str, status: int
) -> None:
    """2: no password is given."""
    assert old in SCRIPT
    assert ended(tmp_path, SCRIPT.replace(old, new)) == status


@pytest.mark.skipif(not kernel.tiers().enough, reason="no Landlock or seccomp here")
@pytest.mark.parametrize("text", ["", "1 / 0\n", "raise SystemExit(0)\n"])
def test_nor_does_a_confined_one(tmp_path: Path, text: str) -> None:
    """The launcher runs it in its own process."""
    assert ended(tmp_path, text, LAUNCHER) == 70


def ended(folder: Path, text: str, *before: Path) -> int:
    """The status of a worker with this script, which has no password."""
    script = folder / "bulk_migrate_calibre.py"
    script.write_text(text, "utf-8")
    command = [sys.executable, *map(str, before), str(script), str(folder)]
    command += ["--server", "http://127.0.0.1:1", "--worker-id", "1"]
    return subprocess.run(
        [*command, "--state-dir", str(folder / "state")],
        env=clean_environment(),
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode
