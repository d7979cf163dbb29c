"""The same trouble again: by what it is, not by how it is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auto_monitor.decide.diagnosis import Tried
from auto_monitor.model import (
    Assessment,
    Cause,
    CodeChanges,
    Health,
    HistoryEntry,
    InFlight,
    WorkerSnapshot,
)
from auto_monitor.repair.case import causes, fingerprint, occurrences, tried
from migration.model import BookId, FileId, Phase

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STUCK = Assessment(
    2,
    Health.STUCK,
    NOW,
    "no progress for 5.0 min",
    cause=Cause.NO_PROGRESS,
    what="no progress",
)
SEEN = WorkerSnapshot(
    2,
    True,
    NOW,
    NOW,
    Phase.MIGRATING,
    in_flight=InFlight(1, (FileId(BookId(1), "EPUB"),)),
)
STACK = (
    'File "/x/bulk_migrate_calibre.py", line 5 in next_range\nFile '
    '"/usr/lib/threading.py", line 9 in wait'
)
DEAD = Assessment(2, Health.STOPPED, NOW, "it ended with 70", cause=Cause.EXIT_STATUS)
GONE = replace(SEEN, alive=False, exit_code=70, error_class="OutOfMemory")


def mark(
    verdict: Assessment = STUCK, seen: WorkerSnapshot = SEEN, stack: str = STACK
) -> str:
    """Of one trouble."""
    return fingerprint(verdict, seen, stack, "bulk_migrate_calibre")


SAME = [
    mark(
        replace(STUCK, reason="no progress for 9.0 min", since=NOW - timedelta(hours=1))
    ),
    mark(seen=replace(SEEN, worker_id=3, in_flight=InFlight(2, (), (1, 9)))),
    mark(stack=STACK.replace("line 5", "line 7").replace("threading.py", "queue.py")),
    mark(
        stack=STACK.replace(
            "bulk_migrate_calibre.py", "bulk_migrate_calibre.20261124-x.py"
        )
    ),
    mark(stack="\n".join(reversed(STACK.splitlines()))),
]
OTHER = [
    mark(replace(STUCK, cause=Cause.ALL_FAILING)),
    mark(seen=replace(SEEN, phase=Phase.DISCOVERING)),
    mark(stack=STACK.replace("next_range", "upload_file")),
    mark(stack=""),
    mark(stack='File "/x/library.py", line 12 in read'),
    mark(stack='File "/x/library.py", line 12 in wait'),
    mark(DEAD, GONE, 'File "bulk_migrate_calibre.py", line 7 in works'),
    mark(DEAD, GONE, ""),
    mark(DEAD, replace(GONE, exit_code=9), ""),
    mark(DEAD, replace(GONE, error_class="TooManyOpenFiles"), ""),
]


@pytest.mark.parametrize("other", SAME)
def test_the_same_trouble(other: str) -> None:
    """Another worker, another book, another time, another line, a candidate."""
    assert other == mark()


def test_another_trouble() -> None:
    """Each differs from all others."""
    assert len({mark(), *OTHER}) == 1 + len(OTHER)


def entry(mark: str, cause: str) -> HistoryEntry:
    """An attempt."""
    return HistoryEntry("t", 2, 1, "stuck", 5.0, "migrating", cause, fingerprint=mark)


def test_occurrences_are_counted_by_fingerprint() -> None:
    """Told in other words it is the same; entries of older versions have no
    fingerprint."""
    before = [
        entry("a", "it loops"),
        entry("b", "it loops"),
        entry("", "it loops"),
        entry("a", "endless"),
    ]
    assert occurrences(entry("a", "never ends"), before) == 3
    assert occurrences(entry("c", "it loops"), before) == 1
    assert occurrences(entry("", "it loops"), before) == 1


def test_root_causes_before() -> None:
    """By the newest words for each trouble; an entry without a fingerprint by its
    own."""
    before = [
        entry("a", "it loops"),
        entry("a", "endless"),
        entry("b", "no memory"),
        entry("", "no memory"),
    ]
    assert causes(before) == {"endless": 2, "no memory": 2}


def test_what_was_tried_in_vain_is_told() -> None:
    """Against this trouble, on whatever worker; besides, what is being tried on this
    one. With the change and what the checks said; what helped or is open is not."""
    lost = replace(
        entry("a", "it loops"),
        fix_type="code_fix",
        reason="not settled",
        validation="the gate said no",
        stack="in works",
        code_changes=CodeChanges("-a", "-a\n+b"),
        verified=False,
    )
    other = replace(entry("b", "x"), timestamp="u", reason="still stuck")
    history = [
        replace(lost, worker_id=7),
        replace(entry("a", "x"), verified=True, reason="settled"),
        entry("a", "open"),
        other,
    ]
    fix = Tried("code_fix", "not settled", "-a\n+b", "the gate said no", "in works")
    assert tried(history, [other], "a", 0) == [fix]
    assert tried(history, [other], "a", 1) == [
        fix,
        Tried("restart", "still stuck"),
    ]
    many = [replace(lost, timestamp=str(n), reason=str(n)) for n in range(9)]
    assert [one.result for one in tried(many, [], "a", 0)] == list("45678")
