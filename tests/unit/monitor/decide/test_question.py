"""What the LLM is shown about a worker, and what of it when there is too much."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.diagnosis import Facts, Tried, messages
from auto_monitor.decide.question import (
    CHARACTERS_PER_TOKEN,
    MOST_TOKENS,
    Surroundings,
    changeable,
    evidence,
    fitted,
    tokens,
)
from migration.model import BookId, Counts, Current, FileId, LastError, Phase, Progress
from migration.state_files import logs
from tests.support.environment import PROJECT

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCRIPT = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
FACTS = Facts(
    3,
    "no progress",
    9.0,
    "migrating",
    "file 7/EPUB",
    'File "x.py", line 1 in f',
    12.0,
    beat_age=0.5,
    progress_age=540.0,
)
SENDING = Current(
    "a.epub", 900, 1000, NOW - timedelta(seconds=60), FileId(BookId(7), "EPUB")
)
READING = replace(SENDING, file="b.pdf", bytes_sent=0, id=FileId(BookId(8), "PDF"))
PROGRESS = Progress(
    worker_id=3,
    pid=1,
    pid_started_at=NOW,
    status=Phase.MIGRATING,
    started_at=NOW,
    updated_at=NOW,
    library="/l",
    server="http://s",
    range=(1, 1000),
    counts=Counts(discovered=10, uploaded=4, pending=6),
    current=(SENDING, READING),
    last_error=LastError("ServerFault", "HTTP 500", NOW),
)
AROUND = Surroundings(
    [
        "INFO " + logs.querying(1, 1000),
        "INFO " + logs.processed_batch(1, 1000, 10, Counts()),
    ],
    PROGRESS,
    SCRIPT,
    "bulk_migrate_calibre.py",
    90.0,
)


def shown(facts: Facts = FACTS, around: Surroundings = AROUND) -> dict[str, Any]:
    """The evidence."""
    return evidence(facts, around, NOW, frozenset({"correct horse"}))


def test_the_whole_script_is_shown_and_what_of_it_may_change() -> None:
    """As it is, even where a name would look like that of a secret."""
    found = shown()
    assert found["script"] == {"name": "bulk_migrate_calibre.py", "source": SCRIPT}
    assert {"next_range", "upload_file", "identify"} <= {*found["may_be_changed"]}
    assert not {"__init__", "pass_id", "main"} & {*found["may_be_changed"]}
    assert changeable("def (") == []


def test_a_secret_in_the_script_goes() -> None:
    """Somebody may have put it there."""
    around = replace(AROUND, script="X = 'correct horse'\n")
    assert shown(around=around)["script"]["source"] == "X = '[secret]'\n"


def test_what_is_being_read_is_told_as_well_as_what_is_sent() -> None:
    """A file of which nothing was sent is being read; a range until it is registered."""
    found = shown()
    assert [(f["file"], f["state"], f["seconds"]) for f in found["files"]] == [
        ("7/EPUB", "being sent", 60.0),
        ("8/PDF", "being read", 60.0),
    ]
    assert (found["range_being_read"], found["oldest_range_held"]) == (None, [1, 1000])
    begun = replace(AROUND, lines=[*AROUND.lines, "INFO " + logs.querying(1001, 2000)])
    assert shown(around=begun)["range_being_read"] == "books 1001-2000"
    assert shown(around=replace(AROUND, progress=None))["range_being_read"] is None


def test_ages_disk_and_the_last_error_are_told() -> None:
    """Whether its main thread lives says much."""
    found = shown()
    assert (found["beat_age_seconds"], found["progress_age_seconds"]) == (0.5, 540.0)
    assert (found["disk_utilization_percent"], found["disk_saturated"]) == (12.0, False)
    assert found["last_error"] == "ServerFault: HTTP 500"


def test_what_was_tried_is_told_with_its_change() -> None:
    """And what guard, gate and the trial said."""
    earlier = [Tried("code_fix", "not settled", "-a\n+b", "passed", "a\nb")]
    assert shown(replace(FACTS, earlier=earlier))["tried_before"] == [
        {
            "fix": "code_fix",
            "result": "not settled",
            "checks": "passed",
            "its_stacks": [{"threads": 1, "names": [], "innermost_first": ["a", "b"]}],
            "change": ["-a", "+b"],
        }
    ]


def test_a_question_stays_within_its_budget() -> None:
    """However much there is: the newest log lines stay, what was left out is counted,
    and the script is whole."""
    lines = [f"INFO {n} " + f"title {chr(97 + n % 26)} " * 40 for n in range(500)]
    around = replace(
        AROUND, lines=[f"{n % 7}{line}{'x' * n}" for n, line in enumerate(lines)]
    )
    stack = "\n".join(
        f"Thread t{n} (most recent call first):\n"
        + "\n".join(f'File "x.py", line {n} in f{k}' for k in range(100))
        for n in range(60)
    )
    found = shown(replace(FACTS, stack=stack), around)
    assert tokens(found) <= MOST_TOKENS
    assert found["last_log_lines"][-1].startswith("2")
    assert found["last_log_lines_left_out"] > 0
    assert found["script"]["source"] == SCRIPT


def test_the_conversation_has_about_as_many_tokens_as_was_estimated() -> None:
    """The numbers of the lines, and what JSON adds, are less than a quarter."""
    found = shown()
    said = sum(len(turn["content"]) for turn in messages(found)) // CHARACTERS_PER_TOKEN
    assert tokens(found) * 0.8 < said < tokens(found) * 1.4


@given(
    st.lists(st.text(max_size=200), max_size=60),
    st.integers(min_value=50, max_value=4000),
)
def test_what_fits_is_left_alone(lines: list[str], most: int) -> None:
    """What does not is cut to fit, down to a core; what is kept keeps its order."""
    part: dict[str, Any] = {"verdict": "x", "last_log_lines": [*lines]}
    found = fitted(part, most)
    kept = found["last_log_lines"]
    assert isinstance(kept, list)
    if tokens(part) <= most:
        assert found == part
    else:
        assert kept == lines[len(lines) - len(kept) :]
        assert len(kept) >= min(40, len(lines))


@pytest.mark.parametrize(
    "value", ["correct horse", "correct%20horse", "Y29ycmVjdCBob3JzZQ"]
)
def test_no_part_of_it_has_a_secret(value: str) -> None:
    """Wherever it stands."""
    facts = replace(
        FACTS,
        reason=value,
        in_hand=value,
        stack=f'File "{value}", line 1 in f',
        earlier=[Tried(value, value, value, value, value)],
        causes={value: 1},
        error=value,
        crash=value,
    )
    around = replace(
        AROUND,
        lines=[value],
        script=value,
        progress=replace(
            PROGRESS,
            current=(replace(SENDING, file=value),),
            last_error=LastError("X", value, NOW),
        ),
    )
    assert value not in json.dumps(shown(facts, around))
