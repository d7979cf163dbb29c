"""The exit status of a script that does not hand on what was found: a real process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import PROJECT, clean_environment

SCRIPT = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
CALL = "    sys.exit(main())"
RETURN = "    return worker("


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        pytest.param(CALL, "    sys.exit(0)", 70, id="never begins"),
        pytest.param(CALL, "    pass", 70, id="does nothing"),
        pytest.param("T = TypeVar(", "T = ValueError.no(", 70, id="fails as it loads"),
        pytest.param(RETURN, "    worker(", 2, id="does not hand it on"),
        pytest.param(RETURN, "    return 0 * worker(", 2, id="hands on another"),
    ],
)
def test_a_script_does_not_choose_its_status(
    tmp_path: Path, old: str, new: str, status: int
) -> None:
    """2: no password is given."""
    assert old in SCRIPT
    script = tmp_path / "bulk_migrate_calibre.py"
    script.write_text(SCRIPT.replace(old, new), "utf-8")
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            str(tmp_path),
            "--server",
            "http://127.0.0.1:1",
            "--state-dir",
            str(tmp_path / "state"),
        ],
        env=clean_environment(PYTHONPATH=str(PROJECT)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
