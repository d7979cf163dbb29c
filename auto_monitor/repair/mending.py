"""A pass that ended with something wrong: the LLM is asked why, and the next pass carries
it again.

That is what the audit of the pass has found, and files that have stopped three workers
before an answer about these was there. The pass is closed and the workers are gone, so
a code fix is judged before it is put in place, by the gate. For a difference that means:
with the script in place a copy of those very books arrives wrong, with the candidate it
arrives right. Then the next pass is opened, which takes these books anew
(`CarriedBooks.carry_by`). Its audit, and its workers, have the last word: until it is
closed the same trouble takes the fix back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from auto_monitor.decide.diagnosis import NO_WORKER, Facts
from auto_monitor.model import (
    Assessment,
    Case,
    HistoryEntry,
    InFlight,
    WorkerSnapshot,
)
from auto_monitor.ports import UNREADABLE, PassOpener
from auto_monitor.repair import case as machine
from auto_monitor.repair import wrong_result
from auto_monitor.repair.attempts import Attempts
from auto_monitor.repair.case import CaseOutcome
from auto_monitor.repair.consultation import Consultation
from auto_monitor.repair.remedy import Remedies
from common.sanitize import for_log
from migration.ledger.arrivals import STOPPED, Baseline
from migration.ledger.totals import Totals


class Mending(StrEnum):
    """What becomes of a closed pass with a wrong result."""

    OVER = "over"  #: nothing more is done about it
    WAITS = "waits"  #: for the answer of the LLM
    AGAIN = "again"  #: the next pass is being opened

    @property
    def over(self) -> bool:
        """Whether nothing more is done."""
        return self is Mending.OVER

    @property
    def again(self) -> bool:
        """Whether the next pass is being opened."""
        return self is Mending.AGAIN


@dataclass(frozen=True, slots=True)
class _Open:
    """A question that is open as the pass is closed, about a worker that crashed."""

    seen: WorkerSnapshot
    assessment: Assessment


def _open_question(
    asked: Consultation,
    found: Totals,
    snapshots: Mapping[int, WorkerSnapshot],
    assessments: Mapping[int, Assessment],
) -> _Open | None:
    """Returns the question that files which have stopped their worker wait for."""
    if not found.failed.get(STOPPED) or asked.cases.trial() is not None:
        return None
    for number, assessment in sorted(assessments.items()):
        if assessment.is_a_riddle and asked.diagnoser.asked(number):
            return _Open(snapshots[number], assessment)
    return None


def _in_the_next_pass(entry: HistoryEntry) -> HistoryEntry:
    """Returns the entry with its probation in the pass after the one it belongs to."""
    case = entry.case
    if case is None or case.in_flight.pass_id is None:
        return entry
    then = Baseline(case.in_flight.pass_id + 1)
    return replace(entry, case=replace(case, baseline=then))


@dataclass(slots=True)
class WrongResults:
    """Repairs what a pass left wrong; `most` questions in a row about the same kinds."""

    attempts: Attempts
    opener: PassOpener
    most: int
    _about: HistoryEntry | None = field(default=None, init=False)
    _pass: datetime | None = field(default=None, init=False)
    _open: _Open | None = field(default=None, init=False)

    def mends(
        self,
        found: Totals,
        snapshots: Mapping[int, WorkerSnapshot],
        assessments: Mapping[int, Assessment],
        now: datetime,
    ) -> Mending:
        """Says what becomes of a closed pass, whose result may be wrong.

        Closes every attempt before. Never waits: called again until it is over.
        """
        asked = None if self.attempts.action_log.dry_run else self.attempts.consultation
        if asked is None or self._pass != found.opened_at:
            case = self.attempts.end_with_pass(found.pass_id, found.differences)
            self._pass, self._about, self._open = found.opened_at, None, None
            if asked is not None:
                self._open = _open_question(asked, found, snapshots, assessments)
                self._about = self._to_ask(asked, case, found)
        if asked is not None and self._open is not None:
            mending = self._answered_late(asked, self._open, found, now)
            if not mending.over:
                return mending
            self._open = None
        if asked is None or self._about is None:
            return Mending.OVER
        return self._step(asked, self._about, found)

    def _answered_late(
        self, asked: Consultation, question: _Open, found: Totals, now: datetime
    ) -> Mending:
        """Waits for the answer about a worker that crashed, and carries it out."""
        entry = self.attempts.answer_about(question.seen, question.assessment, now)
        if entry is None:
            self.attempts.action_log.once(
                "late answer",
                f"Files have stopped worker {question.seen.worker_id}; the pass is closed, and "
                "the LLM's answer is waited for",
            )
            return Mending.WAITS
        candidate = entry.case.candidate if entry.case is not None else None
        if candidate is None:
            said = "the pass is closed, and the files have failed"
            self.attempts.conclude(entry.worker_id, False, said)
            return Mending.OVER
        lost = found.failed.get(STOPPED, 0)
        told = f"{lost} files had stopped their worker"
        return self._carried_out(replace(entry, reason=told), asked.remedies)

    def _to_ask(
        self, asked: Consultation, case: HistoryEntry | None, found: Totals
    ) -> HistoryEntry | None:
        """Returns the case to ask about.

        None without one of which something can be shown, or when that was in vain too
        often.
        """
        if case is None or not wrong_result.shown(found.differences):
            return None
        mark = wrong_result.mark(found.differences)
        in_vain = wrong_result.in_vain(self.attempts.cases.entries(), mark)
        if in_vain >= self.most:
            self.attempts.action_log.warning(
                "The LLM is not asked again about this wrong result: %d answers did not "
                "help",
                in_vain,
            )
            return None
        asked.over(NO_WORKER)
        self.attempts.action_log.info(
            "%s; the LLM is asked why",
            case.root_cause.capitalize(),
        )
        in_hand = Case(self.attempts.clock(), InFlight(found.pass_id))
        return replace(case, fingerprint=mark, case=in_hand)

    def _step(self, asked: Consultation, about: HistoryEntry, found: Totals) -> Mending:
        try:
            facts = self._facts(about, found)
        except UNREADABLE as error:
            self.attempts.action_log.once(
                "ledger", f"The ledger cannot be read now: {error}"
            )
            return Mending.WAITS
        if not facts.findings:
            # Of no book in particular: nobody could say what a fix has mended.
            self._about = None
            return Mending.OVER
        entry = asked.answered(about, facts)
        if entry is None:
            return Mending.WAITS
        self._about = None
        # What was found stays to be read beside what the LLM says of it.
        return self._carried_out(
            replace(entry, reason=about.root_cause), asked.remedies
        )

    def _carried_out(self, entry: HistoryEntry, remedies: Remedies) -> Mending:
        """Puts the candidate in place and has the next pass opened; records it all."""
        candidate = entry.case.candidate if entry.case is not None else None
        if candidate is None:
            told = f"{entry.reason}; told; no code fix could be tried"
            self.attempts.cases.record(replace(entry, case=None, reason=told))
            return Mending.OVER
        found = entry.reason
        # From here on it is put in place even if the monitor dies meanwhile.
        entry = replace(
            _in_the_next_pass(machine.promoting(entry)),
            verified=None,
            reason="",
            applied=True,
        )
        if not self.attempts.cases.record(entry):
            entry = remedies.only_proposed(
                entry, "auto_fix_history.json cannot be written"
            )
            self.attempts.cases.record(
                replace(entry, case=None, verified=False, applied=False)
            )
            return Mending.OVER
        promoted, said = remedies.code_fixes.promote(candidate)
        why = f"{found}; it has passed the gate; {said}"
        outcome = CaseOutcome(promoted or None, why, promoted=promoted)
        self.attempts.cases.record(machine.closed(entry, outcome))
        if not promoted or self.attempts.supervisor.time_is_up():
            return Mending.OVER
        return self._open_pass()

    def _open_pass(self) -> Mending:
        self.attempts.action_log.act(
            "Opening a pass: what was carried wrongly is carried again"
        )
        try:
            self.opener.start()
        except OSError as error:
            self._not_opened(str(error.strerror))
            return Mending.OVER
        return Mending.AGAIN

    def opens(self) -> bool:
        """Whether the next pass is still being opened; says when that has failed."""
        if not self.opener.runs:
            return False
        ended = self.opener.result()
        if ended is not None and ended.code:
            said = ended.said or f"the worker ended with status {ended.code}"
            self._not_opened(for_log(said))
        return ended is None

    def finish(self) -> None:
        """Ends what runs."""
        self.opener.close()

    def _not_opened(self, why: str) -> None:
        self.attempts.action_log.warning(
            "The next pass cannot be opened (%s); %s carries these books again",
            why,
            self.attempts.action_log.hint("start"),
        )

    def _facts(self, entry: HistoryEntry, found: Totals) -> Facts:
        """Gathers what the audit has found. Raises what UNREADABLE lists."""
        wrong = self.attempts.ledger.wrong_books(
            sorted(wrong_result.shown(found.differences))
        )
        entries = [one for one in self.attempts.cases.entries() if one.key != entry.key]
        mark = entry.fingerprint
        same = [one for one in entries if one.fingerprint == mark]
        return Facts(
            worker_id=NO_WORKER,
            reason=entry.root_cause,
            minutes_stuck=0.0,
            phase="completed",
            in_hand=f"pass {found.pass_id}, which is closed",
            stack="",
            disk_utilization=None,
            earlier=machine.tried(same, (), mark, 0),
            causes=machine.causes(same),
            mark=mark,
            findings=wrong,
        )
