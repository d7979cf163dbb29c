"""The one code fix that is in flight: tried on the stuck worker alone, then promoted or dropped.

Its state is saved before every step, so that a monitor that dies in between finds what it was doing.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from auto_monitor import config, fix_applier
from auto_monitor.act.alerts import Alerts
from auto_monitor.act.supervisor import Staff
from auto_monitor.model import Candidate, CodeCase, HungOn, Stage
from auto_monitor.record.action_log import Journal
from auto_monitor.record.history import History, history_path
from auto_monitor.record.memory import Memory
from common.clock import SteadyClock, utc_now
from migration.ledger import totals
from migration.model import BookId
from migration.state_files import reservation


@dataclass(frozen=True, slots=True)
class CodeFixes:
    """Code fixes of one state directory and one script."""

    staff: Staff
    memory: Memory
    journal: Journal
    alerts: Alerts
    script: Path
    state_dir: Path
    ledger: Path
    clock: SteadyClock

    def objection(self, candidate: Candidate) -> str:
        """Why this candidate may not be tried now; "" when it may."""
        if not self.memory.save():
            # A monitor that ends in mid-trial must find what it was doing.
            return "monitor_state.json cannot be written"
        if self.memory.state.code_case is not None:
            return "another code fix is being tried"
        if fix_applier.in_place(self.script) != candidate.before:
            return f"{self.script.name} was changed since the fix was made"
        if not fix_applier.candidate_path(self.state_dir, candidate.name).is_file():
            return "the candidate is gone"
        return ""

    def of(self, worker_id: int) -> CodeCase | None:
        """The code fix that is tried on this worker."""
        case = self.memory.state.code_case
        return case if case is not None and case.worker_id == worker_id else None

    def begin(self, worker_id: int, entry: str, candidate: Candidate, hung: HungOn, *, fruitless: bool) -> None:
        """From the next start on this worker runs the candidate, and the ranges of its work are kept for it."""
        lost = self._not_carried(hung)
        self.memory.change(code_case=CodeCase(worker_id, entry, candidate, hung, lost, fruitless=fruitless))
        self.memory.save()
        books = frozenset(file.book_id for file in hung.files)
        if hung.range is not None:
            books |= {BookId(hung.range[0])}
        if hung.pass_id is not None and books:
            most = config.VERIFICATION_AT_MOST_SECONDS + config.SUCCESS_VERIFICATION_SECONDS + 60
            kept = reservation.Reservation(hung.pass_id, books, worker_id, self.clock() + timedelta(seconds=most))
            reservation.write(self.state_dir, kept, self.clock)
        self.journal.done(
            f"Worker {worker_id} alone gets {candidate.name}, made from {self.script.name} (backup {candidate.backup})"
        )

    def carried(self, case: CodeCase) -> bool:
        """Has what it hung on really arrived? Failed, skipped and left out do not count."""
        hung = case.hung_on
        if hung.pass_id is None:
            return True
        try:
            if hung.files:
                return totals.carried(self.ledger, hung.pass_id, hung.files)
            lost, before = self._not_carried(hung), case.lost_before
            return before is None or (lost is not None and (lost < before or (lost == before and not case.fruitless)))
        except totals.UNREADABLE:
            return False

    def _not_carried(self, hung: HungOn) -> int | None:
        if hung.pass_id is None or hung.range is None:
            return None
        try:
            return totals.not_carried_in(self.ledger, hung.pass_id, *hung.range)
        except totals.UNREADABLE:
            return None

    def promote(self, case: CodeCase) -> str:
        """The candidate becomes everybody's script; returns in words what came of it."""
        self.memory.change(code_case=replace(case, stage=Stage.PROMOTING))
        self.memory.save()
        try:
            fix_applier.promote(self.script, self.state_dir, case.candidate)
            said = f"{self.script.name} is now the repaired one; backup {case.candidate.backup}"
            self.journal.done(said)
        except fix_applier.NotOurs:
            said = (
                f"the repair of {self.script.name} helped, but somebody has changed that file meanwhile: nothing was "
                f"overwritten; the repaired script is auto_monitor/candidates/{case.candidate.name}"
            )
            self.alerts.tell(said)
        except OSError as error:
            said = f"the repair helped, but {self.script} cannot be written: {error.strerror}"
            self.alerts.tell(said)
        self._over()
        return said

    def drop(self, case: CodeCase) -> None:
        """The worker goes back to the script in place."""
        self.journal.done(f"Worker {case.worker_id}: the candidate {case.candidate.name} is dropped")
        self.staff.kill(case.worker_id)
        self._over()
        record = self.memory.record(case.worker_id)
        if record.wanted and not record.paused:
            self.staff.start(case.worker_id)

    def forget(self) -> None:
        """A code fix whose attempt is not open any more."""
        if self.memory.state.code_case is not None:
            self._over()

    def _over(self) -> None:
        self.memory.change(code_case=None)
        reservation.clear(self.state_dir)
        self.memory.save()


def roll_back(script: Path, state_dir: Path) -> str:
    """Puts the newest backup of the script back, by hand; returns what to tell. Raises FixRefused, OSError."""
    name = fix_applier.roll_back(script, state_dir)
    History(history_path(state_dir)).mark_rolled_back(name, utc_now())
    return (
        f"{script} is the backup {name} again; what it was is in {state_dir / 'auto_monitor' / 'proposals'}. Workers "
        "that run keep what they have until they are started again: ./stop.sh, ./start.sh\n"
    )
