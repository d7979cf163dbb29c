"""A code fix on trial: whether it may begin, whether it helped, installing it."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from auto_monitor.model import Candidate, Case, HistoryEntry, InFlight, Trigger
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.repair.code_fixes import CodeFixes
from common.files.json_files import StateUnwritable
from migration.errors import LedgerBusy
from migration.model import BookId, FileId
from tests.support.monitor.harness import (
    NOON,
    FakeAlerts,
    FakeComparer,
    FakeHistory,
    FakeLedger,
    FakeReservations,
    FakeScript,
)

CANDIDATE = Candidate("fix.py", "backup.py", "shipped", "repaired", "", "")
FILE = FileId(BookId(7), "EPUB")
FILES = InFlight(1, (FILE,), (5, 9))
RANGE = InFlight(1, (), (5, 9))


@dataclass
class NoLedger(FakeLedger):
    """A ledger that cannot be read."""

    def carried(self, pass_id: int, files: object) -> bool:
        """Fails."""
        raise LedgerBusy("the ledger is busy")

    def not_carried_in(self, pass_id: int, first_id: int, last_id: int) -> int:
        """Fails."""
        raise LedgerBusy("the ledger is busy")


@dataclass
class FullDisk(FakeReservations):
    """Reservations that cannot be written."""

    def keep(self, pass_id: int, books: object, worker_id: int) -> None:
        """Fails."""
        raise StateUnwritable("migration_reserved.json cannot be written")


@dataclass
class ReadOnlyScript(FakeScript):
    """A script in a folder that cannot be written."""

    def promote(self, candidate: Candidate) -> None:
        """Fails."""
        raise PermissionError(13, "Permission denied")


class Lines(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        self.lines.append(record.getMessage())


@dataclass
class Trial:
    """`CodeFixes` among fakes."""

    script: FakeScript = field(default_factory=FakeScript)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    reservations: FakeReservations = field(default_factory=FakeReservations)
    alerts: FakeAlerts = field(default_factory=FakeAlerts)
    comparer: FakeComparer = field(default_factory=FakeComparer)
    said: Lines = field(default_factory=Lines)

    def __post_init__(self) -> None:
        log = logging.Logger("trial")
        log.addHandler(self.said)
        action_log = ActionLog(log, log, dry_run=False)
        self.cases = Cases(FakeHistory(), action_log, lambda: NOON)
        self.fixes = CodeFixes(
            self.script,
            self.cases,
            self.ledger,
            self.reservations,
            action_log,
            self.alerts,
            self.comparer,
        )


def attempt(
    in_flight: InFlight, trigger: Trigger = Trigger.STUCK, before: int | None = None
) -> HistoryEntry:
    """An attempt with the candidate on trial."""
    case = Case(NOON, in_flight, candidate=CANDIDATE, lost_before=before)
    entry = HistoryEntry(NOON.isoformat(), 2, 1, trigger, 5.0, "migrating", "a loop")
    return replace(entry, case=case)


OBJECTIONS = [
    ("nothing speaks against it", FakeScript(), ""),
    (
        "another script by now",
        FakeScript(now="upgraded"),
        "bulk_migrate_calibre.py was changed since the fix was made",
    ),
    ("its file is gone", FakeScript(there=False), "the candidate is gone"),
]


@pytest.mark.parametrize(
    ("script", "why"),
    [row[1:] for row in OBJECTIONS],
    ids=[row[0] for row in OBJECTIONS],
)
def test_what_speaks_against_a_trial(script: FakeScript, why: str) -> None:
    """Nothing, or one sentence."""
    assert Trial(script).fixes.objection(CANDIDATE) == why


def test_one_trial_at_a_time() -> None:
    """The script is one for all workers."""
    trial = Trial()
    trial.cases.record(attempt(FILES))
    assert trial.fixes.objection(CANDIDATE) == "another code fix is being tried"


RESERVED = [
    ("files and the range", FILES, {7, 5}),
    ("a range", RANGE, {5}),
    ("nothing known", InFlight(1), None),
    ("no pass", InFlight(None, (FILE,)), None),
]


@pytest.mark.parametrize(
    ("in_flight", "books"),
    [row[1:] for row in RESERVED],
    ids=[row[0] for row in RESERVED],
)
def test_what_it_hung_on_is_kept_for_its_worker(
    in_flight: InFlight, books: set[int] | None
) -> None:
    """Until the trial ends."""
    trial = Trial()
    trial.fixes.begin(attempt(in_flight), CANDIDATE)
    assert trial.reservations.kept == ({} if books is None else {2: books})
    assert trial.said.lines[-1] == (
        "Worker 2 alone gets fix.py, made from bulk_migrate_calibre.py (backup backup.py)"
    )
    trial.fixes.release()
    assert trial.reservations.kept == {}


def test_a_reservation_that_cannot_be_written_is_logged() -> None:
    """The trial begins all the same."""
    trial = Trial(reservations=FullDisk())
    trial.fixes.begin(attempt(FILES), CANDIDATE)
    assert trial.said.lines == [
        "migration_reserved.json cannot be written",
        "Worker 2 alone gets fix.py, made from bulk_migrate_calibre.py (backup backup.py)",
    ]


UPLOADED = FakeLedger(outcomes={FILE: "uploaded"})
FAILED = FakeLedger(outcomes={FILE: "failed"})
STUCK, ALL_FAILING = Trigger.STUCK, Trigger.ALL_FAILING
ARRIVED = [
    ("no pass when it hung", InFlight(), STUCK, None, FAILED, True),
    ("its file is uploaded", FILES, STUCK, 0, UPLOADED, True),
    ("its file has failed", FILES, STUCK, 9, FAILED, False),
    ("the ledger cannot be read", FILES, STUCK, 0, NoLedger(), False),
    ("neither file nor range", RANGE, STUCK, None, FAILED, True),
    ("fewer lost than before", RANGE, ALL_FAILING, 2, FAILED, True),
    ("as many lost as before", RANGE, STUCK, 1, FAILED, True),
    ("as many, where all failed", RANGE, ALL_FAILING, 1, FAILED, False),
    ("more lost than before", RANGE, STUCK, 0, FAILED, False),
    ("a range nobody can count", RANGE, STUCK, 5, NoLedger(), False),
]


@pytest.mark.parametrize(
    ("in_flight", "trigger", "before", "ledger", "arrived"),
    [row[1:] for row in ARRIVED],
    ids=[row[0] for row in ARRIVED],
)
def test_whether_what_it_hung_on_has_arrived(
    in_flight: InFlight,
    trigger: Trigger,
    before: int | None,
    ledger: FakeLedger,
    arrived: bool,
) -> None:
    """Failed, skipped and left out do not count."""
    entry = attempt(in_flight, trigger, before)
    assert entry.case is not None
    assert Trial(ledger=ledger).fixes.arrived(entry, entry.case) is arrived


LOST = [
    (RANGE, FAILED, 1),
    (RANGE, UPLOADED, 0),
    (RANGE, NoLedger(), None),
    (InFlight(1, (FILE,)), FAILED, None),
    (InFlight(None, (), (5, 9)), FAILED, None),
]


@pytest.mark.parametrize(("in_flight", "ledger", "lost"), LOST, ids=range(len(LOST)))
def test_how_many_files_a_range_has_lost(
    in_flight: InFlight, ledger: FakeLedger, lost: int | None
) -> None:
    """None where that cannot be said."""
    assert Trial(ledger=ledger).fixes.lost(in_flight) == lost


PROMOTED: list[tuple[str, FakeScript, str, list[str] | None]] = [
    (
        "in place",
        FakeScript(),
        "bulk_migrate_calibre.py is now the repaired one; backup backup.py",
        [],
    ),
    (
        "somebody pulled a new version",
        FakeScript(now="upgraded"),
        "the repair of bulk_migrate_calibre.py helped, but somebody has changed that file "
        "meanwhile: nothing was overwritten; the repaired script is "
        "auto_monitor/candidates/fix.py",
        None,
    ),
    (
        "a folder that cannot be written",
        ReadOnlyScript(path=Path("/opt/bulk_migrate_calibre.py")),
        "the repair helped, but /opt/bulk_migrate_calibre.py cannot be written: "
        "Permission denied",
        None,
    ),
]


@pytest.mark.parametrize(
    ("script", "said", "told"),
    [row[1:] for row in PROMOTED],
    ids=[row[0] for row in PROMOTED],
)
def test_a_repair_that_helped_is_installed(
    script: FakeScript, said: str, told: list[str] | None
) -> None:
    """Or a person is told why not."""
    trial = Trial(script)
    assert trial.fixes.promote(CANDIDATE) == said
    assert trial.alerts.told == ([said] if told is None else told)
    assert (script.now == "repaired") is (told is not None)
