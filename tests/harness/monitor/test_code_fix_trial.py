"""A code fix on trial: whether it may begin, whether it helped, installing it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from auto_monitor.decide.trial import Arrival
from auto_monitor.model import (
    Candidate,
    Case,
    HistoryEntry,
    InFlight,
    Trigger,
    WorkerSnapshot,
)
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.repair.code_fixes import CodeFixes
from common.files.json_files import StateUnwritable
from migration.errors import LedgerBusy
from migration.model import BookId, Fate, FileId
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

    def fates(
        self, pass_id: int, worker_id: int, files: Sequence[FileId]
    ) -> Mapping[FileId, Fate]:
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


def attempt(in_flight: InFlight, trigger: Trigger = Trigger.STUCK) -> HistoryEntry:
    """An attempt with the candidate on trial."""
    case = Case(NOON, in_flight, candidate=CANDIDATE)
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


OTHER = FileId(BookId(8), "EPUB")
UPLOADED = FakeLedger(outcomes={FILE: "uploaded"})
FAILED = FakeLedger(outcomes={FILE: "failed"})
STUCK, ALL_FAILING = Trigger.STUCK, Trigger.ALL_FAILING
SEEN = WorkerSnapshot(2, True, NOON, NOON)
ARRIVED = [
    ("its file is uploaded", FILES, STUCK, {}, {FILE: "uploaded"}, Arrival.ARRIVED),
    ("its file has failed", FILES, STUCK, {}, {FILE: "failed"}, Arrival.LOST),
    ("its file is pending", FILES, STUCK, {}, {OTHER: "uploaded"}, Arrival.NOT_YET),
    (
        "it was there before: the next one tells",
        FILES,
        STUCK,
        {FILE: "uploaded"},
        {FILE: "uploaded"},
        Arrival.NOT_YET,
    ),
    (
        "it was there before, and the next one is",
        FILES,
        STUCK,
        {FILE: "uploaded"},
        {FILE: "uploaded", OTHER: "uploaded"},
        Arrival.ARRIVED,
    ),
    (
        "no pass when it hung",
        InFlight(),
        STUCK,
        {},
        {OTHER: "uploaded"},
        Arrival.ARRIVED,
    ),
    ("nothing since", InFlight(), STUCK, {}, {}, Arrival.NOT_YET),
    ("a range, nothing since", RANGE, STUCK, {}, {FILE: "failed"}, Arrival.NOT_YET),
    (
        "fewer lost than before",
        RANGE,
        ALL_FAILING,
        {FILE: "failed", OTHER: "failed"},
        {FILE: "failed"},
        Arrival.ARRIVED,
    ),
    (
        "as many, where all failed",
        RANGE,
        ALL_FAILING,
        {FILE: "failed"},
        {FILE: "failed"},
        Arrival.NOT_YET,
    ),
    (
        "all were pending, and some arrived",
        RANGE,
        ALL_FAILING,
        {},
        {FILE: "uploaded"},
        Arrival.ARRIVED,
    ),
    ("all are pending", RANGE, ALL_FAILING, {}, {}, Arrival.NOT_YET),
    (
        "all were pending, and fail now",
        RANGE,
        ALL_FAILING,
        {},
        {FILE: "failed"},
        Arrival.NOT_YET,
    ),
    (
        "more lost than before is no fault of a script: some arrived",
        RANGE,
        STUCK,
        {},
        {FILE: "failed", OTHER: "uploaded"},
        Arrival.ARRIVED,
    ),
]


@pytest.mark.parametrize(
    ("in_flight", "trigger", "before", "after", "found"),
    [row[1:] for row in ARRIVED],
    ids=[row[0] for row in ARRIVED],
)
def test_whether_what_it_hung_on_has_arrived(
    in_flight: InFlight,
    trigger: Trigger,
    before: dict[FileId, str],
    after: dict[FileId, str],
    found: Arrival,
) -> None:
    """Since the trial began; failed, skipped and left out do not count."""
    ledger = FakeLedger(outcomes=before, open_first=5)
    trial = Trial(ledger=ledger)
    entry = attempt(in_flight, trigger)
    assert entry.case is not None
    case = trial.fixes.begun(entry, entry.case)
    ledger.outcomes = after
    assert trial.fixes.arrival(entry, case, SEEN) is found


def test_a_ledger_that_cannot_be_read_says_nothing() -> None:
    """Neither when the trial begins nor later."""
    trial = Trial(ledger=NoLedger())
    entry = attempt(FILES)
    assert entry.case is not None
    assert trial.fixes.begun(entry, entry.case) == entry.case
    assert trial.fixes.arrival(entry, entry.case, SEEN) is Arrival.UNKNOWN
    began = Trial().fixes.begun(entry, entry.case)
    assert trial.fixes.arrival(entry, began, SEEN) is Arrival.UNKNOWN
    assert trial.said.lines == ["The ledger cannot be read now: the ledger is busy"]


LOST = [
    (RANGE, FAILED, 1),
    (RANGE, UPLOADED, 0),
    (InFlight(1, (FILE,)), FAILED, None),
    (InFlight(None, (), (5, 9)), FAILED, None),
]


@pytest.mark.parametrize(("in_flight", "ledger", "lost"), LOST, ids=range(len(LOST)))
def test_how_many_files_a_range_has_lost(
    in_flight: InFlight, ledger: FakeLedger, lost: int | None
) -> None:
    """None where that cannot be said."""
    entry = attempt(in_flight)
    assert entry.case is not None
    assert Trial(ledger=ledger).fixes.begun(entry, entry.case).lost_before == lost


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
    there = told is not None
    assert trial.fixes.promote(CANDIDATE) == (there, said)
    changed = f"The program's code was changed: {said}. ./migrate diff shows "
    assert [text.partition("what differs")[0] for text in trial.alerts.told] == [
        changed if there else said
    ]
    assert (script.now == "repaired") is there
