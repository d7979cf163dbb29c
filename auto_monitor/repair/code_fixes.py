"""The one code fix on trial: whether it may be tried, whether it worked, installing it.

Each step is recorded in the attempt's history entry before it is taken, so that a
monitor started later can continue.
"""

from dataclasses import dataclass
from pathlib import Path

from auto_monitor import fix_applier
from auto_monitor.model import Candidate, Case, HistoryEntry, InFlight, Trigger
from auto_monitor.ports import (
    Alerts,
    LedgerReader,
    Reservations,
    Script,
    TrialComparer,
)
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases, HistoryFile, history_path
from common.clock import utc_now
from common.files.json_files import UNWRITABLE
from migration.ledger import totals
from migration.model import BookId


@dataclass(frozen=True, slots=True)
class CodeFixes:
    """Code fixes of one script."""

    script: Script
    cases: Cases
    ledger: LedgerReader
    reservations: Reservations
    action_log: ActionLog
    alerts: Alerts
    comparer: TrialComparer

    def objection(self, candidate: Candidate) -> str:
        """Returns why this candidate may not be tried now; "" when it may."""
        if self.cases.trial() is not None:
            return "another code fix is being tried"
        if self.script.digest() != candidate.before:
            return f"{self.script.name} was changed since the fix was made"
        if not self.script.has(candidate):
            return "the candidate is gone"
        return ""

    def begin(self, entry: HistoryEntry, candidate: Candidate) -> None:
        """Makes the worker run the candidate from its next start on.

        Reserves its ranges.
        """
        self.reserve(entry)
        self.action_log.done(
            f"Worker {entry.worker_id} alone gets {candidate.name}, made from {self.script.name} "
            f"(backup {candidate.backup})"
        )

    def reserve(self, entry: HistoryEntry) -> None:
        """Reserves what the worker of a trial hung on; logs a failure to do so."""
        in_flight = entry.case.in_flight if entry.case is not None else InFlight()
        books = {file.book_id for file in in_flight.files}
        if in_flight.range is not None:
            books.add(BookId(in_flight.range[0]))
        if in_flight.pass_id is None or not books:
            return
        try:
            self.reservations.keep(in_flight.pass_id, books, entry.worker_id)
        except UNWRITABLE as error:
            self.action_log.once("reservation", str(error))

    def lost(self, in_flight: InFlight) -> int | None:
        """Returns how many files of the range have failed or were skipped.

        None without a range, or when the ledger cannot be read.
        """
        if in_flight.pass_id is None or in_flight.range is None:
            return None
        try:
            return self.ledger.not_carried_in(in_flight.pass_id, *in_flight.range)
        except totals.UNREADABLE:
            return None

    def arrived(self, entry: HistoryEntry, case: Case) -> bool:
        """Whether what the worker hung on has really arrived.

        Failed, skipped and left out do not count.
        """
        in_flight, before = case.in_flight, case.lost_before
        if in_flight.pass_id is None:
            return True
        if in_flight.files:
            try:
                return self.ledger.carried(in_flight.pass_id, in_flight.files)
            except totals.UNREADABLE:
                return False
        if before is None:
            return True
        lost = self.lost(in_flight)
        if lost is None:
            return False
        # Where every file failed, as many failures as before prove nothing: some files
        # must have arrived.
        return lost < before or (
            lost == before and entry.trigger != Trigger.ALL_FAILING
        )

    def differences(self, entry: HistoryEntry) -> str | None:
        """Returns how what the candidate carried differs from Calibre; "" for not.

        None while that is being found out, by a process that runs the shipped code.
        """
        in_flight = entry.case.in_flight if entry.case is not None else InFlight()
        if in_flight.pass_id is None:
            return ""
        return self.comparer.differences(
            str(entry.key), in_flight.pass_id, entry.worker_id
        )

    def promote(self, candidate: Candidate) -> str:
        """Installs the candidate for all workers.

        Returns a description of the result.
        """
        try:
            self.script.promote(candidate)
        except fix_applier.NotOurs:
            said = (
                f"the repair of {self.script.name} helped, but somebody has changed "
                "that file meanwhile: nothing was "
                f"overwritten; the repaired script is auto_monitor/candidates/{candidate.name}"
            )
            self.alerts.tell(said)
            return said
        except OSError as error:
            said = f"the repair helped, but {self.script.path} cannot be written: {error.strerror}"
            self.alerts.tell(said)
            return said
        said = f"{self.script.name} is now the repaired one; backup {candidate.backup}"
        self.action_log.done(said)
        return said

    def release(self) -> None:
        """Removes the reservations after a trial."""
        self.reservations.clear()


def roll_back(script: Path, state_dir: Path) -> str:
    """Restores the newest backup of the script, by hand; returns a message.

    Raises FixRefused or OSError.
    """
    name = fix_applier.roll_back(script, state_dir)
    HistoryFile(history_path(state_dir)).mark_rolled_back(name, utc_now())
    return (
        f"{script} is the backup {name} again; what it was is in "
        f"{state_dir / 'auto_monitor' / 'proposals'}. Workers "
        "that run keep what they have until they are started again: ./stop.sh, ./start.sh\n"
    )
