"""One attempt as a state machine over its history entry: recorded, started, perhaps
promoting, closed. Is it the same trouble as before? Pure.

opened --> recorded --started--> started --after_look--> closed
    |                    |
    |                    +-- trial helped --> promoting --promoted--> closed
    +-- after_restart: a monitor that comes anew goes on from what is written
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from auto_monitor.decide import healing
from auto_monitor.decide.diagnosis import FixType
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import (
    Assessment,
    Case,
    CaseStage,
    Health,
    HistoryEntry,
    Trigger,
    WorkerSnapshot,
    age,
)

_FRAME = re.compile(r'File "(?:[^"]*/)?([^"/]+)", line \d+ in (\w+)')


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """A verdict: the attempt helped, did not help, or (None) cannot be judged.

    `propose` means that its change is left to a person.
    """

    verified: bool | None
    reason: str
    propose: bool = False


class GoOn(StrEnum):
    """What a new monitor does about an attempt that it finds open."""

    LOOK = "look"  #: its verdict is still due
    START = "start"  #: the candidate is not running and must be started
    CLOSE = "close"  #: nothing was done, nothing is left to do


# -- the steps forward ---------------------------------------------------------------


def opened(
    assessment: Assessment,
    seen: WorkerSnapshot,
    now: datetime,
    timestamp: str,
    attempt: int,
    *,
    correlated: bool,
) -> HistoryEntry:
    """Returns the attempt at its start: a restart, unless better is known."""
    return HistoryEntry(
        timestamp=timestamp,
        worker_id=assessment.worker_id,
        attempt=attempt,
        trigger=trigger_of(assessment).value,
        minutes_stuck=minutes(assessment, now),
        status_before=phase_of(seen),
        root_cause=f"{assessment.health.value}: {assessment.what or assessment.reason}; "
        f"in hand: {seen.in_flight}",
        description="restart of the worker process",
        case=Case(now, seen.in_flight),
        correlated=correlated,
    )


def recognised(
    entry: HistoryEntry, mark: str, earlier: Iterable[HistoryEntry]
) -> HistoryEntry:
    """Returns the attempt with what it has in common with earlier ones."""
    entry = replace(entry, fingerprint=mark)
    times = occurrences(entry, earlier)
    return replace(entry, recurring=times >= 2, occurrences=times)


def started(entry: HistoryEntry, now: datetime) -> HistoryEntry:
    """Returns the entry after the worker was started.

    The time for verification begins now.
    """
    case = _case(entry)
    stage = CaseStage.STARTED if case.stage is CaseStage.RECORDED else case.stage
    return replace(entry, applied=True, case=replace(case, stage=stage, acted_at=now))


def resumed(entry: HistoryEntry, now: datetime) -> HistoryEntry:
    """Returns the entry after the worker only waited.

    The time for verification starts over.
    """
    return replace(entry, case=replace(_case(entry), acted_at=now))


def promoting(entry: HistoryEntry) -> HistoryEntry:
    """Returns the entry of a candidate that helped, before it is installed.

    From here on it is installed even if the monitor dies meanwhile.
    """
    return replace(entry, case=replace(_case(entry), stage=CaseStage.PROMOTING))


def closed(entry: HistoryEntry, conclusion: CaseOutcome) -> HistoryEntry:
    """Returns the entry with its verdict.

    A candidate that did not help counts as rolled back.
    """
    taken_back = (
        entry.case is not None
        and entry.case.candidate is not None
        and not conclusion.verified
    )
    return replace(
        entry,
        verified=conclusion.verified,
        reason=conclusion.reason,
        rolled_back=taken_back,
        case=None,
    )


# -- what comes next -----------------------------------------------------------------


def after_look(
    entry: HistoryEntry, signs: Signs, now: datetime, policy: HealingPolicy
) -> CaseOutcome | None:
    """Returns the verdict that a check allows; None while it is too early."""
    case = _case(entry)
    if case.stage is CaseStage.PROMOTING:
        return CaseOutcome(True, "it was being put in place when the monitor ended")
    if case.candidate is not None:
        verdict = _on_trial(case, signs, now, policy)
        if verdict is not None:
            return verdict
    helped = healing.verify(case, signs, now, policy)
    if helped is None:
        return None
    if signs.health is Health.FINISHED:
        return CaseOutcome(helped, "the worker has done its part")
    settled = "" if signs.settled else "not "
    return CaseOutcome(
        helped,
        f"{case.in_flight} is {settled}settled, the worker is {signs.health.value}",
    )


def _on_trial(
    case: Case, signs: Signs, now: datetime, policy: HealingPolicy
) -> CaseOutcome | None:
    """Returns outcomes only a candidate can have: skipped books, or no verdict."""
    due = (
        signs.health is Health.FINISHED
        or age(case.acted_at, now) >= policy.verification
    )
    if signs.settled and due and not signs.arrived:
        return CaseOutcome(False, f"{case.in_flight} is settled, but did not arrive")
    if signs.health is Health.FINISHED:
        return CaseOutcome(
            None, "inconclusive: the worker has done its part meanwhile", propose=True
        )
    return None


def is_to_be_compared(case: Case, conclusion: CaseOutcome) -> bool:
    """Whether a candidate helped whose work nobody has compared yet."""
    return (
        case.candidate is not None
        and case.stage is not CaseStage.PROMOTING
        and bool(conclusion.verified)
    )


def after_restart(
    entry: HistoryEntry, pass_id: int | None, *, runs_candidate: bool
) -> tuple[GoOn, str]:
    """Decides what a new monitor does about an entry without a verdict.

    Returns the reason too if it closes the entry.
    """
    case = entry.case
    if case is None:
        return GoOn.CLOSE, "the monitor ended before anything was done"
    if case.in_flight.pass_id not in (None, pass_id):
        return GoOn.CLOSE, "the pass it belonged to is over"
    if case.candidate is not None:
        waits = case.stage is CaseStage.PROMOTING or runs_candidate
        return (GoOn.LOOK if waits else GoOn.START), ""
    if entry.fix_type == FixType.CODE_FIX.value and not entry.applied:
        return GoOn.CLOSE, "the monitor ended before the candidate was started"
    return GoOn.LOOK, ""


def _case(entry: HistoryEntry) -> Case:
    assert entry.case is not None, entry.key
    return entry.case


# -- fingerprints ------------------------------------------------------------------------


def trigger_of(assessment: Assessment) -> Trigger:
    """Returns why something is to be done about this worker."""
    if assessment.health is not Health.STUCK:
        return Trigger.STOPPED
    if assessment.leaks:
        return Trigger.LEAKING
    return Trigger.ALL_FAILING if assessment.all_failing else Trigger.STUCK


def phase_of(seen: WorkerSnapshot) -> str:
    return seen.phase.value if seen.phase else "unknown"


def minutes(assessment: Assessment, now: datetime) -> float:
    """Returns since how many minutes the verdict holds."""
    return round(age(assessment.since, now).total_seconds() / 60, 1)


def fingerprint(
    assessment: Assessment, seen: WorkerSnapshot, stack: str, script: str
) -> str:
    """Returns what identifies trouble: cause, phase, ending, and places in the script.

    It leaves out the books, the duration, and what the script's functions had called,
    which differs from check to check when a thread spins. `script` is the stem of the
    script's name, with which the names of candidates begin.
    """
    places = {
        function for file, function in _FRAME.findall(stack) if file.startswith(script)
    }
    phase = seen.phase.value if seen.phase else ""
    same = [
        assessment.cause.value,
        phase,
        seen.exit_code,
        seen.error_class,
        sorted(places),
    ]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:16]


def occurrences(entry: HistoryEntry, entries: Iterable[HistoryEntry]) -> int:
    """Returns how often this trouble has occurred, this time included.

    Entries of older versions have no fingerprint.
    """
    return 1 + sum(
        bool(entry.fingerprint) and other.fingerprint == entry.fingerprint
        for other in entries
    )


def causes(entries: Iterable[HistoryEntry]) -> dict[str, int]:
    """Returns how often each trouble has occurred, under its latest root cause."""
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
