"""The parts of a round, made from what the monitor observes, remembers and acts on."""

from dataclasses import dataclass

from auto_monitor.act.assembly import ActedOn
from auto_monitor.config import Policies
from auto_monitor.decide.watching import WatchPolicy
from auto_monitor.observe.assembly import Observed
from auto_monitor.ports import Clock, Diagnoser
from auto_monitor.record.assembly import MonitorFiles
from auto_monitor.repair.attempts import Attempts
from auto_monitor.repair.mending import WrongResults
from auto_monitor.rounds.healer import Healer
from auto_monitor.rounds.noter import Noter
from auto_monitor.rounds.sampler import Sampler
from auto_monitor.rounds.scaler import Scaler
from auto_monitor.rounds.teller import Teller
from auto_monitor.rounds.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Rounds:
    """The parts of one round; `watcher` is None when the monitor ends with the pass.

    `wrong_results` has what was carried wrongly carried again, in the next pass.
    """

    healer: Healer
    scaler: Scaler
    sampler: Sampler
    noter: Noter
    watcher: Watcher | None
    wrong_results: WrongResults
    teller: Teller


@dataclass(frozen=True, slots=True)
class Around:
    """What they are made from; `wall` is the clock for display."""

    seen: Observed
    acted_on: ActedOn
    files: MonitorFiles
    wall: Clock
    diagnoser: Diagnoser | None


def rounds(
    around: Around,
    limits: Policies,
    attempts: Attempts,
    server: str,
    watching: WatchPolicy | None,
) -> Rounds:
    """Makes them; `server` names the server in messages."""
    memory, say, seen = attempts.memory, attempts.action_log, around.seen
    watcher = _watcher(around, attempts, watching)
    return Rounds(
        healer=Healer(
            attempts,
            memory,
            say,
            seen.server,
            seen.disk,
            limits.healing,
            server,
            limits.probe_seconds,
        ),
        scaler=Scaler(
            attempts.supervisor,
            memory,
            attempts,
            seen.meter,
            say,
            limits.scaling,
            limits.scale_every,
            limits.measuring,
        ),
        sampler=Sampler(memory, say, around.files.keep_sample, around.wall),
        noter=Noter(
            memory,
            attempts.cases,
            say,
            around.acted_on.alerts,
            around.diagnoser,
            around.acted_on.script,
            excused=lambda: (
                watcher is not None and (watcher.told or watcher.unsettled())
            ),
        ),
        watcher=watcher,
        wrong_results=WrongResults(
            attempts, around.acted_on.opener, limits.healing.max_attempts
        ),
        teller=Teller(seen.ledger, around.acted_on, memory, say.dry_run),
    )


def _watcher(
    around: Around, attempts: Attempts, policy: WatchPolicy | None
) -> Watcher | None:
    if policy is None:
        return None
    return Watcher(
        around.seen.library,
        around.acted_on.opener,
        attempts.memory,
        attempts.action_log,
        around.acted_on.alerts,
        around.wall,
        policy,
    )
