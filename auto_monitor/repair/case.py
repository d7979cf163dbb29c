"""One attempt as a state machine over its history entry: recorded, started, perhaps
promoting, closed. Pure.

recorded --started--> started --after_look--> closed
    |                    |
    |                    +-- trial helped --> promoting --promoted--> closed
    +-- after_restart: a monitor that comes anew goes on from what is written
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from auto_monitor.decide import healing
from auto_monitor.decide.diagnosis import FixType
from auto_monitor.decide.healing import HealingPolicy, Signs
from auto_monitor.model import Case, Health, HistoryEntry, Stage, WorkerRecord, age


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict: it helped, it did not, or (None) nobody can tell; `propose`: its
    change is left to a person."""

    verified: bool | None
    reason: str
    propose: bool = False


class GoOn(StrEnum):
    """What a new monitor does about an attempt that it finds open."""

    LOOK = "look"  #: its verdict will come
    START = "start"  #: the candidate does not run: it is started
    CLOSE = "close"  #: nothing was done, and nothing is left to do


# -- the steps forward ---------------------------------------------------------------


def started(entry: HistoryEntry, now: datetime) -> HistoryEntry:
    """The worker runs again: what is to be verified begins now."""
    case = _case(entry)
    stage = Stage.STARTED if case.stage is Stage.RECORDED else case.stage
    return replace(entry, applied=True, case=replace(case, stage=stage, acted_at=now))


def resumed(entry: HistoryEntry, now: datetime) -> HistoryEntry:
    """The worker only waited for something else; the time to show that the attempt
    helped begins anew."""
    return replace(entry, case=replace(_case(entry), acted_at=now))


def promoting(entry: HistoryEntry) -> HistoryEntry:
    """The candidate helped; from here on it is put in place, whoever dies meanwhile."""
    return replace(entry, case=replace(_case(entry), stage=Stage.PROMOTING))


def closed(entry: HistoryEntry, outcome: Outcome) -> HistoryEntry:
    """The verdict. A candidate that did not help is taken back."""
    taken_back = (
        entry.case is not None
        and entry.case.candidate is not None
        and not outcome.verified
    )
    return replace(
        entry,
        verified=outcome.verified,
        reason=outcome.reason,
        rolled_back=taken_back,
        case=None,
    )


# -- what comes next -----------------------------------------------------------------


def after_look(
    entry: HistoryEntry, signs: Signs, now: datetime, policy: HealingPolicy
) -> Outcome | None:
    """The verdict that a look allows; None while it is too early."""
    case = _case(entry)
    if case.stage is Stage.PROMOTING:
        return Outcome(True, "it was being put in place when the monitor ended")
    if case.candidate is not None:
        verdict = _on_trial(case, signs, now, policy)
        if verdict is not None:
            return verdict
    helped = healing.verify(case, signs, now, policy)
    if helped is None:
        return None
    if signs.health is Health.FINISHED:
        return Outcome(helped, "the worker has done its part")
    settled = "" if signs.settled else "not "
    return Outcome(
        helped,
        f"{case.in_flight} is {settled}settled, the worker is {signs.health.value}",
    )


def _on_trial(
    case: Case, signs: Signs, now: datetime, policy: HealingPolicy
) -> Outcome | None:
    """What only a candidate can come to: it skips books, or nobody can tell any
    more."""
    due = (
        signs.health is Health.FINISHED
        or age(case.acted_at, now) >= policy.verification
    )
    if signs.settled and due and not signs.arrived:
        return Outcome(False, f"{case.in_flight} is settled, but did not arrive")
    if signs.health is Health.FINISHED:
        return Outcome(
            None, "inconclusive: the worker has done its part meanwhile", propose=True
        )
    return None


def after_restart(
    entry: HistoryEntry, pass_id: int | None, *, runs_candidate: bool
) -> tuple[GoOn, str]:
    """What a new monitor does about an entry without a verdict that another one left,
    and why it closes it."""
    case = entry.case
    if case is None:
        return GoOn.CLOSE, "the monitor ended before anything was done"
    if case.in_flight.pass_id not in (None, pass_id):
        return GoOn.CLOSE, "the pass it belonged to is over"
    if case.candidate is not None:
        waits = case.stage is Stage.PROMOTING or runs_candidate
        return (GoOn.LOOK if waits else GoOn.START), ""
    if entry.fix_type == FixType.CODE_FIX.value and not entry.applied:
        return GoOn.CLOSE, "the monitor ended before the candidate was started"
    return GoOn.LOOK, ""


def counted(record: WorkerRecord, newest: HistoryEntry | None) -> WorkerRecord:
    """The worker's record with the attempts that its newest entry proves: begun, or
    helped, before the state knew."""
    if newest is None:
        return record
    if newest.case is not None and newest.attempt > record.attempts:
        return replace(
            record, attempts=newest.attempt, last_attempt_at=newest.case.acted_at
        )
    if newest.verified and newest.attempt == record.attempts:
        return replace(record, attempts=0)
    return record


def _case(entry: HistoryEntry) -> Case:
    assert entry.case is not None, entry.key
    return entry.case
