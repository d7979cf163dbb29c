"""Every program in deploy/ says what it is for when it is asked with --help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import PROJECT, clean_environment

pytestmark = pytest.mark.integration
SCRIPTS = [
    path
    for path in sorted((PROJECT / "deploy").rglob("*.sh"))
    if os.access(path, os.X_OK)
]
#: Modules of deploy/ that are started by name.
MODULES = sorted(
    str(path.with_suffix("").relative_to(PROJECT)).replace(os.sep, ".")
    for path in (PROJECT / "deploy").rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text("utf-8")
)
COMMANDS = [
    *([str(script)] for script in SCRIPTS),
    *([sys.executable, "-m", module] for module in MODULES),
    [sys.executable, "-m", "deploy.prepare_server"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: Path(one[-1]).name)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_helps(command: list[str], option: str, tmp_path: Path) -> None:
    """On standard output, with status 0, and nothing else happens."""
    done = subprocess.run(
        [*command, option],
        cwd=PROJECT,
        env=clean_environment(STATE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 5
    assert "--help" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_they_are_all_there() -> None:
    """None is left out by being named otherwise."""
    assert {path.name for path in SCRIPTS} >= {
        "install_docker_compose_simple.sh",
        "verify_docker_compose.sh",
        "install_calibre.sh",
        "loop.sh",
    }
    assert {"deploy.launch", "deploy.stop", "deploy.check_env"} <= set(MODULES)
