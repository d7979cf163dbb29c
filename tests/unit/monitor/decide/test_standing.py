"""Where the workers stand: a fold over the history, row by row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auto_monitor.decide.healing import correlated, standings
from auto_monitor.model import (
    Afterwards,
    Case,
    CorrelatedFailure,
    HistoryEntry,
    InFlight,
    Standing,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIRST = HistoryEntry("first", 2, 1, "stuck", 5.0, "migrating", "cause")
OPEN = replace(FIRST, case=Case(NOW, InFlight()))
FAILED = replace(FIRST, verified=False, reason="x")
HELPED = replace(FIRST, verified=True, reason="x")
SECOND = replace(FAILED, timestamp="second", attempt=2)
GIVEN = replace(FAILED, config_changes={"batch_size": 50, "unknown": "x"})
LATER = NOW + 10 * MINUTE
BEGAN = {FIRST.key: NOW, SECOND.key: LATER}
ROWS = [
    ("under way", [OPEN], Standing(1, NOW, entry=OPEN)),
    ("failed", [FAILED], Standing(1, NOW)),
    ("failed twice", [FAILED, SECOND], Standing(2, LATER)),
    ("helped: only the pause before the next one is left", [HELPED], Standing(0, NOW)),
    (
        "helped at the second time",
        [FAILED, replace(SECOND, verified=True)],
        Standing(0, LATER),
    ),
    ("never begun", [replace(FIRST, verified=None)], Standing(1, NOW)),
    (
        "given up",
        [replace(FAILED, afterwards=Afterwards.PAUSED)],
        Standing(1, NOW, paused=True),
    ),
    (
        "resumed by a person",
        [replace(FAILED, afterwards=Afterwards.RESUMED)],
        Standing(),
    ),
    (
        "resumed, and failed again",
        [replace(FAILED, afterwards=Afterwards.RESUMED), replace(SECOND, attempt=1)],
        Standing(1, LATER),
    ),
    ("settings of its own", [GIVEN], Standing(1, NOW, batch_size=50)),
    (
        "settings survive a resume",
        [replace(GIVEN, afterwards=Afterwards.RESUMED)],
        Standing(batch_size=50),
    ),
    (
        "two kinds of settings",
        [GIVEN, replace(SECOND, config_changes={"parallel_uploads": 1})],
        Standing(2, LATER, parallel_uploads=1, batch_size=50),
    ),
    (
        "scaled down, or another pass",
        [replace(GIVEN, afterwards=Afterwards.RELEASED)],
        Standing(),
    ),
    (
        "another pass, while it is under way",
        [replace(OPEN, afterwards=Afterwards.RELEASED)],
        Standing(entry=replace(OPEN, afterwards=Afterwards.RELEASED)),
    ),
]


@pytest.mark.parametrize(
    ("entries", "stands"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_where_a_worker_stands(entries: list[HistoryEntry], stands: Standing) -> None:
    """By its own entries, whatever those of others say."""
    began = {entry.key: BEGAN.get(entry.key, LATER) for entry in entries}
    other = replace(GIVEN, worker_id=3, afterwards=Afterwards.PAUSED)
    assert standings([other, *entries, other], began)[2] == stands


def test_nobody_was_treated() -> None:
    """Then nobody stands anywhere."""
    assert standings([], {}) == {}


LEADS = replace(FIRST, correlated=True, verified=None, case=OPEN.case)
TOGETHER = [
    ("none do", [replace(LEADS, verified=True, case=None)], None, None),
    (
        "the monitor died before it wrote down since when",
        [LEADS],
        None,
        CorrelatedFailure(NOW, 2),
    ),
    ("nobody is treated yet", [], NOW, CorrelatedFailure(NOW)),
    ("others were treated", [FAILED], NOW, CorrelatedFailure(NOW)),
    ("one leads", [LEADS, SECOND], NOW, CorrelatedFailure(NOW, 2)),
    (
        "its attempt failed",
        [replace(LEADS, verified=False, case=None)],
        NOW,
        CorrelatedFailure(NOW, 2),
    ),
    (
        "it helped",
        [replace(LEADS, verified=True, case=None)],
        NOW,
        CorrelatedFailure(NOW, 2, released=True),
    ),
    ("an earlier one", [LEADS], NOW + MINUTE, CorrelatedFailure(NOW + MINUTE)),
    (
        "the second lead",
        [
            replace(LEADS, verified=False, case=None),
            replace(SECOND, worker_id=3, correlated=True, verified=True),
        ],
        NOW,
        CorrelatedFailure(NOW, 3, released=True),
    ),
]


@pytest.mark.parametrize(
    ("entries", "since", "found"),
    [r[1:] for r in TOGETHER],
    ids=[r[0] for r in TOGETHER],
)
def test_who_is_treated_for_all_that_hang_together(
    entries: list[HistoryEntry],
    since: datetime | None,
    found: CorrelatedFailure | None,
) -> None:
    """And has it helped?"""
    began = {entry.key: BEGAN.get(entry.key, LATER) for entry in entries}
    began[replace(SECOND, worker_id=3).key] = LATER
    assert correlated(entries, began, since) == found
