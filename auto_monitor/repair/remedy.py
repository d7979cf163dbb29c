"""Turning a diagnosis into an attempt.

It may set options for the worker, or change the code, which is tried or only proposed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from auto_monitor.decide.diagnosis import Answer, FixType
from auto_monitor.model import Candidate, Case, CodeChanges, HistoryEntry, Trigger
from auto_monitor.ports import UNWRITABLE, EvidenceStore
from auto_monitor.record.action_log import ActionLog
from auto_monitor.repair.code_fixes import CodeFixes
from common.sanitize import sanitize_text

#: Lines of a change that its preview shows.
PREVIEW_LINES = 10


@dataclass(frozen=True, slots=True)
class Remedies:
    """Applies an answer; without a usable one the worker is simply restarted."""

    code_fixes: CodeFixes
    evidence: EvidenceStore
    action_log: ActionLog

    def applied(self, entry: HistoryEntry, answer: Answer) -> HistoryEntry:
        """Returns the entry with the result of applying the answer."""
        number, found = entry.worker_id, answer.diagnosis
        entry = replace(
            entry,
            llm_used=True,
            model=answer.model or None,
            tokens=answer.tokens or None,
            calls=answer.calls or None,
        )
        if found is None:
            self.action_log.warning(
                "Worker %d: the LLM did not help (%s)%s",
                number,
                answer.failure,
                "" if entry.trigger == Trigger.WRONG_RESULT else "; it is restarted",
            )
            return replace(entry, validation=f"the LLM did not help: {answer.failure}")
        self.action_log.info(
            "Worker %d: the LLM says: %s; fix: %s (confidence %.2f): %s",
            number,
            found.root_cause,
            found.fix_type.value,
            found.confidence,
            found.description,
        )
        entry = replace(
            entry,
            root_cause=found.root_cause,
            confidence=found.confidence,
            description=found.description,
        )
        match found.fix_type:
            case FixType.CONFIG_FIX if entry.trigger == Trigger.WRONG_RESULT:
                said = f"settings do not help against it: {dict(found.config_changes)}"
                return replace(entry, validation=said)
            case FixType.CONFIG_FIX:
                return self._configured(entry, found.config_changes)
            case FixType.CODE_FIX:
                return self._tried_or_proposed(entry, answer)
        return entry

    def propose(self, entry: HistoryEntry, candidate: Candidate) -> None:
        """Keeps a candidate that could not be judged, for a person."""
        try:
            name = self.evidence.propose(
                entry.worker_id, "inconclusive", candidate.diff
            )
        except UNWRITABLE as error:
            self.action_log.once("proposal", str(error))
            return
        self.action_log.info(
            "Worker %d: its code fix is kept in auto_monitor/proposals/%s; "
            "%s puts it in place",
            entry.worker_id,
            name,
            self.action_log.hint("apply", name),
        )

    def only_proposed(self, entry: HistoryEntry, why: str) -> HistoryEntry:
        """Returns the entry without its trial.

        The worker is restarted with the installed script, and the change is kept for a
        person.
        """
        case = entry.case
        if case is None:
            return entry
        code = case.candidate.diff if case.candidate is not None else ""
        plain = Case(case.acted_at, case.in_flight, case.stage)
        entry = replace(
            entry,
            fix_type=FixType.RESTART.value,
            backup=None,
            script_before=None,
            script_after=None,
            case=plain,
        )
        return self._proposed(entry, code, f"proposed only: {why}")

    def _configured(
        self, entry: HistoryEntry, changes: Mapping[str, int]
    ) -> HistoryEntry:
        """Gives the worker settings of its own from its next start on.

        They are recorded in its entry.
        """
        self.action_log.done(
            f"Worker {entry.worker_id} gets {dict(changes)} from its next start on"
        )
        return replace(
            entry, fix_type=FixType.CONFIG_FIX.value, config_changes={**changes}
        )

    def _tried_or_proposed(self, entry: HistoryEntry, answer: Answer) -> HistoryEntry:
        """Tries a candidate on this worker if possible now.

        Else keeps the change for a person.
        """
        candidate, code = (
            answer.candidate,
            answer.diagnosis.code if answer.diagnosis else "",
        )
        if candidate is None:
            return self._proposed(
                entry, sanitize_text(code, multiline=True), answer.failure
            )
        objection = self.code_fixes.objection(candidate)
        if objection:
            return self._proposed(entry, candidate.diff, f"proposed only: {objection}")
        return self._on_trial(entry, candidate)

    def _on_trial(self, entry: HistoryEntry, candidate: Candidate) -> HistoryEntry:
        self.action_log.info("Worker %d: the change of the code:", entry.worker_id)
        self.action_log.show(candidate.diff)
        case = entry.case
        if case is not None:
            case = replace(self.code_fixes.begun(entry, case), candidate=candidate)
        return replace(
            entry,
            fix_type=FixType.CODE_FIX.value,
            code_changes=_changes(candidate.diff),
            backup=candidate.backup,
            script_before=candidate.before,
            script_after=candidate.after,
            validation=candidate.validation,
            case=case,
        )

    def _proposed(self, entry: HistoryEntry, code: str, reason: str) -> HistoryEntry:
        """Keeps a change for a person.

        The worker is restarted with the installed script.
        """
        try:
            name = self.evidence.propose(entry.worker_id, entry.root_cause, code)
        except UNWRITABLE as error:
            self.action_log.once("proposal", str(error))
            said = f"{reason}; it cannot be kept: {error}"
            return replace(entry, code_changes=_changes(code), validation=said)
        self.action_log.info(
            "Worker %d: a change of the code is kept in auto_monitor/proposals/%s, "
            "not applied (%s):",
            entry.worker_id,
            name,
            reason,
        )
        self.action_log.show(code)
        return replace(
            entry,
            code_changes=_changes(code),
            validation=f"{reason}; kept in auto_monitor/proposals/{name}",
        )


def _changes(code: str) -> CodeChanges:
    return CodeChanges("\n".join(code.splitlines()[:PREVIEW_LINES]), code)
