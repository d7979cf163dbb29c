"""How the launcher ends when it cannot begin: 2 only where no restart helps."""

import subprocess
import sys
from pathlib import Path

import pytest

from migration.confinement import kernel
from migration.confinement.start import LAUNCHER
from tests.support.environment import clean_environment

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not kernel.tiers().enough, reason="no Landlock or seccomp here"),
]

CHANGED = "was changed by an LLM"


def ended(
    folder: Path, *before: str, state: str = "state", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The launcher of a script that does nothing."""
    script = folder / "bulk_migrate_calibre.1.py"
    script.write_text("")
    command = [*before, sys.executable, str(LAUNCHER), str(script), str(folder)]
    command += ["--server", "http://127.0.0.1:1", "--worker-id", "1"]
    return subprocess.run(
        [*command, "--state-dir", str(folder / state)],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value"), [("LOG_FORMAT", "bogus"), ("MBS2_WS_URL", "http://no")]
)
def test_a_wrong_setting_is_said(tmp_path: Path, variable: str, value: str) -> None:
    """As the worker says it; Python's own status would be that of a finished worker."""
    done = ended(tmp_path, **{variable: value})
    assert (done.returncode, CHANGED in done.stderr) == (2, False), done.stderr
    assert f"{variable}=" in done.stderr
    assert "[wrong-setting]" in done.stderr


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """It has a status of its own; the script is not to blame."""
    (tmp_path / "file").write_text("")
    done = ended(tmp_path, state="file/state")
    assert (done.returncode, CHANGED in done.stderr) == (5, False), done.stderr
    assert "[state-unwritable]" in done.stderr


def test_a_shortage_passes(tmp_path: Path) -> None:
    """So the worker may be started again."""
    few = ("sh", "-c", 'ulimit -n 7; exec "$@"', "sh")
    done = ended(tmp_path, *few)
    assert (done.returncode, CHANGED in done.stderr) == (70, False), done.stderr
    assert "too many open files" in done.stderr
