"""Is there anything left to watch? Whole answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auto_monitor.decide.ending import Ending, Watched, ending
from auto_monitor.model import Assessment, Health, ProcessIdentity, WorkerRecord
from migration.ledger.totals import Totals
from migration.model import Counts

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HALF = timedelta(seconds=30)
OPEN = Totals(7, NOW, None, Counts(), 0, {}, {}, 0, 100, 50)
CLOSED = replace(OPEN, closed_at=NOW)


def health(*found: Health) -> list[Assessment]:
    """Workers 1, 2, …"""
    return [Assessment(number, state, NOW, "") for number, state in enumerate(found, 1)]


def ended(*codes: int | None) -> list[WorkerRecord]:
    """Workers 1, 2, … and how they ended."""
    return [
        WorkerRecord(number, exit_code=code) for number, code in enumerate(codes, 1)
    ]


def started(*codes: int | None) -> list[WorkerRecord]:
    """As they are when each has had its process."""
    process = ProcessIdentity(1, NOW)
    return [replace(record, identity=process) for record in ended(*codes)]


BUSY, GONE, DONE = (
    health(Health.WORKING),
    health(Health.ENDED, Health.ENDED),
    health(Health.FINISHED),
)
ONE = ended(None)
SEEN = Watched(OPEN, NOW, BUSY, ONE, None, time_is_up=False)
OTHER = NOW - timedelta(days=1)
TABLE = [
    ("open", SEEN, Ending.GOES_ON),
    ("cannot be told", replace(SEEN, found=None), Ending.GOES_ON),
    ("closed, one still runs", replace(SEEN, found=CLOSED), Ending.CLOSING),
    (
        "closed for 29 s",
        replace(SEEN, found=CLOSED, closed_since=NOW - timedelta(seconds=29)),
        Ending.CLOSING,
    ),
    (
        "closed for 30 s",
        replace(SEEN, found=CLOSED, closed_since=NOW - HALF),
        Ending.CLOSED,
    ),
    (
        "closed, one hangs",
        replace(SEEN, found=CLOSED, assessments=health(Health.STUCK)),
        Ending.CLOSING,
    ),
    ("closed, all done", replace(SEEN, found=CLOSED, assessments=DONE), Ending.CLOSED),
    (
        "closed, nobody is there",
        replace(SEEN, found=CLOSED, assessments=[]),
        Ending.CLOSED,
    ),
    (
        "an earlier one is closed",
        replace(SEEN, found=CLOSED, opened_at=OTHER),
        Ending.GOES_ON,
    ),
    (
        "an earlier one is closed, nobody is there",
        replace(SEEN, found=CLOSED, opened_at=OTHER, assessments=[], wanted=[]),
        Ending.GOES_ON,
    ),
    (
        "a rebuilt ledger, all done",
        replace(SEEN, found=CLOSED, opened_at=OTHER, assessments=DONE),
        Ending.CLOSED,
    ),
    ("a newer one is open", replace(SEEN, opened_at=OTHER), Ending.NEWER_OPEN),
    ("the time is up, one works", replace(SEEN, time_is_up=True), Ending.GOES_ON),
    (
        "the time is up, one hangs",
        replace(SEEN, time_is_up=True, assessments=health(Health.STUCK)),
        Ending.TIME_IS_UP,
    ),
    (
        "closed when the time is up",
        replace(SEEN, found=CLOSED, assessments=[], time_is_up=True),
        Ending.CLOSED,
    ),
    (
        "all ended for good",
        replace(SEEN, assessments=GONE, wanted=ended(4, 5)),
        Ending.HOPELESS,
    ),
    (
        "one may be restarted",
        replace(SEEN, assessments=GONE, wanted=ended(4, 70)),
        Ending.GOES_ON,
    ),
    ("nobody is wanted", replace(SEEN, assessments=[], wanted=[]), Ending.GOES_ON),
    (
        "all have done what --limit allows",
        replace(SEEN, assessments=DONE, wanted=started(0)),
        Ending.LIMIT,
    ),
    (
        "one has, another works",
        replace(
            SEEN,
            assessments=health(Health.FINISHED, Health.WORKING),
            wanted=started(0, None),
        ),
        Ending.GOES_ON,
    ),
    (
        "one has, another is to be started",
        replace(SEEN, assessments=DONE, wanted=[*started(0), *ended(None)]),
        Ending.GOES_ON,
    ),
    (
        "all have, and the pass is another one",
        replace(SEEN, assessments=DONE, wanted=started(0), opened_at=OTHER),
        Ending.NEWER_OPEN,
    ),
    (
        "one still hangs",
        replace(SEEN, assessments=health(Health.STUCK), wanted=ended(4)),
        Ending.GOES_ON,
    ),
]


@pytest.mark.parametrize(
    ("seen", "result"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
def test_endings(seen: Watched, result: Ending) -> None:
    """Row by row."""
    assert ending(seen, NOW, HALF) is result
