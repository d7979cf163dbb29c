"""What may be done about an unhealthy worker now, and has the last attempt helped?
Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from auto_monitor.decide.detection import NO_SERVER
from auto_monitor.model import (
    Case,
    CorrelatedFailure,
    Health,
    Step,
    Treatment,
    Verdict,
    WorkerRecord,
    WorkerSnapshot,
    age,
)


@dataclass(frozen=True, slots=True)
class HealingPolicy:
    """Attempts, the pause between them, and how long one has to show that it helped.

    `window` is the time within which workers that become suspect do so together.
    """

    max_attempts: int
    cooldown: timedelta
    verification: timedelta
    verification_at_most: timedelta
    window: timedelta


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Do the server and the library's disk answer? None when nobody asked.

    `server`: has it answered for so long that the workers must have noticed;
    `server_now`: at this moment."""

    server: bool | None = None
    disk: bool | None = None
    server_now: bool | None = None


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known about a worker after an attempt.

    `settled`: has what it hung on its outcome; `moving`: has work moved since the
    attempt; `waiting`: for the server or for the other workers, which proves nothing
    either way; `health` and `away` are the present verdict's; `arrived`: of a code fix
    on trial, has what it hung on really arrived, which a settled file need not have?
    """

    settled: bool
    moving: bool
    waiting: bool
    health: Health
    away: bool = False
    arrived: bool = True


def verify(
    case: Case, signs: Signs, now: datetime, policy: HealingPolicy
) -> bool | None:
    """Has the attempt helped? None: too early to say. Only settled work is success,
    never the absence of errors."""
    if signs.health is Health.FINISHED:
        return True
    if signs.health in (Health.STOPPED, Health.ENDED):
        # One that found no server has not shown anything.
        return None if signs.away else False
    waited = age(case.acted_at, now)
    if waited < policy.verification:
        return None
    if signs.settled:
        return True
    if signs.health is Health.STUCK:
        return False
    return (
        None
        if signs.waiting or (signs.moving and waited < policy.verification_at_most)
        else False
    )


def moving(
    seen: WorkerSnapshot, acted_at: datetime, now: datetime, policy: HealingPolicy
) -> bool:
    """Has work moved since the attempt? Before a worker has settled anything: does it
    still move?

    A start may take longer than the verification, asking the server what it has; one
    that stands still is none."""
    if seen.progress_seen_at <= acted_at:
        return False
    return seen.settled or age(seen.progress_seen_at, now) < policy.verification


def treat(
    verdict: Verdict,
    record: WorkerRecord,
    case: Case | None,
    now: datetime,
    policy: HealingPolicy,
) -> Step:
    """What this worker needs by itself, the others left out of account; `case` is its
    attempt without a verdict."""
    if (
        verdict.health not in (Health.STUCK, Health.STOPPED)
        or record.paused
        or not record.wanted
    ):
        return Step(verdict.worker_id, Treatment.NONE, "")
    if verdict.away:
        # Neither its fault nor to be mended by an attempt: it may be started as soon as
        # the server answers.
        return Step(verdict.worker_id, Treatment.RESUME, "the server answers again")
    return _attempt(verdict, record, case, now, policy)


def _attempt(
    verdict: Verdict,
    record: WorkerRecord,
    case: Case | None,
    now: datetime,
    policy: HealingPolicy,
) -> Step:
    """May a worker that is to blame, or may be, be tried again now?"""
    if case is not None:
        return Step(
            verdict.worker_id, Treatment.NONE, "the last attempt is not verified yet"
        )
    if record.attempts >= policy.max_attempts:
        used_up = f"{record.attempts} attempts did not help"
        if verdict.all_failing:
            return Step(
                verdict.worker_id,
                Treatment.HOLD,
                f"{used_up}; it goes on trying: look at the server's log",
            )
        return Step(verdict.worker_id, Treatment.PAUSE, f"{used_up}: {verdict.reason}")
    if (
        record.last_attempt_at is not None
        and age(record.last_attempt_at, now) < policy.cooldown
    ):
        return Step(
            verdict.worker_id, Treatment.HOLD, "the last attempt was a short while ago"
        )
    return Step(verdict.worker_id, Treatment.RESTART, verdict.reason)


def suspects(
    verdicts: Collection[Verdict],
    records: Mapping[int, WorkerRecord],
    cases: Mapping[int, Case],
    now: datetime,
    policy: HealingPolicy,
) -> dict[int, datetime]:
    """The workers that hang or were treated for it within the window, with the time
    since when. Paused ones are not."""
    found = {}
    for verdict in verdicts:
        record, case = records[verdict.worker_id], cases.get(verdict.worker_id)
        if record.paused or not record.wanted:
            continue
        if verdict.health is Health.STUCK:
            found[verdict.worker_id] = record.suspect_since or now
        elif case is not None and age(case.acted_at, now) < policy.window:
            found[verdict.worker_id] = record.suspect_since or case.acted_at
    return found


def gather(
    suspected: Mapping[int, datetime],
    cases: Mapping[int, Case],
    wanted: int,
    correlated: CorrelatedFailure | None,
    now: datetime,
    policy: HealingPolicy,
) -> CorrelatedFailure | None:
    """The correlated failure of this moment: at least two and at least half of the
    wanted workers suspect within one window."""
    if not suspected:
        return None
    if correlated is not None:
        return (
            correlated
            if correlated.released or correlated.lead in suspected
            else replace(correlated, lead=_lead(suspected, cases))
        )
    together = [
        number for number, since in suspected.items() if age(since, now) < policy.window
    ]
    if len(together) < 2 or len(together) * 2 < wanted:
        return None
    return CorrelatedFailure(now, _lead(suspected, cases))


def _lead(suspected: Mapping[int, datetime], cases: Mapping[int, Case]) -> int:
    """Who is being treated already, or else the lowest id."""
    treated = [number for number in suspected if number in cases]
    return min(treated or suspected)


def hold_back(
    step: Step,
    verdict: Verdict,
    exit_code: int | None,
    correlated: CorrelatedFailure | None,
    surroundings: Surroundings,
) -> Step:
    """A restart is held back while something other than the worker is wrong, or while
    another one's verdict is out."""
    if step.treatment is not Treatment.RESTART:
        waits = step.treatment is Treatment.RESUME and surroundings.server_now is False
        return (
            replace(step, treatment=Treatment.WAIT, reason="the server does not answer")
            if waits
            else step
        )
    if surroundings.server is False and (
        verdict.health is Health.STUCK or exit_code == NO_SERVER
    ):
        return replace(
            step,
            treatment=Treatment.HOLD,
            reason="the server does not answer, or did not a short while ago",
        )
    if verdict.health is not Health.STUCK or correlated is None or correlated.released:
        return step
    if surroundings.disk is False:
        return replace(
            step, treatment=Treatment.HOLD, reason="the library's disk does not answer"
        )
    if step.worker_id != correlated.lead:
        return replace(
            step,
            treatment=Treatment.HOLD,
            reason=f"waiting for the verdict on worker {correlated.lead}",
        )
    return step
