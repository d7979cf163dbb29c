"""Where a comparison stopped: kept, read again, and taken for nothing when it is of
another one."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from migration.model import BookId, FileId
from migration.state_files import position
from migration.state_files.position import KEPT, Position

NOW = datetime(2026, 11, 25, tzinfo=UTC)
WHAT = {"library": "u", "server": "http://s", "mode": "verify"}
HERE = Position(WHAT, NOW, 7, ("EPUB", "PDF"), {"THERE": 9, "MISSING": 1}, 2)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And gone after it was forgotten; forgetting twice is no error."""
    path = position.path(tmp_path, 3)
    position.write(path, HERE)
    assert position.read(path, WHAT, NOW) == HERE
    position.forget(path)
    position.forget(path)
    assert position.read(path, WHAT, NOW) is None


@pytest.mark.parametrize(
    ("what", "now"),
    [
        ({**WHAT, "server": "http://other"}, NOW),
        ({**WHAT, "mode": "recheck"}, NOW),
        ({**WHAT, "more": "x"}, NOW),
        (WHAT, NOW + KEPT + timedelta(seconds=1)),
        (WHAT, NOW - KEPT - timedelta(seconds=1)),
    ],
    ids=[
        "another server",
        "another mode",
        "another kind",
        "long ago",
        "from a future that is far",
    ],
)
def test_another_comparison_begins_anew(
    tmp_path: Path, what: dict[str, str], now: datetime
) -> None:
    """Also after a week."""
    path = position.path(tmp_path, 1)
    position.write(path, HERE)
    assert position.read(path, what, now) is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"book_id": -1},
        {"book_id": "7"},
        {"book_id": True},
        {"counts": []},
        {"counts": {"THERE": None}},
        {"formats": "EPUB"},
        {"at": "yesterday"},
        {"what": None},
        {"at": "2026-11-25T00:00:00"},
        {"pending_again": 1.5},
    ],
    ids=str,
)
def test_a_damaged_one_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    """As is anything that is no JSON."""
    path = position.path(tmp_path, 1)
    position.write(path, HERE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert position.read(path, WHAT, NOW) is None
    path.write_text("{")
    assert position.read(path, WHAT, NOW) is None


def test_which_files_have_their_line() -> None:
    """All of earlier books, of the last book those that are named."""
    next_one = (
        replace(HERE, formats=())
        .after(FileId(BookId(7), "EPUB"))
        .after(FileId(BookId(9), "PDF"))
    )
    assert (next_one.book_id, next_one.formats) == (9, ("PDF",))
    assert HERE.after(FileId(BookId(7), "TXT")).formats == ("EPUB", "PDF", "TXT")
    told = {FileId(BookId(number), kind) for number, kind in ((1, "TXT"), (7, "EPUB"))}
    open_ = {FileId(BookId(number), kind) for number, kind in ((7, "TXT"), (8, "EPUB"))}
    assert {file for file in told | open_ if HERE.has(file)} == told
