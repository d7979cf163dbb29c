"""The trial of a candidate: its verdict, and what happens while it is on probation.

The decisions are in `decide.trial` and `case`.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.trial import TrialSigns
from auto_monitor.model import (
    Assessment,
    CaseStage,
    Health,
    HistoryEntry,
    Trigger,
    WorkerSnapshot,
    age,
)
from auto_monitor.ports import Incomparable
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory
from auto_monitor.repair import case as machine
from auto_monitor.repair.case import CaseOutcome
from auto_monitor.repair.code_fixes import CodeFixes
from auto_monitor.repair.remedy import Remedies
from common.sanitize import sanitize_text


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of one script."""

    supervisor: Supervisor
    memory: Memory
    cases: Cases
    code_fixes: CodeFixes
    remedies: Remedies
    action_log: ActionLog

    def verdict(
        self,
        entry: HistoryEntry,
        seen: WorkerSnapshot,
        assessment: Assessment,
        now: datetime,
        policy: HealingPolicy,
        *,
        over: bool,
    ) -> CaseOutcome | None:
        """Returns the verdict on a candidate; None while there is none.

        `over`: the pass is closed, so it is judged by what has arrived.
        """
        case = entry.case
        assert case is not None
        if case.baseline is None and case.stage is CaseStage.STARTED:
            # The ledger could not be read when the trial began.
            case = self.code_fixes.begun(entry, case)
            entry = replace(entry, case=case)
            self.cases.record(entry)
        signs = TrialSigns(
            self.code_fixes.arrival(entry, case, seen),
            assessment.health,
            away=assessment.away,
            waiting=seen.waits,
            over=over,
            leaks=entry.trigger == Trigger.LEAKING
            and (seen.growing is not False or assessment.leaks),
        )
        conclusion = machine.after_trial(entry, signs, now, policy)
        if conclusion is None:
            return None
        if not conclusion.verified:
            return replace(conclusion, stack=self._where(entry.worker_id, seen))
        if not machine.is_to_be_compared(case, conclusion):
            return conclusion
        # Promoted is only what carries books as they are in Calibre.
        try:
            found = self.code_fixes.differences(entry)
        except Incomparable as error:
            self.action_log.once(f"comparing {entry.key}", str(error))
            late = over or age(case.acted_at, now) >= policy.verification_at_most
            return CaseOutcome(None, f"inconclusive: {error}") if late else None
        if found:
            return CaseOutcome(False, found)
        return conclusion if found == "" else None

    def _where(self, number: int, seen: WorkerSnapshot) -> str:
        """Returns where the worker is, or was when it crashed, for the next question."""
        found = self.supervisor.stack(number) if seen.alive else seen.crash
        return sanitize_text(found or seen.last_words, multiline=True)

    def took_back(self, assessment: Assessment, seen: WorkerSnapshot) -> bool:
        """Takes a code fix on probation back if this is its trouble again."""
        number = assessment.worker_id
        tried = self.code_fixes.on_probation(self.memory.record(number).script)
        if not tried or not assessment.is_a_riddle:
            return False
        mark = self.fingerprint(assessment, seen, self.stack(assessment, seen))
        for entry in tried:
            if machine.is_again(entry, mark, assessment, seen):
                why = f"worker {number} has the same trouble again"
                self.code_fixes.take_back(entry, why)
                return True
        return False

    def stack(self, assessment: Assessment, seen: WorkerSnapshot) -> str:
        """Returns where the worker is; of one that is gone, where it crashed."""
        if assessment.health is not Health.STUCK:
            return seen.crash
        return self.supervisor.stack(assessment.worker_id)

    def fingerprint(
        self, assessment: Assessment, seen: WorkerSnapshot, stack: str
    ) -> str:
        script = self.code_fixes.script.path.stem
        return machine.fingerprint(assessment, seen, stack, script)
