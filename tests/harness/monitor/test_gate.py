"""The gate by what a trial says, and the sandbox by what its programs say."""

import copy
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from auto_monitor.patch import gate, sandbox
from tests.support.environment import PROJECT

EXPECTED: dict[str, Any] = json.loads(
    (PROJECT / "demo" / "expected.json").read_text("utf-8")
)


def good() -> dict[str, Any]:
    """What a trial says in which everything arrived."""
    wanted = EXPECTED["first_run"]
    refused, books, seen = wanted["failed"].get("unsupported", 0), [], set()
    for book in EXPECTED["books"].values():
        hashes = [file["sha1"] for file in book["formats"].values()]
        files = [f"{sha1}.epub" for sha1 in hashes if sha1 not in seen]
        seen |= set(hashes)
        books.append({"title": book["title"], "files": files})
    left = sum(len(book["files"]) for book in books) - wanted["uploaded"]
    assert left == refused
    for book in books:
        while left and book["files"]:
            book["files"].pop()
            left -= 1
    names = ("discovered", "uploaded", "duplicate", "failed")
    counts = {name: wanted[name] for name in names}
    return {"counts": counts, "closed": True, "proved": True, "books": books}


def lost_file(found: dict[str, Any]) -> None:
    """A file less."""
    next(book for book in found["books"] if book["files"])["files"].pop()


def wrong_bytes(found: dict[str, Any]) -> None:
    """One of other bytes."""
    next(book for book in found["books"] if book["files"])["files"][0] = "0" * 40


def lost_titles(found: dict[str, Any]) -> None:
    """Every book under another title."""
    for book in found["books"]:
        book["title"] = "?"


SPOILED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda found: found["counts"].update(uploaded=1), "uploaded 1 instead of "),
    (lambda found: found["counts"].pop("failed"), "failed None instead of "),
    (lambda found: found.update(closed=False), "did not come to its end"),
    (lambda found: found.update(proved=False), "did not come to its end"),
    (lost_file, "files arrived with the right bytes"),
    (wrong_bytes, "files arrived with the right bytes"),
    (lost_titles, "titles are missing"),
    (lambda found: found.clear(), "did not come to its end"),
]


def test_what_is_expected_has_no_differences() -> None:
    """The demo library, whole."""
    assert gate.differences(good(), EXPECTED) == []


@pytest.mark.parametrize(("spoil", "words"), SPOILED, ids=range(len(SPOILED)))
def test_what_is_otherwise_is_named(
    spoil: Callable[[dict[str, Any]], object], words: str
) -> None:
    """By count, end, bytes or title."""
    found = copy.deepcopy(good())
    spoil(found)
    assert words in "; ".join(gate.differences(found, EXPECTED))


# -- the gate --------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of a few files, and some that must not get into a sandbox."""
    folder = tmp_path / "project"
    for name in ("common/a.py", "migration/b.py", "bookshelf/c.html", "demo/trial.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "settings.py").write_text("x")
    (folder / "common" / "secret.env").write_text("x")
    (folder / "bookshelf" / "state").mkdir()
    (folder / "bookshelf" / "state" / "d.py").write_text("x")
    (folder / "demo" / "library").mkdir()
    (folder / "demo" / "library" / "metadata.db").write_text("x")
    (folder / "demo" / "expected.json").write_text(json.dumps(EXPECTED))
    (folder / "candidate.py").write_text("new")
    (folder / "current.py").write_text("old")
    return folder


Said = tuple[int, object]


class Gate:
    """The gate of a project, in whose sandbox each script says what it is told to."""

    def __init__(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        self.folder = project.parent / "gate" / "1"
        self.says: dict[str, Said] = {}
        self.copied: list[str] = []
        monkeypatch.setattr(sandbox, "run", self._run)

    def check(self) -> str:
        """How the candidate did."""
        candidate, current = self.project / "candidate.py", self.project / "current.py"
        try:
            return gate.check(candidate, current, self.project, self.folder, 60)
        finally:
            assert not self.folder.exists()

    def _run(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        seconds: float,
    ) -> "subprocess.CompletedProcess[bytes]":
        inside = folder / "project"
        self.copied = sorted(
            str(path.relative_to(inside))
            for path in inside.rglob("*")
            if path.is_file()
        )
        assert not [name for name in environment if name.startswith("MBS2")]
        status, said = self.says[Path(command[-1]).name]
        text = said if isinstance(said, str) else json.dumps(said)
        return subprocess.CompletedProcess(command, status, text.encode(), b"a\nb\n")


@pytest.fixture
def trials(project: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Both scripts do well."""
    made = Gate(project, monkeypatch)
    made.says = {"candidate": (0, good()), "current": (0, good())}
    return made


def test_a_candidate_that_does_as_the_script_in_place_passes(trials: Gate) -> None:
    """Only code and the demo library are in the sandbox."""
    assert trials.check().endswith("s as expected and as with the script in place")
    assert trials.copied == [
        "bookshelf/c.html",
        "common/a.py",
        "demo/library/metadata.db",
        "demo/trial.py",
        "migration/b.py",
        "settings.py",
    ]


@pytest.mark.parametrize(
    "said", [(-9, ""), (1, ""), (0, {**good(), "closed": False}), (0, "no JSON")]
)
def test_the_script_in_place_may_be_the_broken_one(trials: Gate, said: Said) -> None:
    """That is why a candidate is there."""
    trials.says["current"] = said
    assert trials.check().endswith("the script in place does not manage that")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((-9, ""), "was not migrated within 60 s"),
        ((137, ""), "was not migrated within 60 s"),
        ((1, good()), "the trial ended with 1: b"),
        ((0, "no JSON"), "the trial ended with 0: b"),
        ((0, []), "the trial ended with 0: b"),
        ((0, {**good(), "proved": False}), "the demo library: the pass did not come"),
    ],
    ids=range(6),
)
def test_a_candidate_that_does_not_pass(trials: Gate, said: Said, words: str) -> None:
    """Too slow, broken, or otherwise than expected."""
    trials.says["candidate"] = said
    with pytest.raises(gate.NotPassed, match=words):
        trials.check()


def test_another_result_than_that_of_the_script_in_place(trials: Gate) -> None:
    """Even where both are as expected."""
    other = good()
    other["books"].reverse()
    trials.says["current"] = (0, other)
    with pytest.raises(gate.NotPassed, match="arrives otherwise"):
        trials.check()


def test_what_killed_trials_left_is_removed(trials: Gate) -> None:
    """When nobody can be at it any more."""
    old, new = trials.folder.with_name("old"), trials.folder.with_name("new")
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (1, 1))
    trials.check()
    assert (old.exists(), new.exists()) == (False, True)


# -- the sandbox, from outside ---------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("echo made; exit 0", (0, b"made\n")),
        ("exit 137", (137, b"")),
        ("echo 'bwrap: no' >&2; exit 1", "no sandbox can be made here: bwrap: no"),
        ("echo 'bwrap: no' >&2; exit 2", (2, b"")),
        ("echo 'not bwrap: no' >&2; exit 1", (1, b"")),
        ("exit 1", (1, b"")),
        (None, "did not start"),
    ],
)
def test_what_becomes_of_a_run(
    tmp_path: Path, script: str | None, outcome: object
) -> None:
    """Its result, or why there is no sandbox."""
    if script is not None:
        (tmp_path / "timeout").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "timeout").chmod(0o755)
    try:
        done = sandbox.run(["x"], tmp_path, {"PATH": str(tmp_path)}, 5)
    except sandbox.Unavailable as unavailable:
        assert str(outcome) in str(unavailable)
    else:
        assert (done.returncode, done.stdout) == outcome


def test_without_the_program_there_is_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(sandbox.Unavailable, match="there is no `prlimit`"):
        sandbox.run(["x"], tmp_path, {}, 5)
