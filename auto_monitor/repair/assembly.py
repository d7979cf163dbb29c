"""The repairing parts: attempts, with code fixes and the diagnoser."""

from dataclasses import dataclass

from auto_monitor.act.assembly import ActedOn
from auto_monitor.act.supervisor import Supervisor
from auto_monitor.ports import Clock, Diagnoser, EvidenceStore, LedgerReader
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.consultation import Consultation
from auto_monitor.repair.remedy import Remedies
from auto_monitor.repair.trials import Trials


@dataclass(frozen=True, slots=True)
class Trunk:
    """What all parts of a monitor share.

    `clock` is the steady clock for decisions, `wall` the one for display.
    """

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    action_log: ActionLog
    clock: Clock
    wall: Clock


def attempts(
    acted_on: ActedOn,
    ledger: LedgerReader,
    evidence: EvidenceStore,
    trunk: Trunk,
    diagnoser: Diagnoser | None,
) -> Attempts:
    """Returns a monitor's attempts; `diagnoser` is None without an LLM."""
    code_fixes = CodeFixes(
        acted_on.script,
        trunk.cases,
        ledger,
        acted_on.reservations,
        trunk.action_log,
        acted_on.alerts,
        acted_on.comparer,
    )
    remedies = Remedies(code_fixes, evidence, trunk.action_log)
    consultation = None
    if diagnoser is not None:
        consultation = Consultation(
            trunk.supervisor, trunk.memory, trunk.cases, remedies, diagnoser
        )
    return Attempts(
        supervisor=trunk.supervisor,
        memory=trunk.memory,
        cases=trunk.cases,
        consultation=consultation,
        code_fixes=code_fixes,
        trials=Trials(
            trunk.supervisor,
            trunk.memory,
            trunk.cases,
            code_fixes,
            remedies,
            trunk.action_log,
        ),
        ledger=ledger,
        evidence=evidence,
        action_log=trunk.action_log,
        alerts=acted_on.alerts,
        clock=trunk.clock,
        wall=trunk.wall,
    )
