"""The gate of a candidate: it must migrate the demo library as expected, in a sandbox,
and a copy of some of the user's own next books.

The sandbox (`sandbox.run`) holds a copy of the project's own files, an embedded server
and the demo library; no network, home, credentials or state directory. Too slow counts
as wrong.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auto_monitor.decide.diagnosis import PATIENCE
from auto_monitor.patch import sandbox
from auto_monitor.patch.sandbox import Unavailable
from migration.ledger import arrivals, totals
from migration.state_files.names import LEDGER_NAME

#: What a worker and an embedded server need of the project; only files of these kinds,
#: so that no data or secret of a user is copied.
_FOLDERS = ("common", "migration", "bookshelf", "demo")
_FILES = ("settings.py",)
_KINDS = frozenset({".py", ".html", ".css"})
#: A candidate is given this many times as long as the script in place needs; never more
#: than this many times GATE_SECONDS.
_PATIENCE, _MOST = 3.0, PATIENCE
#: The script in place, which may be the broken one, is ended after this many seconds
#: without progress.
_STILL = 12.0
#: Seconds for the copy of the user's books.
_COPY_SECONDS = 60.0
#: Why nobody can say whether a fix of a wrong result helps.
NOT_SHOWN = "what the audit has found does not show in a copy of these books"
#: A directory older than this belongs to no running trial.
_LEFT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Library:
    """A library inside the sandbox; `ending` marks the folders of its trials."""

    name: str
    place: str
    ending: str = ""


DEMO = Library("the demo library", "project/demo/library")
SAMPLE = Library("a copy of some of your books", "sample", "-sample")


class NotPassed(Exception):
    """The candidate did not migrate the demo library as expected.

    The message says how.
    """


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the user's own next books are: copied from id `first` of `library` on.

    Or the books in which an audit has found a difference, and some before each.
    """

    library: Path
    first: int
    wrong: tuple[int, ...] = ()


def sample_of(
    library: Path | None, state_dir: Path, wrong: tuple[int, ...] = ()
) -> Sample | None:
    """Returns which books of the user's are copied; None where nobody can say."""
    if library is None:
        return None
    if wrong:
        return Sample(library, min(wrong), wrong)
    try:
        first = arrivals.next_book(state_dir / LEDGER_NAME)
    except totals.UNREADABLE:
        return None
    return None if first is None else Sample(library, first)


def check(
    candidate: Path,
    current: Path,
    project: Path,
    folder: Path,
    seconds: float,
    sample: Sample | None = None,
) -> str:
    """Migrates the demo library, and a sample of the user's, with the candidate.

    Returns a description of the result. `folder` is created for it and removed again.
    The demo library's result must match `demo/expected.json`; and what the current
    script decides, as far as that one gets, the candidate must decide alike, but for
    books that the current one gets wrong. Raises NotPassed or Unavailable.
    """
    _sweep(folder.parent)
    folder.mkdir(parents=True)
    try:
        _copy_project(project, folder)
        expected = json.loads((project / "demo" / "expected.json").read_text("utf-8"))
        said = [_of_demo(candidate, current, folder, seconds, expected)]
        copied = None if sample is None else _copy_sample(project, folder, sample)
        wrong = () if sample is None else sample.wrong
        if copied is not None:
            said.append(_of_sample(candidate, current, folder, seconds, copied, wrong))
        elif wrong:
            raise Unavailable(NOT_SHOWN)
        return "; ".join(said)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _of_demo(
    candidate: Path,
    current: Path,
    folder: Path,
    seconds: float,
    expected: dict[str, Any],
) -> str:
    """Returns how the candidate does on the demo library. Raises NotPassed."""
    before = _current(current, folder, seconds, DEMO)
    found = _trial(
        candidate, folder, f"candidate{DEMO.ending}", limit(before, seconds), DEMO
    )
    problems = differences(found, expected)
    problems += otherwise(before, found)
    if problems:
        raise NotPassed("the demo library: " + "; ".join(problems))
    return (
        f"the demo library arrived as expected in {found['seconds']:.1f} s{_as(before)}"
    )


def _of_sample(
    candidate: Path,
    current: Path,
    folder: Path,
    seconds: float,
    books: int,
    wrong: Collection[int],
) -> str:
    """Returns how the candidate does on the user's books.

    Raises NotPassed, or Unavailable when none of the `wrong` books is wrong here.
    """
    before = _current(current, folder, seconds, SAMPLE)
    found = _trial(
        candidate, folder, f"candidate{SAMPLE.ending}", limit(before, seconds), SAMPLE
    )
    problems = otherwise(before, found)
    if wrong:
        problems += still_wrong(before, found, wrong)
    if not _ended(found) and not _ended(before):
        # Nobody can say what should have become of it; the trial will.
        if not problems and _far(found) > _far(before):
            return f"of {books} books of this library more arrived than before"
        problems.append("it gets no further than the script in place")
    elif not _ended(found):
        problems.append(
            "the pass did not come to its end with everything accounted for"
        )
    if problems:
        raise NotPassed(
            f"a copy of {books} books of this library: " + "; ".join(problems)
        )
    return f"{books} books of this library in {found['seconds']:.1f} s{_as(before)}"


def still_wrong(
    before: dict[str, Any] | None, found: dict[str, Any], wrong: Collection[int]
) -> list[str]:
    """Returns which books an audit finds wrong that the candidate has carried.

    Raises Unavailable when the script in place carries all of these books right: then
    their copy does not show what is wrong, and nobody can say what helps.
    """
    if not set((before or {}).get("wrong", ())) & set(wrong):
        raise Unavailable(NOT_SHOWN)
    now = found.get("wrong", ())
    if not now:
        return []
    kinds = ", ".join(f"{n} {kind}" for kind, n in found.get("kinds", {}).items())
    return [f"{len(now)} books are still not as they are in Calibre ({kinds})"]


def _as(before: dict[str, Any] | None) -> str:
    if before is not None and _ended(before):
        return ", as with the script in place"
    return "; the script in place does not manage that"


def _ended(found: dict[str, Any] | None) -> bool:
    """Whether a pass came to its end, with everything accounted for."""
    return found is not None and bool(found.get("closed") and found.get("proved"))


def _far(found: dict[str, Any] | None) -> int:
    """Returns how many files of a trial have arrived."""
    counts = {} if found is None else found.get("counts", {})
    return int(counts.get("uploaded") or 0) + int(counts.get("duplicate") or 0)


def limit(before: dict[str, Any] | None, seconds: float) -> float:
    """Returns the seconds for a candidate: at least `seconds`.

    More where the script in place, as far as it got, needs more on this machine.
    """
    if before is None:
        return seconds
    counts = before.get("counts", {})
    arrived, all_of_them = _far(before), int(counts.get("discovered") or 0)
    needs = float(before.get("seconds") or 0.0) * max(
        1.0, all_of_them / arrived if arrived else 1.0
    )
    return min(max(seconds, _PATIENCE * needs), _MOST * seconds)


def otherwise(before: dict[str, Any] | None, found: dict[str, Any]) -> list[str]:
    """Returns which books arrive otherwise than with the script in place.

    Only those that one has finished, and got right: by the audit of its pass.
    """
    before = before or {}
    wrong = set(before.get("wrong", ()))
    old = {
        book["book"]: book
        for book in before.get("books", ())
        if book.get("done") and book["book"] not in wrong
    }
    new = {book["book"]: book for book in found.get("books", ()) if book.get("book")}
    other = [number for number in old if new.get(number) != old[number]]
    if not other:
        return []
    return [f"{len(other)} books arrive otherwise than with the script in place"]


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
    if found.get("wrong"):
        problems.append(f"{len(found['wrong'])} books are not as they are in Calibre")
    return problems


def _current(
    script: Path, folder: Path, seconds: float, library: "Library"
) -> dict[str, Any] | None:
    """Returns how far the installed script gets; it may well be the broken one.

    Its time is the longest a candidate may have: that is to be measured. None when it
    says nothing at all.
    """
    name = f"current{library.ending}"
    try:
        return _trial(script, folder, name, _MOST * seconds, library, still=_STILL)
    except NotPassed:
        return None


def _trial(
    script: Path,
    folder: Path,
    name: str,
    seconds: float,
    library: "Library",
    still: float = 0.0,
) -> dict[str, Any]:
    """Runs one trial in the sandbox; a script that stands still is ended.

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
        str(sandbox.INSIDE / library.place),
        f"{still or max(2 * _STILL, seconds / 4):.0f}",
    ]
    done = sandbox.run(command, folder, environment, seconds)
    if done.returncode in (-9, 137):
        raise NotPassed(f"{library.name} was not migrated within {seconds:.0f} s")
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


def _copy_sample(project: Path, folder: Path, sample: Sample) -> int | None:
    """Copies some of the user's next books, by a process that only reads.

    Returns how many; None where that is impossible, which refuses no candidate.
    """
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "demo.sample",
                str(sample.library),
                str(folder / SAMPLE.place),
                str(sample.first),
                ",".join(map(str, sample.wrong)),
            ],
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COPY_SECONDS,
            check=False,
        )
        return int(done.stdout) or None if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


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
