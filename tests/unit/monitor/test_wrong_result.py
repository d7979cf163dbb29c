"""A pass whose audit found a difference."""

from dataclasses import replace

import pytest

from auto_monitor.model import Afterwards, HistoryEntry
from auto_monitor.repair.wrong_result import case_of, wrong

FIX = HistoryEntry("2026-11-29T12:00:00+00:00", 1, 1, "stuck", 5.0, "migrating", "loop")
INSTALLED = replace(FIX, fix_type="code_fix", verified=True)


def test_only_what_an_audit_finds_is_a_wrong_result() -> None:
    """An empty ebook is left over, not wrong."""
    found = {"wrong title": 2, "empty ebook": 1, "file not there": 3}
    assert wrong(found) == {"file not there": 3, "wrong title": 2}
    assert (
        case_of(
            1, {"empty ebook": 1}, [], worker_id=1, timestamp="now", rollback="undo it"
        )
        is None
    )


@pytest.mark.parametrize(
    ("earlier", "takes_back"),
    [
        pytest.param([], False, id="the shipped script"),
        pytest.param([FIX], False, id="after a restart"),
        pytest.param([INSTALLED], True, id="after a code fix"),
        pytest.param(
            [replace(INSTALLED, rolled_back=True)], False, id="one that was taken back"
        ),
    ],
)
def test_the_case_says_what_a_person_can_do(
    earlier: list[HistoryEntry], takes_back: bool
) -> None:
    """It is no attempt on its worker."""
    case = case_of(
        3, {"wrong title": 2}, earlier, worker_id=2, timestamp="now", rollback="undo it"
    )
    assert case is not None
    assert (case.worker_id, case.attempt, case.afterwards) == (
        2,
        0,
        Afterwards.RELEASED,
    )
    assert case.root_cause == "wrong result: the audit of pass 3 found 2 wrong title"
    assert ("undo it takes it back" in case.reason) is takes_back
