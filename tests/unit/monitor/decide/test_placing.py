"""Which worker script is to run after the program was started, by hashes."""

from dataclasses import replace

import pytest

from auto_monitor.decide.placing import Found, Placing, base_of, placing, superseded
from auto_monitor.model import HistoryEntry

#: A copy of the program's own: the script in place, the release it was copied from.
MANAGED = {
    "nothing is there yet": ("", "", Placing.PLACE),
    "the same version again": ("new", "new", Placing.KEEP),
    "repaired, the same version": ("repaired", "new", Placing.KEEP),
    "a new version": ("old", "old", Placing.PLACE),
    "repaired, then a new version that has it": ("new", "old", Placing.KEEP),
    "repaired, then a new version": ("repaired", "old", Placing.REPLACE),
    "nobody knows where it came from": ("repaired", "", Placing.REPLACE),
}
#: Any other script: the one in place, the release of which it is a code fix.
ANY_OTHER = {
    "this version's": ("new", None, Placing.KEEP),
    "a person's": ("own", None, Placing.KEEP),
    "none at all": ("", None, Placing.KEEP),
    "repaired, the same version": ("repaired", "new", Placing.KEEP),
    "repaired, then a new version": ("repaired", "old", Placing.REPLACE),
    "repaired, before the release was recorded": ("repaired", "", Placing.REPLACE),
}
TABLE = [
    *((True, case, *MANAGED[case]) for case in MANAGED),
    *((False, case, *ANY_OTHER[case]) for case in ANY_OTHER),
]


@pytest.mark.parametrize(
    ("managed", "case", "digest", "of", "then"),
    TABLE,
    ids=[f"{'copy' if row[0] else 'other'}: {row[1]}" for row in TABLE],
)
def test_which_script_runs(
    managed: bool, case: str, digest: str, of: str | None, then: Placing
) -> None:
    """A new version wins; what a person has put there is that person's."""
    assert placing(Found(digest, "new", managed, of)) is then, case


def fix(before: str, after: str, *, promoted: bool = True) -> HistoryEntry:
    """A code fix in the history."""
    return HistoryEntry(
        timestamp="2026-11-30T00:00:00+00:00",
        worker_id=1,
        attempt=1,
        trigger="stuck",
        minutes_stuck=5.0,
        status_before="",
        root_cause="",
        script_before=before,
        script_after=after,
        promoted=promoted,
    )


def test_what_a_code_fix_was_made_of() -> None:
    """Through all that were made on one another; one that was only tried is none."""
    entries = [fix("old", "a"), fix("a", "b"), fix("x", "b", promoted=False)]
    assert [base_of(one, entries) for one in ("b", "a", "old", "z")] == [
        "old",
        "old",
        "old",
        "z",
    ]
    assert base_of("a", [fix("b", "a"), fix("a", "b")]) in ("a", "b")


def test_what_a_new_version_has_overwritten() -> None:
    """Neither what was taken back, nor what a person has dropped of this version."""
    first, second = fix("old", "a"), fix("a", "b")
    gone = replace(fix("old", "c"), rolled_back=True)
    dropped = fix("new", "d")
    entries = [first, second, gone, dropped]
    assert superseded(entries, "new", "new") == [first, second]
    assert superseded(entries, "b", "new") == []
    assert superseded([fix("old", "new")], "new", "new") == []
