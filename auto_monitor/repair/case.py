"""One attempt as a state machine over its history entry: recorded, started, perhaps
promoting, closed. Is it the same trouble as before? Pure.

opened --> recorded --started--> started --after_look--> closed
    |                    |
    |                    +-- trial helped --> promoting --> closed, on probation
    |                            probation: the same again --taken_back--> not verified
    |                                       the pass is over --probation_over-->
    +-- after_restart: a monitor that comes anew goes on from what is written
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from auto_monitor.decide import healing, stacks, trial
from auto_monitor.decide.diagnosis import FixType, Tried
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.decide.trial import TrialSigns
from auto_monitor.model import (
    Assessment,
    Case,
    CaseStage,
    Cause,
    Health,
    HistoryEntry,
    Trigger,
    WorkerSnapshot,
    age,
)

#: The error of a worker whose script claims what nobody has seen, as its progress file
#: names it (`migration.errors.FalseClaim`).
FALSE_CLAIM = "FalseClaim"
#: Attempts in vain that are shown for one question, the newest.
MOST_TRIED = 5
#: The most of a stack that an entry keeps, in characters.
LONGEST_STACK = 6000
#: Why a candidate is put in place by a monitor that comes anew.
PUT_IN_PLACE = "it was being put in place when the monitor ended"


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """A verdict: the attempt helped, did not help, or (None) cannot be judged.

    `promoted`: its candidate is in place. `stack` is where a candidate that is dropped
    was.
    """

    verified: bool | None
    reason: str
    promoted: bool = False
    stack: str = ""


class GoOn(StrEnum):
    """What a new monitor does about an attempt that it finds open."""

    LOOK = "look"  #: its verdict is still due
    START = "start"  #: the candidate is not running and must be started
    PROMOTE = "promote"  #: the candidate helped and is put in place
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

    A candidate that did not help counts as rolled back; one that is in place is on
    probation.
    """
    case = entry.case
    on_trial = case is not None and case.candidate is not None
    kept = None
    if case is not None and conclusion.promoted:
        kept = replace(case, stage=CaseStage.PROBATION)
    return replace(
        entry,
        verified=conclusion.verified,
        reason=conclusion.reason,
        promoted=conclusion.promoted,
        rolled_back=on_trial and not conclusion.verified,
        stack=conclusion.stack[:LONGEST_STACK],
        case=kept,
    )


def is_on_probation(entry: HistoryEntry) -> bool:
    """Whether the entry's code fix is in place, and the same trouble takes it back."""
    case = entry.case
    return (
        case is not None and case.stage is CaseStage.PROBATION and not entry.rolled_back
    )


def is_again(
    entry: HistoryEntry, mark: str, assessment: Assessment, seen: WorkerSnapshot
) -> bool:
    """Whether this is the trouble that the entry's code fix was made for.

    By its fingerprint; or its range is read over and over, or the worker has ended
    because of what the script claims about it: what crashed there was only left out.
    """
    if mark and mark == entry.fingerprint:
        return True
    hung_in = entry.case.in_flight.range if entry.case is not None else None
    loops = assessment.cause is Cause.SAME_RANGE_AGAIN and not seen.in_flight.files
    claims = seen.error_class == FALSE_CLAIM
    there = hung_in is not None and seen.in_flight.range == hung_in
    return there and (loops or claims)


def taken_back(entry: HistoryEntry, why: str) -> HistoryEntry:
    """Returns the entry of a code fix that was in place and is not any more.

    It did not help after all, so its attempt counts.
    """
    return replace(
        entry,
        verified=False,
        rolled_back=True,
        reason=f"{entry.reason}; taken back: {why}",
        case=None,
    )


def probation_over(entry: HistoryEntry, said: str = "") -> HistoryEntry:
    """Returns the entry of a code fix that stays in place."""
    reason = f"{entry.reason}; {said}" if said else entry.reason
    return replace(entry, reason=reason, case=None)


# -- what comes next -----------------------------------------------------------------


def after_look(
    entry: HistoryEntry, signs: Signs, now: datetime, policy: HealingPolicy
) -> CaseOutcome | None:
    """Returns the verdict on a restart that a check allows; None while it is too early."""
    case = _case(entry)
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


def after_trial(
    entry: HistoryEntry, signs: TrialSigns, now: datetime, policy: HealingPolicy
) -> CaseOutcome | None:
    """Returns the verdict on a candidate that a check allows; None as above."""
    case = _case(entry)
    if case.stage is CaseStage.PROMOTING:
        return CaseOutcome(True, PUT_IN_PLACE)
    judged = trial.verdict(case, signs, now, policy)
    return None if judged is None else CaseOutcome(judged.helped, judged.reason)


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
        if case.stage is CaseStage.PROMOTING:
            # It may be in place already.
            return GoOn.PROMOTE, PUT_IN_PLACE
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
    if assessment.cause is Cause.ALL_FAILING:
        return Trigger.ALL_FAILING
    if assessment.health is not Health.STUCK:
        return Trigger.STOPPED
    return Trigger.LEAKING if assessment.leaks else Trigger.STUCK


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
    which differs from check to check when a thread spins: workers that hang or crash
    alike have the same. `script` is the stem of the
    script's name, with which the names of candidates begin.
    """
    main_moves = assessment.cause is Cause.NO_PROGRESS
    places = stacks.hung(stack, script, main_moves=main_moves)
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


def tried(
    entries: Iterable[HistoryEntry],
    own: Sequence[HistoryEntry],
    mark: str,
    attempts: int,
) -> list[Tried]:
    """Returns what was tried against this trouble in vain, by whatever worker.

    Besides, the present attempts on this worker, `own`, against other trouble.
    """
    last = {entry.key for entry in own[-attempts:]} if attempts else set()
    found = [
        entry
        for entry in entries
        if entry.reason
        and not entry.verified
        and (entry.fingerprint == mark or entry.key in last)
    ]
    return [
        Tried(
            fix=entry.fix_type,
            result=entry.reason,
            change=entry.code_changes.full if entry.code_changes else "",
            checks=entry.validation or "",
            stack=entry.stack,
        )
        for entry in found[-MOST_TRIED:]
    ]
