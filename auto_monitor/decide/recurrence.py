"""Is this the same trouble as before? Compared by fingerprint, never by the words in
which it was told. Pure."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable

from auto_monitor.model import HistoryEntry, Verdict, WorkerSnapshot

_FRAME = re.compile(r'File "(?:[^"]*/)?([^"/]+)", line \d+ in (\w+)')


def fingerprint(verdict: Verdict, seen: WorkerSnapshot, stack: str, script: str) -> str:
    """What makes two troubles the same: the cause, the phase, how it ended, and where
    the worker's own code was.

    Not the books it met, not for how long, and not what the script's functions had
    called: that differs from look to look when a thread spins. `script` is the stem of
    the script's name, with which the names of candidates begin."""
    places = {
        function for file, function in _FRAME.findall(stack) if file.startswith(script)
    }
    phase = seen.phase.value if seen.phase else ""
    same = [
        verdict.cause.value,
        phase,
        seen.exit_code,
        seen.error_class,
        sorted(places),
    ]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:16]


def occurrences(entry: HistoryEntry, entries: Iterable[HistoryEntry]) -> int:
    """How often this trouble has been met, this time included; entries of older
    versions have no fingerprint."""
    return 1 + sum(
        bool(entry.fingerprint) and other.fingerprint == entry.fingerprint
        for other in entries
    )


def causes(entries: Iterable[HistoryEntry]) -> dict[str, int]:
    """How often each trouble has been met, under the root cause that was named for it
    last."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for entry in entries:
        mark = entry.fingerprint or entry.root_cause
        names[mark] = entry.root_cause
        counts[mark] += 1
    told: Counter[str] = Counter()
    for mark, count in counts.items():
        told[names[mark]] += count
    return dict(told)
