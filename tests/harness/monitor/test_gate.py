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
from tests.support.libraries.librarykit import Library, epubs

EXPECTED: dict[str, Any] = json.loads(
    (PROJECT / "demo" / "expected.json").read_text("utf-8")
)


def good() -> dict[str, Any]:
    """What a trial says in which everything arrived."""
    wanted = EXPECTED["first_run"]
    refused, books, seen = wanted["failed"].get("unsupported", 0), [], set()
    for number, book in enumerate(EXPECTED["books"].values(), 1):
        hashes = [file["sha1"] for file in book["formats"].values()]
        files = [f"{sha1}.epub" for sha1 in hashes if sha1 not in seen]
        seen |= set(hashes)
        known = {"book": number, "done": True}
        books.append({"title": book["title"], "files": files, **known})
    left = sum(len(book["files"]) for book in books) - wanted["uploaded"]
    assert left == refused
    for book in books:
        while left and book["files"]:
            book["files"].pop()
            left -= 1
    names = ("discovered", "uploaded", "duplicate", "failed")
    counts = {name: wanted[name] for name in names}
    ended = {"closed": True, "proved": True, "wrong": [], "seconds": 8.0}
    return {"counts": counts, "books": books, **ended}


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
    (lambda found: found.update(wrong=[3]), "1 books are not as they are in Calibre"),
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
        self.seconds: dict[str, float] = {}
        self.sample: gate.Sample | None = None
        self.copied: list[str] = []
        monkeypatch.setattr(sandbox, "run", self._run)

    def check(self) -> str:
        """How the candidate did."""
        candidate, current = self.project / "candidate.py", self.project / "current.py"
        try:
            return gate.check(
                candidate, current, self.project, self.folder, 60, self.sample
            )
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
        name = Path(command[4]).name
        self.seconds[name] = seconds
        status, said = self.says[name]
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
    assert trials.check() == (
        "the demo library arrived as expected in 8.0 s, as with the script in place"
    )
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
        ((-9, ""), "the demo library was not migrated within 60 s"),
        ((137, ""), "the demo library was not migrated within 60 s"),
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


def retitled(found: dict[str, Any], *numbers: int) -> dict[str, Any]:
    """These books have another title."""
    for book in found["books"]:
        if book["book"] in numbers:
            book["title"] = "Another"
    return found


def not_done(found: dict[str, Any], *numbers: int) -> dict[str, Any]:
    """These books were not finished, and the pass neither."""
    for book in found["books"]:
        if book["book"] in numbers:
            book |= {"done": False, "title": "under way"}
    return {**found, "closed": False}


def test_another_result_than_that_of_the_script_in_place(trials: Gate) -> None:
    """Even where both are as expected."""
    other = good()
    other["books"][2]["language_id"] = 7
    trials.says["current"] = (0, other)
    with pytest.raises(gate.NotPassed, match="1 books arrive otherwise"):
        trials.check()


ALIKE = [
    ("alike", good(), good(), []),
    ("the old one says nothing", None, good(), []),
    (
        "as far as the old one got",
        not_done(good(), 4, 5),
        retitled(good(), 4),
        [],
    ),
    (
        "a book that the old one has finished",
        not_done(good(), 5),
        retitled(good(), 4, 6),
        ["2 books arrive otherwise than with the script in place"],
    ),
    (
        "a book that the old one gets wrong",
        {**good(), "wrong": [4]},
        retitled(good(), 4),
        [],
    ),
]


@pytest.mark.parametrize(
    ("before", "found", "problems"), [r[1:] for r in ALIKE], ids=[r[0] for r in ALIKE]
)
def test_decisions_are_compared_where_the_old_one_got_that_far(
    before: dict[str, Any] | None, found: dict[str, Any], problems: list[str]
) -> None:
    """Row by row."""
    assert gate.otherwise(before, found) == problems


def got(seconds: float, uploaded: int, discovered: int) -> dict[str, Any]:
    """How far a script got in so long."""
    return {
        "seconds": seconds,
        "counts": {"uploaded": uploaded, "duplicate": 0, "discovered": discovered},
    }


LIMITS = [
    ("nothing is known", None, 60.0),
    ("a quick machine", got(8.0, 50, 50), 60.0),
    ("a slow machine", got(40.0, 50, 50), 120.0),
    ("half of it in so long", got(20.0, 25, 50), 120.0),
    ("no file", got(30.0, 0, 50), 90.0),
    ("never without end", got(500.0, 1, 50), 240.0),
]


@pytest.mark.parametrize(
    ("before", "seconds"), [r[1:] for r in LIMITS], ids=[r[0] for r in LIMITS]
)
def test_the_time_is_what_the_script_in_place_needs(
    before: dict[str, Any] | None, seconds: float
) -> None:
    """Three times that, at least GATE_SECONDS."""
    assert gate.limit(before, 60) == seconds


@pytest.fixture
def sampled(trials: Gate, tmp_path: Path) -> Gate:
    """The user's next books are tried too."""
    Library(tmp_path / "library").add(*epubs(range(3)))
    trials.sample = gate.Sample(tmp_path / "library", 1)
    (trials.project / "demo" / "sample.py").write_bytes(
        (PROJECT / "demo" / "sample.py").read_bytes()
    )
    trials.says |= {"candidate-sample": (0, good()), "current-sample": (0, good())}
    return trials


def test_the_user_s_next_books_are_tried_too(sampled: Gate) -> None:
    """Copied, with their files."""
    assert sampled.check().endswith(
        "; 3 books of this library in 8.0 s, as with the script in place"
    )


STUCK = not_done({**good(), "counts": {"uploaded": 3, "discovered": 9}}, 5)
OF_THE_SAMPLE = [
    ("broken, repaired", STUCK, good(), ""),
    (
        "otherwise",
        good(),
        retitled(good(), 3),
        "3 books of this library: 1 books arrive",
    ),
    ("it does not end", good(), STUCK, "the pass did not come to its end"),
    ("it gets no further", STUCK, STUCK, "gets no further than the script in place"),
    (
        "neither ends, and it gets further",
        STUCK,
        {**STUCK, "counts": {"uploaded": 5, "discovered": 9}},
        "",
    ),
]


@pytest.mark.parametrize(
    ("before", "found", "why"),
    [r[1:] for r in OF_THE_SAMPLE],
    ids=[r[0] for r in OF_THE_SAMPLE],
)
def test_what_becomes_of_the_user_s_books(
    sampled: Gate, before: dict[str, Any], found: dict[str, Any], why: str
) -> None:
    """They must come to their end, unless the old one does not get there either."""
    sampled.says |= {"current-sample": (0, before), "candidate-sample": (0, found)}
    if not why:
        sampled.check()
        return
    with pytest.raises(gate.NotPassed, match=why):
        sampled.check()


def test_a_library_that_cannot_be_copied_refuses_nothing(sampled: Gate) -> None:
    """The demo library alone is tried then."""
    assert sampled.sample is not None
    (sampled.sample.library / "metadata.db").unlink()
    assert "books of this library" not in sampled.check()


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
