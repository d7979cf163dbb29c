"""A checkout of one's own, and its two buttons pressed as a person does."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

from tests.support.environment import PROJECT, clean_environment


def make_checkout(folder: Path) -> Path:
    """A copy of what git knows but the tests, with this virtual environment and, as
    after a first run, its bytecode."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in names:
        source = PROJECT / name
        if name and source.is_file() and not name.startswith("tests/"):
            _copy(source, folder / name)
            if source.suffix == ".py":
                _copy_bytecode(source, folder / name)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    return folder


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _copy_bytecode(source: Path, target: Path) -> None:
    """It knows the time and size of its source, and a copy has the same."""
    compiled = Path(importlib.util.cache_from_source(str(source)))
    if compiled.exists():
        _copy(compiled, Path(importlib.util.cache_from_source(str(target))))


def press(
    checkout: Path, *command: str, **more: str | None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command of the checkout from another directory; None takes a variable
    away."""
    environment = {
        key: value
        for key, value in clean_environment().items()
        if not key.startswith("PYTHON")
    }
    environment |= {"CHECKOUT_LINKS": "1", "READ_ENV_FILES": "1"}
    environment |= {key: value for key, value in more.items() if value is not None}
    for key in [key for key, value in more.items() if value is None]:
        environment.pop(key, None)
    program, *rest = command
    return subprocess.run(
        [str(checkout / program), *rest],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
