"""Takes over what earlier versions kept in `monitor_state.json` into the history.

That is counts of attempts, pauses, settings of single workers, and who leads those that
hang together; still older versions kept attempts without a verdict there too. A monitor
that is upgraded in mid-run takes it over. Old names are replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import cattrs

from auto_monitor.decide.healing import standings
from auto_monitor.model import (
    Afterwards,
    Candidate,
    Case,
    CaseStage,
    HistoryEntry,
    InFlight,
    Trigger,
    WorkerStanding,
)
from common.codec import read_as
from common.json_value import Json

#: The first schema of the state that holds nothing about attempts.
SCHEMA = 2
#: The former name of Trigger.ALL_FAILING.
_ALL_FAILING_THEN = "fruitless"


@dataclass(frozen=True, slots=True)
class _Attempt:
    worker_id: int
    trigger: str
    attempt: int
    acted_at: datetime
    hung_on: InFlight
    entry: str


@dataclass(frozen=True, slots=True)
class _Trial:
    entry: str
    candidate: Candidate
    lost_before: int | None = None
    stage: str = "trying"


@dataclass(frozen=True, slots=True)
class _Worker:
    attempts: int = 0
    last_attempt_at: datetime | None = None
    paused: bool = False
    by_hand: bool = False
    parallel_uploads: int | None = None
    batch_size: int | None = None
    case: _Attempt | None = None


@dataclass(frozen=True, slots=True)
class _Together:
    since: datetime
    lead: int


@dataclass(frozen=True, slots=True)
class _State:
    heartbeat_at: datetime
    workers: Mapping[int, _Worker] = field(default_factory=dict)
    code_case: _Trial | None = None
    mass: _Together | None = None
    schema: int = 1


def as_now(value: Json) -> Json:
    """Returns such a state with this version's names; any other value unchanged."""
    if not isinstance(value, dict) or value.get("schema") != 1:
        return value
    mass, workers = value.get("mass"), value.get("workers")
    if not isinstance(workers, dict):
        return value
    return {
        **value,
        "schema": SCHEMA,
        "correlated_since": mass.get("since") if isinstance(mass, dict) else None,
        "workers": {number: _worker_now(one) for number, one in workers.items()},
    }


def _worker_now(worker: Json) -> Json:
    if not isinstance(worker, dict):
        return worker
    return {
        **worker,
        "paused_by_hand": worker.get("paused") is True
        and worker.get("by_hand") is True,
    }


def named_as_now(value: Json) -> Json:
    """Returns a history entry with this version's names; other values unchanged."""
    if not isinstance(value, dict):
        return value
    case = value.get("case")
    if isinstance(case, dict) and "hung_on" in case:
        value = {**value, "case": {**case, "in_flight": case["hung_on"]}}
    if value.get("trigger") == _ALL_FAILING_THEN:
        value = {**value, "trigger": Trigger.ALL_FAILING.value}
    return value


def taken_over(
    value: Json, known: Sequence[HistoryEntry], converter: cattrs.Converter
) -> list[HistoryEntry]:
    """Returns the new and changed entries that express such a state in the history."""
    state = read_as(_State, value, converter)
    if state is None or state.schema >= SCHEMA:
        return []
    entries = {entry.key: entry for entry in known}
    for number, worker in state.workers.items():
        if worker.case is not None:
            attempt = _open_entry(worker.case, state.code_case)
            found = entries.get(attempt.key, attempt)
            entries[attempt.key] = (
                found if found.case is not None else replace(found, case=attempt.case)
            )
        _settle(number, worker, state.heartbeat_at, entries)
    if state.mass is not None:
        _mark_lead(state.mass, entries)
    before = {entry.key: entry for entry in known}
    return [entry for key, entry in entries.items() if before.get(key) != entry]


def _open_entry(attempt: _Attempt, trial: _Trial | None) -> HistoryEntry:
    case = Case(attempt.acted_at, attempt.hung_on)
    if trial is not None and trial.entry == attempt.entry:
        stage = (
            CaseStage.PROMOTING if trial.stage == "promoting" else CaseStage.RECORDED
        )
        case = replace(
            case, stage=stage, candidate=trial.candidate, lost_before=trial.lost_before
        )
    # The rest of the entry is in the history, under the same key; this replaces it if
    # that was lost.
    timestamp = attempt.entry.rsplit(" ", 2)[0]
    all_failing = attempt.trigger in (_ALL_FAILING_THEN, Trigger.ALL_FAILING)
    trigger = Trigger.ALL_FAILING.value if all_failing else attempt.trigger
    return _stand_in(timestamp, attempt.worker_id, attempt.attempt, trigger, case=case)


def _settle(
    number: int, worker: _Worker, heartbeat: datetime, entries: dict[str, HistoryEntry]
) -> None:
    """Gives worker N the standing it has in the state."""
    theirs = [entry for entry in entries.values() if entry.worker_id == number]
    newest = theirs[-1] if theirs else None
    wanted = WorkerStanding(
        attempts=_counted(worker.attempts, newest),
        paused=worker.paused and not worker.by_hand,
        parallel_uploads=worker.parallel_uploads,
        batch_size=worker.batch_size,
    )
    before = theirs[: len(theirs) - wanted.attempts]
    if before and _settings(_stands(theirs)) != _settings(wanted):
        # Settings given in an earlier pass are forgotten.
        theirs[len(before) - 1] = replace(before[-1], afterwards=Afterwards.RELEASED)
    found = _stands(theirs)
    if theirs and found != wanted:
        theirs[-1] = _changed(theirs[-1], found, wanted)
    entries |= {entry.key: entry for entry in theirs}
    if _stands(theirs) != wanted and not (newest is not None and newest.is_open):
        at = worker.last_attempt_at or heartbeat
        entry = _stand_in(at.isoformat(), number, wanted.attempts, Trigger.STUCK.value)
        entry = replace(
            entry,
            afterwards=Afterwards.PAUSED if wanted.paused else Afterwards.NOTHING,
            config_changes=_settings(wanted) or None,
            reason="taken over from monitor_state.json",
        )
        entries[entry.key] = entry


def _changed(
    newest: HistoryEntry, found: WorkerStanding, wanted: WorkerStanding
) -> HistoryEntry:
    """Changes the newest entry of a worker that has another standing."""
    changes = _settings(wanted)
    if newest.is_open or found.attempts == wanted.attempts:
        pause = Afterwards.PAUSED if wanted.paused else Afterwards.NOTHING
        config = newest.config_changes if changes == _settings(found) else changes
        return replace(newest, afterwards=pause, config_changes=config)
    if wanted.attempts == 0 and changes == _settings(found):
        return replace(newest, afterwards=Afterwards.RESUMED)
    return replace(newest, afterwards=Afterwards.RELEASED)


def _stands(entries: Sequence[HistoryEntry]) -> WorkerStanding:
    """Returns the standing from these entries, whenever they were made."""
    found = standings(entries, {})
    return replace(next(iter(found.values()), WorkerStanding()), entry=None)


def _settings(standing: WorkerStanding) -> dict[str, Json]:
    values: dict[str, Json] = {
        "parallel_uploads": standing.parallel_uploads,
        "batch_size": standing.batch_size,
    }
    return {name: value for name, value in values.items() if value is not None}


def _counted(attempts: int, newest: HistoryEntry | None) -> int:
    """Counts what the newest entry proves.

    The earlier version may have died between writing the history and the state.
    """
    if newest is not None and newest.case is not None:
        return max(attempts, newest.attempt)
    if newest is not None and newest.verified and newest.attempt == attempts:
        return 0
    return attempts


def _mark_lead(together: _Together, entries: dict[str, HistoryEntry]) -> None:
    """Marks the lead's newest attempt as the one the others wait for.

    Only if it was made since they hang.
    """
    led = [entry for entry in entries.values() if entry.worker_id == together.lead]
    if led and led[-1].timestamp >= together.since.isoformat():
        entries[led[-1].key] = replace(led[-1], correlated=True)


def _stand_in(
    timestamp: str,
    number: int,
    attempt: int,
    trigger: str,
    *,
    case: Case | None = None,
) -> HistoryEntry:
    return HistoryEntry(
        timestamp,
        number,
        attempt,
        trigger,
        0.0,
        "unknown",
        "not recorded",
        case=case,
    )
