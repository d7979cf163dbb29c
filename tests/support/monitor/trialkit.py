"""A monitor with a code fix on trial, among fakes."""

from dataclasses import replace

from auto_monitor.decide.diagnosis import Answer, Diagnosis, FixType
from migration.model import Phase
from tests.support.monitor.harness import CANDIDATE, FILE, FakeDiagnoser, Harness


def begun(workers: int = 4, diagnoser: FakeDiagnoser | None = None) -> Harness:
    """A monitor that has started its workers."""
    made = Harness(workers, diagnoser=diagnoser)
    assert made.monitor.begin()
    return made


def cured(made: Harness, outcome: str = "uploaded") -> None:
    """Whatever hung gets on, and the file it hung on has its outcome."""
    made.observer.hangs.clear()
    made.ledger.outcomes[FILE] = outcome


def said(fix: FixType, **more: object) -> Answer:
    """An answer with this fix."""
    changes = {"parallel_uploads": 1} if fix is FixType.CONFIG_FIX else {}
    found = Diagnosis(
        "it waits for ever", fix, 0.9, "bound the loop", changes, "def x(): ...", None
    )
    # Fields of the answer.
    return replace(Answer(found, model="m", tokens=100), **more)  # type: ignore[arg-type]


def fixed() -> Harness:
    """One worker that hangs, and a candidate for it."""
    made = begun(1, FakeDiagnoser(said(FixType.CODE_FIX, candidate=CANDIDATE)))
    made.hang(1)
    return made


def done(made: Harness, outcome: str) -> None:
    """The worker has done its part."""
    made.observer.phases[1] = Phase.COMPLETED
    made.processes.end(1, 0)
    if outcome:
        made.ledger.outcomes[FILE] = outcome
