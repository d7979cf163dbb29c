"""The gate of a candidate: it must migrate the demo library as expected, in a sandbox.

The sandbox (`sandbox.run`) holds a copy of the project's own files, an embedded server
and the demo library; no network, home, credentials or state directory. Too slow counts
as wrong.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from auto_monitor.patch import sandbox

#: What a worker and an embedded server need of the project; only files of these kinds,
#: so that no data or secret of a user is copied.
_FOLDERS = ("common", "migration", "bookshelf", "demo")
_FILES = ("settings.py",)
_KINDS = frozenset({".py", ".html", ".css"})
#: The current script, which is the broken one, is given this many times as long as the
#: candidate took, and at least this many seconds.
_PATIENCE, _AT_LEAST = 2.0, 10.0
#: A directory older than this belongs to no running trial.
_LEFT_SECONDS = 3600.0


class NotPassed(Exception):
    """The candidate did not migrate the demo library as expected.

    The message says how.
    """


def check(
    candidate: Path, current: Path, project: Path, folder: Path, seconds: float
) -> str:
    """Migrates the demo library with the candidate.

    Returns a description of the result. `folder` is created for it and removed again.
    The result must match `demo/expected.json`, and that of the current script if that
    one finishes. Raises NotPassed or Unavailable.
    """
    _sweep(folder.parent)
    folder.mkdir(parents=True)
    try:
        _copy_project(project, folder)
        began = time.monotonic()
        found = _trial(candidate, folder, "candidate", seconds)
        took = time.monotonic() - began
        expected = json.loads((project / "demo" / "expected.json").read_text("utf-8"))
        problems = differences(found, expected)
        if problems:
            raise NotPassed("the demo library: " + "; ".join(problems))
        before = _current(current, folder, max(_AT_LEAST, _PATIENCE * took))
        if before is None:
            return (
                f"the demo library arrived as expected in {took:.1f} s; the "
                "script in place does not manage that"
            )
        if before["books"] != found["books"]:
            raise NotPassed(
                "the demo library arrives otherwise than with the script in place"
            )
        return (
            f"the demo library arrived in {took:.1f} s as expected and as with "
            "the script in place"
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Removes what killed trials left behind."""
    for left in parent.glob("*"):
        if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Returns the differences between a trial's result and `demo/expected.json`."""
    counts, wanted = found.get("counts", {}), expected["first_run"]
    problems = [
        f"{name} {counts.get(name)!r} instead of {wanted[name]!r}"
        for name in ("discovered", "uploaded", "duplicate", "failed")
        if counts.get(name) != wanted[name]
    ]
    if not (found.get("closed") and found.get("proved")):
        problems.append(
            "the pass did not come to its end with everything accounted for"
        )
    arrived = sorted(
        name.rpartition(".")[0]
        for book in found.get("books", [])
        for name in book["files"]
    )
    hashes = {
        file["sha1"]
        for book in expected["books"].values()
        for file in book["formats"].values()
    }
    refused = wanted["failed"].get("unsupported", 0)
    if (
        len(arrived) != wanted["uploaded"]
        or not set(arrived) <= hashes
        or len(set(arrived)) != len(hashes) - refused
    ):
        problems.append(
            f"{len(set(arrived) & hashes)} of {len(hashes) - refused} files arrived "
            "with the right bytes"
        )
    titles = {str(book["title"]) for book in found.get("books", [])}
    missing = sorted(
        {
            str(book["title"])
            for book in expected["books"].values()
            if len(str(book["title"])) < 80
        }
        - titles
    )
    if len(missing) > refused + wanted["duplicate"]:
        problems.append(f"{len(missing)} titles are missing")
    return problems


def _current(script: Path, folder: Path, seconds: float) -> dict[str, Any] | None:
    """Returns the result of the installed script.

    Returns None when it does not finish properly. That is to be expected: it is the
    broken one.
    """
    try:
        found = _trial(script, folder, "current", seconds)
    except NotPassed:
        return None
    return found if found.get("closed") and found.get("proved") else None


def _trial(script: Path, folder: Path, name: str, seconds: float) -> dict[str, Any]:
    """Runs one trial in the sandbox.

    Raises NotPassed when it does not end or prints nothing usable.
    """
    shutil.copyfile(script, folder / f"{name}.py")
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(sandbox.INSIDE / "project"),
        "HOME": "/tmp",  # noqa: S108 - of the sandbox
        "PYTHONDONTWRITEBYTECODE": "1",
        "RETRY_FIRST_SECONDS": "0.2",
        "PARALLEL_UPLOADS": "1",
    }
    command = [
        sandbox.python(),
        "-m",
        "demo.trial",
        f"{sandbox.INSIDE}/{name}.py",
        f"{sandbox.INSIDE}/{name}",
    ]
    done = sandbox.run(command, folder, environment, seconds)
    if done.returncode in (-9, 137):
        raise NotPassed(f"the demo library was not migrated within {seconds:.0f} s")
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    if done.returncode != 0 or not isinstance(found, dict):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotPassed(
            f"the trial ended with {done.returncode}: "
            f"{said[-1][:200] if said else 'it said nothing'}"
        )
    return found


def _copy_project(project: Path, folder: Path) -> None:
    """Copies the code of worker and server, and the demo library."""
    target = folder / "project"
    for name in _FOLDERS:
        for path in sorted((project / name).rglob("*")):
            own = (
                path.suffix in _KINDS and "state" not in path.relative_to(project).parts
            )
            if own and path.is_file() and not path.is_symlink():
                copy = target / path.relative_to(project)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    for name in _FILES:
        shutil.copyfile(project / name, target / name)
    shutil.copytree(
        project / "demo" / "library", target / "demo" / "library", dirs_exist_ok=True
    )
