"""What versions before this one kept in `monitor_state.json`: the attempts without a
verdict.

They are in the history now, each in its entry. A monitor that is upgraded in mid-run
takes them over."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import cattrs

from auto_monitor.model import Candidate, Case, HistoryEntry, InFlight, Stage, Trigger
from common.json_value import Json


@dataclass(frozen=True, slots=True)
class _Attempt:
    worker_id: int
    trigger: Trigger
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
    case: _Attempt | None = None


@dataclass(frozen=True, slots=True)
class _State:
    workers: Mapping[int, _Worker] = field(default_factory=dict)
    code_case: _Trial | None = None


def left_open(value: Json, converter: cattrs.Converter) -> list[HistoryEntry]:
    """The open attempts of such a state, each as an entry with its key; none of any
    other value."""
    if not isinstance(value, dict):
        return []
    try:
        state = converter.structure(value, _State)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError):
        return []
    return [
        _entry(worker.case, state.code_case)
        for worker in state.workers.values()
        if worker.case is not None
    ]


def _entry(attempt: _Attempt, trial: _Trial | None) -> HistoryEntry:
    case = Case(attempt.acted_at, attempt.hung_on)
    if trial is not None and trial.entry == attempt.entry:
        stage = Stage.PROMOTING if trial.stage == "promoting" else Stage.RECORDED
        case = replace(
            case, stage=stage, candidate=trial.candidate, lost_before=trial.lost_before
        )
    # What else the entry says is in the history, under the same key; this stands in
    # where that was lost.
    timestamp = attempt.entry.rsplit(" ", 2)[0]
    return HistoryEntry(
        timestamp,
        attempt.worker_id,
        attempt.attempt,
        attempt.trigger.value,
        0.0,
        "unknown",
        "not recorded",
        case=case,
    )
