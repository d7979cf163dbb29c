"""A pass whose audit found a difference: the case "wrong result". Pure.

It is told and recorded, and nothing is restarted for it: a restart would send the same
again. What an LLM can do about it is in `mending`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

from auto_monitor.decide.diagnosis import FixType
from auto_monitor.model import Afterwards, HistoryEntry, Trigger
from migration.audit.findings import KINDS, Kind

#: What says that an audit has not seen something, not that it is wrong.
NOT_SEEN = frozenset({Kind.NOT_READ.value, Kind.NOT_AUDITED.value})

_TO_DO = (
    "nothing is restarted for it; the worker's log names each book, docs/errors.md says "
    "what to do"
)
_AFTER_A_FIX = (
    "; a code fix was installed: {} takes it back, and the next pass reads these books "
    "again"
)


def wrong(differences: Mapping[str, int]) -> dict[str, int]:
    """Returns the differences that an audit found, by kind."""
    return {kind: n for kind, n in sorted(differences.items()) if kind in KINDS}


def shown(differences: Mapping[str, int]) -> dict[str, int]:
    """Returns those of them that were seen; what was not read back shows nothing."""
    return {kind: n for kind, n in wrong(differences).items() if kind not in NOT_SEEN}


def against_a_fix(differences: Mapping[str, int]) -> dict[str, int]:
    """Returns those that speak against the script of this pass.

    The order of authors is that in which they were made, once: no script puts that
    right afterwards.
    """
    found = shown(differences)
    found.pop(Kind.ORDER.value, None)
    return found


def case_of(
    pass_id: int,
    differences: Mapping[str, int],
    earlier: Iterable[HistoryEntry],
    *,
    worker_id: int,
    timestamp: str,
    rollback: str,
) -> HistoryEntry | None:
    """Returns the case of a pass that was closed; None if nothing is wrong.

    `rollback` is the command that takes a code fix back.

    It counts as no attempt on the worker.
    """
    kinds = wrong(differences)
    if not kinds:
        return None
    after_a_fix = any(map(_is_installed_fix, earlier))
    what = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    return HistoryEntry(
        timestamp=timestamp,
        worker_id=worker_id,
        attempt=0,
        trigger=Trigger.WRONG_RESULT.value,
        minutes_stuck=0.0,
        status_before="completed",
        root_cause=f"wrong result: the audit of pass {pass_id} found {what}",
        description=_TO_DO,
        verified=False,
        reason=f"told{_AFTER_A_FIX.format(rollback) if after_a_fix else ''}",
        afterwards=Afterwards.RELEASED,
    )


def mark(differences: Mapping[str, int]) -> str:
    """Returns what identifies a wrong result: its kinds, not the books."""
    same = [Trigger.WRONG_RESULT.value, sorted(shown(differences))]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:16]


def in_vain(entries: Iterable[HistoryEntry], mark: str) -> int:
    """Returns how many answers in a row did not help against the same wrong result.

    An LLM that did not answer has not said anything.
    """
    count = 0
    for entry in entries:
        if (
            entry.fingerprint == mark
            and entry.llm_used
            and entry.confidence is not None
        ):
            count = 0 if entry.verified else count + 1
    return count


def _is_installed_fix(entry: HistoryEntry) -> bool:
    of_code = entry.fix_type == FixType.CODE_FIX.value
    return of_code and bool(entry.verified) and not entry.rolled_back
