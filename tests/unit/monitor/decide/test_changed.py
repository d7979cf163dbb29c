"""Whether the worker script in place is the released one, in words."""

from dataclasses import replace

import pytest

from auto_monitor.decide.changed import ChangedScript, changed
from auto_monitor.model import CodeChanges, HistoryEntry

DIFF = "--- before\n+++ after\n@@ -1 +1,2 @@\n-    a\n+    b\n+    c"
FIX = HistoryEntry(
    "2026-11-24T12:00:00+00:00",
    2,
    1,
    "stuck",
    5.0,
    "migrating",
    "a loop",
    code_changes=CodeChanges("", DIFF),
    script_after="repaired",
    promoted=True,
)
NAME = "worker.py"
KNOWN = ChangedScript(NAME, FIX.timestamp, 2, 1)
ROWS = [
    ("released", [FIX], "repaired", True, None),
    ("not readable", [FIX], "", False, None),
    ("a code fix", [FIX], "repaired", False, KNOWN),
    ("somebody else's", [FIX], "pulled", False, ChangedScript(NAME)),
    (
        "taken back",
        [replace(FIX, rolled_back=True)],
        "repaired",
        False,
        ChangedScript(NAME),
    ),
    (
        "the newest of two",
        [FIX, replace(FIX, timestamp="later", code_changes=None)],
        "repaired",
        False,
        ChangedScript(NAME, "later"),
    ),
]


@pytest.mark.parametrize(
    ("entries", "digest", "shipped", "found"),
    [r[1:] for r in ROWS],
    ids=[r[0] for r in ROWS],
)
def test_what_is_known_of_the_script(
    entries: list[HistoryEntry],
    digest: str,
    shipped: bool,
    found: ChangedScript | None,
) -> None:
    """Row by row."""
    assert changed(entries, NAME, digest, shipped=shipped) == found


def test_the_words() -> None:
    """Since when, and how much."""
    assert str(ChangedScript(NAME)) == (
        "The workers' script worker.py is not the released one"
    )
    assert str(KNOWN) == (
        "A code fix runs since 2026-11-24T12:00:00+00:00: worker.py was changed (the last "
        "one: +2 -1 lines)"
    )
