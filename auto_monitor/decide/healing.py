"""Decides a worker's standing, its next treatment, and whether an attempt helped.

Pure. The standing is a fold over the history, which is the one durable record.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from auto_monitor.decide.detection import NO_SERVER
from auto_monitor.model import (
    Afterwards,
    Assessment,
    Case,
    Cause,
    CorrelatedFailure,
    HealingDecision,
    Health,
    HistoryEntry,
    Treatment,
    WorkerRecord,
    WorkerSnapshot,
    WorkerStanding,
    age,
    rests,
)


@dataclass(frozen=True, slots=True)
class HealingPolicy:
    """The most attempts, the pause between them, and the time to show an effect.

    Workers that become suspect within `window` do so together.
    """

    max_attempts: int
    cooldown: timedelta
    verification: timedelta
    verification_at_most: timedelta
    window: timedelta


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whether the server and the library's disk answer; None when not checked.

    `server` means that it has answered for so long that the workers must have noticed;
    `server_now` is its state at this moment.
    """

    server: bool | None = None
    disk: bool | None = None
    server_now: bool | None = None


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known about a worker after an attempt.

    `settled`: whether what it hung on has its outcome. `moving`: whether work has moved
    since the attempt. `waiting`: for the server or for other workers, which proves
    nothing either way. `health` and `away` are from the present verdict.
    """

    settled: bool
    moving: bool
    waiting: bool
    health: Health
    away: bool = False


def verify(
    case: Case, signs: Signs, now: datetime, policy: HealingPolicy
) -> bool | None:
    """Whether the attempt helped; None when it is too early to tell.

    Only settled work is success, never the absence of errors.
    """
    if signs.health is Health.FINISHED:
        return True
    if signs.health in (Health.STOPPED, Health.ENDED):
        # A worker that did not reach the server has not shown anything.
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
    """Whether work has moved since the attempt.

    Before the worker has settled anything: whether it still moves. A start, with its
    questions to the server, may take longer than the verification; one that stands
    still does not count.
    """
    if seen.progress_seen_at <= acted_at:
        return False
    return seen.settled or age(seen.progress_seen_at, now) < policy.verification


# -- standings -------------------------------------------------------------------------

#: When attempts began, by their keys: by the monitor's steady clock for its own, by
#: their timestamps for others.
Beginnings = Mapping[str, datetime]


def standings(
    entries: Iterable[HistoryEntry], began: Beginnings
) -> dict[int, WorkerStanding]:
    """Returns the standings by worker; `entries` are oldest first."""
    found: dict[int, WorkerStanding] = {}
    for entry in entries:
        found[entry.worker_id] = _after(
            found.get(entry.worker_id, WorkerStanding()), entry, began.get(entry.key)
        )
    return found


def _after(
    before: WorkerStanding, entry: HistoryEntry, began: datetime | None
) -> WorkerStanding:
    """A verified attempt resets the count, but not the pause before the next one."""
    waits = entry if entry.is_open else None
    if entry.afterwards is Afterwards.RELEASED:
        return WorkerStanding(entry=waits)
    changes = entry.config_changes or {}
    found = replace(
        before,
        parallel_uploads=_number(
            changes.get("parallel_uploads"), before.parallel_uploads
        ),
        batch_size=_number(changes.get("batch_size"), before.batch_size),
        entry=waits,
    )
    if entry.afterwards is Afterwards.RESUMED:
        return replace(found, attempts=0, last_attempt_at=None, paused=False)
    return replace(
        found,
        attempts=0 if entry.verified else entry.attempt,
        last_attempt_at=began,
        paused=entry.afterwards is Afterwards.PAUSED,
    )


def _number(value: object, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) else otherwise


def correlated(
    entries: Iterable[HistoryEntry], began: Beginnings, since: datetime | None
) -> CorrelatedFailure | None:
    """Returns which worker is treated for all that hang together since then.

    Also whether that has helped; None when none hang together. A monitor that died
    before it recorded the time still finds the attempt.
    """
    led = [entry for entry in entries if entry.correlated and entry.key in began]
    if since is None and led and led[-1].is_open:
        since = began[led[-1].key]
    if since is None:
        return None
    led = [entry for entry in led if began[entry.key] >= since]
    if not led:
        return CorrelatedFailure(since)
    lead = led[-1]
    return CorrelatedFailure(since, lead.worker_id, released=lead.verified is True)


# -- treatment -------------------------------------------------------------------------


def treat(
    assessment: Assessment,
    record: WorkerRecord,
    standing: WorkerStanding,
    now: datetime,
    policy: HealingPolicy,
    *,
    outdated: bool = False,
) -> HealingDecision:
    """Returns what this worker needs by itself, ignoring the others.

    `outdated`: its process runs another script than the one in place.
    """
    if (
        assessment.health not in (Health.STUCK, Health.STOPPED)
        or rests(record, standing)
        or not record.wanted
    ):
        return HealingDecision(assessment.worker_id, Treatment.NONE, "")
    if assessment.away:
        # It is not the worker's fault, and an attempt would not help: it may be started
        # as soon as the server answers.
        return HealingDecision(
            assessment.worker_id, Treatment.RESUME, "the server answers again"
        )
    if outdated and standing.case is None and assessment.is_a_riddle:
        # Its trouble is that of another script: no question, and no attempt.
        return HealingDecision(
            assessment.worker_id,
            Treatment.RESUME,
            "it ran a script that is no longer in place",
        )
    return _attempt(assessment, standing, now, policy)


def wait_for_trial(
    decision: HealingDecision, assessment: Assessment, on_trial: int | None
) -> HealingDecision:
    """Holds a worker back while another tries a code fix, which may be its own too.

    It is not restarted on the script that is known to be bad, and no attempt is used up.
    """
    if (
        on_trial in (None, decision.worker_id)
        or not assessment.is_a_riddle
        or decision.treatment not in (Treatment.RESTART, Treatment.PAUSE)
    ):
        return decision
    return replace(
        decision,
        treatment=Treatment.HOLD,
        reason=f"waiting for the verdict on the code fix that worker {on_trial} tries",
    )


def _attempt(
    assessment: Assessment,
    standing: WorkerStanding,
    now: datetime,
    policy: HealingPolicy,
) -> HealingDecision:
    """Decides whether a worker that is, or may be, to blame may be tried again now."""
    if standing.case is not None:
        return HealingDecision(
            assessment.worker_id, Treatment.NONE, "the last attempt is not verified yet"
        )
    if standing.attempts >= policy.max_attempts:
        used_up = f"{standing.attempts} attempts did not help"
        if assessment.all_failing or assessment.cause is Cause.ALL_WAITING:
            return HealingDecision(
                assessment.worker_id,
                Treatment.HOLD,
                f"{used_up}; it goes on trying: look at the server's log",
            )
        return HealingDecision(
            assessment.worker_id, Treatment.PAUSE, f"{used_up}: {assessment.reason}"
        )
    if (
        standing.last_attempt_at is not None
        and age(standing.last_attempt_at, now) < policy.cooldown
    ):
        return HealingDecision(
            assessment.worker_id,
            Treatment.HOLD,
            "the last attempt was a short while ago",
        )
    return HealingDecision(assessment.worker_id, Treatment.RESTART, assessment.reason)


def suspects(
    assessments: Collection[Assessment],
    records: Mapping[int, WorkerRecord],
    standings: Mapping[int, WorkerStanding],
    now: datetime,
    policy: HealingPolicy,
) -> dict[int, datetime]:
    """Returns the workers that hang, or hung within the window, with times.

    The times say since when. Paused workers are left out.
    """
    found = {}
    for assessment in assessments:
        record, standing = (
            records[assessment.worker_id],
            standings.get(assessment.worker_id, WorkerStanding()),
        )
        case = standing.case
        if rests(record, standing) or not record.wanted:
            continue
        if assessment.is_suspect:
            found[assessment.worker_id] = record.suspect_since or now
        elif case is not None and age(case.acted_at, now) < policy.window:
            found[assessment.worker_id] = record.suspect_since or case.acted_at
    return found


def gather(
    suspected: Mapping[int, datetime],
    standings: Mapping[int, WorkerStanding],
    wanted: int,
    correlated: CorrelatedFailure | None,
    now: datetime,
    policy: HealingPolicy,
    holding: Collection[int] = (),
) -> CorrelatedFailure | None:
    """Returns the correlated failure of this moment, if any.

    That is at least two, and at least half, of the wanted workers becoming suspect
    within one window. `holding` are those who have books in hand that are not done:
    where all wait for each other, the others wait for these.
    """
    if not suspected:
        return None
    if correlated is not None:
        return (
            correlated
            if correlated.released or correlated.lead in suspected
            else replace(correlated, lead=_lead(suspected, standings, holding))
        )
    together = [
        number for number, since in suspected.items() if age(since, now) < policy.window
    ]
    if len(together) < 2 or len(together) * 2 < wanted:
        return None
    return CorrelatedFailure(now, _lead(suspected, standings, holding))


def _lead(
    suspected: Mapping[int, datetime],
    standings: Mapping[int, WorkerStanding],
    holding: Collection[int],
) -> int:
    """Returns the worker already treated, or else the one suspect longest.

    So workers that join later do not take the lead. One that holds books goes before
    one that only waits.
    """
    treated = [
        number
        for number in suspected
        if standings.get(number, WorkerStanding()).case is not None
    ]
    return (
        min(treated)
        if treated
        else min(
            suspected,
            key=lambda number: (number not in holding, suspected[number], number),
        )
    )


def hold_back(
    decision: HealingDecision,
    assessment: Assessment,
    exit_code: int | None,
    correlated: CorrelatedFailure | None,
    surroundings: Surroundings,
) -> HealingDecision:
    """Holds a restart back while something other than the worker is wrong.

    Or while the verdict on another worker is pending.
    """
    if decision.treatment is not Treatment.RESTART:
        waits = (
            decision.treatment is Treatment.RESUME and surroundings.server_now is False
        )
        return (
            replace(
                decision, treatment=Treatment.WAIT, reason="the server does not answer"
            )
            if waits
            else decision
        )
    if surroundings.server is False and (
        assessment.is_suspect or exit_code == NO_SERVER
    ):
        return replace(
            decision,
            treatment=Treatment.HOLD,
            reason="the server does not answer, or did not a short while ago",
        )
    if not assessment.is_suspect or correlated is None or correlated.released:
        return decision
    if surroundings.disk is False:
        return replace(
            decision,
            treatment=Treatment.HOLD,
            reason="the library's disk does not answer",
        )
    if decision.worker_id != correlated.lead:
        return replace(
            decision,
            treatment=Treatment.HOLD,
            reason=f"waiting for the verdict on worker {correlated.lead}",
        )
    return decision
